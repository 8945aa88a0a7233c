"""``reelgate usage``: what was spent and saved."""

from __future__ import annotations

import asyncio
import enum
import io
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO

import typer
from rich.markup import escape

from reelgate import cli_show as show
from reelgate import exports, focus
from reelgate.budgets import UsageRow
from reelgate.cli_generate import Server, check_output, token
from reelgate.cli_words import moment
from reelgate.client import DEFAULT_ADDRESS, Client

GROUPS = ("tenant", "tier", "policy")
Side = Literal["left", "right"]
Write = Callable[[Iterable[UsageRow]], Iterator[str]]


class Bucket(enum.StrEnum):
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


class Format(enum.StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    FOCUS = "focus"


def register(app: typer.Typer) -> None:
    """Add this file's verb."""
    app.command(name="usage")(usage)


def usage(
    by: Annotated[str, typer.Option(help="Any of tenant, tier and policy, with commas; the rest is summed up.")] = "",
    bucket: Annotated[Bucket, typer.Option(help="In UTC.")] = Bucket.DAY,
    start: Annotated[str, typer.Option("--from", help="2026-01-01; by default the first of this month.")] = "",
    end: Annotated[str, typer.Option("--to", help="Not included; by default now.")] = "",
    tenant: Annotated[str, typer.Option(help="Yours by default; another's, and '*', need the role admin.")] = "",
    tier: Annotated[str, typer.Option(help="Only of this tier.")] = "",
    policy: Annotated[str, typer.Option(help="Only of this policy.")] = "",
    format_: Annotated[Format, typer.Option("--format", help="focus: columns of FOCUS 1.2.")] = Format.TABLE,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="A file instead of standard output.")] = None,
    provider: Annotated[str, typer.Option(help="With focus: who sends the bill.")] = focus.Issuer().provider,
    account: Annotated[str, typer.Option(help="With focus: the billing account.")] = focus.Issuer().account,
    server: Server = DEFAULT_ADDRESS,
) -> None:
    """Show what was spent and saved, of requests that have ended; all pages of it."""
    if output is not None:
        check_output(output)
        if format_ is Format.TABLE:
            raise typer.BadParameter("a table is for people; files are csv, json or focus", param_hint="--format")
    groups = groups_of(by)
    asked: dict[str, Any] = {
        "start": moment(start, "--from"),
        "end": moment(end, "--to"),
        "bucket": bucket.value,
        "group_by": groups,
        "tier": tier,
        "policy": policy,
    }
    issuer = focus.Issuer(provider=provider, account=account)
    rows = asyncio.run(_all(server, tenant, asked))
    if format_ is Format.TABLE:
        table(rows, groups or GROUPS, bucket)
        return
    writers: dict[Format, Write] = {
        Format.CSV: exports.as_csv,
        Format.JSON: exports.as_json,
        Format.FOCUS: lambda rows: focus.as_focus(rows, bucket=bucket.value, issuer=issuer),
    }
    write(writers[format_](rows), output)


def groups_of(by: str) -> tuple[str, ...]:
    """Checked here already, since the service speaks of fields and not of options."""
    names = tuple(name.strip() for name in by.split(",") if name.strip())
    if wrong := [name for name in names if name not in GROUPS]:
        raise typer.BadParameter(f"{wrong[0]!r}: any of {', '.join(GROUPS)}", param_hint="--by")
    return tuple(dict.fromkeys(names))


def write(lines: Iterable[str], output: Path | None) -> None:
    """To ``output``, whole or not at all; None: standard output."""
    with writing(output) as file:
        file.writelines(lines)


@contextmanager
def writing(output: Path | None) -> Iterator[TextIO]:
    """Lines keep their ends. ``output`` is there once the block ends well; None: standard output."""
    if output is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(newline="", encoding="utf-8")
        yield sys.stdout
        return
    making = output.with_name(f".{output.name}.part")
    try:
        with making.open("w", encoding="utf-8", newline="") as file:
            yield file
        making.replace(output)
    finally:
        making.unlink(missing_ok=True)


def table(rows: Sequence[UsageRow], groups: Sequence[str], bucket: Bucket) -> None:
    """The rows, and the sum of each currency. Columns in which nothing happened are left out."""
    if not rows:
        show.line("nothing was spent: no request has ended in that time")
        return
    sums = exports.totals(rows)
    columns = [name for name in FIGURES if name in ALWAYS or any(FIGURES[name](row) != "0" for row in sums)]
    about: list[tuple[str, Side]] = [(name, "left") for name in (bucket.value, *groups)]
    made = show.table(*about, *((name, "right") for name in columns))
    for row in rows:
        keys = [_when(row, bucket), *(getattr(row, name) for name in groups)]
        made.add_row(*map(escape, keys), *(FIGURES[name](row) for name in columns))
    made.add_section()
    for row in sums:
        made.add_row("all", *([""] * len(groups)), *(FIGURES[name](row) for name in columns), style="bold")
    show.print_table(made)


FIGURES: dict[str, Callable[[UsageRow], str]] = {
    "requests": lambda r: str(r.requests),
    "stored": lambda r: str(r.stored),
    "cancelled": lambda r: str(r.cancelled),
    "failed": lambda r: str(r.failed),
    "tokens": lambda r: str(r.tokens),
    "tokens saved": lambda r: str(r.tokens_saved),
    "device s": lambda r: _seconds(r.device_ms),
    "device s saved": lambda r: _seconds(r.device_ms_saved),
    "overrun s": lambda r: _seconds(r.overrun_device_ms),
    "prepare s": lambda r: _seconds(r.prepare_us // 1000),
    "currency": lambda r: r.currency,
    "tokens cost": lambda r: _money(r.tokens_micros),
    "device cost": lambda r: _money(r.device_micros),
    "tokens saved, worth": lambda r: _money(r.tokens_saved_micros),
    "device saved, worth": lambda r: _money(r.device_saved_micros),
    "prepare cost": lambda r: _money(r.prepare_micros),
}
ALWAYS = ("requests", "tokens", "device s", "currency")


def _seconds(ms: int) -> str:
    return f"{exports.decimal(ms, 3)}" if ms else "0"


def _money(micros: int) -> str:
    return f"{exports.decimal(micros, 6)}" if micros else "0"


def _when(row: UsageRow, bucket: Bucket) -> str:
    text = exports.utc(row.bucket_start)
    return text[:7] if bucket is Bucket.MONTH else text[:10] if bucket is Bucket.DAY else text[:16] + "Z"


async def _all(server: str, tenant: str, asked: dict[str, Any]) -> list[UsageRow]:
    async with Client(server, token=token()) as client, aclosing(client.usage(tenant, **asked)) as rows:
        return [row async for row in rows]
