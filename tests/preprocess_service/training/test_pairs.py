"""The pairs that the embedded BART learns from: the terse side is the verbose one less filler, and new words abound."""

from __future__ import annotations

import re
import statistics
from random import Random

from preprocess_service.training import invent
from preprocess_service.training.grammar import join, pieces
from preprocess_service.training.pairs import LEAST, MOST, pair, words
from preprocess_service.training.words import WORDS

WORD = re.compile(r"[\w'-]+")


def told(text: str) -> list[str]:
    """The words of a text, articles left out: a becomes an where the word behind it went."""
    return [word for word in WORD.findall(text.lower()) if word not in ("a", "an")]


def is_within(short: list[str], long: list[str]) -> bool:
    """Are the words of ``short`` in ``long``, in that order?"""
    rest = iter(long)
    return all(word in rest for word in short)


def test_the_terse_side_has_words_of_the_verbose_side_only_in_their_order() -> None:
    random = Random(1)
    for _ in range(500):
        made = pair(random, random.randint(1, 8))
        assert made.terse
        assert is_within(told(made.terse), told(made.verbose)), made


def test_the_terse_side_is_as_long_as_bart_is_asked_to_write() -> None:
    random = Random(2)
    shares = [len(made.terse) / len(made.verbose) for made in (pair(random, 4) for _ in range(400))]
    assert LEAST - 0.05 < statistics.median(shares) < MOST
    assert sum(0.5 < share < MOST + 0.05 for share in shares) > 0.85 * len(shares)


def test_filler_goes_and_what_a_picture_needs_stays() -> None:
    runs = pieces("{the video shows }two {breathtaking }red owls do not turn left{, creating a mood}. {What a view.}")
    filler = {group for _, kind, group in runs if kind}
    assert join(runs, set()) == (
        "The video shows two breathtaking red owls do not turn left, creating a mood. What a view."
    )
    assert join(runs, filler) == "Two red owls do not turn left."


def test_an_article_follows_the_word_that_is_left_behind_it() -> None:
    runs = pieces("a {stunning }owl and an {elegant }cat")
    assert join(runs, set()) == "A stunning owl and an elegant cat"
    assert join(runs, {group for _, kind, group in runs if kind}) == "An owl and a cat"


def test_negations_numbers_and_quotations_stand_on_both_sides_alike() -> None:
    random = Random(3)
    seen = 0
    for _ in range(300):
        made = pair(random, 5)
        for text in re.findall(r'"[^"]+"|\b\d+\b', made.terse):
            assert text.lower() in made.verbose.lower()
            seen += 1
        # Detail may go and take its negation along; what is kept is told as it was.
        assert len(re.findall(r"\b(?:not|no|never)\b", made.terse)) <= len(
            re.findall(r"\b(?:not|no|never)\b", made.verbose)
        )
    assert seen > 100


def test_many_words_are_new() -> None:
    random = Random(4)
    new = {invent.word(random) for _ in range(1000)} - set(WORDS)
    assert len(new) > 900


def test_equal_seeds_write_equal_pairs() -> None:
    assert pair(Random(5), 4) == pair(Random(5), 4)
    assert words(Random(5), 9) == words(Random(5), 9)


def test_verbs_are_formed_by_rule() -> None:
    assert [invent.ing(v) for v in ("run", "dance", "lie", "see")] == ["running", "dancing", "lying", "seeing"]
    assert [invent.third(v) for v in ("catch", "fly", "play")] == ["catches", "flies", "plays"]
    assert [invent.past(v) for v in ("drop", "carry", "wave")] == ["dropped", "carried", "waved"]
