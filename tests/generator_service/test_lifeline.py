"""A note that is there after its writer was killed, and harms nobody after it was let go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from generator_service.lifeline import LifeLine
from generator_service.objects import LocalObjects


def test_the_last_note_is_read_whatever_was_there_before(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    line = objects.alive("me")
    assert line is not None
    for note in (b"one", b"a longer one" * 1000, b"short"):
        line.write(note)
        assert objects.life_of("me") == (True, note)
    line.close()


def test_a_note_outlives_its_killed_writer(tmp_path: Path) -> None:
    says = "import sys, time; from pathlib import Path; from generator_service.lifeline import LifeLine\n"
    says += "line = LifeLine(Path(sys.argv[1])); line.write(b'here'); print('written', flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", says, tmp_path / ".alive" / "other"],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        assert LocalObjects(tmp_path).life_of("other") == (True, b"here")
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    assert LocalObjects(tmp_path).life_of("other") == (False, b"here")


@pytest.mark.parametrize("before", [b"", b"a note"])
def test_a_note_after_the_end_goes_nowhere(tmp_path: Path, before: bytes) -> None:
    line = LifeLine(tmp_path / "life")
    if before:
        line.write(before)
    line.close()
    # Whoever opens something next gets the number of the file that was closed.
    other = os.open(tmp_path / "innocent", os.O_RDWR | os.O_CREAT)
    line.write(b"late")
    os.close(other)
    assert (tmp_path / "innocent").read_bytes() == b""


def test_a_note_that_is_being_written_at_the_end_goes_nowhere_else(tmp_path: Path) -> None:
    line, others = LifeLine(tmp_path / "life"), list[int]()

    def end() -> None:
        line.close()
        others.append(os.open(tmp_path / "innocent", os.O_RDWR | os.O_CREAT))

    ending = threading.Thread(target=end)

    class Slow(bytes):
        """Between the look at whether the line is held and the writing, the line is let go."""

        def __add__(self, other: bytes) -> bytes:  # type: ignore[override]
            ending.start()
            ending.join(0.3)
            return bytes(self) + other

    line.write(Slow(b"late"))
    ending.join(10)
    os.close(others[0])
    assert (tmp_path / "innocent").read_bytes() == b""
