"""One video's steps over several processes, each with a device: the leader's side. The others' is `follower.py`.

The leader is the service: text, schedule, solver, snapshots and store are its own. A follower holds the experts and the VAE and makes the
same passes, or its band of a decode. For each step the leader says what is to be done (`said.py`) and sends the latents to all; what
comes back is whole on the leader. So a follower knows nothing that a snapshot would have to keep, and nothing about runs.

A process that dies takes the group with it: whoever waits for it in a collective would wait for ever, and a pass that some have made and
others have not is nobody's. The leader then ends (`DeviceLostError`), and its runs go on from their snapshots in the next process.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import Any, Protocol

import torch
from diffusers import AutoencoderKLWan
from torch import Tensor, distributed
from torch._C._distributed_c10d import Store

from generator_service.bands import Band, bands, reach
from generator_service.crew import Crew
from generator_service.decoding import Decoding, levels
from generator_service.lending import Lender
from generator_service.once import modules, once
from generator_service.parallel import branch_of, device_of, share
from generator_service.said import Line, Texts
from generator_service.text import PromptStates
from generator_service.tier import Parallel, Tier
from generator_service.watchdog import DeviceLostError

log = logging.getLogger(__name__)
# How long a collective may wait for a process that lives: the first pass of a shape tries kernels.
PATIENCE = timedelta(minutes=10)


class Experts(Protocol):
    """The part of `wan.Components` that makes passes."""

    @property
    def tier(self) -> Tier: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def dtype(self) -> torch.dtype: ...
    @property
    def experts(self) -> list[Any]: ...


class Whole(Experts, Protocol):
    """That which decodes too."""

    @property
    def vae(self) -> AutoencoderKLWan: ...


class Group:
    """Over the followers of ``crew``; belongs to the stepping thread, and `close` to whoever ends it."""

    def __init__(self, crew: Crew) -> None:
        self._crew, self._line = crew, Line(crew.store, crew.processes - 1)
        self._texts, self._decodes = Texts(), count(1)
        self._forgotten: deque[int] = deque()
        self._closing = threading.Lock()
        self._closed = False

    def passes(
        self, parts: Experts, lender: Lender, number: int, noisy: Tensor, t: Tensor, texts: Sequence[PromptStates]
    ) -> list[Tensor]:
        """What expert ``number`` makes of ``noisy`` for each of ``texts``. Raises `DeviceLostError` for whatever goes wrong: nobody
        knows then how far the others are."""
        how = how_of(parts.tier)
        with self._together(how):
            told = [(*self._texts.number(states), states) for states in texts]
            new = [(n, gone, states.real) for n, is_new, gone, states in told if is_new]
            self._say(
                "passes",
                parts,
                expert=number,
                shape=list(noisy.shape),
                t=str(t.dtype),
                texts=[n for n, *_ in told],
                new=[{"number": n, "rows": list(real.shape), "gone": gone} for n, gone, real in new],
            )
            for tensor in (noisy, t.reshape(1), *(real for *_, real in new)):
                distributed.broadcast(tensor.contiguous(), 0)
            made = make(parts, lender, number, noisy, t, texts, branch_of(0, how))
            return collected(made, noisy, len(texts), how)

    def pictures(self, parts: Whole, state: Decoding) -> Tensor:
        """As `decoding.levels`, each process a band of it. Raises as `passes` does."""
        how = how_of(parts.tier)
        with self._together(how):
            new = state.number == 0
            if new:
                state.number = next(self._decodes)
                weakref.finalize(state, self._forgotten.append, state.number)
            shape = list(state.latents.shape)
            self._say("pictures", parts, decode=state.number, shape=shape if new else None)
            if new:
                distributed.broadcast(state.latents.contiguous(), 0)
            found = cut(parts.vae, state.latents, how)
            return joined(parts.vae, state, found)

    def close(self) -> None:
        """Ends the followers."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        try:
            self._line.say({"do": "end"})
        except Exception as error:
            log.warning("the followers could not be told to end: %s", error)
        leave(self._crew)

    def _say(self, what: str, parts: Experts, **about: Any) -> None:
        """With the decodes that nobody goes on with: their memory is wanted for whatever comes next."""
        gone = [self._forgotten.popleft() for _ in range(len(self._forgotten))]
        self._line.say({"do": what, "tier": parts.tier.tier, "gone": gone, **about})

    @contextmanager
    def _together(self, how: Parallel) -> Iterator[None]:
        self._crew.alive()
        try:
            yield
        except Exception as error:
            raise DeviceLostError(f"a step over {how.processes} processes failed: {error}") from error


def make(
    parts: Experts,
    lender: Lender,
    number: int,
    noisy: Tensor,
    t: Tensor,
    texts: Sequence[PromptStates],
    branch: int,
) -> list[Tensor]:
    """This process's passes of a step: every one, or the one of its branch. Leader and followers run these very lines, so that each
    meets the others in the same collectives."""
    expert, how = parts.experts[number], how_of(parts.tier)
    if how.branches > 1 and len(texts) > 1:
        return [lender.velocity(expert, noisy, t, texts[branch])]
    with once(modules(expert, parts.tier) if len(texts) > 1 else ()):
        return [lender.velocity(expert, noisy, t, states) for states in texts]


def collected(made: list[Tensor], noisy: Tensor, texts: int, how: Parallel) -> list[Tensor]:
    """On the leader: all passes, the other branch's from the first process of it."""
    if how.branches == 1 or texts == 1:
        return made
    other = torch.empty_like(noisy)
    distributed.recv(other, how.shares)
    return [*made, other]


def sent(made: list[Tensor], texts: int, how: Parallel, rank: int) -> None:
    """On a follower: its branch's pass to the leader, where it is the first of its branch."""
    if how.branches > 1 and texts > 1 and rank == how.shares:
        distributed.send(made[0].contiguous(), 0)


def cut(vae: AutoencoderKLWan, latents: Tensor, how: Parallel) -> list[Band]:
    """The bands of a decode of ``latents``, one a process; fewer where the picture is too small for all."""
    return bands(latents.shape[3], latents.shape[4], how.processes, reach(vae.config))


def joined(vae: AutoencoderKLWan, state: Decoding, found: Sequence[Band]) -> Tensor:
    """On the leader: its own band of the next frame, and those of the others."""
    scale = vae.config["scale_factor_spatial"]
    mine = found[0].cut(levels(vae, state, found[0].window), scale)
    height, width = state.latents.shape[3] * scale, state.latents.shape[4] * scale
    parts = [mine.contiguous()]
    for rank, band in enumerate(found[1:], 1):
        rows, columns = _pixels(band, height, width, scale)
        parts.append(torch.empty((len(mine), rows, columns, mine.shape[-1]), dtype=mine.dtype, device=mine.device))
        distributed.recv(parts[-1], rank)
    return torch.cat(parts, dim=1 + found[0].axis)


def sent_band(vae: AutoencoderKLWan, state: Decoding, found: Sequence[Band], rank: int) -> None:
    """On a follower: its band of the next frame, where it has one."""
    if rank >= len(found):
        return
    band = found[rank]
    made = band.cut(levels(vae, state, band.window), vae.config["scale_factor_spatial"])
    distributed.send(made.contiguous(), 0)


def _pixels(band: Band, height: int, width: int, scale: int) -> tuple[int, int]:
    length = (band.last - band.first) * scale
    return (length, width) if band.axis == 0 else (height, length)


def join(store: Store, rank: int, processes: int, device: torch.device) -> None:
    """This process is one of ``processes`` from now on. All must come."""
    if device.type == "cuda":
        take_card(device, torch.cuda.set_device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=processes, timeout=PATIENCE)


def take_card(device: torch.device, take: Callable[[torch.device], None]) -> None:
    """The leader's may have no number, where settings name none; torch takes no card without."""
    take(device_of(0, device))


def leave(crew: Crew) -> None:
    """As `join`, on the leader: ends the followers of ``crew`` and whatever group there is."""
    crew.end()
    if not distributed.is_initialized() or (not crew.whole and distributed.get_backend() == "nccl"):
        return  # it would wait for who died; the process ends now anyway
    try:
        distributed.destroy_process_group()
    except Exception as error:
        log.warning("the group was not left in order: %s", error)


def shared(parts: Experts) -> str:
    """Prepares the experts of ``parts``, in every process in the same order of tiers; for people, what was done."""
    how = how_of(parts.tier)
    layers = share(parts.experts, parts.device, how)
    return f"{how.processes} processes, {layers} layers shared"


def how_of(tier: Tier) -> Parallel:
    if tier.parallel is None:
        raise ValueError(f"the tier {tier.tier} is not parallel")
    return tier.parallel
