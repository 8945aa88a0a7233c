"""The leader learns of its followers' ends, whenever they come."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from torch._C._distributed_c10d import TCPStore

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
