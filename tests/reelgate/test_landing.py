"""Where a download lands."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from reelgate.landing import landing, target_of


def half(target: Path) -> None:
    with landing(target) as out:
        out.write(b"half")
        raise ValueError("damaged")


def test_what_is_written_is_there_whole(tmp_path: Path) -> None:
    target = tmp_path / "ball.mp4"
    with landing(target) as out:
        out.write(b"bytes")
        assert not target.exists()
    assert target.read_bytes() == b"bytes"
    assert [path.name for path in tmp_path.iterdir()] == ["ball.mp4"]


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "ball.mp4"
    target.write_bytes(b"before")
    with pytest.raises(ValueError, match="damaged"):
        half(target)
    assert target.read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["ball.mp4"]


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    with landing(pipe) as out:
        out.write(b"bytes")
    reader.join(10)
    assert read == [b"bytes"]
    assert pipe.is_fifo()


def test_a_pipe_gets_nothing_of_what_fails(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ValueError, match="damaged"):
        half(pipe)
    assert pipe.is_fifo()


def test_a_folder_is_no_target(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        target_of(tmp_path)
    with pytest.raises(FileNotFoundError):
        target_of(tmp_path / "missing" / "ball.mp4")
