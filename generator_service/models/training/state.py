"""Training state on disk: outside the work tree, in the user's cache folder, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch


def cache_folder() -> Path:
    """``$REELGATE_TRAINING_CACHE``, else ``reelgate/training`` in the user's cache folder."""
    named = os.environ.get("REELGATE_TRAINING_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(named) if named else base / "reelgate" / "training"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def save(name: str, **state: Any) -> None:
    """Write ``name`` through a temporary file, so that a killed run leaves the last whole state."""
    path = cache_folder() / name
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def load(name: str) -> dict[str, Any] | None:
    """The saved state, or None where there is none."""
    path = cache_folder() / name
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state
