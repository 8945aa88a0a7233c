"""Usage as other programs read it: CSV, and JSON lines. Money is in integer millionths (micros), exactly as the books have it."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from reelgate.budgets import UsageRow

COLUMNS: Final = tuple(field.name for field in dataclasses.fields(UsageRow))
RISKY: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet takes for the beginning of a formula (OWASP, "CSV Injection")."""
SUMMED: Final = tuple(name for name in COLUMNS if name not in ("tenant", "tier", "policy", "bucket_start", "currency"))


def safe(value: object) -> object:
    """A cell: text that a spreadsheet would run gets an apostrophe before it; numbers stay numbers, negative ones too."""
    return f"'{value}" if isinstance(value, str) and value.startswith(RISKY) else value


def csv_lines(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> Iterator[str]:
    """The header and a line each, with their ends (CRLF, RFC 4180). What a row lacks is empty."""
    made = io.StringIO()
    writer = csv.DictWriter(made, columns, restval="")
    writer.writeheader()
    yield made.getvalue()
    for row in rows:
        made.seek(0)
        made.truncate()
        writer.writerow({name: safe(value) for name, value in row.items()})
        yield made.getvalue()


def as_csv(rows: Iterable[UsageRow]) -> Iterator[str]:
    """Lines with their ends."""
    return csv_lines(COLUMNS, map(plain, rows))


def as_json(rows: Iterable[UsageRow]) -> Iterator[str]:
    """One object a line."""
    for row in rows:
        yield json.dumps(plain(row), ensure_ascii=False, separators=(",", ":")) + "\n"


def plain(row: UsageRow) -> dict[str, Any]:
    """Names and figures; the time as text."""
    return dataclasses.asdict(row) | {"bucket_start": utc(row.bucket_start)}


def utc(moment: datetime) -> str:
    """RFC 3339, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def decimal(units: int, digits: int) -> Decimal:
    """Integer ``10**-digits`` units, exactly, with all digits: ``decimal(-1500, 3)`` prints as -1.500. For at most 6 digits."""
    return Decimal(units).scaleb(-digits)


def totals(rows: Iterable[UsageRow]) -> list[UsageRow]:
    """One row for each currency, the sum of all; its bucket is the first."""
    made: dict[str, UsageRow] = {}
    for row in rows:
        was = made.get(row.currency)
        if was is None:
            made[row.currency] = dataclasses.replace(row, tenant="", tier="", policy="")
            continue
        sums = {name: getattr(was, name) + getattr(row, name) for name in SUMMED}
        first = min(was.bucket_start, row.bucket_start)
        made[row.currency] = dataclasses.replace(was, bucket_start=first, **sums)
    return [made[currency] for currency in sorted(made)]
