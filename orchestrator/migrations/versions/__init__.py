"""One file per change of the tables, in order. May import SQLAlchemy and Alembic only."""

__all__: list[str] = []
