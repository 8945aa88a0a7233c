"""Figures that their owners keep anyway, read from them at every scrape: the queue, caches, snapshots, breakers, the lease."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from generator_service.breaker import State
from generator_service.core import Rung
from generator_service.metrics import PREFIX

if TYPE_CHECKING:
    from generator_service.runner import Runner

Values = dict[tuple[str, ...], float]


class Figures(Collector):
    """Of one runner. Called in the thread of whoever scrapes."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def collect(self) -> Iterator[Metric]:
        """Every family is there from the start, so that an alert on it is one on something."""
        yield from self._line()
        yield from self._text()
        yield from self._learnt()
        yield from self._kept()

    def _line(self) -> Iterator[Metric]:
        waiting, begun = self._runner.depth
        depth: Values = {("waiting",): waiting, ("begun",): begun}
        yield gauge("queue_depth", "Runs that wait for their first step, and those in the middle.", ["state"], depth)

    def _text(self) -> Iterator[Metric]:
        lookups, evicted, held = Values(), Values(), Values()
        for tier, engine in self._runner.loaded.items():
            for cache, lru in (("states", engine.text.states), ("kv", engine.text.kvs)):
                lookups[tier, cache, "made"], lookups[tier, cache, "reused"] = lru.counts.made, lru.counts.reused
                evicted[tier, cache], held[tier, cache] = lru.counts.evicted, lru.bytes
        labels = ["tier", "cache"]
        asked = "Questions to the caches of the text encoder's states and of the experts' keys and values."
        yield counter("text_lookups", asked, [*labels, "result"], lookups)
        yield counter("text_evicted", "What made room for others in these caches.", labels, evicted)
        yield gauge("text_bytes", "Device memory that these caches hold.", labels, held)

    def _learnt(self) -> Iterator[Metric]:
        governor = self._runner.governor
        rungs: Values = {
            (rung.name.lower(),): governor.descent.lowered[rung] for rung in Rung if rung is not Rung.PLAIN
        }
        states, errors = Values(), Values()
        for tier, state in governor.breakers.items():
            states |= {(tier, each): float(each is state) for each in State}
            errors[tier,] = governor.estimator.error(tier)
        yield counter("oom_rungs", "Times that a run went down the ladder for want of memory.", ["rung"], rungs)
        yield gauge("breaker_state", "1 for the state in which a tier's breaker is.", ["tier", "state"], states)
        error = "Median relative error of the predicted device time of the last runs; 0 before the first."
        yield gauge("estimate_error_ratio", error, ["tier"], errors)
        yield gauge("stuck", "1 while a step is under way that should long have been made.", [], {(): governor.stuck()})

    def _kept(self) -> Iterator[Metric]:
        snapshots, beats = self._runner.snapshots, self._runner.heart.beats
        written: Values = {
            ("written",): snapshots.written,
            ("failed",): snapshots.failed,
            ("superseded",): snapshots.superseded,
        }
        yield counter("snapshots", "Snapshots written, given up, and overtaken by newer ones.", ["result"], written)
        told: Values = {(result,): count for result, count in beats.items()}
        yield counter("lease_beats", "Attempts to renew this generator's lease.", ["result"], told)
        sure: Values = {(): float(self._runner.heart.sure)}
        yield gauge("lease_held", "1 while nobody else can be making this generator's videos.", [], sure)
        held_up: Values = {(): self._runner.held_up_runs}
        yield gauge("store_held_up", "Runs that wait for a store which is full or away.", [], held_up)
        troubles: Values = {(): self._runner.troubles}
        yield counter("store_troubles", "Calls to the store that failed: it is full, gone or slow.", [], troubles)


def counter(name: str, help_: str, labels: list[str], values: Values) -> Metric:
    """``values`` by the values of ``labels``."""
    return _filled(CounterMetricFamily(f"{PREFIX}{name}", help_, labels=labels), values)


def gauge(name: str, help_: str, labels: list[str], values: Values) -> Metric:
    """As `counter`."""
    return _filled(GaugeMetricFamily(f"{PREFIX}{name}", help_, labels=labels), values)


def _filled(family: CounterMetricFamily | GaugeMetricFamily, values: Values) -> Metric:
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family
