"""How the store's tables came to be, step by step, run by Alembic when a store is opened. May import SQLAlchemy and Alembic only."""

__all__: list[str] = []
