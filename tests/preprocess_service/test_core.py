"""Offsets of the original survive any edits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess_service.core import Edit, Prompt
from preprocess_service.realign import rewrite

TEXT = st.text(max_size=60)


@given(TEXT, st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60), st.text(max_size=4)), max_size=4))
def test_every_change_slices_the_original(text: str, wishes: list[tuple[int, int, str]]) -> None:
    prompt = Prompt.of(text)
    for a, b, replacement in wishes:
        start, end = sorted((min(a, len(prompt.text)), min(b, len(prompt.text))))
        expected = prompt.text[:start] + replacement + prompt.text[end:]
        prompt, changes = prompt.edit([Edit(start=start, end=end, replacement=replacement)], stage="test")
        assert prompt.text == expected
        assert len(prompt.starts) == len(prompt.ends) == len(prompt.text)
        for change in changes:
            assert text[change.start : change.end] == change.original
    for start, end in zip(prompt.starts, prompt.ends, strict=True):
        assert 0 <= start <= end <= len(text)


@given(TEXT, TEXT)
def test_a_rewrite_gives_the_text_that_was_asked_for(old: str, new: str) -> None:
    prompt, changes = rewrite(Prompt.of(old), new, stage="test", reason="rewritten")
    assert prompt.text == new
    assert bool(changes) == (old != new)
    assert all(old[c.start : c.end] == c.original for c in changes)


def test_a_copied_character_keeps_its_own_place() -> None:
    prompt, _ = Prompt.of("a big dog").edit([Edit(start=2, end=6)], stage="test")
    assert prompt.text == "a dog"
    assert prompt.span(2, 5) == (6, 9)


def test_neighbouring_removals_are_one_change() -> None:
    _, changes = Prompt.of("abcdef").edit([Edit(start=1, end=2), Edit(start=2, end=4)], stage="test")
    assert [(c.start, c.end, c.original) for c in changes] == [(1, 4, "bcd")]


def test_overlapping_edits_are_refused() -> None:
    with pytest.raises(ValueError, match="overlap"):
        Prompt.of("abcdef").edit([Edit(start=0, end=3), Edit(start=2, end=4)], stage="test")
