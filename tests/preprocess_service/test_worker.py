"""The worker beside the loop: bounded, and a model that has enough to do is gone past."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from preprocess_service.cache import cacheable
from preprocess_service.core import Prepared, Request
from preprocess_service.pipeline import Line
from preprocess_service.summarise.batcher import Batcher
from preprocess_service.worker import Worker
from reelgate.rpc.errors import QueueFullError


class Slow:
    """A rewriter in whose model's hands the prompts are until ``open`` is set."""

    version = "slow"

    def __init__(self, *, queue: int) -> None:
        self.open = threading.Event()
        self.batches: list[list[str]] = []
        self.batcher: Batcher[str, str, str] = Batcher(self._work, size=8, queue=queue)

    def shorten(self, text: str, ratio: float) -> str:
        return self.batcher.ask("all", text)

    def _work(self, key: str, items: Sequence[str]) -> list[str]:
        self.batches.append(list(items))
        self.open.wait(20)
        return list(items)


@asynccontextmanager
async def held(line: Line, *, queue: int, threads: int, room: int) -> AsyncIterator[tuple[Slow, Worker, Line]]:
    slow, worker = Slow(queue=room), Worker(queue=queue, threads=threads)
    try:
        yield slow, worker, replace(line, rewriter=slow)
    finally:
        slow.open.set()
        worker.close()
        slow.batcher.close()


async def until(condition: Callable[[], object]) -> None:
    """Wait until the callable says so."""
    for _ in range(2_000):
        if condition():
            return
        await asyncio.sleep(0.005)
    pytest.fail("it never happened")


async def test_the_loop_goes_on_and_too_many_are_refused(line: Line, long_prompt: str) -> None:
    async with held(line, queue=3, threads=2, room=9) as (slow, worker, slow_line):
        calls = [asyncio.create_task(worker.shorten(slow_line, Request(text=long_prompt))) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError) as caught:
            await worker.shorten(slow_line, Request(text=long_prompt))
        assert caught.value.retry_after
        assert (await worker.shorten(line, Request(text="A red ball."))).prompt == "A red ball."
        slow.open.set()
        made = await asyncio.gather(*calls)
        assert {each.receipt.method for each in made} == {"extractive"}
        assert (await worker.shorten(slow_line, Request(text=long_prompt))).prompt == made[0].prompt


async def test_what_finds_the_model_busy_is_shortened_without_it_and_never_kept(line: Line, long_prompt: str) -> None:
    async with held(line, queue=9, threads=4, room=2) as (slow, worker, slow_line):

        def ask() -> asyncio.Task[Prepared]:
            return asyncio.create_task(worker.shorten(slow_line, Request(text=long_prompt)))

        in_hand = ask()
        await until(lambda: slow.batches)
        waiting = [ask(), ask()]
        await until(lambda: len(slow.batcher._queue) == 2)
        past = await asyncio.wait_for(ask(), 20)
        assert past.receipt.notes == ("rewriter_failed:QueueFullError",)
        assert (past.receipt.method, cacheable(past)) == ("extractive", False)
        assert not in_hand.done()
        slow.open.set()
        for each in await asyncio.gather(in_hand, *waiting):
            assert (each.receipt.notes, cacheable(each)) == (("rewriter_discarded",), True)
