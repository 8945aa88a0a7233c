"""What a message can hold, and what it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from google.protobuf.message import Message

from reelgate.rpc.errors import InvalidFieldError

M = TypeVar("M", bound=Message)


@contextmanager
def holds() -> Iterator[None]:
    """What no message can hold is a broken field here as it is at the service: half a surrogate pair, a number over its type."""
    try:
        yield
    except UnicodeEncodeError:
        raise InvalidFieldError.of("request", "has text that is not valid Unicode (or was not UTF-8)") from None
    except (ValueError, OverflowError) as error:
        raise InvalidFieldError.of("request", f"has a number that no field holds: {error}") from None


@holds()
def message(kind: type[M], **fields: Any) -> M:
    """A message of ``kind``. Raises ``InvalidFieldError`` for values that it cannot hold."""
    return kind(**fields)
