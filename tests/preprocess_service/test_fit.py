"""The cut: under the target, in the text's own characters, with the pins in it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess_service import tokens
from preprocess_service.core import Prompt
from preprocess_service.fit import fit
from preprocess_service.protect import Protector
from preprocess_service.settings import embedded_tokenizer
from reelgate.rpc.errors import ProtectedTermsError

TOKENIZER = tokens.load(embedded_tokenizer())


def cut(text: str, target: int, *keywords: str) -> str:
    pins = Protector(keywords).pins(text)
    return fit(Prompt.of(text), target=target, head=40, tail=24, tokenizer=TOKENIZER, pins=pins)[0].text


@settings(max_examples=120, deadline=None)
@given(
    st.text(alphabet=st.sampled_from(list("ab c,.猫狗。，🙂\u200d👩e\u0301 ")), min_size=1, max_size=300),
    st.integers(16, 70),
)
def test_never_over_the_target_and_never_empty(text: str, target: int) -> None:
    shorter = cut(text, target)
    assert TOKENIZER.count(shorter) <= target
    assert shorter


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["dog", "runs", "far", "away,", "blue", "sky.", "trees"]), min_size=60, max_size=160),
    st.data(),
)
def test_a_keyword_anywhere_survives(words: list[str], draw: st.DataObject) -> None:
    words.insert(draw.draw(st.integers(0, len(words))), "zeppelin")
    assert "zeppelin" in cut(" ".join(words), 32, "zeppelin")


def test_a_text_that_fits_is_returned_as_it_is() -> None:
    assert cut("a red ball", 64) == "a red ball"


def test_the_cut_is_at_a_clause_edge() -> None:
    clauses = [
        f"the {colour} dog runs over the {place}"
        for colour in ("red", "blue", "black")
        for place in ("hill", "lake", "road") * 3
    ]
    pieces = cut(", ".join(clauses), 64).split(", ")
    assert all(piece in clauses for piece in pieces)


def test_an_accent_stays_with_its_letter() -> None:
    shorter = cut("e\u0301" * 300, 64)
    assert all(piece == "e\u0301" * (len(piece) // 2) for piece in shorter.split(", "))


def test_keywords_alone_over_the_target_are_refused() -> None:
    keywords = [f"unpronounceable-{n}-zxqwvk" for n in range(30)]
    with pytest.raises(ProtectedTermsError) as caught:
        cut(" and ".join(keywords), 64, *keywords)
    assert int(caught.value.metadata["tokens"]) > int(caught.value.metadata["limit"]) == 64
