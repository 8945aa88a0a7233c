"""The committed stubs are what the protos generate."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def stubs(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): p.read_text()
        for p in sorted(folder.glob("reelgate/**/v1/*_pb2*.py*"))
        if p.suffix in {".py", ".pyi"}
    }


def test_stubs_are_not_stale(tmp_path: Path) -> None:
    subprocess.run([ROOT / "scripts" / "protos.sh", tmp_path], check=True, env={**os.environ, "PYTHON": sys.executable})
    fresh, committed = stubs(tmp_path), stubs(ROOT)
    assert len(fresh) == 8
    stale = [name for name in fresh.keys() | committed.keys() if fresh.get(name) != committed.get(name)]
    assert not stale, f"run `make protos`: {stale}"
