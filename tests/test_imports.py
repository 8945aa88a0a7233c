"""Imports run one way: reelgate <- each service, and the services never meet."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FORBIDDEN = {
    "reelgate": {"preprocess_service", "generator_service"},
    "preprocess_service": {"generator_service"},
    "generator_service": {"preprocess_service"},
}


def imported(file: Path) -> set[str]:
    """Top-level packages that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("package", FORBIDDEN)
def test_the_arrow_points_one_way(package: str) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    wrong = {str(f.relative_to(ROOT)): bad for f in files if (bad := imported(f) & FORBIDDEN[package])}
    assert not wrong


def loaded_by(*modules: str) -> set[str]:
    """Top-level packages in a fresh interpreter after importing ``modules``."""
    script = f"import sys, importlib\nfor m in {modules!r}: importlib.import_module(m)\nprint(*{{m.split('.')[0] for m in sys.modules}})"
    return set(
        subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout.split()
    )


def serving_modules(package: str) -> list[str]:
    """Every module of a package; what converts BART or runs it on transformers imports those when called.

    How models are trained is no part of serving; alembic alone runs its own way in."""
    paths = [p.relative_to(ROOT).with_suffix("") for p in (ROOT / package).rglob("*.py")]
    names = [".".join(p.parts).removesuffix(".__init__") for p in paths]
    return sorted(n for n in names if not n.endswith((".__main__", ".migrations.env")) and ".training" not in n)


@pytest.mark.parametrize("package", ["reelgate", "preprocess_service"])
def test_serving_does_not_import_torch(package: str) -> None:
    assert not loaded_by(*serving_modules(package)) & {"torch", "transformers", "diffusers", "generator_service"}
