"""What a person never sees goes; everything else stays."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess_service.clean import clean
from preprocess_service.core import Prompt

DIRT = st.text(
    alphabet=st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from(list("<>&;abr/amp#38 \u200d\u200b\u202e🙂👩❤\ufe0f，。“”‘’１Ａ\u0301ÃÂ©猫\x1b\x00\xa0\u3000")),
    ),
    max_size=40,
)


def cleaned(text: str, emojis: str = "drop") -> str:
    return clean(Prompt.of(text), emojis=emojis)[0].text


@settings(max_examples=400, deadline=None)
@given(DIRT, st.sampled_from(["drop", "keep"]))
def test_cleaning_what_is_clean_changes_nothing(text: str, emojis: str) -> None:
    once = cleaned(text, emojis)
    assert cleaned(once, emojis) == once


@settings(max_examples=200, deadline=None)
@given(DIRT)
def test_changes_slice_the_original(text: str) -> None:
    _, changes = clean(Prompt.of(text))
    assert all(text[c.start : c.end] == c.original for c in changes)


@pytest.mark.parametrize(
    ("dirty", "expected"),
    [
        ("schÃ¶n", "schön"),
        ("cafe\u0301", "café"),
        ("&amp;lt;b&gt;bold&lt;/b&gt; move", "bold move"),
        ("salt &amp; pepper", "salt & pepper"),
        ("a <b>red</b> ball<br>rolls", "a red ball rolls"),
        ("<script>alert(1)</script>a cat", "a cat"),
        ("a</s> cat <extra_id_0>", "a cat"),
        ("x < y and y > z", "x < y and y > z"),
        ("in\u200bvis\u202eible", "invisible"),
        ("nul\x00l", "null"),
        ("two  spaces\tand\nlines ", "two spaces and lines"),
        ("LED，and。So", "LED, and. So"),
        ("１２３ ＡＢＣ", "123 ABC"),
        ("it’s “ok”", 'it\'s "ok"'),
        ("ocean🌊wave", "ocean wave"),
        ("猫🌊走", "猫走"),
        ("broken \ufffd sign", "broken sign"),
    ],
)
def test_dirt_goes(dirty: str, expected: str) -> None:
    assert cleaned(dirty) == expected


@pytest.mark.parametrize(
    "text",
    ["一只猫，走在“雪地”里。", "《红楼梦》：第１回（上）", "猫、狗；鸟！", "می\u200cخواهم", "a 3.5 m wall, 50% off"],
)
def test_what_is_right_stays(text: str) -> None:
    assert cleaned(text) == text


def test_a_joiner_stays_inside_an_emoji_that_stays() -> None:
    assert cleaned("a 👨\u200d👩\u200d👧 fam\u200dily", "keep") == "a 👨\u200d👩\u200d👧 family"


def test_emojis_stay_where_nothing_else_would_be_left() -> None:
    assert cleaned("🐶🏃") == "🐶🏃"


def test_nothing_but_controls_leaves_nothing() -> None:
    assert cleaned("\x00\x01\u200b\ufeff \n") == ""


@pytest.mark.parametrize(
    "text",
    [
        "word " * 12_000,
        "x" * 60_000,
        "(" * 60_000,
        "&amp;" * 12_000,
        "<script>" * 7_500,
        "，" * 60_000,
        "<b" * 30_000,
        "‘\u200d" * 30_000,
    ],
)
def test_a_hostile_text_is_cleaned_in_bounded_time(text: str) -> None:
    started = time.process_time()
    cleaned(text)
    assert time.process_time() - started < 8
