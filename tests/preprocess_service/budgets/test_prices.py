"""The price table: exact, by version, read again."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from preprocess_service.budgets import prices
from preprocess_service.budgets.prices import micros, moment

EXAMPLE = Path(__file__).parents[3] / "deploy" / "prices.example.yaml"
TABLE = """
versions:
  - {version: b, from: 2026-02-01, currency: EUR, per_1000_tokens: 0.3, per_device_second: {full: 1, default: "0.5"}}
  - {version: a, from: 2026-01-01T00:00:00+01:00, currency: USD, per_1000_tokens: "0.1", per_device_second: {default: 0.000001},
     per_prepare_second: 2}
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "prices.yaml"
    path.write_text(TABLE)
    return path


def test_without_a_file_everything_is_free_and_says_so() -> None:
    price = prices.load(None).at("full", 0)
    assert (price.version, price.tokens(10**6), price.device(10**6), price.prepare(10**6)) == ("none", 0, 0, 0)


def test_the_version_of_the_time_counts_whatever_the_order_in_the_file(table: Path) -> None:
    loaded = prices.load(table)
    first, second = moment("2026-01-01T00:00:00+01:00"), moment("2026-02-01T00:00:00Z")
    assert [loaded.at("full", at).version for at in (first - 1, first, second - 1, second)] == ["none", "a", "a", "b"]
    assert loaded.at("full", second).device_micros == 1_000_000
    assert loaded.at("other", second).device_micros == 500_000
    assert loaded.at("full", second).currency == "EUR"


def test_decimals_become_micros_exactly(table: Path) -> None:
    # 0.3 as a float, times a million, is 299999.99999999994.
    assert prices.load(table).at("full", moment("2026-03-01")).tokens_micros == 300_000
    assert (micros("0.000001"), micros(3), micros("1000000000")) == (1, 3_000_000, 10**15)


@pytest.mark.parametrize("wrong", ["0.0000001", "-1", "1e3", "nan", "inf", "", "1,5", "1000000001", "true", "0x10"])
def test_what_is_no_exact_price_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"price|digits"):
        micros(wrong)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("version: b", "version: a"), "more than one version is called a"),
        (("from: 2026-02-01", "from: 2025-12-31T23:00:00Z"), "the same time"),
        (('default: "0.5"', 'draft: "0.5"'), "needs 'default'"),
        (("currency: EUR", "currency: euro"), "currency"),
        (("per_prepare_second", "per_prepared_second"), "Extra inputs"),
        (("from: 2026-02-01", "from: soon"), "is no time"),
        (("version: b", "version: none"), "choose another name"),
        (("versions:", "versions: ["), "prices.yaml"),
    ],
)
def test_a_wrong_table_is_refused_at_the_start_with_its_name(table: Path, change: tuple[str, str], says: str) -> None:
    table.write_text(TABLE.replace(*change))
    with pytest.raises(ValueError, match=says) as told:
        prices.load(table)
    assert "prices.yaml" in str(told.value)


def test_a_change_counts_from_the_next_question_and_a_broken_one_is_logged(
    table: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loaded, at = prices.load(table), moment("2026-03-01")
    table.write_text(TABLE.replace("per_1000_tokens: 0.3", "per_1000_tokens: 0.75"))
    os.utime(table, (1, 1))
    assert loaded.at("full", at).tokens_micros == 750_000
    table.write_text("versions: []")
    with caplog.at_level(logging.ERROR):
        assert loaded.at("full", at).tokens_micros == 750_000
        assert loaded.at("full", at).tokens_micros == 750_000
    assert len(caplog.records) == 1
    table.unlink()
    assert loaded.at("full", at).tokens_micros == 750_000


def test_the_example_is_a_table() -> None:
    price = prices.load(EXAMPLE).at("draft", moment("2026-06-01"))
    assert (price.version, price.currency, price.device_micros) == ("2026-01", "USD", 400)
