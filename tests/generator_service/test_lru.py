"""Kept by bytes, forgotten by age."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from generator_service.lru import ByteLRU, Counts


def cache(limit: int) -> ByteLRU[str, bytes]:
    return ByteLRU(limit, len)


def never() -> bytes:
    raise AssertionError("made although it was kept")


def of(size: int) -> Callable[[], bytes]:
    return lambda: b"x" * size


def test_a_value_is_made_once() -> None:
    kept = cache(10)
    assert kept.get("a", of(4)) is kept.get("a", never)
    assert kept.counts == Counts(made=1, reused=1)
    assert (kept.bytes, len(kept)) == (4, 1)


def test_the_least_recently_used_goes_first_and_only_as_many_as_must() -> None:
    kept = cache(10)
    for key in "abc":
        kept.get(key, of(3))
    kept.get("a", never)
    kept.get("d", of(3))
    assert [key in kept for key in "abcd"] == [True, False, True, True]
    kept.get("e", of(7))
    assert [key in kept for key in "abcde"] == [False, False, False, True, True]
    assert (kept.bytes, kept.counts.evicted) == (10, 3)


@pytest.mark.parametrize("limit", [0, 3])
def test_what_is_larger_than_the_bound_is_used_and_not_kept(limit: int) -> None:
    kept = cache(limit)
    assert [kept.get("a", of(4)), kept.get("a", of(4))] == [b"xxxx"] * 2
    assert kept.counts == Counts(made=2, too_large=2)
    assert (kept.bytes, len(kept)) == (0, 0)


def test_what_could_not_be_made_leaves_no_trace() -> None:
    kept = cache(10)
    with pytest.raises(AssertionError):
        kept.get("a", never)
    assert (kept.counts, len(kept)) == (Counts(), 0)


def test_clearing_gives_the_memory_back_and_keeps_the_counts() -> None:
    kept = cache(10)
    kept.get("a", of(4))
    kept.clear()
    assert (kept.bytes, len(kept), kept.counts.made) == (0, 0, 1)
    kept.get("a", of(4))
    assert kept.counts.made == 2
