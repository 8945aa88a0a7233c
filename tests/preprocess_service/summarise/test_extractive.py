"""Choosing words: in order, pins kept, hollow words first."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from preprocess_service import tokens
from preprocess_service.core import Prompt
from preprocess_service.protect import Protector
from preprocess_service.settings import embedded_tokenizer
from preprocess_service.summarise.extractive import compress
from preprocess_service.summarise.units import chunks_of, suffixes, words_of

TOKENIZER = tokens.load(embedded_tokenizer())


def shortened(text: str, target: int, *keywords: str) -> str:
    return compress(Prompt.of(text), target=target, tokenizer=TOKENIZER, pins=Protector(keywords).pins(text))[0].text


def test_openings_go_first() -> None:
    assert shortened("The video shows a red ball that rolls to the left.", 12) == "a red ball that rolls to the left."


def test_hollow_words_go_before_things() -> None:
    text = "A beautiful and stunning red ball rolls gracefully over the lush, verdant green grass, creating a serene atmosphere."
    short = shortened(text, TOKENIZER.count(text) - 12)
    assert "red ball" in short
    assert "atmosphere" not in short


def test_a_pin_in_the_last_sentence_stays() -> None:
    text = "A dog runs on a beach. " * 6 + "In the far distance there is a zeppelin."
    assert "zeppelin" in shortened(text, 24, "zeppelin")


def test_chinese_is_cut_between_clauses() -> None:
    text = "一只红色的小猫在雪地里奔跑，背景是高山和森林，营造出一种宁静祥和的氛围，令人心旷神怡。"
    short = shortened(text, TOKENIZER.count(text) // 2)
    assert short.startswith("一只红色的小猫")
    assert "氛围" not in short
    assert short[-1] not in "，、"


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.5, 9)), min_size=1, max_size=12))
def test_the_groups_of_a_chain_cover_it_and_get_dearer_towards_the_left(pairs: list[tuple[float, float]]) -> None:
    groups = suffixes([v for v, _ in pairs], [c for _, c in pairs])
    starts, densities = [at for at, _ in groups], [density for _, density in groups]
    assert starts == sorted(starts, reverse=True)
    assert starts[-1] == 0
    assert all(a <= b + 1e-9 for a, b in pairwise(densities))


@given(st.text(alphabet="ab, .;with and-ing猫，。", max_size=80))
def test_chunks_cover_the_words_once(text: str) -> None:
    words = words_of(text)
    covered = [i for chunk in chunks_of(words) for i in range(chunk.first, chunk.last)]
    assert covered == list(range(len(words)))
