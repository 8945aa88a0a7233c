"""Usage in the columns of FOCUS 1.2, the FinOps Open Cost and Usage Specification (https://focus.finops.org, columns as of its tag v1.2).

All 21 mandatory columns are there. Each row of usage becomes two charges, one of tokens and one of device time: they are never mixed.
List, contracted, billed and effective cost are the same: there are no discounts here. What compression and stored work saved, and what
preparing cost, are no charges: they stand in columns of our own (x_), which no FOCUS tool adds to a bill.

Not there: InvoiceId (we make no invoices), SkuId and its kin with ListUnitPrice (a bucket may hold several versions of the price
table), ResourceId and ResourceType (a row is many videos), commitment discounts, regions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from reelgate.budgets import UsageRow
from reelgate.exports import csv_lines, decimal, utc

VERSION: Final = "1.2"
MANDATORY: Final = (
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
)
MORE: Final = (
    "ChargeFrequency",
    "ConsumedQuantity",
    "ConsumedUnit",
    "PricingCategory",
    "ServiceSubcategory",
    "SubAccountId",
    "SubAccountName",
    "Tags",
)
OWN: Final = (
    "x_Requests",
    "x_SavedQuantity",
    "x_SavedCost",
    "x_OverrunQuantity",
    "x_PrepareSeconds",
    "x_PrepareCost",
)
COLUMNS: Final = (*MANDATORY, *MORE, *OWN)


@dataclass(frozen=True, kw_only=True, slots=True)
class Issuer:
    """Who runs this deployment, and on whose account: figures of the bill that the books do not know."""

    provider: str = "Reelgate"
    account: str = "reelgate"


def as_focus(rows: Iterable[UsageRow], *, bucket: str, issuer: Issuer = Issuer()) -> Iterator[str]:
    """Lines of CSV. ``bucket``: that of ``rows``, "hour", "day" or "month"."""
    return csv_lines(COLUMNS, (charge for row in rows for charge in charges(row, bucket=bucket, issuer=issuer)))


def charges(row: UsageRow, *, bucket: str, issuer: Issuer) -> tuple[dict[str, object], dict[str, object]]:
    """Of tokens, and of device time."""
    shared = _shared(row, bucket, issuer)
    about = ", ".join(f"{name} {value}" for name, value in _tags(row).items())
    tokens = {
        "ChargeDescription": f"Prompt tokens charged{f': {about}' if about else ''}",
        "ConsumedQuantity": row.tokens,
        "ConsumedUnit": "Tokens",
        "PricingQuantity": decimal(row.tokens, 3),
        "PricingUnit": "1000 Tokens",
        "x_SavedQuantity": row.tokens_saved,
        "x_SavedCost": decimal(row.tokens_saved_micros, 6),
        # Tokens are counted before they are held: there is nothing to run over.
        "x_OverrunQuantity": 0,
        # Preparing makes the prompt: its cost stands with the tokens, once.
        "x_PrepareSeconds": decimal(row.prepare_us, 6),
        "x_PrepareCost": decimal(row.prepare_micros, 6),
    }
    device = {
        "ChargeDescription": f"Device time charged{f': {about}' if about else ''}",
        "ConsumedQuantity": decimal(row.device_ms, 3),
        "ConsumedUnit": "Seconds",
        "PricingQuantity": decimal(row.device_ms, 3),
        "PricingUnit": "Seconds",
        "x_SavedQuantity": decimal(row.device_ms_saved, 3),
        "x_SavedCost": decimal(row.device_saved_micros, 6),
        "x_OverrunQuantity": decimal(row.overrun_device_ms, 3),
        "x_PrepareSeconds": decimal(0, 6),
        "x_PrepareCost": decimal(0, 6),
    }
    return shared | tokens | _cost(row.tokens_micros), shared | device | _cost(row.device_micros)


def _shared(row: UsageRow, bucket: str, issuer: Issuer) -> dict[str, object]:
    month = _begin(row.bucket_start, "month")
    return {
        "BillingAccountId": issuer.account,
        "BillingAccountName": issuer.account,
        "BillingCurrency": row.currency,
        "BillingPeriodStart": utc(month),
        "BillingPeriodEnd": utc(_end(month, "month")),
        "ChargeCategory": "Usage",
        "ChargeClass": "",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": utc(row.bucket_start),
        "ChargePeriodEnd": utc(_end(row.bucket_start, bucket)),
        "InvoiceIssuerName": issuer.provider,
        "PricingCategory": "Standard",
        "ProviderName": issuer.provider,
        "PublisherName": issuer.provider,
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": "Reelgate",
        "ServiceSubcategory": "Generative AI",
        "SubAccountId": row.tenant,
        "SubAccountName": row.tenant,
        "Tags": json.dumps(_tags(row), ensure_ascii=False, separators=(",", ":")),
        "x_Requests": row.requests,
    }


def _cost(micros: int) -> dict[str, object]:
    return dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"), decimal(micros, 6))


def _tags(row: UsageRow) -> dict[str, str]:
    """What it was for; what the query summed up is not said."""
    return {name: value for name, value in (("policy", row.policy), ("tier", row.tier)) if value}


def _begin(moment: datetime, bucket: str) -> datetime:
    hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return hour if bucket == "hour" else hour.replace(hour=0) if bucket == "day" else hour.replace(hour=0, day=1)


def _end(start: datetime, bucket: str) -> datetime:
    """When the next bucket begins. 32 days from the first are always in the next month."""
    return _begin(
        start + {"hour": timedelta(hours=1), "day": timedelta(days=1)}.get(bucket, timedelta(days=32)), bucket
    )
