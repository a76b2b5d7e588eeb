"""The messages of a device that were dropped because it sent more than its allowance."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "floods",
        sa.Column("device_id", sa.String(63), primary_key=True),
        sa.Column("dropped", sa.BigInteger, nullable=False),
        sa.Column("last_at", sa.Float, nullable=False),
    )
