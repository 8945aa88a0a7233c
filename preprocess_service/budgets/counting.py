"""What budgets do for their figures: chores that read the ledger, and what a replica that begins reads of the last days."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from .abnormal import Abnormal, Hour
from .books import Books
from .reconciler import Chore, Reconciler
from .standings import Standings

log = logging.getLogger(__name__)
STANDINGS_S: Final = 5.0
DRIFT_S: Final = 300.0
"""A look at all books takes its time."""
OUTBOX_S: Final = 15.0
Recent = Callable[[], Awaitable[Sequence[Hour]]]
Waiting = Callable[[], Awaitable[tuple[int, int]]]


async def nothing_known() -> Sequence[Hour]:
    """There are no books of the last days."""
    return ()


def counting(books: Books, waiting: Waiting | None = None) -> tuple[Chore, ...]:
    """``waiting``: how many settlements are not told yet, and how many were given up; None: nobody is told."""
    standings = Standings(books, books.abnormal, books.figures)

    async def look() -> None:
        books.figures.drift(await books.ledger.drift(), books.now())

    chores = (
        Chore(name="standings", every_s=STANDINGS_S, do=standings.read),
        Chore(name="drift", every_s=DRIFT_S, do=look),
    )
    if waiting is None:
        return chores

    async def depth() -> None:
        books.figures.outbox(*await waiting())

    return (*chores, Chore(name="outbox", every_s=OUTBOX_S, do=depth))


def age(books: Books, reconciler: Reconciler) -> None:
    """Tell how long ago the reconciler's last round was."""
    help_ = "Since the last round of this replica's reconciler."
    books.figures.read("reconciler_age_seconds", help_, lambda: (books.now() - reconciler.rounded_ms) / 1000)


async def learn(abnormal: Abnormal, recent: Recent) -> None:
    """Begin with what the books say. Without it, a day has to pass first."""
    try:
        abnormal.learn(await recent())
    except Exception:  # holds are looked after whatever becomes of this
        log.exception("nothing is known of the last days")
