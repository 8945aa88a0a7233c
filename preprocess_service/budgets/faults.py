"""What an error of a database means: gone for now, given up for another's sake, or our own mistake."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

SQLITE_DOWN = frozenset(
    (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    )
)
POSTGRES_DOWN = ("08", "25006", "28", "3D000", "53", "55P03", "57", "58", "XX")
"""SQLSTATE classes: connection, read-only, not let in, no such database, resources, lock not had, shut down or stopped, system."""
CONFLICTS = ("40001", "40P01")
"""Serialization failure, deadlock: nothing was done, and once more may work."""


class CommitUnansweredError(Exception):
    """The commit was sent; whether it took place is not known."""


def is_conflict(error: BaseException) -> bool:
    return _state(error) in CONFLICTS


def is_stale(error: BaseException) -> bool:
    """The connection turned out to be dead before the commit was sent."""
    return isinstance(error, DBAPIError) and error.connection_invalidated


def is_down(error: BaseException) -> bool:
    """Nothing that a change of the program would mend."""
    if isinstance(error, CommitUnansweredError | OSError | TimeoutError | PoolTimeoutError | DisconnectionError):
        return True
    if is_stale(error):
        return True
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", 0) & 0xFF in SQLITE_DOWN
    return _state(error).startswith(POSTGRES_DOWN) or _lost(error)


def _lost(error: BaseException) -> bool:
    """asyncpg's own words for a connection that ended, which have no SQLSTATE."""
    seen: BaseException | None = error
    while seen is not None:
        if type(seen).__name__ in ("ConnectionDoesNotExistError", "ClientCannotConnectError"):
            return True
        seen = seen.__cause__
    return "connection is closed" in str(error)


def _state(error: BaseException) -> str:
    """SQLSTATE, "" where there is none."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return str(getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None) or "")
