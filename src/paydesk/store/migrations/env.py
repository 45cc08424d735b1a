"""Runs migrations on a connection that the caller opened and locked; never from a command line."""

from __future__ import annotations

from alembic import context

from paydesk.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, transaction_per_migration=False
)
with context.begin_transaction():
    context.run_migrations()
