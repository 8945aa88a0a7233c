"""What a follower keeps, and for how long: leader and follower in one process, a group of one, with pictures too small for two bands."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import distributed
from torch._C._distributed_c10d import TCPStore

from generator_service import wan
from generator_service.core import Request
from generator_service.crew import Crew
from generator_service.engine import Engine
from generator_service.follower import Follower, Hand
from generator_service.group import Group, join
from generator_service.lending import Lender
from generator_service.said import Header, Line
from generator_service.tier import Parallel

HOW = Parallel(processes=2)


@pytest.fixture
def store() -> Iterator[TCPStore]:
    found = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    join(found, 0, 1, torch.device("cpu"))
    yield found
    if distributed.is_initialized():
        distributed.destroy_process_group()


@pytest.fixture
def parts(components: wan.Components) -> wan.Components:
    return dataclasses.replace(components, tier=components.tier.model_copy(update={"parallel": HOW}))


def follower_of(store: TCPStore, parts: wan.Components) -> tuple[Follower, Hand]:
    """Without its start, which joins a group of its own."""
    lender = Lender(parts.tier, parts.transformer, parts.transformer_2)
    hand = Hand(parts=parts, vae=parts.vae, lender=lender, how=HOW, decodes={})
    found = object.__new__(Follower)
    found._rank, found._device, found._texts = 1, parts.device, {}
    found._hands, found._line = {parts.tier.tier: hand}, Line(store, 1)
    return found, hand


def test_a_decode_that_is_given_up_is_forgotten_before_the_next_step(
    store: TCPStore, parts: wan.Components, tiny: Callable[..., Request]
) -> None:
    """Not at the next decode: its memory is gigabytes, and the steps between want them."""
    engine = Engine(parts)
    engine.group = Group(Crew(store, 2, (), lambda: None, None))
    decode = engine.begin_decode(torch.zeros(1, 16, 2, 1, 1))
    engine.decode(decode)
    follower, hand = follower_of(store, parts)
    kept: list[int] = []
    listen = follower._line.hear

    def hear() -> Header:
        kept.append(len(hand.decodes))
        return listen()

    del decode
    engine.step(engine.prepare(tiny(steps=1).take))
    engine.group._line.say({"do": "end"})
    follower._line.hear = hear  # type: ignore[method-assign]
    follower.serve()
    assert kept == [0, 1, 0]
