"""The closing table that every benchmark prints: each figure beside its goal, and the line that counts them."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable

COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "<": operator.lt,
    "==": operator.eq,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Goal:
    """A figure and what was asked of it; ``value`` is None where it was not measured, and ``why`` says why."""

    name: str
    value: float | None
    compare: str
    target: float
    unit: str = ""
    why: str = ""

    @property
    def met(self) -> bool | None:
        return None if self.value is None else COMPARE[self.compare](self.value, self.target)


def close(goals: list[Goal]) -> int:
    """Print the table and the counting line; the exit code is 1 when a goal was missed."""
    width = max(len(g.name) for g in goals)
    for g in goals:
        value = "not measured" if g.value is None else f"{g.value:.3f}{g.unit}"
        verdict = {True: "met", False: "MISSED", None: g.why}[g.met]
        print(f"{g.name:<{width}}  {value:>14}  goal {g.compare} {g.target:g}{g.unit}  {verdict}")
    met, missed = sum(g.met is True for g in goals), sum(g.met is False for g in goals)
    print(f"{met} met, {missed} missed, {len(goals) - met - missed} not measured")
    return 1 if missed else 0
