"""The shared prompts, and the table row of one claim."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
Row = dict[str, Any]


@dataclass
class Check:
    """One claim: ``None`` means that it was not measured here."""

    name: str
    met: bool | None
    detail: str


def at_least(name: str, value: float | None, goal: float) -> Check:
    """A share and its goal."""
    if value is None:
        return Check(name, None, "no such rows")
    return Check(name, value >= goal, f"{value:.3f} (goal {goal:g})")


def load() -> Iterator[Row]:
    """All rows: pairs with ``short`` and ``long``, singles with ``text``."""
    for path in sorted((DATA / "prompts").glob("*.jsonl")):
        for raw in path.read_text(encoding="utf-8").splitlines():
            if raw.strip():
                yield json.loads(raw)


def texts(row: Row) -> list[str]:
    return [row[name] for name in ("text", "long", "short") if name in row]


def load_metric() -> ModuleType:
    """The data's own recall.py."""
    spec = importlib.util.spec_from_file_location("recall", DATA / "recall.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError("recall.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
