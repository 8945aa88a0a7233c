"""The tables. `entries` is the ledger: nothing in it is ever changed. All the others are what follows from it, kept so that nobody
adds up a million rows; `reelgate ledger verify` proves that they agree.

Every change of a tenant's books begins with its row of `accounts`, which is locked until the transaction ends. So a tenant's changes
come one after the other, entries are numbered without gaps, and no two transactions wait for each other in a circle.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, String, Table, Text

metadata: Final = MetaData()
TENANT: Final = String(64)
NAME: Final = String(80)
RUN: Final = String(64)


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default="0")


def _word(name: str, size: int = 64) -> Column[str]:
    return Column(name, String(size), nullable=False, server_default="")


accounts: Final = Table(
    "accounts",
    metadata,
    Column("tenant", TENANT, primary_key=True),
    _count("last_seq"),
    _count("sealed_seq"),
    _count("open_holds"),
    # Counts changes of what was set for the tenant.
    _count("budget_version"),
)

windows: Final = Table(
    "windows",
    metadata,
    Column("tenant", TENANT, primary_key=True),
    Column("window", String(8), primary_key=True),
    Column("start_ms", BigInteger, primary_key=True),
    _count("held_tokens"),
    _count("held_ms"),
    _count("charged_tokens"),
    _count("charged_ms"),
    _count("overrun_tokens"),
    _count("overrun_ms"),
)

holds: Final = Table(
    "holds",
    metadata,
    Column("name", NAME, primary_key=True),
    Column("run", RUN, primary_key=True),
    Column("tenant", TENANT, nullable=False),
    _word("request_id", 128),
    _word("tier"),
    _word("policy"),
    Column("state", String(8), nullable=False),
    _word("cause", 16),
    _count("tokens"),
    _count("device_ms"),
    Column("at_ms", BigInteger, nullable=False),
    # May be negative.
    _count("tokens_saved"),
    _count("prepare_us"),
    # Who looks after it, and until when nobody else does.
    _word("owner"),
    _count("owned_until_ms"),
    # How it ended.
    _count("charged_tokens"),
    _count("charged_ms"),
    _count("measured_tokens"),
    _count("measured_ms"),
    _word("price_version"),
    Index("holds_open", "state", "owned_until_ms"),
    Index("holds_tenant", "tenant", "at_ms"),
)

requests: Final = Table(
    "requests",
    metadata,
    Column("tenant", TENANT, primary_key=True),
    Column("request_id", String(128), primary_key=True),
    Column("name", NAME, nullable=False),
    Column("run", RUN, nullable=False),
)

entries: Final = Table(
    "entries",
    metadata,
    Column("tenant", TENANT, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("kind", String(8), nullable=False),
    _word("name", 80),
    _word("run"),
    # When the hold was reserved: its windows.
    _count("reserved_ms"),
    _word("request_id", 128),
    _word("tier"),
    _word("policy"),
    _word("cause", 16),
    # What is held more (or less) by this entry; what was charged, measured and not charged.
    _count("held_tokens"),
    _count("held_ms"),
    _count("charged_tokens"),
    _count("charged_ms"),
    _count("overrun_tokens"),
    _count("overrun_ms"),
    _count("tokens_saved"),
    _count("saved_ms"),
    _count("prepare_us"),
    _word("price_version"),
    _word("currency", 3),
    _count("tokens_micros"),
    _count("device_micros"),
    _count("tokens_saved_micros"),
    _count("device_saved_micros"),
    _count("prepare_micros"),
    # JSON: flags of abnormal use, what shadow mode would have refused, the budget that was set and by whom.
    Column("details", Text, nullable=False, server_default=""),
    Index("entries_time", "at_ms"),
)

seals: Final = Table(
    "seals",
    metadata,
    Column("tenant", TENANT, primary_key=True),
    # The last entry that it covers; it begins after the seal before.
    Column("last_seq", BigInteger, primary_key=True, autoincrement=False),
    Column("first_seq", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    # Hex SHA-256 over the seal before and the entries (seals.py).
    Column("hash", String(64), nullable=False),
)

budgets: Final = Table(
    "budgets",
    metadata,
    Column("tenant", TENANT, primary_key=True),
    # JSON of a Budget; empty: none, only raises were ever set.
    Column("budget", Text, nullable=False, server_default=""),
    Column("set_by", TENANT, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)

raises: Final = Table(
    "raises",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("tenant", TENANT, nullable=False),
    Column("window", String(8), nullable=False),
    _count("tokens"),
    _count("device_ms"),
    Column("expires_ms", BigInteger, nullable=False),
    _word("note", 200),
    Column("set_by", TENANT, nullable=False),
    Index("raises_tenant", "tenant", "expires_ms"),
)

# What has ended, by the hour of its reservation: QueryUsage reads this alone.
usage: Final = Table(
    "usage",
    metadata,
    Column("tenant", TENANT, primary_key=True),
    Column("hour_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("tier", String(64), primary_key=True),
    Column("policy", String(64), primary_key=True),
    Column("currency", String(3), primary_key=True),
    _count("requests"),
    _count("done"),
    _count("stored"),
    _count("cancelled"),
    _count("failed"),
    _count("tokens"),
    _count("tokens_saved"),
    _count("device_ms"),
    _count("overrun_ms"),
    _count("saved_ms"),
    _count("prepare_us"),
    _count("tokens_micros"),
    _count("device_micros"),
    _count("tokens_saved_micros"),
    _count("device_saved_micros"),
    _count("prepare_micros"),
    Index("usage_time", "hour_ms"),
)

# Settlements that were not told to the outside yet; written with them, in one transaction.
outbox: Final = Table(
    "outbox",
    metadata,
    Column("tenant", TENANT, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    _count("tries"),
    _count("next_ms"),
    Column("given_up", Boolean, nullable=False, server_default="0"),
    Index("outbox_next", "given_up", "next_ms"),
)
