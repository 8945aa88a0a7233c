"""Loads the engines of the tiers that are on, with the processes that share their steps where tiers say so."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from generator_service.settings import Settings
from generator_service.tier import Tier

if TYPE_CHECKING:
    import torch

    from generator_service.crew import Crew
    from generator_service.engine import Engine
    from generator_service.group import Group

log = logging.getLogger(__name__)


class Loader:
    """Called once, in the stepping thread: torch keeps its number of threads by thread, and its import takes seconds. ``lost`` is called
    in some thread when a process that shares steps has ended."""

    def __init__(self, settings: Settings, tiers: Mapping[str, Tier], lost: Callable[[], None]) -> None:
        self._settings, self._tiers, self._lost = settings, tiers, lost
        self._crew: Crew | None = None
        self._group: Group | None = None

    def __call__(self) -> dict[str, Engine]:
        """The engines by tier, each after a canary: one denoise step and a decode of the smallest video."""
        import torch

        from generator_service import canary, offload, wan
        from generator_service.engine import Engine

        device = torch.device(wan.device_name(self._settings.device))
        if device.type == "cuda" and device.index is not None:
            # Streams are made on the current device, which is the first one until somebody says otherwise, in each thread.
            torch.cuda.set_device(device)
        if self._settings.threads:
            torch.set_num_threads(self._settings.threads)
        self._crew = self._started(device)
        engines: dict[str, Engine] = {}
        for tier in self._tiers.values():
            parts = wan.load(tier, device)
            offload.apply(parts, offload.OFFLOADS[tier.offload])
            engines[tier.tier] = Engine(parts)
        if self._crew is not None:
            self._group = _joined(self._crew, engines)
        for name, engine in engines.items():
            canary.sing(engine)
            log.info("tier loaded", extra={"tier": name, "device": str(device)})
        return engines

    def close(self) -> None:
        """Ends the processes that were started."""
        if self._group is not None:
            self._group.close()
        elif self._crew is not None:
            from generator_service.group import leave

            leave(self._crew)

    def _started(self, device: torch.device) -> Crew | None:
        """They load beside us."""
        from generator_service import group
        from generator_service.crew import Crew, check

        parallel = [tier for tier in self._tiers.values() if tier.parallel is not None]
        if not parallel:
            if "RANK" in os.environ:
                # The others would wait for us, and torchrun end us with them when they have waited enough.
                check(parallel)
            return None
        if "RANK" in os.environ:
            crew = Crew.found(parallel, self._lost)
        else:
            crew = Crew.started(parallel, device, self._settings.threads, self._lost)
        self._crew = crew
        crew.wait_for("here")
        group.join(crew.store, 0, crew.processes, device)
        return crew


def _joined(crew: Crew, engines: Mapping[str, Engine]) -> Group:
    """The steps of the parallel tiers among ``engines`` are made by all from now on."""
    from generator_service.crew import say
    from generator_service.group import Group, shared
    from generator_service.parallel import check_heads, check_tokens

    for engine in engines.values():
        tier = engine.tier
        if tier.parallel is not None:
            # Before the others could, so that it is told why.
            check_heads(engine.experts[0], tier.parallel)
            size = tier.width.default, tier.height.default, tier.frames.default
            check_tokens(engine.latent_tokens(*size), tier.parallel)
    crew.wait_for("ready")
    say(crew.store, "ready", 0)
    group = Group(crew)
    for name, engine in engines.items():
        if engine.tier.parallel is not None:
            log.info("tier shared", extra={"tier": name, "how": shared(engine.parts)})
            engine.group = group
    return group
