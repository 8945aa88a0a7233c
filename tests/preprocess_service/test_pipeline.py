"""The line as a whole: what goes in, what comes out, and what the receipt says about it."""

import json
import random
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess_service import tokens
from preprocess_service.core import POLICIES, Fields, Prepared, Request, Verdict
from preprocess_service.pipeline import TEXT_MAX, Line
from preprocess_service.settings import embedded_tokenizer
from reelgate.rpc.errors import (
    FidelityError,
    InvalidFieldError,
    PromptTokensExceededError,
    ProtectedTermsError,
)

LINE = Line(tokenizer=tokens.load(embedded_tokenizer()))
PLAIN = "A red ball rolls slowly to the left over green grass."


def check(text: str, made: Prepared) -> None:
    """What holds for every prompt."""
    receipt = made.receipt
    assert made.prompt.strip()
    assert receipt.tokens_after == LINE.tokenizer.count(made.prompt) <= receipt.target
    assert all(text[c.start : c.end] == c.original for c in receipt.changes)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=400), st.sampled_from(["economy", "balanced", "full"]))
def test_any_text_gives_a_prompt_within_the_target_or_an_empty_field(text: str, policy: str) -> None:
    try:
        made = LINE.prepare(Request(text=text, policy=POLICIES[policy]))
    except InvalidFieldError as error:
        assert error.violations[0].subject == "text"  # noqa: PT017 - an empty prompt is the one thing that may be refused
        return
    check(text, made)


def test_a_prompt_that_fits_is_cleaned_and_never_compressed() -> None:
    made = LINE.prepare(Request(text=f"  {PLAIN} 🙂 "))
    assert made.prompt == PLAIN
    assert made.receipt.method == "none"
    assert made.receipt.fidelity.verdict is Verdict.FAITHFUL


def test_a_long_prompt_keeps_what_it_must(long_prompt: str) -> None:
    made = LINE.prepare(Request(text=long_prompt, keywords=("brick wall",)))
    check(long_prompt, made)
    assert made.receipt.tokens_before > 120
    assert "deep_compression" in made.receipt.notes
    for phrase in ("red clock", "brick wall", "no people", '"OPEN LATE"', "3 lamps", "zooms in"):
        assert phrase in made.prompt
    assert all(term.survived for term in made.receipt.protected)
    assert made.receipt.fidelity.verdict is not Verdict.BELOW_FLOOR


def test_nothing_is_invented_and_the_order_stays(long_prompt: str) -> None:
    words = LINE.prepare(Request(text=long_prompt)).prompt.replace(",", " ").replace(".", " ").split()
    rest = iter(long_prompt.replace(",", " ").replace(".", " ").split())
    assert all(any(word == other for other in rest) for word in words)


def test_style_tags_in_front_do_not_push_the_subject_out(long_prompt: str) -> None:
    tags = "masterpiece, best quality, highly detailed, 8k, cinematic lighting, ultra realistic, dramatic atmosphere, "
    assert "red clock" in LINE.prepare(Request(text=tags + long_prompt)).prompt


def test_a_higher_target_keeps_more(long_prompt: str) -> None:
    economy, balanced, full = (
        LINE.prepare(Request(text=long_prompt, policy=POLICIES[p])).receipt.tokens_after
        for p in ("economy", "balanced", "full")
    )
    assert economy < balanced < full


def test_passthrough_touches_nothing() -> None:
    text = "  two  spaces 🙂 &amp; ＬＥＤ\n"
    made = LINE.prepare(Request(text=text, policy=POLICIES["passthrough"]))
    assert made.prompt == text
    assert made.receipt.changes == ()


def test_passthrough_over_the_window_is_refused_with_both_counts() -> None:
    with pytest.raises(PromptTokensExceededError) as caught:
        LINE.prepare(Request(text="a red ball " * 400, policy=POLICIES["passthrough"]))
    assert int(caught.value.metadata["tokens"]) > int(caught.value.metadata["limit"]) == 511


def test_full_over_the_window_is_cut_to_it() -> None:
    made = LINE.prepare(Request(text="a red ball and a blue box, " * 200, policy=POLICIES["full"]))
    assert made.receipt.tokens_after <= 511
    assert made.receipt.method == "head_tail"


def test_fields_are_joined_and_empty_ones_skipped() -> None:
    fields = Fields(
        subject="A red ball.", action=" rolls to the left ", scene="", style="oil painting", camera="zoom in"
    )
    made = LINE.prepare(Request(fields=fields))
    assert made.prompt == "A red ball, rolls to the left, oil painting, zoom in"
    check(made.receipt.original, made)


@pytest.mark.parametrize("text", ["", "   ", "\x00\x01\u200b", "<br>", "x" * (TEXT_MAX + 1), "\ud800"])
def test_a_text_that_says_nothing_or_too_much_is_refused(text: str) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        LINE.prepare(Request(text=text))
    assert caught.value.violations[0].subject == "text"


def test_ten_thousand_keywords_are_refused() -> None:
    with pytest.raises(InvalidFieldError) as caught:
        LINE.prepare(Request(text=PLAIN, keywords=tuple(f"k{n}" for n in range(10_000))))
    assert caught.value.violations[0].subject == "keywords"


def test_keywords_that_cannot_fit_are_refused() -> None:
    keywords = tuple(f"unpronounceable-{n}-zxqwvk" for n in range(30))
    with pytest.raises(ProtectedTermsError):
        LINE.prepare(Request(text=" and ".join(keywords), keywords=keywords))


def test_strict_refuses_what_lost_its_numbers_and_suggests_more() -> None:
    text = "a ball, " + ", ".join(f"{n}{n + 7} boxes" for n in range(60))
    assert LINE.prepare(Request(text=text)).receipt.fidelity.verdict is Verdict.BELOW_FLOOR
    with pytest.raises(FidelityError) as caught:
        LINE.prepare(Request(text=text, strict=True))
    assert caught.value.metadata["wider_policy"] == "balanced"
    assert caught.value.metadata["lost"]


def test_a_keyword_that_the_prompt_never_had_is_reported_absent() -> None:
    (term,) = (
        t for t in LINE.prepare(Request(text=PLAIN, keywords=("zebra",))).receipt.protected if t.kind == "keyword"
    )
    assert (term.present, term.survived) == (False, False)


def test_the_negative_prompt_is_cleaned_and_counted_but_never_compressed() -> None:
    negative = "blurry, " * 60
    made = LINE.prepare(Request(text=PLAIN, negative=negative + "\u200b"))
    assert made.negative == negative.strip()
    assert made.receipt.negative_tokens == LINE.tokenizer.count(made.negative) > 64
    with pytest.raises(PromptTokensExceededError):
        LINE.prepare(Request(text=PLAIN, negative="blurry, " * 600))


def test_the_same_request_gives_the_same_prompt(long_prompt: str) -> None:
    request = Request(text=long_prompt)
    assert LINE.prepare(request).prompt == LINE.prepare(replace(request)).prompt


@pytest.mark.parametrize(
    "text",
    [
        "word " * 12_000,
        "x" * 60_000,
        "(" * 60_000,
        "猫" * 20_000,
        "no 1 " * 6_000,
        'a,b;"c" ' * 4_000,
    ],
)
def test_a_hostile_text_takes_bounded_time(text: str) -> None:
    started = time.process_time()
    check(text, LINE.prepare(Request(text=text)))
    assert time.process_time() - started < 20


@pytest.mark.parametrize("name", ["t5-umt5-proxy", "bart-large-cnn"])
def test_real_prompts_come_through_with_either_tokenizer(data: Path, name: str) -> None:
    other = Line(tokenizer=tokens.load(data / "tokenizers" / name / "tokenizer.json"))
    files = sorted((data / "prompts").glob("*.jsonl"))
    rows = [json.loads(raw) for path in files for raw in path.read_text(encoding="utf-8").splitlines()]
    for row in random.Random(7).sample(rows, 120):
        text = row.get("text") or row["long"]
        made = other.prepare(Request(text=text))
        assert made.prompt
        assert "\ufffd" not in made.prompt
        assert other.tokenizer.count(made.prompt) == made.receipt.tokens_after <= 64
        assert all(text[c.start : c.end] == c.original for c in made.receipt.changes)


NOISE = st.text(alphabet=st.sampled_from(list("ab c,.[]\"'不没有无3猫狗。，🙂\u200d&<>()")), max_size=200)


@settings(max_examples=150, deadline=None)
@given(NOISE, NOISE, st.sampled_from(["red fox", "c++", "猫", "3.5 m", "a-b"]), st.booleans())
def test_a_protected_term_survives_or_the_request_fails(front: str, back: str, term: str, marked: bool) -> None:
    text = f"{front * 4} [[{term}]] {back * 4}" if marked else f"{front * 4} {term} {back * 4}"
    try:
        made = LINE.prepare(Request(text=text, keywords=() if marked else (term,)))
    except ProtectedTermsError:
        return
    check(text, made)
    assert all(t.survived for t in made.receipt.protected if t.present and t.kind in ("keyword", "mark"))
    named = set(made.receipt.fidelity.reasons)
    assert all(t.survived or f"{t.kind}: {t.text}" in named for t in made.receipt.protected if t.present)
    assert made.prompt == LINE.prepare(Request(text=text, keywords=() if marked else (term,))).prompt


def test_marked_terms_survive_where_they_would_go(long_prompt: str) -> None:
    text = long_prompt.replace("sense of anticipation", "[[sense of anticipation]]")
    made = LINE.prepare(Request(text=text))
    check(text, made)
    assert "sense of anticipation" in made.prompt
    assert "[[" not in made.prompt
    assert ("sense of anticipation", "mark", True) in [(t.text, t.kind, t.survived) for t in made.receipt.protected]


def test_passthrough_leaves_marks_alone() -> None:
    text = "a [[red fox]] in snow"
    assert LINE.prepare(Request(text=text, policy=POLICIES["passthrough"])).prompt == text


def test_a_ratio_lowers_the_ceiling_and_nothing_else(long_prompt: str) -> None:
    plain = LINE.prepare(Request(text=long_prompt)).receipt
    narrow = LINE.prepare(Request(text=long_prompt, ratio=0.25)).receipt
    assert narrow.tokens_after <= narrow.target == int(0.25 * plain.tokens_before) < plain.target
    assert LINE.prepare(Request(text=long_prompt, ratio=1.0)).prompt == LINE.prepare(Request(text=long_prompt)).prompt
    full = LINE.prepare(Request(text=long_prompt, ratio=0.25, policy=POLICIES["full"]))
    assert full.receipt.tokens_after > 100


@pytest.mark.parametrize("ratio", [0.0, -1.0, 1.5, float("nan")])
def test_a_ratio_out_of_range_is_refused(ratio: float) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        LINE.prepare(Request(text=PLAIN, ratio=ratio))
    assert caught.value.violations[0].subject == "ratio"
