"""The committee's answers are kept while their round is open."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "answers",
        sa.Column("round_id", sa.Integer, sa.ForeignKey("rounds.id"), primary_key=True),
        sa.Column("member_index", sa.Integer, primary_key=True),
        sa.Column("signed", sa.LargeBinary, nullable=False),
    )
