"""What is told to the outside: each hold that ends is one CloudEvent (CloudEvents 1.0, JSON format, structured mode).

Its ``id`` is "<tenant>/<seq>", the entry of the ledger, so that whoever gets one twice knows. ``partitionkey`` and ``sequence`` are
CloudEvents' own extensions: a tenant's events are numbered in the order of its books.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from .core import Kind

CONTENT_TYPE: Final = "application/cloudevents+json; charset=utf-8"
TYPES: Final = {Kind.SETTLE: "reelgate.hold.settled", Kind.RELEASE: "reelgate.hold.released"}
MONEY: Final = ("tokens", "device", "tokens_saved", "device_saved", "prepare")


def event_of(entry: Mapping[str, Any], *, source: str) -> dict[str, Any]:
    """The event of an entry (a row of `schema.entries`) that ended a hold. ``source``: a URI reference of this deployment.

    Money is in millionths of the currency. Raises ``KeyError`` for an entry that ends nothing.
    """
    return {
        "specversion": "1.0",
        "id": f"{entry['tenant']}/{entry['seq']}",
        "source": source,
        "type": TYPES[Kind(entry["kind"])],
        "time": utc(entry["at_ms"]),
        "subject": entry["name"],
        "datacontenttype": "application/json",
        "partitionkey": entry["tenant"],
        # Twenty digits, so that they sort as text, as the extension asks for.
        "sequence": f"{entry['seq']:020d}",
        "data": _data(entry),
    }


def _data(entry: Mapping[str, Any]) -> dict[str, Any]:
    charged = {"tokens": entry["charged_tokens"], "device_ms": entry["charged_ms"]}
    overrun = {"tokens": entry["overrun_tokens"], "device_ms": entry["overrun_ms"]}
    return {
        "tenant": entry["tenant"],
        "video": entry["name"],
        "run": entry["run"],
        "request_id": entry["request_id"],
        "tier": entry["tier"],
        "policy": entry["policy"],
        "cause": entry["cause"],
        "reserved_time": utc(entry["reserved_ms"]),
        "held": {"tokens": -entry["held_tokens"], "device_ms": -entry["held_ms"]},
        "charged": charged,
        "measured": {name: charged[name] + overrun[name] for name in charged},
        "overrun": overrun,
        "saved": {"tokens": entry["tokens_saved"], "device_ms": entry["saved_ms"]},
        "prepare_us": entry["prepare_us"],
        "money": {
            "price_version": entry["price_version"],
            "currency": entry["currency"],
            **{f"{name}_micros": entry[f"{name}_micros"] for name in MONEY},
        },
    }


def utc(at_ms: int) -> str:
    """RFC 3339, to the millisecond."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def encoded(event: Mapping[str, Any]) -> bytes:
    """One line of UTF-8 JSON; the same event is the same bytes."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
