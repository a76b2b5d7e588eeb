"""The steps that bring the store's tables up to date; Alembic runs them where one is missing.

May import SQLAlchemy and Alembic only, and this file neither: who asks whether a store is current needs no Alembic.
"""

REVISIONS = ("0001", "0002", "0003", "0004", "0005")
"""The revisions in `versions`, in order; the last is that of this program's tables. A test compares the two."""

__all__ = ["REVISIONS"]
