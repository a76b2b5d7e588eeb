"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "rosters",
        sa.Column("serial", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("signed", sa.LargeBinary, nullable=False),
        sa.Column("kept_at", sa.Float, nullable=False),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("identity", sa.LargeBinary, nullable=False),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("began_at", sa.Float, nullable=False),
        sa.Column("ended_at", sa.Float),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("model", sa.LargeBinary, nullable=False),
        sa.Column("optimizer_state", sa.LargeBinary, nullable=False),
        sa.Column("best_version", sa.BigInteger, nullable=False),
        sa.Column("best_model", sa.LargeBinary, nullable=False),
        sa.Column("best_score", sa.Float),
    )
    op.create_table(
        "rounds",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("job_id", sa.Integer, sa.ForeignKey("jobs.id"), nullable=False),
        sa.Column("key_id", sa.LargeBinary, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("roster_serial", sa.BigInteger, sa.ForeignKey("rosters.serial"), nullable=False),
        sa.Column("plan", sa.LargeBinary, nullable=False),
        sa.Column("began_at", sa.Float, nullable=False),
        sa.Column("request", sa.LargeBinary),
        sa.Column("ended_at", sa.Float),
        sa.Column("record", sa.LargeBinary),
        sa.Column("outcome", sa.String(16)),
        sa.Column("version", sa.BigInteger),
        sa.Column("loss", sa.Float),
        sa.Column("accuracy", sa.Float),
        sa.Column("archive", sa.String(255)),
        sa.Column("archive_hash", sa.LargeBinary),
        sa.UniqueConstraint("key_id", "number", name="one_round_per_number"),
    )
    op.create_table(
        "accepted",
        sa.Column("round_id", sa.Integer, sa.ForeignKey("rounds.id"), primary_key=True),
        sa.Column("device_id", sa.String(63), primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("accepted_at", sa.Float, nullable=False),
    )
    op.create_table(
        "presence",
        sa.Column("device_id", sa.String(63), primary_key=True),
        sa.Column("status", sa.LargeBinary, nullable=False),
        sa.Column("heard_at", sa.Float, nullable=False),
    )
