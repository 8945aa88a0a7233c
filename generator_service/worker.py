"""The stages of one run, in order, one step at a time. No threads and no event loop: the runner decides when a step is
made.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generator_service import ladder
from generator_service.core import Failure, Outcome, Progress, Report, Request, Reuse, Rung, Stage
from generator_service.keeper import Drop, Keeper, Latents
from generator_service.run import Run
from generator_service.snapshot import Snapshot, unpack
from generator_service.store import Store, StoreUnavailableError
from generator_service.watchdog import check_latents

if TYPE_CHECKING:  # torch is imported by whoever loads the engines, after the port is open
    from torch import Tensor

    from generator_service.engine import Denoising, Engine, Pictures

log = logging.getLogger(__name__)

GENERATION_FAILED = "GENERATION_FAILED"
STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
POISONED = "poisoned"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pace:
    """A snapshot every so many steps or seconds, whichever comes first. ``told``: seconds between two steps of a stage of which
    followers are told."""

    steps: int = 8
    seconds: float = 30.0
    told: float = 0.05


class Work:
    """One run on its way to pictures. Belongs to the stepping thread."""

    def __init__(self, run: Run, engine: Engine, store: Store, keeper: Keeper, pace: Pace) -> None:
        self._take, self._name, self._run = run.request.take, run.request.take_name, run
        self._id = run.held.claim.run if run.held else ""
        self._engine, self._store, self._keeper, self._pace = engine, store, keeper, pace
        self._tally = run.tally
        # Of another generation of weights, or another kind of device: its video is promised, its take is not ours to fill.
        self._ours = engine.execution == self._take.execution
        self._found: Tensor | None = None
        self._resumed: Snapshot | None = None
        self._state: Denoising | None = None
        self._saved, self._saved_at = 0, time.monotonic()
        self._joined = False
        self._steps = self._make()

    def read(self) -> None:
        """What is stored of the take; before the first step, and no part of it: a slow store is not the device's time. Raises
        `StoreUnavailableError`."""
        self._tally.stage = Stage.TEXT
        self._found = self._stored()
        self._resumed = self._snapshot() if self._found is None else None

    def step(self) -> Progress | list[Pictures]:
        """The last one gives the pictures, in the pieces in which they were decoded. The store is not asked."""
        return next(self._steps)

    @property
    def engine(self) -> Engine:
        return self._engine

    @property
    def denoising(self) -> Denoising | None:
        """What its next step would move; None where that is no denoise step."""
        return None if self._state is None or self._state.done else self._state

    def joined(self) -> Progress:
        """As `step`, of a denoise step that the engine has just made together with others'."""
        self._joined = True
        made = self.step()
        if not isinstance(made, Progress):
            raise TypeError("a denoise step gives no pictures")
        return made

    def save_if_due(self) -> None:
        """After a step has been tallied."""
        if self._state is None:
            return
        steps = self._state.index - self._saved
        if steps >= self._pace.steps or time.monotonic() - self._saved_at >= self._pace.seconds:
            self.save()

    def save(self) -> None:
        """Offers a snapshot when there is something new to keep: a copy on the device, written beside the stepping."""
        if self._state is None or self._state.index == self._saved or self._state.done:
            return
        if not self._engine.resumable(self._state):
            return
        self._saved, self._saved_at = self._state.index, time.monotonic()
        self._keeper.offer(
            self._run,
            Snapshot(
                take=self._name,
                execution=self._engine.execution,
                run=self._id,
                meter=self._tally.meter(),
                frozen=self._engine.freeze(self._state),
                versions=self._engine.parts.versions,
            ),
        )

    def _make(self) -> Iterator[Progress | list[Pictures]]:
        """The final latents are on their way to the store before they are decoded, so a second finish of the take never
        denoises.
        """
        from generator_service import tiling

        latents, self._found = self._found, None
        if latents is None:
            latents = yield from self._denoise()
            check_latents(latents)
            self._state = None
            done = Latents(tensor=latents.clone(), run=self._id, meter=self._tally.meter())
            self._keeper.offer(self._run, done if self._ours else Drop())
        self._tally.stage = Stage.DECODE
        tiled, pieces = self._tally.rung >= Rung.TILED, []
        self._tally.tiled = tiled
        decoding: Any = tiling.begin(self._engine, latents) if tiled else self._engine.begin_decode(latents)
        while not decoding.done:
            pieces.append(tiling.decode(self._engine, decoding) if tiled else self._engine.decode(decoding))
            self._tally.decode_steps += 1
            yield Progress(stage=Stage.DECODE, step=decoding.index, steps=decoding.steps)
        yield pieces

    def _denoise(self) -> Generator[Progress, None, Tensor]:
        snapshot, self._resumed = self._resumed, None
        if snapshot is None:
            self._state = self._engine.prepare(self._take)
            # Nothing was kept on purpose, and what had been made is made again.
            self._tally.restarted = self._tally.restarted or (self._tally.attempts > 1 and not self._engine.resumes)
        else:
            self._state = self._engine.thaw(self._take, snapshot.frozen)
            self._saved = self._state.index
        begun = self._state.index
        yield Progress(stage=Stage.TEXT, step=1, steps=1)
        if snapshot is not None:
            # Its text was encoded again.
            self._resume(snapshot.run, snapshot.frozen.index, snapshot, (Stage.DENOISE,))
        self._tally.lost_steps += max(0, self._tally.known_steps - begun)
        self._tally.stage = Stage.DENOISE
        # The last step of all may have been made together with others'.
        while self._joined or not self._state.done:
            if not self._joined:
                self._engine.step(self._state)
            self._joined = False
            self._tally.denoise_steps += 1
            yield Progress(stage=Stage.DENOISE, step=self._state.index, steps=self._take.steps)
        return self._state.latents

    def _resume(self, run: str, index: int, made: Snapshot | Latents, spared: tuple[Stage, ...]) -> None:
        """``spared``: stages that this run does not make, where another made ``made``."""
        if run == self._id:
            self._tally.go_on(made.meter)
        else:
            self._tally.reused_steps = index
            self._tally.saved_ns = made.meter.saved_ns + sum(made.meter.device_ns.get(stage, 0) for stage in spared)

    def _stored(self) -> Tensor | None:
        """Final latents of the take, from the store or on their way to it."""
        from generator_service.engine import unpack as unpack_latents

        if not self._ours:
            return None
        found = self._keeper.latents(self._name)
        if found is None and (stored := self._store.latents(self._name)) is not None:
            final, data = stored
            found = Latents(tensor=unpack_latents(data), run=final.run, meter=final.meter)
            # Whoever stored them may have died before this.
            self._keeper.offer(self._run, Drop())
        if found is None:
            return None
        self._resume(found.run, self._take.steps, found, (Stage.TEXT, Stage.DENOISE))
        if found.run != self._id:
            self._tally.reuse = Reuse.LATENTS
        return found.tensor

    def _snapshot(self) -> Snapshot | None:
        """One that this engine can go on from; what cannot be used is said and counted, and the take starts again."""
        data = self._store.snapshot(self._name)
        if data is None:
            return None
        found = unpack(data)
        torn = found is None
        foreign = found is not None and not self._goes_with(found)
        if torn or foreign:
            log.warning("the snapshot of %s is %s: it starts again", self._name, "torn" if torn else "foreign")
            self._tally.restarted = True
            return None
        return found

    def _goes_with(self, found: Snapshot) -> bool:
        """Another torch may add in another order: half a take of each would be what no one engine can make again."""
        same = (found.take, found.execution) == (self._name, self._engine.execution)
        ours = self._engine.parts.versions
        # What an older version of ours did not write down is not held against it.
        return same and all(ours.get(name) == version for name, version in found.versions.items())


class Worker:
    """What is the same for all runs: the engine of each tier, and where things are kept."""

    def __init__(self, engines: Mapping[str, Engine], store: Store, keeper: Keeper, pace: Pace) -> None:
        self.engines = engines
        self._store, self._keeper, self._pace = store, keeper, pace

    def work(self, run: Run) -> Work:
        return Work(run, self.engines[run.request.take.tier], self._store, self._keeper, self._pace)

    def report(self, run: Run, outcome: Outcome, **more: Any) -> Report:
        """The terminal record of ``run``. Of a tier that is not loaded here it says nothing that only its engine knows."""
        take, tally = run.request.take, run.tally
        engine = self.engines.get(take.tier)
        return Report(
            outcome=outcome,
            run=run.held.claim.run if run.held else "",
            reuse=tally.reuse,
            denoise_steps=tally.denoise_steps,
            decode_steps=tally.decode_steps,
            resumed_steps=tally.resumed_steps,
            reused_steps=tally.reused_steps,
            lost_steps=tally.lost_steps,
            restarted=tally.restarted,
            attempts=tally.attempts,
            peak_bytes=engine.peak_bytes() if engine else 0,
            rung=tally.rung,
            tiled=tally.tiled,
            device_ms={stage: ns // 1_000_000 for stage, ns in tally.device_ns.items()},
            expert_ms={expert: ns // 1_000_000 for expert, ns in tally.expert_ns.items()},
            saved_ms=tally.saved_ns // 1_000_000,
            prompt_tokens=engine.tokens(take.prompt) if engine else 0,
            negative_prompt_tokens=engine.tokens(take.negative_prompt) if engine else 0,
            model=engine.parts.weights if engine else "",
            execution=engine.execution if engine else take.execution,
            versions=engine.parts.versions if engine else {},
            settings=_told(engine.settings) if engine else {},
            started_ms=tally.started_ms,
            ended_ms=now_ms(),
            **more,
        )

    def clock(self, request: Request) -> int:
        """Device time in nanoseconds: see `core.Report`."""
        on_cpu = self.engines[request.take.tier].parts.device.type == "cpu"
        return time.process_time_ns() if on_cpu else time.perf_counter_ns()


def _told(settings: Mapping[str, str]) -> dict[str, str]:
    """Reports travel to clients, whom the folders of this machine do not concern: of those the last name is told."""
    return {name: Path(value).name if Path(value).is_absolute() else value for name, value in settings.items()}


def failure_of(error: BaseException, stage: Stage) -> Failure:
    """What a client may know of ``error``. Never its text, unless it is ours."""
    if isinstance(error, StoreUnavailableError):
        return Failure(reason=STORE_UNAVAILABLE, stage=stage, cause="the artefact store is full or gone")
    causes = {
        "NotFiniteError": "the latents are not finite",
        "ConstantError": "the latents are constant",
        "StuckError": "a step took far longer than predicted",
    }
    if ladder.out_of_memory(error):
        return Failure(reason=GENERATION_FAILED, stage=stage, cause="out of device memory")
    cause = causes.get(type(error).__name__, "an unforeseen error; the log has it")
    return Failure(reason=GENERATION_FAILED, stage=stage, cause=cause)


def now_ms() -> int:
    """Unix time."""
    return time.time_ns() // 1_000_000
