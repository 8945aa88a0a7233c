"""``reelgate budget``: show, set, raise and remove what a tenant may spend."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.markup import escape
from typer.core import TyperGroup

from reelgate import budgets as b
from reelgate import cli_show as show
from reelgate import exports
from reelgate.cli_generate import Server, token
from reelgate.cli_words import limit_of, raise_of, until
from reelgate.client import DEFAULT_ADDRESS, Client

Tenant = Annotated[str, typer.Argument(help="'*': everybody who has no budget of their own.")]
Expect = Annotated[int | None, typer.Option(min=0, help="Refuse where the budget is at another version by now.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


class ShowByDefault(TyperGroup):
    """``reelgate budget acme`` is ``reelgate budget show acme``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = ["show", *args]
        return super().parse_args(ctx, args)


def register(app: typer.Typer) -> None:
    """Add this file's verbs."""
    group = typer.Typer(cls=ShowByDefault, help="Show, set, raise and remove what a tenant may spend.")
    group.command(name="show")(show_budget)
    group.command(name="set")(set_budget)
    group.command(name="raise")(raise_budget)
    group.command(name="remove")(remove_budget)
    app.add_typer(group, name="budget")


def show_budget(
    tenant: Annotated[str, typer.Argument(help="Yours by default; another's, and '*', need the role admin.")] = "",
    as_json: Json = False,
    server: Server = DEFAULT_ADDRESS,
) -> None:
    """Show a budget as it stands: what is charged, held and free in each window. `reelgate budget TENANT` does the same."""
    _print(_with(server, lambda client: client.budget(tenant)), as_json)


def set_budget(
    tenant: Tenant,
    limit: Annotated[
        list[str] | None,
        typer.Option(metavar="WINDOW:...", help="day:tokens=10000,device_seconds=600,soft,carry_over; once a window."),
    ] = None,
    shadow: Annotated[bool, typer.Option("--shadow", help="Decide and record, refuse nothing.")] = False,
    concurrent: Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="Runs at once.")] = None,
    throttle: Annotated[bool, typer.Option("--throttle", help="Refuse while use is abnormal.")] = False,
    expect: Expect = None,
    as_json: Json = False,
    server: Server = DEFAULT_ADDRESS,
) -> None:
    """Replace a tenant's budget by what is given here; raises stay. Role admin."""
    limits = tuple(map(limit_of, limit or ()))
    if not limits and concurrent is None and not throttle:
        raise typer.BadParameter(
            "nothing is limited: give --limit, --concurrent or --throttle; `reelgate budget remove` takes a budget away"
        )
    windows = [each.window for each in limits]
    if twice := next((window for window in windows if windows.count(window) > 1), None):
        raise typer.BadParameter(
            f"{twice} is limited twice: join tokens and device time with a comma", param_hint="--limit"
        )
    budget = b.Budget(limits=limits, shadow=shadow, concurrent=concurrent, abnormal="throttle" if throttle else "flag")
    _print(_with(server, lambda client: client.set_budget(tenant, budget, expected_version=expect)), as_json)


def raise_budget(
    tenant: Tenant,
    more: Annotated[str, typer.Argument(metavar="MORE", help="day:tokens=+5000,device_seconds=+60")],
    until_: Annotated[str, typer.Option("--until", help="When it ends: 24h, 7d or 2026-01-31.")],
    note: Annotated[str, typer.Option(help="For people: why.")] = "",
    expect: Expect = None,
    as_json: Json = False,
    server: Server = DEFAULT_ADDRESS,
) -> None:
    """Give a tenant more for one window, until a time. Role admin."""
    made = raise_of(more, until(until_, "--until", datetime.now(UTC)), note)
    _print(_with(server, lambda client: client.set_budget(tenant, made, expected_version=expect)), as_json)


def remove_budget(
    tenant: Tenant,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    expect: Expect = None,
    as_json: Json = False,
    server: Server = DEFAULT_ADDRESS,
) -> None:
    """Take away what was set for a tenant, raises too; files and defaults hold again. Role admin."""
    if not yes:
        typer.confirm(f"Take away the budget and all raises of {tenant}?", abort=True, err=True)
    _print(_with(server, lambda client: client.set_budget(tenant, None, expected_version=expect)), as_json)


def _with(server: str, call: Callable[[Client], Awaitable[b.Standing]]) -> b.Standing:
    async def run() -> b.Standing:
        async with Client(server, token=token()) as client:
            return await call(client)

    return asyncio.run(run())


SOURCES = {
    "file": "its own, from the operator's files",
    "set": "its own, set by call",
    "default_file": "everybody's, from the operator's files",
    "default_set": "everybody's, set by call",
    "none": "none: nothing is limited",
}


def _print(standing: b.Standing, as_json: bool) -> None:
    if as_json:
        print(_json(standing))
        return
    show.line(f"{standing.tenant}: budget {SOURCES.get(standing.source, standing.source)}; version {standing.version}")
    figures = ("limit", "charged", "held", "free", "overrun")
    made = show.table(
        ("window", "left"), ("of", "left"), *((name, "right") for name in figures), ("resets (UTC)", "left")
    )
    for window in standing.windows:
        for row in _rows(window):
            made.add_row(*row)
    show.print_table(made)
    for text in _notes(standing):
        show.line(text)


def _rows(window: b.Window) -> list[tuple[str, ...]]:
    """Of tokens, then of device seconds."""
    limit = window.limit
    name = f"{limit.window}{', soft' if limit.soft else ''}{', carries over' if limit.carry_over else ''}"
    if limit.window == "request":
        return [
            (name, "tokens", _count(limit.tokens), "", "", "", "", ""),
            ("", "device s", _seconds(limit.device_ms), "", "", "", "", ""),
        ]
    reset = window.reset_time.strftime("%Y-%m-%d %H:%M") if window.reset_time else ""
    tokens = (limit.tokens, window.charged_tokens, window.held_tokens, window.free_tokens, 0)
    device = (
        limit.device_ms,
        window.charged_device_ms,
        window.held_device_ms,
        window.free_device_ms,
        window.overrun_device_ms,
    )
    return [(name, "tokens", *map(_count, tokens), reset), ("", "device s", *map(_seconds, device), "")]


def _notes(standing: b.Standing) -> list[str]:
    budget, notes = standing.budget, []
    most = f" of {budget.concurrent}" if budget.concurrent is not None else ""
    notes.append(f"open runs: {standing.open_runs}{most}")
    if budget.shadow:
        notes.append("shadow: refusals are recorded, nothing is refused")
    if budget.abnormal == "throttle":
        notes.append("throttle: refused while use is abnormal")
    if standing.abnormal:
        notes.append(f"abnormal now: {', '.join(standing.abnormal)}")
    for more in standing.raises:
        given = [f"{more.tokens} tokens"] * bool(more.tokens) + [f"{_seconds(more.device_ms)} device s"] * bool(
            more.device_ms
        )
        why = f" ({escape(more.note)})" if more.note else ""
        notes.append(f"raised: {more.window} by {' and '.join(given)} until {exports.utc(more.expire_time)}{why}")
    return notes


def _count(value: int | None) -> str:
    return "-" if value is None else str(value)


def _seconds(ms: int | None) -> str:
    return "-" if ms is None else str(exports.decimal(ms, 3)) if ms else "0"


def _json(standing: b.Standing) -> str:
    return json.dumps(dataclasses.asdict(standing), ensure_ascii=False, indent=2, default=exports.utc)
