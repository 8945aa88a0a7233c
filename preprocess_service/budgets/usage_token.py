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

from reelgate.rpc.errors import InvalidFieldError

from .usage_rules import Query

LONGEST = 2048


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
        return replace(query, start_ms=int(start), end_ms=int(end)), (int(place[0]), *map(str, place[1:]))
    except (ValueError, TypeError, IndexError, binascii.Error, RecursionError):
        raise InvalidFieldError.of(
            "page_token", "is not of this query: send what the page before gave, with all other fields as they were"
        ) from None


def _digest(query: Query, body: Sequence[object]) -> str:
    about = [query.tenant, query.bucket, query.group_by, query.tier, query.policy, body]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:24]
