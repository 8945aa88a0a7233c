"""The receipt as a person reads it."""

from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess_service import tokens
from preprocess_service.convert import receipt_of
from preprocess_service.core import Request
from preprocess_service.pipeline import Line
from preprocess_service.receipt_view import Receipt, diff
from preprocess_service.settings import embedded_tokenizer

LINE = Line(tokenizer=tokens.load(embedded_tokenizer()))


def receipt(line: Line, text: str) -> Receipt:
    message = receipt_of(line.prepare(Request(text=text)).receipt, tier="")
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def test_without_colour_what_went_is_in_brackets(line: Line) -> None:
    text = "a red ball &amp; a box 🙂 rolls"
    assert diff(text, receipt(line, text), styled=False).plain == "a red ball &[-amp;-] a box[- 🙂-] rolls"


def test_with_colour_nothing_of_the_original_is_missing(line: Line, long_prompt: str) -> None:
    shown = diff(long_prompt, receipt(line, long_prompt), styled=True)
    rest = iter(shown.plain)
    assert all(c in rest for c in long_prompt)
    assert any("strike red" in str(span.style) for span in shown.spans)


@settings(max_examples=60, deadline=None)
@given(text=st.text(alphabet=st.sampled_from(list("ab c,.[]\u200b猫🙂&<>\n")), min_size=1, max_size=120))
def test_any_receipt_can_be_shown(text: str) -> None:
    if any(c.isalnum() for c in text):
        assert diff(text, receipt(LINE, text), styled=True).plain
