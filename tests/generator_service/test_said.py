"""What is said arrives in order, and whoever waits for it is in nobody's way."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from torch._C._distributed_c10d import TCPStore

from generator_service.said import Header, Line


@pytest.fixture
def store() -> TCPStore:
    return TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


def test_followers_hear_all_in_order_and_the_last_one_removes_it(store: TCPStore) -> None:
    leader, followers = Line(store, 2), [Line(store, 2) for _ in range(2)]
    before = store.num_keys()
    for number in range(300):
        leader.say({"do": number})
    for follower in followers:
        assert [follower.hear()["do"] for _ in range(300)] == list(range(300))
    assert store.num_keys() == before


def test_who_waits_to_hear_leaves_the_store_to_others(store: TCPStore) -> None:
    """torch's own threads ask the store of a group too, and must neither wait that long nor behind us."""
    mine = TCPStore("127.0.0.1", store.port, is_master=False, timeout=timedelta(seconds=7))
    line, heard = Line(mine, 1), list[Header]()
    waiting = threading.Thread(target=lambda: heard.append(line.hear()), daemon=True)
    waiting.start()
    waiting.join(0.3)
    asked = threading.Event()
    threading.Thread(target=lambda: (mine.check(["nothing"]), asked.set()), daemon=True).start()
    assert asked.wait(5)
    assert mine.timeout == timedelta(seconds=7)
    assert waiting.is_alive()
    Line(store, 1).say({"do": "end"})
    waiting.join(5)
    assert heard == [{"do": "end"}]
