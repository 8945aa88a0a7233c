"""Texts made to be costly end in a prompt all the same. Before there was a bound, some of these took minutes."""

import pytest

from preprocess_service.core import Request
from preprocess_service.pipeline import TEXT_MAX, Line

TEXTS = {
    "one phrase of nothing but adjectives": " ".join(f"lush green beautiful thing{i}" for i in range(2_300)),
    "one phrase without an end": "the " + " ".join(f"w{i}" for i in range(9_500)),
    "nothing but clauses": ",".join(f"a{i}" for i in range(10_000)),
    "nothing but relative clauses": "a fox " + "that jumped " * 5_000,
    "nothing but brackets": "(" * TEXT_MAX,
    "one character": "猫" * TEXT_MAX,
    "nothing but negations": "没有人，" * (TEXT_MAX // 4),
    "nothing but numbers": " ".join(str(i) for i in range(11_000)),
    "nothing but quotations": '"a" ' * (TEXT_MAX // 4),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", TEXTS)
def test_a_costly_text_ends_in_a_prompt(name: str, line: Line) -> None:
    prepared = line.prepare(Request(text=TEXTS[name][:TEXT_MAX]))
    assert prepared.prompt
    assert prepared.receipt.tokens_after <= 64
