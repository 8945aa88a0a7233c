"""Stopped after any step, a take goes on to the same bits; what cannot be trusted is not gone on from."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from generator_service.core import Expert, Meter, Outcome, Report, Request, Stage
from generator_service.engine import Engine
from generator_service.run import Tally
from generator_service.runner import Runner
from generator_service.snapshot import Frozen, Snapshot, header, pack, unpack
from generator_service.store import Store
from generator_service.worker import Pace

Tiny = Callable[..., Request]
METER = Meter(
    denoise_steps=2,
    lost_steps=1,
    device_ns={Stage.TEXT: 3, Stage.DENOISE: 5},
    expert_ns={Expert.HIGH: 4, Expert.LOW: 1},
)
FIELDS = ("model_outputs", "last_sample", "lower_order_nums", "this_order", "step_index")


def after(engine: Engine, request: Request, steps: int) -> Frozen:
    state = engine.prepare(request.take)
    for _ in range(steps):
        engine.step(state)
    frozen = engine.freeze(state)
    # What goes on must not touch what was kept.
    while not state.done:
        engine.step(state)
    return frozen


def to_the_end(engine: Engine, request: Request, frozen: Frozen | None = None) -> Tensor:
    state = engine.prepare(request.take) if frozen is None else engine.thaw(request.take, frozen)
    while not state.done:
        engine.step(state)
    return state.latents


def kept(request: Request, frozen: Frozen, **changes: object) -> Snapshot:
    made = Snapshot(take=request.take_name, execution="0" * 64, run="a run", meter=METER, frozen=frozen)
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("steps", range(9))
def test_stopped_after_any_step_it_goes_on_to_the_same_bits(engine: Engine, tiny: Tiny, steps: int) -> None:
    request = tiny(steps=8)
    snapshot = unpack(pack(kept(request, after(engine, request, steps))))
    assert snapshot is not None
    assert (snapshot.frozen.index, snapshot.meter, snapshot.run) == (steps, METER, "a run")
    assert torch.equal(to_the_end(engine, request, snapshot.frozen), to_the_end(engine, request))


@pytest.mark.parametrize("field", FIELDS)
def test_without_any_one_of_the_five_fields_the_bits_are_others(engine: Engine, tiny: Tiny, field: str) -> None:
    """Each is dropped as an engine would that had forgotten to store it: at what a new scheduler has there."""
    request = tiny(steps=8)
    frozen = after(engine, request, 4)
    fresh = after(engine, request, 0)
    without = dataclasses.replace(frozen, **{field: getattr(fresh, field)})
    try:
        latents = to_the_end(engine, request, without)
    except (AttributeError, TypeError, IndexError):
        return  # it cannot even go on
    assert not torch.equal(latents, to_the_end(engine, request))


def test_a_header_is_read_without_the_tensors(engine: Engine, tiny: Tiny) -> None:
    found = header(pack(kept(tiny(), after(engine, tiny(), 2))))
    assert found is not None
    assert (found.take, found.index, found.meter) == (tiny().take_name, 2, METER)


@pytest.mark.parametrize("where", [0, 31, 32, 40, 300, -1])
def test_one_bit_that_turned_is_seen(engine: Engine, tiny: Tiny, where: int) -> None:
    data = bytearray(pack(kept(tiny(), after(engine, tiny(), 2))))
    data[where] ^= 1
    assert unpack(bytes(data)) is None


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 40, 200, -1])
def test_a_torn_snapshot_is_seen(engine: Engine, tiny: Tiny, size: int) -> None:
    data = pack(kept(tiny(), after(engine, tiny(), 2)))
    assert unpack(data[:size]) is None


async def made(store: Store, engine: Engine, request: Request) -> Report:
    runner = Runner(store, lambda: {"embedded": engine}, queue=8, pace=Pace(steps=1))
    await runner.start()
    try:
        run, _ = await runner.submit(request)
        report = await run.wait()
    finally:
        await runner.stop()
    assert report is not None
    assert report.outcome is Outcome.DONE
    return report


@pytest.mark.parametrize("damage", ["torn", "another execution", "another take", "another torch", "another processor"])
async def test_what_is_torn_or_foreign_is_ignored_and_the_report_says_so(
    engine: Engine, tiny: Tiny, tmp_path: Path, damage: str
) -> None:
    store, request = Store(tmp_path / "store"), tiny()
    snapshot = kept(request, after(engine, tiny(seed=3), 2))
    data = {
        "torn": pack(snapshot)[:-1],
        "another execution": pack(dataclasses.replace(snapshot, execution="1" * 64)),
        "another torch": pack(dataclasses.replace(snapshot, versions={**engine.parts.versions, "torch": "1.0"})),
        "another processor": pack(dataclasses.replace(snapshot, versions={**engine.parts.versions, "processor": "x"})),
        "another take": pack(dataclasses.replace(snapshot, take=tiny(seed=3).take_name)),
    }[damage]
    store.put_snapshot(request.take_name, data)
    report = await made(store, engine, request)
    assert (report.restarted, report.denoise_steps, report.resumed_steps) == (True, 4, 0)
    stored = store.latents(request.take_name)
    undisturbed = await made(Store(tmp_path / "other"), engine, request)
    assert (undisturbed.restarted, undisturbed.video) == (False, report.video)
    assert stored is not None
    assert store.snapshot(request.take_name) is None


async def test_steps_of_another_run_are_reused_and_not_charged(engine: Engine, tiny: Tiny, tmp_path: Path) -> None:
    """Its text is encoded again, so that is not saved."""
    store, request = Store(tmp_path / "store"), tiny()
    spent = dataclasses.replace(METER, device_ns={Stage.TEXT: 10**9, Stage.DENOISE: 5 * 10**9}, saved_ns=2 * 10**9)
    store.put_snapshot(
        request.take_name, pack(kept(request, after(engine, request, 3), meter=spent, versions=engine.parts.versions))
    )
    report = await made(store, engine, request)
    assert (report.reused_steps, report.resumed_steps, report.denoise_steps) == (3, 0, 1)
    assert report.saved_ms == 7000
    assert report.device_ms[Stage.DENOISE] < 5000


def test_what_a_run_had_reused_and_saved_goes_with_its_snapshot() -> None:
    before = Tally(denoise_steps=2, reused_steps=3, saved_ns=5)
    after_it = Tally(denoise_steps=1, device_ns=Counter({Stage.TEXT: 4}))
    after_it.go_on(before.meter())
    assert (after_it.denoise_steps, after_it.resumed_steps, after_it.reused_steps) == (2, 2, 3)
    assert (after_it.saved_ns, after_it.device_ms) == (5, 0)
