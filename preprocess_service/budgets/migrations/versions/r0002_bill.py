"""The bill: overrun by window, what was measured, savings, prices, usage by the hour, and the outbox; filled from the entries.

The entries themselves stay as they were, so their seals still fit: what had no price then has none now, and no currency.
"""

from __future__ import annotations

from collections import defaultdict

import sqlalchemy as sa
from alembic import op

from preprocess_service.budgets import calendar
from preprocess_service.budgets.core import COUNTED

revision = "0002"
down_revision = "0001"

MONEY = ("tokens_micros", "device_micros", "tokens_saved_micros", "device_saved_micros", "prepare_micros")
ENDINGS = "kind IN ('settle', 'release')"


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0")


def _word(name: str, size: int = 64) -> sa.Column[str]:
    return sa.Column(name, sa.String(size), nullable=False, server_default="")


def upgrade() -> None:
    for name in ("overrun_tokens", "overrun_ms"):
        op.add_column("windows", _count(name))
    for name in ("measured_tokens", "measured_ms"):
        op.add_column("holds", _count(name))
    op.add_column("holds", _word("price_version"))
    for name in ("saved_ms", *MONEY):
        op.add_column("entries", _count(name))
    op.add_column("entries", _word("price_version"))
    op.add_column("entries", _word("currency", 3))
    _new_tables()
    _fill_overrun()
    _fill_holds()
    _fill_usage()


def _new_tables() -> None:
    keys = [sa.Column(name, sa.String(64), primary_key=True) for name in ("tier", "policy")]
    counts = ("requests", "done", "stored", "cancelled", "failed", "tokens", "tokens_saved", "device_ms", "overrun_ms")
    op.create_table(
        "usage",
        sa.Column("tenant", sa.String(64), primary_key=True),
        sa.Column("hour_ms", sa.BigInteger, primary_key=True, autoincrement=False),
        *keys,
        sa.Column("currency", sa.String(3), primary_key=True),
        *map(_count, (*counts, "saved_ms", "prepare_us", *MONEY)),
    )
    op.create_index("usage_time", "usage", ["hour_ms"])
    op.create_table(
        "outbox",
        sa.Column("tenant", sa.String(64), primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        _count("tries"),
        _count("next_ms"),
        sa.Column("given_up", sa.Boolean, nullable=False, server_default="0"),
    )
    op.create_index("outbox_next", "outbox", ["given_up", "next_ms"])


def _fill_overrun() -> None:
    rows = op.get_bind().execute(
        sa.text(
            "SELECT tenant, reserved_ms - reserved_ms % 60000 AS minute, sum(overrun_tokens), sum(overrun_ms) FROM entries"
            " WHERE overrun_tokens <> 0 OR overrun_ms <> 0 GROUP BY tenant, reserved_ms - reserved_ms % 60000"
        )
    )
    sums: dict[tuple[str, str, int], list[int]] = defaultdict(lambda: [0, 0])
    for tenant, minute, tokens, ms in rows:
        for window in COUNTED:
            kept = sums[tenant, window.value, calendar.start(window, minute)]
            kept[0] += int(tokens)
            kept[1] += int(ms)
    change = sa.text(
        "UPDATE windows SET overrun_tokens = :tokens, overrun_ms = :ms"
        ' WHERE tenant = :tenant AND "window" = :window AND start_ms = :start'
    )
    given = [
        {"tenant": tenant, "window": window, "start": start, "tokens": tokens, "ms": ms}
        for (tenant, window, start), (tokens, ms) in sums.items()
    ]
    if given:
        op.get_bind().execute(change, given)


def _fill_holds() -> None:
    """What was measured is in the entry of a hold's end."""
    # Without an index a hold's entry is looked for among all.
    op.execute("CREATE INDEX fill_entries ON entries (name, run)")
    ending = f"(SELECT %s FROM entries e WHERE e.name = holds.name AND e.run = holds.run AND e.{ENDINGS})"
    tokens, ms = (ending % f"e.charged_{what} + e.overrun_{what}" for what in ("tokens", "ms"))
    op.execute(f"UPDATE holds SET measured_tokens = {tokens}, measured_ms = {ms} WHERE state <> 'open'")
    op.execute("DROP INDEX fill_entries")


def _fill_usage() -> None:
    def ended(*causes: str) -> str:
        return f"sum(CASE WHEN cause IN ({', '.join(repr(cause) for cause in causes)}) THEN 1 ELSE 0 END)"

    counted = {
        "requests": "count(*)",
        "done": ended("done", "content"),
        "stored": ended("stored"),
        "cancelled": ended("cancelled"),
        "failed": ended("failed"),
        "tokens": "sum(charged_tokens)",
        "device_ms": "sum(charged_ms)",
        **{name: f"sum({name})" for name in ("tokens_saved", "overrun_ms", "prepare_us")},
    }
    hour = "reserved_ms - reserved_ms % 3600000"
    op.execute(
        f"INSERT INTO usage (tenant, hour_ms, tier, policy, currency, {', '.join(counted)})"
        f" SELECT tenant, {hour}, tier, policy, currency, {', '.join(counted.values())} FROM entries"
        f" WHERE {ENDINGS} GROUP BY tenant, {hour}, tier, policy, currency"
    )


def downgrade() -> None:
    raise NotImplementedError("books are not thrown away: restore a backup")
