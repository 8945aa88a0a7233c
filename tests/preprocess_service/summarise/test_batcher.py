"""The queue before the model: bounded, shared by those who wait together, and no caller pays for another."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from preprocess_service.summarise.batcher import Batcher
from reelgate.rpc.errors import QueueFullError


class Gate:
    """Work that doubles numbers once it is let through, and remembers its batches."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.inside = threading.Semaphore(0)
        self.batches: list[list[int]] = []

    def __call__(self, key: str, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.inside.release()
        self.open.wait(10)
        if 13 in items:
            raise ValueError("thirteen")
        return [2 * item for item in items]


@contextmanager
def callers(gate: Gate, **options: int) -> Iterator[tuple[Batcher[str, int, int], ThreadPoolExecutor]]:
    batcher = Batcher(gate, **options)
    with ThreadPoolExecutor(max_workers=16) as pool:
        try:
            yield batcher, pool
        finally:
            gate.open.set()
            batcher.close()


def ask(batcher: Batcher[str, int, int], pool: ThreadPoolExecutor, key: str, *items: int) -> list[Future[int]]:
    """Ask one after another, each known to wait before the next comes."""
    futures = []
    for item in items:
        futures.append(pool.submit(batcher.ask, key, item))
        while not futures[-1].done() and len(batcher._queue) < len(futures):
            threading.Event().wait(0.001)
    return futures


def hold(gate: Gate, batcher: Batcher[str, int, int], pool: ThreadPoolExecutor) -> Future[int]:
    """A first call that occupies the model."""
    first = pool.submit(batcher.ask, "first", 0)
    assert gate.inside.acquire(timeout=10)
    return first


def test_those_who_wait_together_share_a_batch_by_their_key() -> None:
    gate = Gate()
    with callers(gate, size=3, queue=9) as (batcher, pool):
        first = hold(gate, batcher, pool)
        long = ask(batcher, pool, "long", 1, 2, 3, 4)
        pool.submit(batcher.ask, "short", 5)
        while len(batcher._queue) < 5:
            threading.Event().wait(0.001)
        gate.open.set()
        assert [future.result(10) for future in (first, *long)] == [0, 2, 4, 6, 8]
    assert gate.batches == [[0], [1, 2, 3], [4], [5]]


def test_a_full_queue_refuses_and_the_rest_is_answered() -> None:
    gate = Gate()
    with callers(gate, size=8, queue=2) as (batcher, pool):
        hold(gate, batcher, pool)
        waiting = ask(batcher, pool, "a", 1, 2)
        with pytest.raises(QueueFullError) as caught:
            batcher.ask("a", 3)
        assert caught.value.retry_after
        gate.open.set()
        assert [future.result(10) for future in waiting] == [2, 4]


def test_a_fault_of_one_costs_the_others_nothing() -> None:
    gate = Gate()
    with callers(gate, size=8, queue=9) as (batcher, pool):
        hold(gate, batcher, pool)
        good, bad, other = ask(batcher, pool, "a", 1, 13, 2)
        gate.open.set()
        assert (good.result(10), other.result(10)) == (2, 4)
        with pytest.raises(ValueError, match="thirteen"):
            bad.result(10)
        assert batcher.ask("a", 5) == 10


def test_closing_answers_everyone_and_waits_for_the_batch_in_hand() -> None:
    gate = Gate()
    with callers(gate, size=8, queue=9) as (batcher, pool):
        first = hold(gate, batcher, pool)
        (waiting,) = ask(batcher, pool, "a", 1)
        closing = pool.submit(batcher.close)
        with pytest.raises(CancelledError):
            waiting.result(10)
        assert not closing.done()
        gate.open.set()
        closing.result(10)
        assert first.result(10) == 0
        with pytest.raises(CancelledError):
            batcher.ask("a", 2)
