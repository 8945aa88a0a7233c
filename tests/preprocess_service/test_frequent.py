"""The bounded store: its room, its time, and who is let in."""

import random
from hashlib import blake2b

from preprocess_service.frequent import OVERHEAD, Frequent

ENTRY = OVERHEAD + 16 + 1_000


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def key(name: object) -> bytes:
    return blake2b(str(name).encode(), digest_size=16).digest()


def ask(store: Frequent, name: object) -> bool:
    """One request: found, or offered."""
    if store.get(key(name)) is not None:
        return True
    store.offer(key(name), b"v" * 1_000)
    return False


def test_what_is_kept_comes_back_until_its_time_is_over() -> None:
    clock = Clock()
    store = Frequent(room=1 << 20, ttl=10, clock=clock)
    assert store.offer(key("a"), b"value")
    clock.now = 9.9
    assert store.get(key("a")) == b"value"
    clock.now = 10.1
    assert store.get(key("a")) is None


def test_it_never_takes_more_than_its_room() -> None:
    store = Frequent(room=20 * ENTRY, ttl=10)
    for n in range(500):
        ask(store, n)
        ask(store, n)
        assert store.size <= 20 * ENTRY
    assert len(store) == 20
    assert store.evicted


def test_a_giant_is_refused() -> None:
    store = Frequent(room=20 * ENTRY, ttl=10)
    assert not store.offer(key("giant"), b"v" * 10 * ENTRY)
    assert store.refused == 1


def test_an_entry_can_be_replaced_when_the_store_is_full() -> None:
    store = Frequent(room=20 * ENTRY, ttl=10)
    for n in range(20):
        ask(store, n)
    assert store.offer(key(0), b"w" * 1_000)
    assert store.get(key(0)) == b"w" * 1_000


def test_prompts_that_come_once_do_not_push_out_the_frequent_ones() -> None:
    """Twenty prompts are half of the traffic, the other half never comes again, and the store holds thirty."""
    store, draw = Frequent(room=30 * ENTRY, ttl=1e9), random.Random(1)
    hits = [ask(store, draw.randrange(20)) if n % 2 else ask(store, f"once {n}") for n in range(20_000)]
    assert sum(hits[10_001::2]) / 5_000 > 0.99


def test_what_becomes_frequent_is_let_in() -> None:
    store, draw = Frequent(room=30 * ENTRY, ttl=1e9), random.Random(1)
    for _ in range(5_000):
        ask(store, f"old {draw.randrange(30)}")
    hits = [ask(store, f"new {draw.randrange(30)}") for _ in range(5_000)]
    assert sum(hits[-1_000:]) > 950
