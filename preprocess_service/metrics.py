"""Figures for Prometheus: one registry a service, every label bound when it is made, so that counting costs next to nothing."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

LEVELS: Final = ("raw", "line", "redis")
REDIS_TROUBLES: Final = ("timeout", "down", "busy", "damaged", "open")


class Metrics:
    """All counters of the service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        lookups = self._counter("cache_lookups", "Questions to a level of the prompt cache.", ["level", "result"])
        self.hits = {level: lookups.labels(level=level, result="hit") for level in LEVELS}
        self.misses = {level: lookups.labels(level=level, result="miss") for level in LEVELS}
        troubles = self._counter("cache_redis_troubles", "Times that Redis was left out, by cause.", ["cause"])
        self.redis_troubles = {cause: troubles.labels(cause=cause) for cause in REDIS_TROUBLES}
        self._prompts: dict[tuple[str, str, str], int] = {}
        self.registry.register(_Prompts(self._prompts))
        self.uncacheable = self._counter("cache_uncacheable", "Results that were not kept because a stage had failed.")

    def prepared(self, tenant: str, rung: str, verdict: str) -> None:
        """One prompt is answered, from a cache or not: a hit replays its verdict and counts."""
        key = (tenant, rung, verdict)
        self._prompts[key] = self._prompts.get(key, 0) + 1

    def rejected(self, tenant: str) -> None:
        """Screening refused a prompt."""
        self.prepared(tenant, "", "rejected")

    def read(self, name: str, help_: str, levels: Callable[[], Mapping[str, float]], *, counts: bool) -> None:
        """A figure that its owner keeps anyway: ``levels`` (level -> figure) is asked at every scrape."""
        self.registry.register(_Read(_full(name), help_, levels, CounterMetricFamily if counts else GaugeMetricFamily))

    def _counter(self, name: str, help_: str, labels: list[str] | None = None) -> Counter:
        return Counter(_full(name), help_, labels or [], registry=self.registry)


class _Prompts(Collector):
    """Counted in a dictionary by the event loop's thread, a fifth of the cost of two counters, and summed at a scrape. Tenants are
    known callers, so they are few."""

    def __init__(self, counts: dict[tuple[str, str, str], int]) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        prompts = CounterMetricFamily(
            _full("prompts"),
            "Prompts prepared, by what shortened them last; cut: head and tail, the last resort.",
            labels=["rung"],
        )
        screened = CounterMetricFamily(
            _full("screened"), "Prompts screened, by tenant and verdict.", labels=["tenant", "verdict"]
        )
        rungs: Counts[str] = Counts()
        verdicts: Counts[tuple[str, str]] = Counts()
        for (tenant, rung, verdict), count in dict(self._counts).items():
            verdicts[tenant, verdict] += count
            if rung:
                rungs[rung] += count
        for rung, count in rungs.items():
            prompts.add_metric([rung], count)
        for labels, count in verdicts.items():
            screened.add_metric(list(labels), count)
        yield prompts
        yield screened


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
