"""Who lives is judged by how long a lease has not changed, on the watcher's own clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from generator_service.core import Progress, Stage
from generator_service.lease import Lease, LeaseLostError, Watcher
from generator_service.lifeline import LifeLine
from generator_service.objects import LocalObjects, Objects, StoreUnavailableError

TTL = 10.0
WHERE = {"videos/1": Progress(stage=Stage.DENOISE, step=3, steps=4)}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Distant(LocalObjects):
    """A folder that says nothing of its processes, as a bucket does."""

    def alive(self, name: str) -> LifeLine | None:
        return None


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Distant(tmp_path / "store")


def test_a_lease_that_is_renewed_is_alive_for_ever(objects: Objects, clock: Clock) -> None:
    lease, watcher = Lease(objects, ttl=TTL, clock=clock), Watcher(objects, ttl=TTL, clock=clock)
    for _ in range(10):
        assert watcher.alive(lease.name)
        clock.now += TTL * 0.9
        lease.renew(WHERE)
    assert watcher.alive(lease.name)
    assert watcher.where(lease.name, "videos/1") == WHERE["videos/1"]


def test_a_lease_that_does_not_change_for_its_time_is_broken_and_its_owner_hears_it(
    objects: Objects, clock: Clock
) -> None:
    lease, watcher = Lease(objects, ttl=TTL, clock=clock), Watcher(objects, ttl=TTL, clock=clock)
    lease.renew(WHERE)
    assert watcher.alive(lease.name)
    clock.now += TTL
    assert watcher.alive(lease.name)
    clock.now += 0.1
    assert not watcher.alive(lease.name)
    assert watcher.where(lease.name, "videos/1") == WHERE["videos/1"], "what it told last is known still"
    with pytest.raises(LeaseLostError):
        lease.renew({})
    assert not watcher.alive(lease.name)


def test_the_owner_is_unsure_before_any_watcher_may_take_it_for_dead(objects: Objects, clock: Clock) -> None:
    lease, watcher = Lease(objects, ttl=TTL, clock=clock), Watcher(objects, ttl=TTL, clock=clock)
    watcher.alive(lease.name)
    clock.now += TTL - 0.01
    assert lease.sure
    clock.now += 0.01
    assert not lease.sure
    assert watcher.alive(lease.name)
    lease.renew({})
    assert lease.sure


def test_a_watcher_counts_from_when_it_saw_the_lease_first(objects: Objects, clock: Clock) -> None:
    lease = Lease(objects, ttl=TTL, clock=clock)
    clock.now += 100 * TTL
    watcher = Watcher(objects, ttl=TTL, clock=clock)
    assert watcher.alive(lease.name)
    clock.now += TTL / 2
    assert watcher.alive(lease.name)


@pytest.mark.parametrize("shift", [-1e6, 0.0, 1e6])
def test_clocks_of_others_do_not_count(objects: Objects, clock: Clock, shift: float) -> None:
    """The owner's clock is anywhere, and wall clocks are set back: nothing of it is ever compared."""
    owners = Clock()
    owners.now += shift
    lease, watcher = Lease(objects, ttl=TTL, clock=owners), Watcher(objects, ttl=TTL, clock=clock)
    assert watcher.alive(lease.name)
    clock.now += TTL * 0.9
    lease.renew({})
    assert watcher.alive(lease.name)
    clock.now += TTL * 0.9
    assert watcher.alive(lease.name)
    clock.now += TTL * 0.2
    assert not watcher.alive(lease.name)


def test_a_clock_that_is_set_back_delays_a_verdict_and_never_hastens_it(objects: Objects, clock: Clock) -> None:
    lease, watcher = Lease(objects, ttl=TTL, clock=clock), Watcher(objects, ttl=TTL, clock=clock)
    assert watcher.alive(lease.name)
    clock.now -= 5 * TTL
    assert watcher.alive(lease.name)
    clock.now += 6 * TTL + 0.1
    assert not watcher.alive(lease.name)


def test_a_watcher_with_a_short_patience_grants_the_time_that_the_lease_asks_for(
    objects: Objects, clock: Clock
) -> None:
    lease, watcher = Lease(objects, ttl=TTL, clock=clock), Watcher(objects, ttl=1.0, clock=clock)
    assert watcher.alive(lease.name)
    clock.now += TTL / 2
    assert watcher.alive(lease.name)


def test_who_renews_in_the_moment_of_the_verdict_lives(objects: Objects, clock: Clock) -> None:
    """The verdict is over what the watcher has read; a renewal after that makes its compare-and-swap fail."""
    lease = Lease(objects, ttl=TTL, clock=clock)

    class Late(Watcher):
        def _expired(self, name: str, seen: object) -> bool:
            lease.renew({})
            return True

    assert Late(objects, ttl=TTL, clock=clock).alive(lease.name)
    lease.renew({})


def test_a_lease_given_back_is_gone_at_once(objects: Objects, clock: Clock) -> None:
    lease, watcher = Lease(objects, ttl=TTL, clock=clock), Watcher(objects, ttl=TTL, clock=clock)
    assert watcher.look() == {lease.name}
    lease.release()
    assert not watcher.alive(lease.name)
    assert watcher.look() == set()


def test_on_one_machine_a_closed_life_line_is_death_at_once(tmp_path: Path, clock: Clock) -> None:
    objects = LocalObjects(tmp_path / "store")
    lease, watcher = Lease(objects, ttl=TTL, clock=clock), Watcher(objects, ttl=TTL, clock=clock)
    lease.tell(WHERE)
    assert watcher.alive(lease.name)
    assert watcher.where(lease.name, "videos/1") == WHERE["videos/1"]
    lease.abandon()
    assert watcher.alive(lease.name), "a life line that is gone altogether says nothing: the lease's time decides"
    clock.now += TTL + 0.1
    assert not watcher.alive(lease.name)


class Losing(Distant):
    """``applied``: swaps are made and their answers lost. ``gone``: they are not made."""

    mode = ""

    def swap(self, path: str, tag: str, data: bytes, *, sync: bool = True) -> str | None:
        if self.mode == "gone":
            raise StoreUnavailableError("gone")
        found = super().swap(path, tag, data, sync=sync)
        if self.mode == "applied":
            raise StoreUnavailableError("the answer is lost")
        return found


@pytest.mark.parametrize("modes", [["applied"], ["applied", "gone"], ["gone", "applied", "gone", "applied", "gone"]])
def test_a_renewal_whose_answer_was_lost_is_not_a_lease_lost_whatever_failed_after_it(
    tmp_path: Path, clock: Clock, modes: list[str]
) -> None:
    objects = Losing(tmp_path / "store")
    lease = Lease(objects, ttl=TTL, clock=clock)
    for mode in modes:
        objects.mode = mode
        with pytest.raises(StoreUnavailableError):
            lease.renew({})
    objects.mode = ""
    clock.now += TTL
    lease.renew(WHERE)
    assert lease.sure


def test_a_lease_that_was_broken_is_lost_though_it_is_not_deleted_yet(objects: Objects, clock: Clock) -> None:
    lease = Lease(objects, ttl=TTL, clock=clock)
    found = objects.get(f"generators/{lease.name}")
    assert found is not None
    assert objects.swap(f"generators/{lease.name}", found.tag, b"broken") is not None
    with pytest.raises(LeaseLostError):
        lease.renew({})


def test_one_thread_looks_while_others_ask_who_is_alive(objects: Objects, clock: Clock) -> None:
    """Forgetting walks over what others add to in that moment."""

    class Slow(dict[str, object]):
        def items(self) -> Iterator[tuple[str, object]]:  # type: ignore[override]
            for item in super().items():
                asked.submit(watcher.alive, leases[-1].name)
                time.sleep(0.05)
                yield item

    leases = [Lease(objects, ttl=TTL, clock=clock) for _ in range(3)]
    watcher = Watcher(objects, ttl=TTL, clock=clock)
    for lease in leases[:2]:
        watcher.alive(lease.name)
    watcher._seen = Slow(watcher._seen)  # type: ignore[assignment]
    with ThreadPoolExecutor(2) as asked:
        assert watcher.look() == {lease.name for lease in leases}
    clock.now += TTL + 0.1
    assert not watcher.alive(leases[-1].name), "what was asked meanwhile is remembered"
