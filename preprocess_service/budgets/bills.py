"""What is due, by how a run ended. The one place of the rules; docs/operating.md has them for people."""

from __future__ import annotations

from .core import NOTHING, Amount, Bill, Cause


def bill(cause: Cause, *, tokens: int, device_ms: int = 0, began: bool = True, saved_ms: int = 0) -> Bill:
    """``tokens`` are the request's, ``device_ms`` what its run took, ``began``: the text encoder has read the prompt.

    | how it ended        | tokens           | device time | booked to the operator as overrun |
    |---------------------|------------------|-------------|-----------------------------------|
    | done, content       | all              | what ran    | nothing                           |
    | stored              | all              | none        | nothing                           |
    | cancelled           | all, once it read them | what ran | nothing                        |
    | failed              | none             | none        | what ran                          |
    | refused, joined, never began | none    | none        | nothing                           |
    """
    read = Amount(tokens=tokens if began else 0, device_ms=device_ms)
    if cause in (Cause.DONE, Cause.CONTENT, Cause.CANCELLED):
        return Bill(cause=cause, due=read, measured=read, saved_ms=saved_ms)
    if cause is Cause.STORED:
        only = Amount(tokens=tokens)
        return Bill(cause=cause, due=only, measured=only, saved_ms=saved_ms)
    return Bill(cause=cause, due=NOTHING, measured=read if cause is Cause.FAILED else NOTHING)
