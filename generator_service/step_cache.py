"""Steps that do without most of an expert's blocks, by diffusers' hooks: opt-in settings of a tier, never exact.

What the hooks keep of a request lies under a name of its own, for each of its two texts, so requests may take turns; it is dropped
with the request. It is in no snapshot: a run that is interrupted starts again, and its report says so.

diffusers' own defaults do nothing on Wan for TaylorSeer: its patterns are given here. `hooks` counts what is on.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import FirstBlockCacheConfig, MagCacheConfig, TaylorSeerCacheConfig, WanTransformer3DModel
from diffusers.hooks.hooks import StateManager

from generator_service.tier import StepCache

# More passes than a schedule has: at its end diffusers prints the ratios and drops them.
ENDLESS = 1 << 30
BLOCKS, LAST = [r"blocks\.\d+"], [r"proj_out"]
_numbers = itertools.count()


def install(expert: WanTransformer3DModel, cache: StepCache, *, low: bool, dtype: torch.dtype) -> int:
    """Turns ``cache`` on in ``expert``; how many hooks that took. ``low``: it is the expert of low noise levels."""
    ratios = cache.ratios_2 if low else cache.ratios
    if cache.kind == "mag" and not ratios:
        return 0  # an expert that makes no step in this tier's schedule
    configs: dict[str, Any] = {
        "first_block": lambda: FirstBlockCacheConfig(threshold=cache.threshold),
        "mag": lambda: _mag(cache, ratios),
        "taylorseer": lambda: TaylorSeerCacheConfig(
            cache_interval=cache.interval,
            disable_cache_before_step=cache.warmup,
            max_order=1,
            taylor_factors_dtype=dtype,
            skip_predict_identifiers=BLOCKS,
            cache_identifiers=LAST,
        ),
    }
    expert.enable_cache(configs[cache.kind]())
    return hooks(expert)


def measure(expert: WanTransformer3DModel) -> None:
    """Has ``expert`` measure MagCache's ratios, and skip nothing; read them with `ratios`."""
    expert.enable_cache(MagCacheConfig(calibrate=True, num_inference_steps=ENDLESS))


def hooks(expert: WanTransformer3DModel) -> int:
    """Hooks of caches that are on ``expert``."""
    found = [each._diffusers_hook for each in expert.modules() if hasattr(each, "_diffusers_hook")]
    return sum(_caching(hook) for registry in found for hook in registry.hooks.values())


class Ticket:
    """A request's claim on what the hooks keep of it. Dropping it drops that."""

    def __init__(self, experts: list[WanTransformer3DModel]) -> None:
        self.name = f"take {next(_numbers)}"
        weakref.finalize(self, _forget, [manager for expert in experts for manager in managers(expert)], self.name)

    @contextmanager
    def held(self, expert: WanTransformer3DModel, text: str) -> Iterator[None]:
        """While the block lasts, a pass of ``expert`` goes on from this request's last one with the same ``text``."""
        with expert.cache_context(f"{self.name} {text}"):
            yield


def managers(expert: WanTransformer3DModel) -> list[StateManager]:
    """All that keeps state in the hooks of ``expert``."""
    registries = [each._diffusers_hook for each in expert.modules() if hasattr(each, "_diffusers_hook")]
    held = [value for registry in registries for hook in registry.hooks.values() for value in vars(hook).values()]
    return list({id(each): each for each in held if isinstance(each, StateManager)}.values())


def ratios(expert: WanTransformer3DModel, ticket: Ticket, text: str) -> tuple[float, ...]:
    """What `measure` found in the request of ``ticket``: one ratio a pass, the first of which is 1."""
    states = [manager._state_cache.get(f"{ticket.name} {text}") for manager in managers(expert)]
    found = [state.calibration_ratios for state in states if state is not None]
    return tuple(float(each) for each in found[0]) if found else ()


def _mag(cache: StepCache, ratios: tuple[float, ...]) -> MagCacheConfig:
    return MagCacheConfig(
        threshold=cache.threshold,
        max_skip_steps=cache.interval,
        retention_ratio=min(1.0, cache.warmup / len(ratios)),
        num_inference_steps=len(ratios),
        mag_ratios=list(ratios),
    )


def _caching(hook: Any) -> bool:
    return type(hook).__module__.rpartition(".")[2] in ("first_block_cache", "mag_cache", "taylorseer_cache")


def _forget(found: list[StateManager], name: str) -> None:
    for manager in found:
        for key in [key for key in manager._state_cache if key.startswith(f"{name} ")]:
            del manager._state_cache[key]
