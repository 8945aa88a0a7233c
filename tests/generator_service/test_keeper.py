"""What is kept is written beside the stepping, the newest of each take, and nothing for ever in vain."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from generator_service.claims import Claim, Claims, Held
from generator_service.core import Meter, Request
from generator_service.engine import Engine, unpack
from generator_service.keeper import Drop, Keeper, Latents
from generator_service.objects import LocalObjects, StoreUnavailableError
from generator_service.run import Run
from generator_service.snapshot import Snapshot, header, pack
from generator_service.store import Store
from tests.generator_service.panic import Panic

Tiny = Callable[..., Request]
LATENTS = Latents(tensor=torch.ones(1, 2), run="r", meter=Meter(denoise_steps=4))


class Door(LocalObjects):
    """A folder whose writes wait while the door is shut (to others than the keeper, unless it is ``open_to_others``), fail while it is
    ``broken`` and lose their answers while it ``loses`` them; ``unread``: nothing is told of what is there."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.broken = self.panics = self.open_to_others = self.loses = self.unread = False

    def _write(self, path: str, data: bytes, mode: object, *, sync: bool) -> str:
        self.entered.set()
        first = threading.current_thread().name == "keep"
        if first or not self.open_to_others:
            self.open.wait(10)
        if self.panics:
            raise Panic
        if self.broken:
            raise OSError(28, "No space left on device")
        tag = super()._write(path, data, mode, sync=sync)
        if first and self.loses:
            raise OSError(110, "Connection timed out")
        return tag

    def tag(self, path: str) -> str | None:
        if self.unread:
            raise StoreUnavailableError("Connection refused")
        return super().tag(path)


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path / "store")


class Heart:
    """A lease that is ours until it is said to be another's."""

    def __init__(self) -> None:
        self.sure, self.name = True, "me"

    def holds(self, held: Held | None) -> bool:
        return held is not None and held.claim.owner == self.name


@pytest.fixture
def heart() -> Heart:
    return Heart()


@pytest.fixture
def keeper(door: Door, heart: Heart) -> Iterator[Keeper]:
    keeper = Keeper(Store(door), Claims(door), heart)
    keeper.start()
    yield keeper
    door.broken = False
    door.open.set()
    keeper.close(5)


def owned(request: Request) -> Run:
    return Run(request, held=Held(claim=Claim(run="r", owner="me"), tag=""))


def snapshots(engine: Engine, request: Request) -> list[Snapshot]:
    state, made = engine.prepare(request.take), []
    for _ in range(3):
        engine.step(state)
        frozen = engine.freeze(state)
        made.append(Snapshot(take=request.take_name, execution="0" * 64, run="r", meter=Meter(), frozen=frozen))
    return made


@dataclasses.dataclass
class Takes:
    """A request and snapshots after its first three steps."""

    request: Request
    snapshots: list[Snapshot]


@pytest.fixture(scope="module")
def three(engine: Engine) -> list[Snapshot]:
    return []


@pytest.fixture
def takes(engine: Engine, tiny: Tiny, three: list[Snapshot]) -> Takes:
    three.extend(snapshots(engine, tiny()) if not three else [])
    return Takes(tiny(), three)


def index(store: Store, request: Request) -> int | None:
    data = store.snapshot(request.take_name)
    found = None if data is None else header(data)
    return None if found is None else found.index


def never() -> bool:
    return False


def test_a_newer_snapshot_takes_the_place_of_one_that_waits_and_nobody_waits_for_the_store(
    keeper: Keeper, door: Door, engine: Engine, tiny: Tiny
) -> None:
    take, made = tiny().take_name, snapshots(engine, tiny())
    door.open.clear()
    begun = time.monotonic()
    keeper.offer(owned(tiny()), made[0])
    assert door.entered.wait(5)
    keeper.offer(owned(tiny()), made[1])
    keeper.offer(owned(tiny()), made[2])
    assert time.monotonic() - begun < 5
    door.open.set()
    assert keeper.settle(take, never)
    assert (keeper.counts.written, keeper.counts.superseded, keeper.counts.failed) == (2, 1, 0)
    assert index(Store(door), tiny()) == 3


def test_a_snapshot_that_cannot_be_written_is_counted_and_the_next_one_is(
    keeper: Keeper, door: Door, engine: Engine, tiny: Tiny
) -> None:
    take, made = tiny().take_name, snapshots(engine, tiny())
    door.broken = True
    keeper.offer(owned(tiny()), made[0])
    assert keeper.settle(take, never)
    assert (keeper.counts.written, keeper.counts.failed) == (0, 1)
    door.broken = False
    keeper.offer(owned(tiny()), made[1])
    assert keeper.settle(take, never)
    assert index(Store(door), tiny()) == 2


def test_a_panic_of_the_store_costs_what_was_being_written_and_not_the_thread(
    keeper: Keeper, door: Door, engine: Engine, tiny: Tiny
) -> None:
    first, second, _ = snapshots(engine, tiny())
    door.panics = True
    keeper.offer(owned(tiny()), first)
    assert keeper.settle(tiny().take_name, deadline(10))
    door.panics = False
    keeper.offer(owned(tiny()), second)
    assert keeper.settle(tiny().take_name, deadline(10))
    assert (keeper.counts.written, keeper.counts.failed) == (1, 1)


def deadline(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def test_final_latents_are_tried_again_until_they_are_stored_and_end_the_snapshot(
    keeper: Keeper, door: Door, engine: Engine, tiny: Tiny
) -> None:
    store, take = Store(door), tiny().take_name
    keeper.offer(owned(tiny()), snapshots(engine, tiny())[0])
    assert keeper.settle(take, never)
    door.broken = True
    keeper.offer(owned(tiny()), LATENTS)
    time.sleep(0.7)
    assert keeper.latents(take) is LATENTS
    door.broken = False
    assert keeper.settle(take, never)
    found = store.latents(take)
    assert found is not None
    assert torch.equal(unpack(found[1]), LATENTS.tensor)
    assert found[0].meter == LATENTS.meter
    assert store.snapshot(take) is None
    assert keeper.latents(take) is None


def test_nothing_takes_the_place_of_final_latents(keeper: Keeper, door: Door, engine: Engine, tiny: Tiny) -> None:
    take, made = tiny().take_name, snapshots(engine, tiny())
    door.open.clear()
    keeper.offer(owned(tiny(seed=2)), made[0])
    assert door.entered.wait(5)
    for item in (LATENTS, made[1], Drop()):
        keeper.offer(owned(tiny()), item)
    door.open.set()
    assert keeper.settle(take, never)
    assert Store(door).latents(take) is not None
    assert Store(door).snapshot(take) is None


def test_a_drop_comes_after_what_was_being_written(keeper: Keeper, door: Door, engine: Engine, tiny: Tiny) -> None:
    take = tiny().take_name
    door.open.clear()
    keeper.offer(owned(tiny()), snapshots(engine, tiny())[0])
    assert door.entered.wait(5)
    keeper.offer(owned(tiny()), Drop())
    door.open.set()
    assert keeper.settle(take, never)
    assert index(Store(door), tiny()) is None


def test_who_is_not_sure_of_its_lease_writes_nothing(
    keeper: Keeper, heart: Heart, door: Door, engine: Engine, tiny: Tiny
) -> None:
    heart.sure = False
    keeper.offer(owned(tiny()), snapshots(engine, tiny())[0])
    assert keeper.settle(tiny().take_name, never)
    assert (keeper.counts.written, keeper.counts.failed) == (0, 1)
    assert index(Store(door), tiny()) is None


def test_what_was_offered_under_a_lease_that_was_lost_is_not_written_under_the_next_one(
    keeper: Keeper, heart: Heart, door: Door, engine: Engine, tiny: Tiny
) -> None:
    store, take, made = Store(door), tiny().take_name, snapshots(engine, tiny())
    heart.name = "me again"
    keeper.offer(owned(tiny()), made[0])
    assert keeper.settle(take, deadline(10))
    assert (keeper.counts.written, index(store, tiny())) == (0, None)
    store.put_snapshot(take, pack(made[1]))
    keeper.offer(owned(tiny()), Drop())
    assert keeper.settle(take, deadline(10))
    assert index(store, tiny()) == 2
    keeper.offer(owned(tiny()), LATENTS)
    assert keeper.settle(take, deadline(10))
    assert store.latents(take) is not None


LOST = {"nobody's": {"sure": False}, "another's": {"name": "me again"}}


@pytest.mark.parametrize("lease", LOST)
@pytest.mark.parametrize("answer", ["late", "lost"])
@pytest.mark.parametrize(("ends", "left"), [("done", None), ("cancelled", None), ("goes on", 1), ("is further", 3)])
def test_a_snapshot_whose_writing_outlives_the_lease_stays_only_where_somebody_needs_it(
    keeper: Keeper, heart: Heart, door: Door, takes: Takes, lease: str, answer: str, ends: str, left: int | None
) -> None:
    store, claims, request = Store(door), Claims(door), takes.request
    claims.open(request.name, "me", "r")
    store.accept(request, "r")
    door.entered.clear()
    door.open.clear()
    keeper.offer(owned(request), takes.snapshots[0])
    assert door.entered.wait(5)
    door.open_to_others, door.loses = True, answer == "lost"
    vars(heart).update(LOST[lease])
    if ends == "done":
        store.put_latents(request.take_name, b"latents")
    elif ends == "cancelled":
        claims.end(request.name)
    elif ends == "is further":
        store.put_snapshot(request.take_name, pack(takes.snapshots[2]))
    door.open.set()
    assert keeper.settle(request.take_name, deadline(10))
    assert index(store, request) == left


def test_a_look_at_what_was_left_is_tried_again_until_the_store_answers(
    keeper: Keeper, heart: Heart, door: Door, takes: Takes
) -> None:
    store, request = Store(door), takes.request
    door.entered.clear()
    door.open.clear()
    keeper.offer(owned(request), takes.snapshots[0])
    assert door.entered.wait(5)
    heart.sure, door.unread = False, True
    door.open.set()
    while not keeper.failing:
        time.sleep(0.01)
    door.unread = False
    assert keeper.settle(request.take_name, deadline(10))
    assert (index(store, request), keeper.counts.written, keeper.counts.failed) == (None, 1, 0)


def test_a_snapshot_that_another_video_of_the_take_goes_on_from_outlives_the_first_ones_end(
    keeper: Keeper, door: Door, tiny: Tiny, takes: Takes
) -> None:
    store, claims, plain, marked = Store(door), Claims(door), takes.request, tiny(watermark="Acme")
    for request in (plain, marked):
        claims.open(request.name, "me", "r")
        store.accept(request, "r")
    keeper.offer(owned(marked), takes.snapshots[1])
    assert keeper.settle(plain.take_name, deadline(10))
    keeper.offer(owned(plain), Drop())
    assert keeper.settle(plain.take_name, deadline(10))
    assert index(store, plain) == 2
    claims.end(plain.name)
    keeper.offer(owned(marked), Drop())
    assert keeper.settle(plain.take_name, deadline(10))
    assert index(store, plain) is None


def test_a_newer_snapshot_in_line_does_not_hide_the_one_that_was_written_late(
    keeper: Keeper, heart: Heart, door: Door, takes: Takes
) -> None:
    store, request = Store(door), takes.request
    door.entered.clear()
    door.open.clear()
    keeper.offer(owned(request), takes.snapshots[0])
    assert door.entered.wait(5)
    keeper.offer(owned(request), takes.snapshots[1])
    heart.sure = False
    door.open.set()
    assert keeper.settle(request.take_name, deadline(10))
    assert index(store, request) is None


def test_two_videos_of_a_take_that_end_at_the_same_time_on_two_generators_leave_no_snapshot(
    keeper: Keeper, door: Door, tiny: Tiny, takes: Takes
) -> None:
    store, claims, plain, marked = Store(door), Claims(door), takes.request, tiny(watermark="Acme")
    other = Keeper(store, claims, Heart())
    other.start()
    for request in (plain, marked):
        claims.open(request.name, "me", "r")
        store.accept(request, "r")
    keeper.offer(owned(plain), takes.snapshots[1])
    assert keeper.settle(plain.take_name, deadline(10))
    for each, request in ((keeper, plain), (other, marked)):
        each.offer(owned(request), Drop())
        assert each.settle(request.take_name, deadline(10))
    for each, request in ((keeper, plain), (other, marked)):
        claims.end(request.name)
        each.look(owned(request))
        assert each.settle(request.take_name, deadline(10))
    other.close(1)
    assert index(store, plain) is None
