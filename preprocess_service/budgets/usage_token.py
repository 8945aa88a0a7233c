"""The page token of QueryUsage: the place behind which the next page begins, opaque to clients.

It gives nobody anything that the query itself would not: who may ask is decided at every page. A digest binds it to its query, so that
a token of another query, or one that was tampered with, is refused and never answers with a page that makes no sense.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeGuard

from reelgate.rpc.errors import InvalidFieldError

from .usage_rules import HOUR_MS, RANGE_MAX_MS, Query

LONGEST = 2048
KEY_MAX = 64
LAST_MS = 253_370_764_800_000
"""The beginning of the year 9999, which the calendar can still leave by a month."""


def written(query: Query, place: Sequence[int | str]) -> str:
    """The token for what comes behind ``place``."""
    body = [query.start_ms, query.end_ms, list(place)]
    text = json.dumps([*body, _digest(query, body)], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read(
    token: str, query: Query, *, fixed_start: bool = False, fixed_end: bool = False
) -> tuple[Query, tuple[int | str, ...]]:
    """The query with the range of its first page, and the place to go on behind. ``fixed_*``: the client gave that end of the range.

    Raises ``InvalidFieldError``.
    """
    try:
        if len(token) > LONGEST:
            raise ValueError("too long")
        start, end, place, digest = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        if digest != _digest(query, [start, end, place]):
            raise ValueError("of another query")
        if (fixed_start and start != query.start_ms) or (fixed_end and end != query.end_ms):
            raise ValueError("of another range")
        return replace(query, start_ms=start, end_ms=end), _place(query, start, end, place)
    except (ValueError, TypeError, IndexError, OverflowError, binascii.Error, RecursionError):
        raise InvalidFieldError.of(
            "page_token", "is not of this query: send what the page before gave, with all other fields as they were"
        ) from None


def _place(query: Query, start: object, end: object, place: object) -> tuple[int | str, ...]:
    """The digest has no key, so whoever wants to may write a token: its range and its place are held to the rules of any query.

    Raises ``ValueError``.
    """
    if not (_is_time(start) and _is_time(end) and 0 < end - start <= RANGE_MAX_MS + 2 * HOUR_MS):
        raise ValueError("not a range")
    if not isinstance(place, list) or len(place) != len(query.group_by) + 2:
        raise ValueError("not a place")
    bucket, *keys = place
    if not _is_time(bucket) or not all(
        isinstance(key, str) and len(key) <= KEY_MAX and "\0" not in key for key in keys
    ):
        raise ValueError("not a place")
    "".join(keys).encode()  # half a character is none: it raises
    return (bucket, *keys)


def _is_time(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= LAST_MS


def _digest(query: Query, body: Sequence[object]) -> str:
    about = [query.tenant, query.bucket, query.group_by, query.tier, query.policy, body]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:24]
