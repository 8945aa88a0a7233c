"""The file of heads is whole at any moment."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer

from preprocess_service.budgets import heads
from preprocess_service.budgets.verify import Head


def head(tenant: str, number: int) -> Head:
    return Head(tenant=tenant, sealed_seq=number, last_seq=number, hash="0" * 64)


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """No file of this process may grow past so many bytes: as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_heads_that_have_no_room_leave_those_that_were_there(tmp_path: Path) -> None:
    path, known = tmp_path / "heads", (head("acme", 4),)
    heads.write(path, known)
    with disk_of(100), pytest.raises(typer.BadParameter, match="cannot be written"):
        heads.write(path, (head("acme", 6), head("zeta", 2)))
    assert heads.read(path) == known


def test_whoever_reads_while_heads_are_written_reads_those_of_before(tmp_path: Path) -> None:
    path, known, newer = tmp_path / "heads", (head("acme", 4),), (head("acme", 6),)
    heads.write(path, known)
    with path.open() as reading:
        heads.write(path, newer)
        assert reading.read() == f"acme 4 {'0' * 64}\n"
    assert heads.read(path) == newer
