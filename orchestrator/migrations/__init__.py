"""The steps that bring the store's tables up to date; Alembic runs them when a store is opened.

May import SQLAlchemy and Alembic only.
"""

__all__: list[str] = []
