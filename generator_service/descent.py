"""Which run is on which rung of the ladder, and the weights where the lowest of them needs them."""

from __future__ import annotations

import dataclasses
import traceback
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from generator_service import ladder
from generator_service.core import Request, Reuse, Rung, Stage
from generator_service.run import Run

if TYPE_CHECKING:
    from generator_service.engine import Engine


class Descent:
    """``there`` are the rungs of the device. The event loop calls `enter` and `leave`, the stepping thread the rest; single
    operations on dictionaries are safe between the two."""

    def __init__(self, engines: Mapping[str, Engine], there: tuple[Rung, ...]) -> None:
        self._engines = engines
        self._there = there
        self._rungs: dict[str, tuple[str, Rung]] = {}
        self._applied: dict[str, Rung] = {}
        self.lowered: Counter[Rung] = Counter()

    def enter(self, request: Request, rung: Rung) -> None:
        """``request`` begins on ``rung``."""
        if rung is not Rung.PLAIN:
            self._rungs[request.name] = request.take.tier, rung

    def leave(self, request: Request) -> None:
        self._rungs.pop(request.name, None)

    def rung(self, request: Request) -> Rung:
        return self._rungs.get(request.name, (request.take.tier, Rung.PLAIN))[1]

    def put(self, run: Run) -> None:
        """``run`` is told its rung, and the weights of its tier are moved if need be."""
        run.tally.rung = self.rung(run.request)
        tier = run.request.take.tier
        if Rung.EXPERT_OFFLOADED not in self._there:
            return
        from generator_service import offload

        least = offload.OFFLOADS[self._engines[tier].tier.offload]
        wanted = max((rung for of, rung in list(self._rungs.values()) if of == tier), default=least)
        # Alone nothing more leaves than in groups: weights that are away are not moved again.
        most = offload.OFFLOADS[self._engines[tier].tier.may_offload]
        wanted = max(min(wanted, most), least) if wanted >= Rung.EXPERT_OFFLOADED else least
        if self._applied.get(tier, least) is not wanted:
            offload.apply(self._engines[tier].parts, wanted)
            self._applied[tier] = wanted

    def lower(self, run: Run, error: BaseException) -> Rung | None:
        """The rung on which ``run`` has to run again after ``error``; None when that was not for want of memory, or when there
        is none left. Its tally starts anew: what failed is the house's own expense."""
        if not ladder.out_of_memory(error):
            return None
        there = ladder.within(self._there, self._may_offload(run.request.take.tier))
        rung = ladder.below(self.rung(run.request), run.tally.stage, there)
        if rung is None:
            return None
        # The frames of the traceback hold the tensors of the step that failed.
        traceback.clear_frames(error.__traceback__)
        self.lowered[rung] += 1
        self._rungs[run.name] = run.request.take.tier, rung
        run.tally = dataclasses.replace(
            run.tally,
            stage=Stage.QUEUED,
            reuse=Reuse.NONE,
            denoise_steps=0,
            decode_steps=0,
            tiled=False,
            device_ns=Counter(),
            expert_ns=Counter(),
        )
        return rung

    def _may_offload(self, tier: str) -> str:
        engine = self._engines.get(tier)
        return "group" if engine is None else engine.tier.may_offload

    def relieve(self) -> None:
        """After the failed work was dropped. What is kept of texts is made again where it is needed."""
        for engine in self._engines.values():
            engine.text.clear()
        ladder.relieve(next(iter(self._engines.values())).parts.device)
