"""Alembic's way in: always from `migrate`, which brings the connection and its transaction."""

from __future__ import annotations

from alembic import context

from preprocess_service.budgets.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
