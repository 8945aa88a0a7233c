"""Prepared prompts survive as bytes; anything else is no value."""

import pytest

from preprocess_service import codec
from preprocess_service.core import Request
from preprocess_service.pipeline import Line

KEY, OTHER = b"k" * 16, b"o" * 16


@pytest.mark.parametrize("text", ["A cat.", "Zwei Katzen, “no dogs”, \U0001f600 3 lamps \x00", "一只红色的猫。"])
def test_what_goes_in_comes_out(line: Line, text: str) -> None:
    prepared = line.prepare(Request(text=text, keywords=("cat",)))
    assert codec.decode(KEY, codec.encode(KEY, prepared)) == prepared


def test_a_long_prompt_with_all_its_changes_comes_out(line: Line, long_prompt: str) -> None:
    prepared = line.prepare(Request(text=long_prompt))
    assert codec.decode(KEY, codec.encode(KEY, prepared)) == prepared


def test_another_key_another_version_or_damage_is_no_value(line: Line) -> None:
    raw = codec.encode(KEY, line.prepare(Request(text="A cat.")))
    assert codec.decode(OTHER, raw) is None
    assert codec.decode(KEY, b"RGP0" + raw[4:]) is None
    for at in range(0, len(raw), 7):
        assert codec.decode(KEY, raw[:at]) is None
        assert codec.decode(KEY, raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]) is None
