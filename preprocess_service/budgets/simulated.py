"""A simulation as `reelgate budget simulate` runs and shows it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import typer
import yaml
from pydantic import ValidationError
from rich.markup import escape

from reelgate import cli_show as show
from reelgate.exports import decimal

from . import archive, calendar
from .core import Amount, Budget, Window
from .database import Database
from .events import utc
from .filed import BudgetSection
from .simulator import KINDS, Replay, Report, warm_from

CAVEAT = (
    "Clients would have behaved otherwise after a refusal; requests that were refused at the time are not in the ledger; "
    "raises are left out."
)


def budget_of(path: Path) -> Budget:
    """The policy in a file: a tenant's file with its ``budget:``, or that section alone. Raises ``typer.BadParameter``."""
    try:
        document: Any = yaml.safe_load(path.read_bytes())
        section = document.get("budget", document) if isinstance(document, dict) else document
        return BudgetSection.model_validate(section).budget()
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}", param_hint="FILE") from None
    except (yaml.YAMLError, ValidationError) as error:
        raise typer.BadParameter(f"{path.name}: {error}", param_hint="FILE") from None


async def reports(
    database: Database, budget: Budget, *, start: datetime | None, end: datetime | None, tenant: str = ""
) -> list[Report]:
    """Of each tenant that reserved something within [start, end); by default from the first of this month until now."""
    to_ms = round(end.timestamp() * 1000) if end else round(time.time() * 1000)
    from_ms = round(start.timestamp() * 1000) if start else calendar.start(Window.MONTH, max(0, to_ms - 1))
    if from_ms >= to_ms:
        raise typer.BadParameter("begins before --to (by default the first of the month, and now)", param_hint="--from")
    kinds = [str(kind) for kind in KINDS]
    found: dict[str, Replay] = {}
    async for entry in archive.read(database, from_ms=warm_from(from_ms), to_ms=to_ms, tenant=tenant, kinds=kinds):
        name = entry["tenant"]
        if name not in found:
            found[name] = Replay(name, budget, from_ms=from_ms, to_ms=to_ms)
        found[name].take(entry)
    return [each.report for each in found.values() if each.report.reserved]


def plain(report: Report) -> dict[str, Any]:
    """Ready for JSON."""
    return {
        "tenant": report.tenant,
        "reserved": report.reserved,
        "asked": _amount(report.asked),
        "refused": report.refused,
        "refused_amount": _amount(report.refused_amount),
        "first_refusal": utc(report.first_ms) if report.first_ms is not None else None,
        "refused_by": report.by_subject,
        "soft_warnings": report.soft,
        "windows": {
            subject: {
                "count": len(use.peaks),
                "peak": use.peak,
                "worst_headroom": use.worst,
                "mean_headroom": use.mean,
            }
            for subject, use in report.uses.items()
        },
        "caveat": CAVEAT,
    }


def tell(found: Sequence[Report], *, shadow: bool) -> None:
    """For people."""
    if not found:
        show.line("nothing was reserved in that time")
        return
    for report in found:
        _tell_one(report, shadow)
    refused = [report.tenant for report in found if report.refused]
    show.line(f"{len(refused)} of {len(found)} tenants would have been refused something")
    show.note(CAVEAT)


def _tell_one(report: Report, shadow: bool) -> None:
    share = f"{report.refused} of {report.reserved} reservations"
    show.line(
        f"[bold]{escape(report.tenant)}[/bold]: {share} would have been refused{' (shadow: recorded only)' * shadow}"
    )
    if report.first_ms is not None:
        lost = report.refused_amount
        show.line(f"  first {utc(report.first_ms)}; {lost.tokens} tokens, {decimal(lost.device_ms, 3)} device s in all")
        show.line("  by " + ", ".join(f"{subject} {count}" for subject, count in sorted(report.by_subject.items())))
    for subject, count in sorted(report.soft.items()):
        show.line(f"  soft {subject} passed {count} times")
    names = ("windows", "peak", "worst headroom", "mean headroom")
    made = show.table(("window", "left"), *((name, "right") for name in names))
    for subject, use in report.uses.items():
        figures = [_figure(subject, value) for value in (use.peak, use.worst, use.mean)]
        made.add_row(f"  {subject.replace('device_ms', 'device s')}", str(len(use.peaks)), *figures)
    show.print_table(made)


def _figure(subject: str, value: int | None) -> str:
    if value is None:
        return "no limit"
    return str(decimal(value, 3)) if subject.endswith("device_ms") else str(value)


def _amount(amount: Amount) -> dict[str, int]:
    return {"tokens": amount.tokens, "device_ms": amount.device_ms}
