"""The stages of one run, in order, one step at a time. No threads and no event loop: the runner decides when a step is
made.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from generator_service.core import Failure, Outcome, Progress, Report, Request, Reuse, Stage
from generator_service.run import Tally
from generator_service.store import Store, StoreUnavailableError

if TYPE_CHECKING:  # torch is imported by whoever loads the engines, after the port is open
    from generator_service.engine import Engine, Pictures

GENERATION_FAILED = "GENERATION_FAILED"
STORE_UNAVAILABLE = "STORE_UNAVAILABLE"


class Worker:
    """Makes pictures of requests, with the engine of each tier and what the store has already."""

    def __init__(self, engines: Mapping[str, Engine], store: Store) -> None:
        self.engines = engines
        self._store = store

    def steps(self, request: Request, tally: Tally) -> Iterator[Progress | list[Pictures]]:
        """Yields after each step; the last item is the pictures, in the pieces in which they were decoded.

        The final latents are stored before they are decoded, so a second finish of the take never denoises.
        """
        from generator_service import tiling
        from generator_service.engine import pack, unpack
        from generator_service.watchdog import check_latents

        engine, take = self.engines[request.take.tier], request.take
        tally.stage = Stage.TEXT
        stored = self._store.latents(request.take_name)
        if stored is not None:
            tally.reuse = Reuse.LATENTS
            latents = unpack(stored)
        else:
            state = engine.prepare(take)
            yield Progress(stage=Stage.TEXT, step=1, steps=1)
            tally.stage = Stage.DENOISE
            while not state.done:
                engine.step(state)
                tally.denoise_steps += 1
                yield Progress(stage=Stage.DENOISE, step=state.index, steps=take.steps)
            latents = state.latents
            check_latents(latents)
            self._store.put_latents(request.take_name, pack(latents))
        tally.stage = Stage.DECODE
        tiled, pieces = tally.tiled, []
        decoding: Any = tiling.begin(engine, latents) if tiled else engine.begin_decode(latents)
        while not decoding.done:
            pieces.append(tiling.decode(engine, decoding) if tiled else engine.decode(decoding))
            tally.decode_steps += 1
            yield Progress(stage=Stage.DECODE, step=decoding.index, steps=decoding.steps)
        yield pieces

    def report(self, request: Request, tally: Tally, outcome: Outcome, **more: Any) -> Report:
        """The terminal record of a run that used ``tally``."""
        engine, take = self.engines[request.take.tier], request.take
        return Report(
            outcome=outcome,
            reuse=tally.reuse,
            denoise_steps=tally.denoise_steps,
            decode_steps=tally.decode_steps,
            device_ms={stage: ns // 1_000_000 for stage, ns in tally.device_ns.items()},
            prompt_tokens=engine.tokens(take.prompt),
            negative_prompt_tokens=engine.tokens(take.negative_prompt),
            model=engine.parts.weights,
            versions=engine.parts.versions,
            started_ms=tally.started_ms,
            ended_ms=now_ms(),
            **more,
        )

    def clock(self, request: Request) -> int:
        """Device time in nanoseconds: see `core.Report`."""
        on_cpu = self.engines[request.take.tier].parts.device.type == "cpu"
        return time.process_time_ns() if on_cpu else time.perf_counter_ns()


def failure_of(error: Exception, stage: Stage) -> Failure:
    """What a client may know of ``error``. Never its text, unless it is ours."""
    if isinstance(error, StoreUnavailableError):
        return Failure(reason=STORE_UNAVAILABLE, stage=stage, cause="the artefact store is full or gone")
    causes = {
        "NotFiniteError": "the latents are not finite",
        "ConstantError": "the latents are constant",
        "StuckError": "a step took far longer than predicted",
        "OutOfMemoryError": "out of device memory",
    }
    cause = causes.get(type(error).__name__, "an unforeseen error; the log has it")
    return Failure(reason=GENERATION_FAILED, stage=stage, cause=cause)


def now_ms() -> int:
    """Unix time."""
    return time.time_ns() // 1_000_000
