"""Budgets as they stand, for Prometheus: read from the ledger every so often, since a scrape cannot wait for it.

Only tenants of the allow-list are read: a sum of other tenants' limits would mean nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from . import decide
from .abnormal import SIGNALS, Abnormal
from .books import Books
from .core import COUNTED, Standing, Totals, Window
from .figures import PREFIX, BudgetFigures

HELP: Final = {
    "limit": "What a window may hold, with raises and what was carried over; absent: no limit.",
    "held": "Set aside in the window for runs that have not ended.",
    "charged": "Charged in the window.",
    "free": "limit - held - charged; negative where a limit was lowered.",
}
CURRENCIES: Final = ("tokens", "device_ms")


class Standings(Collector):
    """`read` in the service's loop, every few seconds; a scrape shows what was read last. Device time is shown in seconds."""

    def __init__(self, books: Books, abnormal: Abnormal, figures: BudgetFigures) -> None:
        self._books, self._abnormal, self._tenants = books, abnormal, figures.tenants
        self._read: tuple[Standing, ...] = ()
        figures.registry.register(self)

    async def read(self) -> None:
        """Raises ``BudgetStoreUnavailableError``."""
        books, found = self._books, []
        for tenant in self._tenants.named():
            found.append(await books.ledger.standing(tenant, await books.filed(tenant), books.now()))
        self._read = tuple(found)

    def collect(self) -> Iterator[Metric]:
        labels = ["tenant", "window", "currency"]
        families = {name: GaugeMetricFamily(f"{PREFIX}{name}", help_, labels=labels) for name, help_ in HELP.items()}
        holds = GaugeMetricFamily(f"{PREFIX}open_holds", "Runs that something is held for.", labels=["tenant"])
        for standing in self._read:
            holds.add_metric([standing.tenant], standing.open_holds)
            for window in COUNTED:
                for currency in CURRENCIES:
                    for name, value in _figures(standing, window, currency).items():
                        unit, by = ("device_seconds", 1000) if currency == "device_ms" else (currency, 1)
                        families[name].add_metric([standing.tenant, window, unit], value / by)
        yield from families.values()
        yield holds
        yield from self._abnormal_use()

    def _abnormal_use(self) -> Iterator[Metric]:
        """How many tenants of each label have a signal: the tenant's own is 0 or 1."""
        at, labels = self._books.now(), ["tenant", "signal"]
        flags = GaugeMetricFamily(
            f"{PREFIX}abnormal_tenants", "Tenants whose use is abnormal now, by signal.", labels=labels
        )
        counts = {(tenant, signal): 0 for tenant in self._tenants.named() for signal in SIGNALS}
        for tenant, signals in self._abnormal.flagged(at).items():
            for signal in signals:
                key = (self._tenants.of(tenant), signal)
                counts[key] = counts.get(key, 0) + 1
        for key, count in counts.items():
            flags.add_metric(list(key), count)
        yield flags
        help_ = "Reserved in five minutes over what is usual for the tenant at this hour; 0 while too little is known."
        velocity = GaugeMetricFamily(f"{PREFIX}spend_velocity_ratio", help_, labels=["tenant"])
        for tenant in self._tenants.named():
            velocity.add_metric([tenant], self._abnormal.velocity(tenant, at))
        yield velocity


def _figures(standing: Standing, window: Window, currency: str) -> dict[str, int]:
    totals = standing.totals.get(window, Totals())
    held, charged = getattr(totals.held, currency), getattr(totals.charged, currency)
    found = {"held": held, "charged": charged}
    limit = decide.effective(standing.allowance, window, standing.at_ms, standing.befores.get(window, Totals()))
    most = getattr(limit, currency) if limit is not None else None
    return found if most is None else found | {"limit": most, "free": most - held - charged}
