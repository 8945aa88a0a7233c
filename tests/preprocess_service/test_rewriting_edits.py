"""A rewriter's text as edits, and what is taken out of it before it is judged."""

from hypothesis import given
from hypothesis import strategies as st

from preprocess_service.core import Prompt
from preprocess_service.rewriting import mended, rewriting

WORDS = st.lists(st.sampled_from(["red", "fox", "runs", "the", "snow", ",", ".", "Über", "猫"]), max_size=12).map(
    " ".join
)


@given(WORDS, WORDS)
def test_the_edits_make_exactly_the_new_text(text: str, shorter: str) -> None:
    assert Prompt.of(text).edit(rewriting(text, shorter), stage="summarise")[0].text == shorter


def test_what_both_say_is_no_change() -> None:
    edits = rewriting("a red fox runs over the deep snow", "red fox runs over snow")
    assert all(not edit.replacement.strip() for edit in edits)
    assert sum(edit.end - edit.start for edit in edits) < 14


def test_sentences_that_repeat_or_break_off_go() -> None:
    text = "Two green foxes walk to the old lighthouse. The sky is violet. The camera pans left over a wall."
    made = "Two green foxes walk to the old lighthouse. The old lighthouse. The sky is violet. The camera pans left over a."
    assert mended(text, made) == "Two green foxes walk to the old lighthouse. The sky is violet."
