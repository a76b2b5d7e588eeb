"""Run by Alembic: every step in one transaction on the connection that `orchestrator.store.database` hands over."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
