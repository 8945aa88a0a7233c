"""The tables of a database, brought to what this version of the program knows."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from ..database import Database

LOCK = 5_731_001
"""PostgreSQL's advisory lock: replicas that start together take turns. SQLite's writers do anyway."""
WAIT_S = 600.0


async def migrate(url: str, *, to: str = "head") -> None:
    """Make or upgrade the tables, all or nothing; nothing to do is quick. Safe from many processes at once.

    Raises ``ValueError`` where the database is newer than this program, ``BudgetStoreUnavailableError`` where it cannot be reached.
    """
    database = Database(url, wait_s=WAIT_S, connect_s=5.0)
    try:
        await database.write(lambda conn: upgrade(conn, to))
    finally:
        await database.close()


def upgrade(conn: Connection, to: str) -> None:
    """In the transaction of ``conn``."""
    if conn.dialect.name == "postgresql":
        conn.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    config = Config(attributes={"connection": conn})
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    now = MigrationContext.configure(conn).get_current_revision()
    if now is not None and now not in known:
        raise ValueError(f"the ledger's tables are at revision {now}, newer than this program: upgrade the program")
    command.upgrade(config, to)
