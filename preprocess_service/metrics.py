"""Figures for Prometheus: one registry a service, every label bound when it is made, so that counting costs next to nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from .tally import Tally
from .tenant_labels import TenantLabels

LEVELS: Final = ("raw", "line", "redis")
REDIS_TROUBLES: Final = ("timeout", "down", "busy", "damaged", "open")
TOKENS: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
"""Bounds of OpenTelemetry's conventions for `gen_ai.client.token.usage`."""
MODEL_CALL: Final = {
    "gen_ai_operation_name": "generate_content",
    "gen_ai_provider_name": "reelgate",
    "gen_ai_token_type": "input",
}


class Metrics:
    """All counters of the service."""

    def __init__(self, tenants: TenantLabels | None = None) -> None:
        """``tenants``: those with figures of their own; None: nobody has."""
        self.registry = CollectorRegistry()
        self.tenants = tenants or TenantLabels()
        lookups = self._counter("cache_lookups", "Questions to a level of the prompt cache.", ["level", "result"])
        self.hits = {level: lookups.labels(level=level, result="hit") for level in LEVELS}
        self.misses = {level: lookups.labels(level=level, result="miss") for level in LEVELS}
        troubles = self._counter("cache_redis_troubles", "Times that Redis was left out, by cause.", ["cause"])
        self.redis_troubles = {cause: troubles.labels(cause=cause) for cause in REDIS_TROUBLES}
        self.tally = Tally(self.tenants)
        self.registry.register(self.tally)
        self._used = Histogram(
            "gen_ai_client_token_usage",
            "Budget tokens of prompts that were sent to be made into videos: the final prompt, and the client's negative prompt.",
            [*MODEL_CALL, "gen_ai_request_model"],
            buckets=TOKENS,
            registry=self.registry,
        )
        self._used_of: dict[str, Histogram] = {}
        self.uncacheable = self._counter("cache_uncacheable", "Results that were not kept because a stage had failed.")

    def sent(self, tier: str, tokens: int) -> None:
        """A prompt goes on to the generator. A dry run is no use of the model."""
        bound = self._used_of.get(tier)
        if bound is None:
            bound = self._used_of[tier] = self._used.labels(**MODEL_CALL, gen_ai_request_model=tier)
        bound.observe(tokens)

    def read(self, name: str, help_: str, levels: Callable[[], Mapping[str, float]], *, counts: bool) -> None:
        """A figure that its owner keeps anyway: ``levels`` (level -> figure) is asked at every scrape."""
        self.registry.register(_Read(_full(name), help_, levels, CounterMetricFamily if counts else GaugeMetricFamily))

    def _counter(self, name: str, help_: str, labels: list[str] | None = None) -> Counter:
        return Counter(_full(name), help_, labels or [], registry=self.registry)


class _Read(Collector):
    def __init__(
        self,
        name: str,
        help_: str,
        levels: Callable[[], Mapping[str, float]],
        family: type[CounterMetricFamily] | type[GaugeMetricFamily],
    ) -> None:
        self._name, self._help, self._levels, self._family = name, help_, levels, family

    def collect(self) -> Iterator[Metric]:
        family = self._family(self._name, self._help, labels=["level"])
        for level, value in self._levels().items():
            family.add_metric([level], value)
        yield family


def _full(name: str) -> str:
    return f"reelgate_preprocess_{name}"
