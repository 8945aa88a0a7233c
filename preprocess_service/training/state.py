"""Training state on disk: in the user's cache folder, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch


def folder() -> Path:
    """``$REELGATE_BART_TRAINING_CACHE``, else ``reelgate/training-bart`` in the user's cache folder; made where it is not there."""
    named = os.environ.get("REELGATE_BART_TRAINING_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = Path(named) if named else base / "reelgate" / "training-bart"
    path.mkdir(parents=True, exist_ok=True)
    return path


def save(name: str, **values: Any) -> None:
    """Write ``name`` through a temporary file: a run that is killed leaves the last whole state."""
    path = folder() / name
    partial = path.with_suffix(".partial")
    torch.save(values, partial)
    partial.replace(path)


def load(name: str) -> dict[str, Any] | None:
    """What was saved as ``name``, or None."""
    path = folder() / name
    if not path.exists():
        return None
    values: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return values
