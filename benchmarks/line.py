"""The prompt line in process, with the embedded tier's tokenizer, as the services run it."""

from __future__ import annotations

from functools import cache

from preprocess_service.core import POLICIES, Request
from preprocess_service.pipeline import Line
from preprocess_service.settings import embedded_tokenizer
from preprocess_service.tokens import load

__all__ = ["compress"]


@cache
def _line() -> Line:
    return Line(tokenizer=load(embedded_tokenizer()))


def compress(text: str, policy: str = "economy") -> tuple[str, int, int]:
    """The final prompt, and its tokens before and after."""
    prepared = _line().prepare(Request(text=text, policy=POLICIES[policy]))
    return prepared.prompt, prepared.receipt.tokens_before, prepared.receipt.tokens_after
