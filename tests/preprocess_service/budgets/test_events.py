"""What a CloudEvent of a hold says."""

from __future__ import annotations

import json

import pytest

from preprocess_service.budgets.events import encoded, event_of

from .stores import JANUARY, entry


def test_a_settlement_is_a_cloud_event_with_all_figures_apart() -> None:
    row = entry(
        seq=7,
        held_tokens=-64,
        held_ms=-5000,
        charged_tokens=64,
        charged_ms=5000,
        overrun_ms=250,
        tokens_saved=-3,
        saved_ms=0,
        prepare_us=900,
        price_version="2026-01",
        currency="USD",
        tokens_micros=1280,
        device_micros=6000,
        tokens_saved_micros=-60,
        prepare_micros=1,
    )
    event = event_of(row, source="/gate/1")
    assert {k: v for k, v in event.items() if k != "data"} == {
        "specversion": "1.0",
        "id": "acme/7",
        "source": "/gate/1",
        "type": "reelgate.hold.settled",
        "time": "2026-01-01T00:00:00.007Z",
        "subject": "videos/7",
        "datacontenttype": "application/json",
        "partitionkey": "acme",
        "sequence": "00000000000000000007",
    }
    data = event["data"]
    assert data["held"] == {"tokens": 64, "device_ms": 5000}
    assert data["charged"] == {"tokens": 64, "device_ms": 5000}
    assert data["measured"] == {"tokens": 64, "device_ms": 5250}
    assert data["overrun"] == {"tokens": 0, "device_ms": 250}
    assert data["saved"] == {"tokens": -3, "device_ms": 0}
    assert data["money"] == {
        "price_version": "2026-01",
        "currency": "USD",
        "tokens_micros": 1280,
        "device_micros": 6000,
        "tokens_saved_micros": -60,
        "device_saved_micros": 0,
        "prepare_micros": 1,
    }
    assert data["cause"] == "done"
    assert json.loads(encoded(event)) == event


def test_a_release_has_its_own_type_and_what_ends_nothing_is_no_event() -> None:
    assert event_of(entry(kind="release", cause="failed"), source="x")["type"] == "reelgate.hold.released"
    with pytest.raises(KeyError):
        event_of(entry(kind="reserve"), source="x")


def test_an_event_is_one_line_and_the_same_bytes_again() -> None:
    row = entry(request_id='a\n"b"\u2028', at_ms=JANUARY)
    assert encoded(event_of(row, source="x")) == encoded(event_of(dict(reversed(row.items())), source="x"))
    assert b"\n" not in encoded(event_of(row, source="x"))
