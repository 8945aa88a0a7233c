"""The first books: limits and holds, no prices and no summary of usage yet."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0")


def _time(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _word(name: str, size: int = 64) -> sa.Column[str]:
    return sa.Column(name, sa.String(size), nullable=False, server_default="")


def _key(name: str, size: int = 64) -> sa.Column[str]:
    return sa.Column(name, sa.String(size), primary_key=True)


def _tenant() -> sa.Column[str]:
    return sa.Column("tenant", sa.String(64), nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, primary_key=True, autoincrement=False)


def upgrade() -> None:
    accounts = ("last_seq", "sealed_seq", "open_holds", "budget_version")
    op.create_table("accounts", _key("tenant"), *map(_count, accounts))
    op.create_table(
        "windows",
        _key("tenant"),
        _key("window", 8),
        _number("start_ms"),
        *map(_count, ("held_tokens", "held_ms", "charged_tokens", "charged_ms")),
    )
    _holds()
    op.create_table(
        "requests",
        _key("tenant"),
        _key("request_id", 128),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("run", sa.String(64), nullable=False),
    )
    _entries()
    op.create_table(
        "seals",
        _key("tenant"),
        _number("last_seq"),
        _time("first_seq"),
        _time("at_ms"),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    _set()


def _holds() -> None:
    op.create_table(
        "holds",
        _key("name", 80),
        _key("run"),
        _tenant(),
        _word("request_id", 128),
        _word("tier"),
        _word("policy"),
        sa.Column("state", sa.String(8), nullable=False),
        _word("cause", 16),
        _count("tokens"),
        _count("device_ms"),
        _time("at_ms"),
        _count("tokens_saved"),
        _count("prepare_us"),
        _word("owner"),
        _count("owned_until_ms"),
        _count("charged_tokens"),
        _count("charged_ms"),
    )
    op.create_index("holds_open", "holds", ["state", "owned_until_ms"])
    op.create_index("holds_tenant", "holds", ["tenant", "at_ms"])


def _entries() -> None:
    sums = ("held_tokens", "held_ms", "charged_tokens", "charged_ms", "overrun_tokens", "overrun_ms")
    op.create_table(
        "entries",
        _key("tenant"),
        _number("seq"),
        _time("at_ms"),
        sa.Column("kind", sa.String(8), nullable=False),
        _word("name", 80),
        _word("run"),
        _count("reserved_ms"),
        _word("request_id", 128),
        _word("tier"),
        _word("policy"),
        _word("cause", 16),
        *map(_count, (*sums, "tokens_saved", "prepare_us")),
        sa.Column("details", sa.Text, nullable=False, server_default=""),
    )
    op.create_index("entries_time", "entries", ["at_ms"])


def _set() -> None:
    op.create_table(
        "budgets",
        _key("tenant"),
        sa.Column("budget", sa.Text, nullable=False, server_default=""),
        sa.Column("set_by", sa.String(64), nullable=False),
        _time("at_ms"),
    )
    op.create_table(
        "raises",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        _tenant(),
        sa.Column("window", sa.String(8), nullable=False),
        _count("tokens"),
        _count("device_ms"),
        _time("expires_ms"),
        _word("note", 200),
        sa.Column("set_by", sa.String(64), nullable=False),
    )
    op.create_index("raises_tenant", "raises", ["tenant", "expires_ms"])


def downgrade() -> None:
    raise NotImplementedError("books are not thrown away: restore a backup")
