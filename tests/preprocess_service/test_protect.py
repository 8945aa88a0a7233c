"""Protected spans: found beside Chinese and with marks in them, the longest of those that stand alone."""

import time
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from preprocess_service.core import Prompt
from preprocess_service.protect import Protector, is_bounded, unmark

WORDS = st.lists(st.sampled_from(["cat", "cats", "red cat", "c++", "LED", "猫", "灯", "hat"]), min_size=1, max_size=5)


def found(text: str, *keywords: str) -> list[str]:
    return [text[s.start : s.end] for s in Protector(keywords).spans(text) if s.kind == "keyword"]


def test_keywords_stand_alone() -> None:
    assert found("a cat, concat and cats", "cat") == ["cat"]


def test_marks_belong_to_a_keyword() -> None:
    assert found("write c++ code", "c++") == ["c++"]


def test_chinese_joins_nothing() -> None:
    assert found("一盏LED灯在闪", "LED", "灯") == ["LED", "灯"]


def test_bounds_are_judged_before_length() -> None:
    assert found("a red cathedral", "red", "red cat") == ["red"]


def test_the_longest_wins() -> None:
    assert found("New York City", "New York", "York City", "New York City") == ["New York City"]


def test_case_does_not_matter_and_offsets_stay() -> None:
    assert found("İstanbul RED Bus", "red bus") == ["RED Bus"]


def test_quotes_numbers_and_negations_are_protected() -> None:
    kinds = {s.kind: s.text for s in Protector().spans('a sign "OPEN LATE", 3.5 m high, without any people')}
    assert kinds == {"quote": '"OPEN LATE"', "number": "3.5 m", "negation": "without any people"}


@given(WORDS, WORDS)
def test_spans_are_in_order_apart_and_bounded(texts: list[str], keywords: list[str]) -> None:
    text = " ".join(texts) + "".join(keywords)
    spans = Protector(keywords).spans(text)
    assert all(a.end <= b.start for a, b in pairwise(spans))
    assert all(is_bounded(text, s.start, s.end) for s in spans if s.kind == "keyword")


def test_a_thousand_keywords_are_quick() -> None:
    keywords = [f"keyword number {n}" for n in range(1000)]
    text = " ".join(keywords[::2])[:60_000]
    started = time.process_time()
    assert len(Protector(keywords).spans(text)) > 100
    assert time.process_time() - started < 2


def test_marks_are_read_and_their_brackets_go() -> None:
    prompt, changes, terms = unmark(Prompt.of("a [[red fox]] and [[ c++ ]] in [snow] [[]] [["))
    assert prompt.text == "a red fox and c++ in [snow] [[]] [["
    assert terms == ("red fox", "c++")
    assert all(prompt.original[c.start : c.end] == c.original for c in changes)


def test_a_mark_is_found_inside_a_word() -> None:
    (span,) = Protector(marked=["sun"]).spans("a sunflower")
    assert (span.kind, span.text) == ("mark", "sun")


def test_a_keyword_in_a_quotation_leaves_the_quotation_protected() -> None:
    assert [s.kind for s in Protector(["cats"]).spans('a sign "we love cats" on it')] == ["quote", "keyword"]


def test_chinese_negations_are_protected() -> None:
    assert [s.text for s in Protector().spans("街上没有人，他不说话，天空无云") if s.kind == "negation"] == [
        "没有人",
        "不说话",
        "无云",
    ]


def test_chinese_words_that_only_look_like_negations_are_not() -> None:
    text = "无人机平稳飞行，背景不断变化，无数不同的鱼，无缝融合"
    assert not [s for s in Protector().spans(text) if s.kind == "negation"]
