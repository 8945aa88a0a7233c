"""What budgets tell Prometheus. The gate and the reconciler call; each label is bound once, so that a call costs a microsecond or two.

Labels are bounded: tenants by the allow-list, tiers by the settings, all others by enumerations of this package.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ..tenant_labels import TenantLabels
from .core import DEGRADED, Amount, Decision, Settled
from .ledger import Drift

PREFIX: Final = "reelgate_budget_"
RATIOS: Final = (0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.25, 1.5, 2.0, 4.0)
LAGS: Final = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0)
EXPECTED: Final = 4096
"""Runs under way whose estimate is remembered here; those of the replica that admitted them."""
Figure = TypeVar("Figure", Counter, Gauge, Histogram)


class BudgetFigures:
    """Safe from any thread. What is not called stays 0 or absent."""

    def __init__(self, registry: CollectorRegistry | None = None, tenants: TenantLabels | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        self.tenants = tenants or TenantLabels()
        self._bound: dict[tuple[str, ...], Counter | Gauge | Histogram] = {}
        self._expected: OrderedDict[tuple[str, str], tuple[int, int]] = OrderedDict()
        self._decisions = self._counter(
            "decisions", "Reservations asked for, by what became of them.", "tenant", "outcome"
        )
        self._soft = self._counter("soft_passed", "Reservations that passed a soft limit.", "tenant", "subject")
        self._refused = self._counter("refused", "Requests refused by budgets, by reason.", "tenant", "reason")
        self._ended = self._counter("reservations_ended", "Holds that ended, by cause.", "tier", "cause")
        self._tokens = self._counter("charged_tokens", "Budget tokens charged.", "tenant", "tier")
        self._device = self._counter("charged_device_seconds", "Device time charged.", "tenant", "tier")
        self._over_tokens = self._counter("overrun_tokens", "Tokens measured, and booked to the operator.", "tier")
        self._over_device = self._counter(
            "overrun_device_seconds", "Device time measured, and booked to the operator.", "tier"
        )
        self._cost = self._counter(
            "cost", "Money charged, in units of the currency.", "tenant", "tier", "kind", "currency"
        )
        self._throttled = self._counter("throttled", "Requests refused because use is abnormal.", "tenant")
        self._raised = self._counter("abnormal_raised", "Signals of abnormal use that came up.", "tenant", "signal")
        self._ratio = Histogram(
            f"{PREFIX}estimate_ratio",
            "Device time measured over device time estimated, of runs that ended with their video.",
            ["tier", "quantile_estimated"],
            buckets=RATIOS,
            registry=self.registry,
        )
        self._lag = Histogram(
            f"{PREFIX}settle_lag_seconds",
            "From the end of a run to its settlement.",
            buckets=LAGS,
            registry=self.registry,
        )
        self._drift = self._gauge(
            "drift_windows", "Windows whose totals are not what their holds and entries add up to."
        )
        self._checked = self._gauge("drift_checked_timestamp_seconds", "When that was looked at last; 0: never.")
        self._waiting = self._gauge("outbox_waiting", "Settlements that were not told to the outside yet.")
        self._given_up = self._gauge("outbox_given_up", "Settlements that the outside did not take in all tries.")
        self._unavailable = self._counter("ledger_unavailable", "Calls that the ledger did not answer.")

        self._slices = self._gauge(
            "degraded_slice_left",
            "What this replica may still spend without the ledger; seconds of device time.",
            "currency",
        )
        self._unbooked = self._gauge("degraded_unbooked", "Runs granted without the ledger that are not in it yet.")

    def decided(self, tenant: str, decision: Decision, warnings: Sequence[str] = ()) -> None:
        """The ledger answered an ask. ``shadow``: it would have been refused. ``warnings``: "soft:<subject>"."""
        label = self.tenants.of(tenant)
        if decision.hold is None:
            outcome = "refused"
        elif DEGRADED in decision.warnings:
            outcome = DEGRADED
        elif decision.refusals:
            outcome = "shadow"
        else:
            outcome = "granted" if decision.fresh else "found"
        self._of(self._decisions, label, outcome).inc()
        for warning in warnings or decision.warnings:
            kind, _, subject = warning.partition(":")
            if kind == "soft":
                self._of(self._soft, label, subject).inc()

    def expected(self, name: str, run: str, p50_ms: int, p95_ms: int) -> None:
        """What a run is estimated to take, told before it is forwarded."""
        if p50_ms or p95_ms:
            self._expected[name, run] = (p50_ms, p95_ms)
            if len(self._expected) > EXPECTED:
                self._expected.popitem(last=False)

    def settled(self, settled: Settled) -> None:
        """A hold ended."""
        hold, label = settled.hold, self.tenants.of(settled.hold.tenant)
        self._of(self._ended, hold.tier, hold.cause or "").inc()
        self._of(self._tokens, label, hold.tier).inc(settled.charged.tokens)
        self._of(self._device, label, hold.tier).inc(settled.charged.device_ms / 1000)
        self._of(self._over_tokens, hold.tier).inc(max(0, settled.overrun.tokens))
        self._of(self._over_device, hold.tier).inc(max(0, settled.overrun.device_ms) / 1000)
        self._priced(label, hold.tier, settled)
        estimated = self._expected.pop((hold.name, hold.run), None)
        if estimated is not None and hold.cause == "done":
            for name, ms in zip(("p50", "p95"), estimated, strict=True):
                if ms:
                    self._of(self._ratio, hold.tier, name).observe(settled.measured.device_ms / ms)

    def lagged(self, seconds: float) -> None:
        """A run was settled so long after it had ended."""
        self._lag.observe(max(0.0, seconds))

    def refused(self, tenant: str, reason: str) -> None:
        """A request was refused, by a reason of the contract."""
        self._of(self._refused, self.tenants.of(tenant), reason).inc()

    def throttled(self, tenant: str) -> None:
        """A request was refused because use is abnormal."""
        self._of(self._throttled, self.tenants.of(tenant)).inc()

    def raised(self, tenant: str, signal: str) -> None:
        """A signal of abnormal use came up."""
        self._of(self._raised, self.tenants.of(tenant), signal).inc()

    def unavailable(self) -> None:
        """The ledger did not answer."""
        self._unavailable.inc()

    def slices(self, left: Amount, unbooked: int) -> None:
        """What may still be granted without the ledger, and how many runs that were granted so wait for it."""
        self._of(self._slices, "tokens").set(left.tokens)
        self._of(self._slices, "device_seconds").set(left.device_ms / 1000)
        self._unbooked.set(unbooked)

    def drift(self, found: Iterable[Drift], at_ms: int) -> None:
        """The ledger was looked at as a whole."""
        self._drift.set(len(tuple(found)))
        self._checked.set(at_ms / 1000)

    def outbox(self, waiting: int, given_up: int) -> None:
        """How many settlements wait to be told, and how many were given up."""
        self._waiting.set(waiting)
        self._given_up.set(given_up)

    def read(self, name: str, help_: str, value: Callable[[], float]) -> None:
        """A figure that its owner keeps anyway, asked at every scrape: the outbox, the reconciler's last round."""
        self._gauge(name, help_).set_function(value)

    def _priced(self, label: str, tier: str, settled: Settled) -> None:
        price, charged = settled.price, settled.charged
        if not price.version:
            return
        for kind, micros in (("tokens", price.tokens(charged.tokens)), ("device", price.device(charged.device_ms))):
            self._of(self._cost, label, tier, kind, price.currency).inc(max(0, micros) / 1e6)

    def _of(self, figure: Figure, *labels: str) -> Figure:
        key = (figure._name, *labels)
        bound = self._bound.get(key)
        if bound is None:
            bound = self._bound[key] = figure.labels(*labels)
        return bound  # type: ignore[return-value]  # a key has the name of its figure

    def _counter(self, name: str, help_: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}{name}", help_, labels, registry=self.registry)

    def _gauge(self, name: str, help_: str, *labels: str) -> Gauge:
        return Gauge(f"{PREFIX}{name}", help_, labels, registry=self.registry)
