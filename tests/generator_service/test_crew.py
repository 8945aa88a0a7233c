"""The leader learns of its followers' ends, whenever they come."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from torch._C._distributed_c10d import HashStore, TCPStore

from generator_service import crew
from generator_service.crew import Crew
from generator_service.follower import by_torchrun
from generator_service.loader import Loader
from generator_service.settings import Settings
from generator_service.watchdog import DeviceLostError


def test_followers_that_all_end_while_they_load_are_waited_for_no_longer() -> None:
    """As those of a model that fits no device: they end at the same time, none of them said that it is here."""
    lost = threading.Event()
    store = crew._listening()
    bell = TCPStore("127.0.0.1", store.port, is_master=False)
    ending = [subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE) for _ in range(3)]
    since = time.monotonic()
    found = Crew(store, 4, ending, lost.set, bell)
    try:
        with pytest.raises(DeviceLostError):
            found.wait_for("here", timedelta(seconds=8))
        assert lost.wait(1)
        assert time.monotonic() - since < 5
    finally:
        found.end()


def test_a_process_that_cannot_end_in_order_after_a_loss_ends_at_once() -> None:
    """Its stepping thread waits on the device for the one that is gone, where nothing can tell it."""
    codes = queue.SimpleQueue[int]()
    found = Crew(HashStore(), 2, [told("true")], lambda: None, None, hang_s=0.01, leave=codes.put)
    assert codes.get(timeout=5) == crew.LOST_CODE
    found.end()


def test_a_process_that_ends_in_order_after_a_loss_is_let() -> None:
    codes, lost = queue.SimpleQueue[int](), threading.Event()
    found = Crew(HashStore(), 2, [told("true")], lost.set, None, hang_s=0.3, leave=codes.put)
    assert lost.wait(5)
    found.end()
    with pytest.raises(queue.Empty):
        codes.get(timeout=0.5)


def test_a_follower_that_does_not_end_is_killed() -> None:
    lost = threading.Event()
    deaf = told("sleep", "4")
    Crew(HashStore(), 2, [deaf], lost.set, None, end_s=0.01).end()
    assert deaf.returncode == -signal.SIGKILL
    assert not lost.is_set()


def test_processes_of_torchrun_that_no_tier_wants_are_refused_by_each_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one would serve alone, and end with those that wait for it when they have waited enough."""
    settings = Settings(store=str(tmp_path))
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="started 2 processes, and the tiers want 1"):
        Loader(settings, {}, lambda: None)()
    with pytest.raises(ValueError, match="started 2 processes, and the tiers want 1"):
        by_torchrun(settings, {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"})


def told(*command: str) -> subprocess.Popen[bytes]:
    """A process in place of a follower."""
    return subprocess.Popen(command, stdin=subprocess.PIPE)
