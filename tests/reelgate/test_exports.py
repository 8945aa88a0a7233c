"""Usage as CSV, JSON lines and FOCUS columns."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelgate import exports, focus
from reelgate.budgets import UsageRow
from reelgate.focus import Issuer

ROW = UsageRow(
    tenant="acme",
    tier="full",
    policy="economy",
    bucket_start=datetime(2026, 1, 31, tzinfo=UTC),
    requests=3,
    tokens=1234,
    tokens_saved=-7,
    device_ms=90_500,
    overrun_device_ms=250,
    device_ms_saved=30_000,
    prepare_us=1500,
    done=2,
    stored=1,
    cancelled=0,
    failed=0,
    tokens_micros=24_680,
    device_micros=108_600,
    tokens_saved_micros=-140,
    device_saved_micros=36_000,
    prepare_micros=3,
    currency="USD",
)


def read(lines: object) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO("".join(lines), newline="")))  # type: ignore[call-overload]


def test_csv_has_every_column_of_the_contract_and_exact_figures() -> None:
    (row,) = read(exports.as_csv([ROW]))
    assert tuple(row) == exports.COLUMNS
    assert (row["bucket_start"], row["tokens_saved"], row["tokens_saved_micros"]) == (
        "2026-01-31T00:00:00Z",
        "-7",
        "-140",
    )
    assert read(exports.as_csv([])) == []


def test_json_is_an_object_a_line() -> None:
    lines = list(exports.as_json([ROW, replace(ROW, tenant="é\n")]))
    assert [json.loads(line)["tenant"] for line in lines] == ["acme", "é\n"]
    assert all(line.count("\n") == 1 for line in lines)
    assert json.loads(lines[0])["tokens_saved"] == -7


@pytest.mark.parametrize(
    "name", ["=1+1", "+1", "-x", "@SUM(A1)", "\tx", '=HYPERLINK("http://a","b"),c', "\r=1", "\n=1"]
)
def test_no_name_becomes_a_formula(name: str) -> None:
    row = replace(ROW, tenant=name, tier=name, policy=name)
    for made in (exports.as_csv([row]), focus.as_focus([row], bucket="day")):
        for found in read(made):
            cells = [value for key, value in found.items() if not key.startswith(("tokens_saved", "x_Saved"))]
            assert not [cell for cell in cells if cell.startswith(exports.RISKY)]
    (found,) = read(exports.as_csv([row]))
    assert found["tenant"] == f"'{name}"


def test_focus_has_all_mandatory_columns_and_a_charge_for_each_currency() -> None:
    tokens, device = read(focus.as_focus([ROW], bucket="day", issuer=Issuer(provider="Studio", account="42")))
    assert len(focus.MANDATORY) == 21
    assert set(focus.MANDATORY) <= set(tokens)
    assert all(name.startswith("x_") for name in focus.OWN)
    for charge in (tokens, device):
        assert (charge["BillingPeriodStart"], charge["BillingPeriodEnd"]) == (
            "2026-01-01T00:00:00Z",
            "2026-02-01T00:00:00Z",
        )
        assert (charge["ChargePeriodStart"], charge["ChargePeriodEnd"]) == (
            "2026-01-31T00:00:00Z",
            "2026-02-01T00:00:00Z",
        )
        assert charge["ServiceCategory"] == "AI and Machine Learning"
        assert (charge["ProviderName"], charge["BillingAccountId"], charge["SubAccountId"]) == ("Studio", "42", "acme")
        assert json.loads(charge["Tags"]) == {"policy": "economy", "tier": "full"}
        nulls = {name for name in focus.MANDATORY if not charge[name]}
        assert nulls == {"ChargeClass"}
    assert (tokens["ConsumedQuantity"], tokens["ConsumedUnit"]) == ("1234", "Tokens")
    assert (tokens["PricingQuantity"], tokens["PricingUnit"]) == ("1.234", "1000 Tokens")
    assert (tokens["BilledCost"], tokens["x_SavedCost"]) == ("0.024680", "-0.000140")
    assert tokens["x_SavedQuantity"] == "-7"
    assert (device["ConsumedQuantity"], device["ConsumedUnit"], device["BilledCost"]) == (
        "90.500",
        "Seconds",
        "0.108600",
    )
    assert (device["x_OverrunQuantity"], device["x_SavedQuantity"], device["x_PrepareCost"]) == (
        "0.250",
        "30.000",
        "0.000000",
    )


@pytest.mark.parametrize(
    ("bucket", "start", "end"),
    [
        ("hour", datetime(2026, 12, 31, 23, tzinfo=UTC), "2027-01-01T00:00:00Z"),
        ("day", datetime(2028, 2, 28, tzinfo=UTC), "2028-02-29T00:00:00Z"),
        ("month", datetime(2026, 12, 1, tzinfo=UTC), "2027-01-01T00:00:00Z"),
        ("month", datetime(2028, 2, 1, tzinfo=UTC), "2028-03-01T00:00:00Z"),
    ],
)
def test_a_charge_ends_where_the_next_bucket_begins(bucket: str, start: datetime, end: str) -> None:
    (tokens, _) = focus.charges(replace(ROW, bucket_start=start), bucket=bucket, issuer=Issuer())
    assert tokens["ChargePeriodEnd"] == end


@given(st.integers(-(10**18), 10**18), st.sampled_from([3, 6]))
def test_a_decimal_is_exact(units: int, digits: int) -> None:
    text = str(exports.decimal(units, digits))
    assert Decimal(text).scaleb(digits) == units
    assert "E" not in text
    assert len(text.rpartition(".")[2]) == digits


def test_totals_never_add_up_two_currencies() -> None:
    euros = replace(ROW, currency="EUR", tokens=1)
    rows = [ROW, replace(ROW, tenant="zeta", tokens_saved=-1), euros]
    assert [(row.currency, row.tokens, row.tokens_saved, row.requests) for row in exports.totals(rows)] == [
        ("EUR", 1, -7, 3),
        ("USD", 2468, -8, 6),
    ]
    assert exports.totals([]) == []
