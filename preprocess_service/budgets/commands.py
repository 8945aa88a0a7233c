"""``reelgate ledger`` and ``reelgate budget simulate``: verbs that read the ledger's database, beside a service or without one."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from collections.abc import Callable, Coroutine
from datetime import datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.markup import escape

from reelgate import cli_show as show
from reelgate.cli_generate import check_output
from reelgate.cli_usage import writing
from reelgate.cli_words import moment
from reelgate.exports import csv_lines

if TYPE_CHECKING:
    from .database import Database

T = TypeVar("T")
WAIT_S = 60.0
Url = Annotated[
    str, typer.Argument(metavar="[URL]", help="sqlite:///file or postgresql://...; by default the service's own.")
]
Ledger = Annotated[str, typer.Option("--ledger", metavar="URL", help="By default the service's own.")]
From = Annotated[str, typer.Option("--from", help="2026-01-01; without a time zone: UTC.")]
To = Annotated[str, typer.Option("--to", help="Not included.")]


class Format(StrEnum):
    JSON = "json"
    CSV = "csv"


def register(app: typer.Typer) -> None:
    """Add this file's verbs: a group of their own, and one more in ``reelgate budget``."""
    ledger = typer.Typer(help="Look into the books: verify them, export their entries.", no_args_is_help=True)
    ledger.command(name="verify")(verify)
    ledger.command(name="export")(export)
    app.add_typer(ledger, name="ledger")
    budget = next((each.typer_instance for each in app.registered_groups if each.name == "budget"), None)
    if budget is None:
        budget = typer.Typer(help="Try out what a tenant may spend.", no_args_is_help=True)
        budget.callback()(lambda: None)
        app.add_typer(budget, name="budget")
    budget.command(name="simulate")(simulate)


def export(
    url: Url = "",
    start: From = "",
    end: To = "",
    tenant: Annotated[str, typer.Option(help="Only of this one.")] = "",
    format_: Annotated[Format, typer.Option("--format", help="json: an object a line.")] = Format.JSON,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="A file instead of standard output.")] = None,
) -> None:
    """Print the ledger's entries, of one tenant after the other, in order. Money is in millionths."""
    if output is not None:
        check_output(output)
    from .archive import COLUMNS, read

    from_ms, to_ms = _ms(moment(start, "--from")) or 0, _ms(moment(end, "--to"))

    async def dump(database: Database) -> None:
        with writing(output) as file:
            if format_ is Format.CSV:
                file.writelines(csv_lines(COLUMNS, ()))
            async for row in read(database, from_ms=from_ms, to_ms=to_ms, tenant=tenant):
                if format_ is Format.CSV:
                    _, line = csv_lines(COLUMNS, [row])
                    file.write(line)
                else:
                    file.write(f"{json.dumps(row, ensure_ascii=False)}\n")

    _run(url, "URL", dump)


def verify(
    url: Url = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    heads: Annotated[
        Path | None,
        typer.Option(
            help="Where the chains ended last time: they must go on from there. Written anew when all is right."
        ),
    ] = None,
    begin: Annotated[
        bool, typer.Option("--begin", help="The first time: the file of --heads is not there yet.")
    ] = False,
) -> None:
    """Prove the books: the chain of seals, the entries behind it, and that all totals follow from them. Exit code 1 with findings.

    Whoever can write the whole database can make a chain anew. Keep the file of --heads where they cannot write.
    """
    from .heads import read, write
    from .verify import verify as check

    if begin and heads is None:
        raise typer.BadParameter("begins the file of --heads: name one", param_hint="--begin")
    known = read(heads, begin=begin) if heads is not None else ()
    found = _run(url, "URL", partial(check, heads=known))
    if heads is not None and found.ok:
        write(heads, found.heads)
    if as_json:
        print(json.dumps(dataclasses.asdict(found), ensure_ascii=False, indent=2))
        raise typer.Exit(0 if found.ok else 1)
    for finding in found.findings:
        where = f"{finding.tenant}, entry {finding.seq}" if finding.seq else finding.tenant
        show.failure(where, finding.what)
    for head in found.heads:
        chain = f", sealed to {head.sealed_seq} by {head.hash}" if head.hash else ", not sealed yet"
        show.line(f"{escape(head.tenant)}: {head.last_seq} entries{chain}")
    verdict = "the books are right" if found.ok else f"{len(found.findings)} findings: the books are not right"
    show.line(f"{found.tenants} tenants, {found.entries} entries: {verdict}")
    raise typer.Exit(0 if found.ok else 1)


def simulate(
    file: Annotated[
        Path, typer.Argument(help="The proposed policy: YAML as in a tenant's file, `budget:` or what is in it.")
    ],
    start: From = "",
    end: To = "",
    tenant: Annotated[str, typer.Option(help="Only this one; by default each by itself.")] = "",
    ledger: Ledger = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a tenant.")] = False,
) -> None:
    """Replay a period of the ledger under a proposed policy: who would have been refused, and how much room there was."""
    from . import simulated

    budget = simulated.budget_of(file)
    reports = _run(
        ledger,
        "--ledger",
        lambda database: simulated.reports(
            database, budget, start=moment(start, "--from"), end=moment(end, "--to"), tenant=tenant
        ),
    )
    if as_json:
        sys.stdout.writelines(f"{json.dumps(simulated.plain(report), ensure_ascii=False)}\n" for report in reports)
    else:
        simulated.tell(reports, shadow=budget.shadow)


def _run(url: str, option: str, call: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
    async def run() -> T:
        database = _database(url, option)
        try:
            return await call(database)
        finally:
            await database.close()

    return asyncio.run(run())


def _database(url: str, option: str) -> Database:
    """The one at ``url``; the service's own where none is given. A file that is not there is not made. Inside a running loop."""
    from sqlalchemy.exc import ArgumentError

    from ..settings import Settings
    from .database import Database

    where = url or Settings().ledger
    if where in ("memory", "off"):
        raise typer.BadParameter(f"the service's ledger is {where!r}: there is nothing to read", param_hint=option)
    try:
        database = Database(where, wait_s=WAIT_S)
    except (ValueError, ImportError, ArgumentError) as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
    if database.kind == "sqlite" and not Path(str(database.url.database)).is_file():
        raise typer.BadParameter(f"there is no file {database.url.database}", param_hint=option)
    return database


def _ms(at: datetime | None) -> int | None:
    return None if at is None else round(at.timestamp() * 1000)
