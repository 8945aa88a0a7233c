"""A process that holds the experts and makes the passes that the leader says: see `group.py`. ``python -m generator_service.follower``
reads its orders from standard input, and ends when that closes.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from torch import Tensor, distributed
from torch._C._distributed_c10d import Store, TCPStore

from generator_service import crew, wan
from generator_service.decoding import Decoding, empty_memory
from generator_service.group import cut, how_of, join, make, sent, sent_band, shared
from generator_service.lending import Lender
from generator_service.parallel import branch_of, device_of
from generator_service.said import Header, Line
from generator_service.settings import Settings
from generator_service.text import PromptStates, StatesKey
from generator_service.tier import Parallel, Tier
from reelgate.rpc import logs

log = logging.getLogger(__name__)
# From the end of the pipe to the end of a process that was told so before and is about to go by itself.
AFTER_S = 2.0


@dataclass(kw_only=True)
class Hand:
    """What a follower has of one tier. ``decodes`` by their number."""

    parts: wan.Experts
    vae: AutoencoderKLWan
    lender: Lender
    how: Parallel
    decodes: dict[int, Decoding]


class Follower:
    """One of the processes but the leader."""

    def __init__(self, store: Store, rank: int, processes: int, device: torch.device, tiers: Sequence[Tier]) -> None:
        self._rank, self._device = rank, device
        crew.say(store, "here", rank)
        join(store, rank, processes, device)
        self._hands = {tier.tier: _hand(tier, device) for tier in tiers}
        # By their numbers, whatever the tier: tiers of one text encoder share them.
        self._texts: dict[int, PromptStates] = {}
        crew.say(store, "ready", rank)
        # It loads more than we do, and a collective would not wait for it that long.
        store.wait([crew.key("ready", 0)], crew.LOADING)
        for hand in self._hands.values():
            shared(hand.parts)
        self._line = Line(store, processes - 1)

    @torch.no_grad()
    def serve(self) -> None:
        """Until the leader says that it is over. Raises whatever a step raises: a process that missed one cannot go on."""
        does = {"passes": self._passes, "pictures": self._pictures}
        while (header := self._line.hear())["do"] != "end":
            for gone in header["gone"]:
                for hand in self._hands.values():
                    hand.decodes.pop(gone, None)
            does[header["do"]](self._hands[header["tier"]], header)
        distributed.destroy_process_group()

    def _passes(self, hand: Hand, header: Header) -> None:
        noisy = self._received(header["shape"], hand.parts.dtype)
        t = self._received([1], getattr(torch, header["t"].removeprefix("torch.")))
        for new in header["new"]:
            self._texts.pop(new["gone"], None)
            real = self._received(new["rows"], hand.parts.dtype)
            self._texts[new["number"]] = _states(new["number"], real, hand.parts)
        texts = [self._texts[number] for number in header["texts"]]
        branch = branch_of(self._rank, hand.how)
        made = make(hand.parts, hand.lender, header["expert"], noisy, t[0], texts, branch)
        sent(made, len(texts), hand.how, self._rank)

    def _pictures(self, hand: Hand, header: Header) -> None:
        if header["shape"] is not None:
            latents = self._received(header["shape"], hand.vae.dtype)
            hand.decodes[header["decode"]] = Decoding(latents=latents, memory=empty_memory(hand.vae))
        state = hand.decodes[header["decode"]]
        sent_band(hand.vae, state, cut(hand.vae, state.latents, hand.how), self._rank)

    def _received(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        found = torch.empty(tuple(shape), dtype=dtype, device=self._device)
        distributed.broadcast(found, 0)
        return found


def _hand(tier: Tier, device: torch.device) -> Hand:
    parts = wan.load_experts(tier, device)
    return Hand(
        parts=parts,
        vae=wan.load_vae(tier, device),
        lender=Lender(tier, parts.transformer, parts.transformer_2),
        how=how_of(tier),
        decodes={},
    )


def _states(number: int, real: Tensor, parts: wan.Experts) -> PromptStates:
    """The text itself stays with the leader: here its number names it."""
    window = parts.tier.max_sequence_length
    key = StatesKey(encoder="", text=str(number), window=window, dtype=parts.dtype, device=parts.device)
    return PromptStates(key=key, real=real)


def by_torchrun(settings: Settings, environment: Mapping[str, str] = os.environ) -> None:
    """A process of `torchrun` that is not the first: follows until the first one ends. Raises ``ValueError`` where they are not as many as
    the tiers say."""
    tiers = [tier for tier in settings.tiers().values() if tier.parallel is not None]
    crew.check(tiers, environment)
    _heed_the_leader_alone()
    rank, leader = int(environment["RANK"]), torch.device(wan.device_name(settings.device))
    torch.set_num_threads(max(1, settings.threads))
    device = device_of(int(environment["LOCAL_RANK"]), leader)
    Follower(crew.meeting(environment), rank, int(environment["WORLD_SIZE"]), device, tiers).serve()


def main() -> int:
    """Follow the orders of the leader that started this process."""
    logs.configure()
    logging.getLogger("diffusers").setLevel(logging.ERROR)
    _heed_the_leader_alone()
    orders: dict[str, Any] = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_leader, daemon=True).start()
    torch.set_num_threads(max(1, orders["threads"]))
    store = TCPStore("127.0.0.1", orders["port"], is_master=False)
    tiers = [Tier.model_validate(each) for each in orders["tiers"]]
    try:
        Follower(store, orders["rank"], orders["processes"], torch.device(orders["device"]), tiers).serve()
    except Exception as error:
        log.critical("process %d of the group ends", orders["rank"], exc_info=error)
        return 1
    return 0


def _heed_the_leader_alone() -> None:
    """ctrl-C goes to the whole foreground group, and so does the end of its terminal; a supervisor's SIGTERM often to all processes of a
    service. The leader still makes its step then, and says when it is over."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)


def _end_with_leader() -> None:
    """The pipe closes when the leader ends; a process that waits in a collective then would wait for ever."""
    sys.stdin.read()
    threading.Event().wait(AFTER_S)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
