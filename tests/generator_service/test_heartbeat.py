"""The lease is renewed, its loss is told, and a store that is away is asked again."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from generator_service.address import open_objects
from generator_service.claims import Claims
from generator_service.core import Progress, Stage
from generator_service.heartbeat import Heartbeat
from generator_service.lease import Watcher
from generator_service.objects import LocalObjects, Objects, StoreUnavailableError
from tests.generator_service.bucket import KEYS
from tests.generator_service.panic import Panic

TTL = 0.5


class Flaky(LocalObjects):
    away = False
    panics = 0

    def _write(self, path: str, data: bytes, mode: object, *, sync: bool) -> str:
        if self.panics:
            self.panics -= 1
            raise Panic
        if self.away:
            raise OSError(28, "No space left on device")
        return super()._write(path, data, mode, sync=sync)


@pytest.fixture
def objects(tmp_path: Path) -> Flaky:
    return Flaky(tmp_path / "store")


class Heard:
    def __init__(self) -> None:
        self.lost = threading.Event()
        self.cancels: list[str] = []


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def heart(objects: Flaky, heard: Heard) -> Iterator[Heartbeat]:
    heart = Heartbeat(objects, ttl=TTL, lost=heard.lost.set, cancels=heard.cancels.extend)
    yield heart
    objects.away = False
    heart.stop()


def until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not what():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def test_it_lives_longer_than_a_lease_and_goes_in_good_order(heart: Heartbeat, objects: Flaky) -> None:
    heart.start()
    owner, watcher = heart.owner, Watcher(objects, ttl=TTL)
    end = time.monotonic() + 3 * TTL
    while time.monotonic() < end:
        assert watcher.alive(owner)
        time.sleep(0.05)
    assert heart.owner == owner
    heart.stop()
    assert not watcher.alive(owner)
    assert watcher.look() == set()
    assert not heart.sure


def test_where_runs_are_is_told_with_it(heart: Heartbeat, objects: Flaky) -> None:
    heart.start()
    where = Progress(stage=Stage.DENOISE, step=2, steps=4)
    heart.tell("videos/1", where)
    watcher = Watcher(objects, ttl=TTL)
    assert watcher.where(heart.owner, "videos/1") == where
    heart.tell("videos/1", None)
    assert watcher.where(heart.owner, "videos/1") is None


def test_a_lost_lease_is_told_and_a_new_one_does_not_hold_old_claims(
    heart: Heartbeat, objects: Flaky, heard: Heard
) -> None:
    heart.start()
    before = heart.owner
    held = Claims(objects).open("videos/" + "1" * 64, before)
    assert heart.holds(held)
    objects.delete(f"generators/{before}")
    assert heard.lost.wait(10)
    assert not heart.holds(held)
    until(lambda: heart.sure)
    assert heart.owner != before
    assert not heart.holds(held)


def test_a_store_that_is_away_makes_it_unsure_and_nothing_more(heart: Heartbeat, objects: Flaky, heard: Heard) -> None:
    heart.start()
    before = heart.owner
    objects.away = True
    until(lambda: not heart.sure)
    with pytest.raises(StoreUnavailableError):
        _ = heart.owner
    objects.away = False
    until(lambda: heart.sure)
    assert heart.owner == before
    assert not heard.lost.is_set()


def test_a_heart_beats_on_after_a_panic_and_after_a_surprise_while_it_tells_a_loss(
    objects: Flaky, heard: Heard
) -> None:
    def lost() -> None:
        heard.lost.set()
        raise Panic

    heart = Heartbeat(objects, ttl=TTL, lost=lost, cancels=heard.cancels.extend)
    heart.start()
    before = heart.owner
    objects.panics = 2
    until(lambda: objects.panics == 0)
    time.sleep(2 * TTL)
    assert heart.sure
    assert heart.owner == before
    objects.delete(f"generators/{before}")
    assert heard.lost.wait(10)
    until(lambda: heart.sure)
    assert heart.owner != before
    heart.stop()


def test_a_store_that_is_away_at_the_start_is_asked_again(heart: Heartbeat, objects: Flaky) -> None:
    objects.away = True
    heart.start()
    assert not heart.sure
    objects.away = False
    until(lambda: heart.sure)


def test_wishes_to_cancel_are_passed_on(heart: Heartbeat, objects: Flaky, heard: Heard) -> None:
    heart.start()
    claims, name = Claims(objects), "videos/" + "1" * 64
    held = claims.open(name, heart.owner)
    assert held is not None
    claims.ask_to_cancel(name, held.claim.run)
    until(lambda: name in heard.cancels)


@pytest.fixture
def silent() -> Iterator[Objects]:
    """A bucket that takes connections and never answers."""
    kept: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    kept.append(server.accept()[0])

        accepting = threading.Thread(target=accept)
        accepting.start()
        port = server.getsockname()[1]
        yield open_objects("s3://bucket/prefix", {**KEYS, "aws_endpoint": f"http://127.0.0.1:{port}"})
        server.shutdown(socket.SHUT_RDWR)
        accepting.join()
    for each in kept:
        each.close()


def test_what_a_lease_depends_on_is_given_up_in_a_quarter_of_its_time(silent: Objects, heard: Heard) -> None:
    ttl = 4.0
    heart = Heartbeat(silent, ttl=ttl, lost=heard.lost.set, cancels=heard.cancels.extend)
    begun = time.monotonic()
    heart.start()
    took = time.monotonic() - begun
    heart.stop()
    assert not heart.sure
    # It was given time, not refused: a quarter at most, and what a busy machine adds.
    assert ttl / 10 < took < ttl / 4 + 0.5
