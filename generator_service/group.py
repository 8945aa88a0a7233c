"""One video's steps over several processes, each with a device: the leader's side. The others' is `follower.py`.

The leader is the service: text, schedule, solver, snapshots, decode and store are its own. A follower holds the experts and makes the
same passes. For each step the leader says what is to be done over a key-value store, which may rest for days, and sends the latents to
all; what comes back is whole on the leader. So a follower knows nothing that a snapshot would have to keep, and nothing about runs.

A process that dies takes the group with it: whoever waits for it in a collective would wait for ever, and a pass that some have made and
others have not is nobody's. The leader then ends (`DeviceLostError`), and its runs go on from their snapshots in the next process.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Protocol

import torch
from torch import Tensor, distributed
from torch._C._distributed_c10d import Store

from generator_service.lending import Lender
from generator_service.once import modules, once
from generator_service.parallel import branch_of, share
from generator_service.text import PromptStates, StatesKey
from generator_service.tier import Parallel, Tier
from generator_service.watchdog import DeviceLostError

log = logging.getLogger(__name__)
# How long a collective may wait for a process that lives: the first pass of a shape tries kernels.
PATIENCE = timedelta(minutes=10)
# Texts that a follower keeps the states of, 4 MiB each on A14B.
TEXTS = 16
Header = dict[str, Any]


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


class Line:
    """What the leader says, one thing after another; every follower hears all of it. Nothing is polled, and to wait costs nothing."""

    def __init__(self, store: Store) -> None:
        self._store, self._number = store, 0
        store.set_timeout(timedelta(days=365))

    def say(self, header: Header) -> None:
        """All have heard what was said before: it was followed by a collective."""
        self._store.set(f"said/{self._number}", json.dumps(header))
        if self._number:
            self._store.delete_key(f"said/{self._number - 1}")
        self._number += 1

    def hear(self) -> Header:
        """Raises ``DistError`` or ``RuntimeError`` when the leader is gone."""
        header: Header = json.loads(self._store.get(f"said/{self._number}"))
        self._number += 1
        return header


class Texts:
    """The texts that followers know, by number: the same on both sides, because both forget by the same rule."""

    def __init__(self) -> None:
        self._numbers: OrderedDict[StatesKey, int] = OrderedDict()
        self._next = 0

    def number(self, states: PromptStates) -> tuple[int, bool, int | None]:
        """Its number, whether it is new, and the number that is forgotten for it."""
        if states.key in self._numbers:
            self._numbers.move_to_end(states.key)
            return self._numbers[states.key], False, None
        self._next += 1
        self._numbers[states.key] = self._next
        gone = self._numbers.popitem(last=False)[1] if len(self._numbers) > TEXTS else None
        return self._next, True, gone


class Group:
    """Over the followers of one machine or of `torchrun`; belongs to the stepping thread, but for `lost`.

    ``alive`` is asked before each step, and raises `DeviceLostError`. ``ending`` is called once by `close`, after the followers were told.
    """

    def __init__(self, store: Store, alive: Callable[[], None], ending: Callable[[], None]) -> None:
        self._line, self._alive, self._ending = Line(store), alive, ending
        self._texts = Texts()
        self._closing = threading.Lock()
        self._closed = False
        self.calls = 0
        """Steps that were made together."""

    def passes(
        self, parts: Experts, lender: Lender, number: int, noisy: Tensor, t: Tensor, texts: Sequence[PromptStates]
    ) -> list[Tensor]:
        """What expert ``number`` makes of ``noisy`` for each of ``texts``. Raises `DeviceLostError` for whatever goes wrong: nobody
        knows then how far the others are."""
        self._alive()
        how = _how(parts.tier)
        try:
            told = [self._texts.number(states) for states in texts]
            self._line.say(
                {
                    "do": "passes",
                    "tier": parts.tier.tier,
                    "expert": number,
                    "shape": list(noisy.shape),
                    "t": str(t.dtype),
                    "texts": [each[0] for each in told],
                    "new": [
                        {"number": n, "rows": states.real.shape[1:], "gone": gone}
                        for (n, new, gone), states in zip(told, texts, strict=True)
                        if new
                    ],
                }
            )
            for tensor in (noisy, t.reshape(1), *(s.real for (_, new, _), s in zip(told, texts, strict=True) if new)):
                distributed.broadcast(tensor.contiguous(), 0)
            made = make(parts, lender, number, noisy, t, texts, branch_of(0, how))
            return collected(made, noisy, len(texts), how)
        except Exception as error:
            raise DeviceLostError(f"a step over {how.processes} processes failed: {error}") from error
        finally:
            self.calls += 1

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
        self._ending()
        # A group of which somebody died cannot be left in order.
        try:
            distributed.destroy_process_group()
        except Exception as error:
            log.warning("the group was not left in order: %s", error)


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
    expert, how = parts.experts[number], _how(parts.tier)
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


def join(store: Store, rank: int, processes: int, device: torch.device) -> None:
    """This process is one of ``processes`` from now on. All must come."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=processes, timeout=PATIENCE)


def shared(parts: Experts) -> str:
    """Prepares the experts of ``parts``, in every process in the same order of tiers; for people, what was done."""
    how = _how(parts.tier)
    layers = share(parts.experts, parts.device, how)
    return f"{how.processes} processes, {layers} layers shared"


def _how(tier: Tier) -> Parallel:
    if tier.parallel is None:
        raise ValueError(f"the tier {tier.tier} is not parallel")
    return tier.parallel
