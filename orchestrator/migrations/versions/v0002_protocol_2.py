"""Protocol version 2: jobs keep the progress of any task, rounds the running sum, contributions what is needed after they were added."""

import sqlalchemy as sa
from alembic import op

from hushfleet.errors import LocalError, Refusal

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Replace the columns. Raises `LocalError(STORE_UNUSABLE)` for a store in use: its documents are of version 1."""
    if op.get_bind().execute(sa.text("SELECT count(*) FROM rosters")).scalar_one():
        raise LocalError(
            Refusal.STORE_UNUSABLE,
            "this store holds a roster of protocol version 1, which is no longer spoken",
            next_step="Have the owner deal the committee's key anew, remove the store, and join with the new orchestrator.bundle.",
        )
    with op.batch_alter_table("jobs") as jobs:
        for name in ("model", "optimizer_state", "best_model"):
            jobs.drop_column(name)
        for name in ("progress", "result", "best_result"):
            jobs.add_column(sa.Column(name, sa.LargeBinary, nullable=False))
    with op.batch_alter_table("rounds") as rounds:
        rounds.add_column(sa.Column("total", sa.LargeBinary))
    with op.batch_alter_table("accepted") as accepted:
        accepted.drop_column("sealed")
        for name in ("kept", "whole_hash"):
            accepted.add_column(sa.Column(name, sa.LargeBinary, nullable=False))
