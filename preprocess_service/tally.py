"""What receipts say, added up for Prometheus: tokens by stage, what was removed and why, how each prompt was shortened.

A hit replays a receipt, so it counts as the prompt that it is. Reading a receipt takes longer than answering a hit from it, so hits
are only counted by the bytes they were answered with; each is read once, when somebody asks or many are waiting.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from threading import Lock
from typing import Final

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from reelgate.preprocess.v1 import preprocess_pb2 as pb

from .convert import COMPRESSORS, VERDICTS
from .tenant_labels import TenantLabels

WAITING: Final = 256
"""Answers of different bytes that wait to be read."""
REASONS: Final = 64
"""Pairs of stage and reason that are told apart; there are about two dozen."""
RUNGS: Final = {number: {"head_tail": "cut"}.get(name, name) for name, number in COMPRESSORS.items()}
SCREENED: Final = {number: name for name, number in VERDICTS.items()} | {pb.SCREENING_VERDICT_UNSPECIFIED: "none"}
FAMILIES: Final = {
    "prompts": ("Prompts prepared, by what shortened them last; cut: head and tail, the last resort.", ("rung",)),
    "screened": ("Prompts screened, by tenant and verdict.", ("tenant", "verdict")),
    "signals": ("Prompts with a signal of screening over its limit, by tenant and signal.", ("tenant", "signal")),
    "cut": ("Prompts that ended in the cut by head and tail.", ("tenant",)),
    "deep_compressed": ("Prompts that were cut to less than half of their tokens.", ("tenant",)),
    "unfaithful": ("Prompts that lost something mandatory.", ("tenant",)),
    "tokens_in": ("Tokens of the prompts as they came.", ("tenant", "tier", "policy")),
    "tokens_out": ("Tokens of the prompts as they were answered.", ("tenant", "tier", "policy")),
    "stage_tokens_in": ("Tokens that came into a stage of the line.", ("stage",)),
    "stage_tokens_out": ("Tokens that left a stage of the line.", ("stage",)),
    "removed_characters": ("Code points that a stage took out, by its reason.", ("stage", "reason")),
    "stage_seconds": ("Time that stages took; hits take none.", ("stage",)),
}
Row = tuple[str, ...]
"""Name of a family, then its labels."""


class Tally(Collector):
    """Safe from any thread: calls count in one, scrapes come in others."""

    def __init__(self, tenants: TenantLabels) -> None:
        self._tenants = tenants
        self._lock = Lock()
        self._waiting: dict[tuple[str, bytes], int] = {}
        self._sums: Counter[Row] = Counter()
        self._reasons: set[tuple[str, str]] = set()

    def first(self, tenant: str, receipt: pb.Receipt) -> None:
        """A prompt is answered with a receipt that was made for it."""
        rows = list(self._rows(self._tenants.of(tenant), receipt))
        if receipt.cache != pb.CACHE_RESULT_HIT:
            rows += [(("stage_seconds", stage.stage), stage.duration_us / 1e6) for stage in receipt.stages]
        self._add(rows)

    def again(self, tenant: str, answer: bytes) -> None:
        """A prompt is answered with bytes that were kept: a `pb.PreparedPrompt`."""
        key = (self._tenants.of(tenant), answer)
        with self._lock:
            self._waiting[key] = self._waiting.get(key, 0) + 1
            full = len(self._waiting) >= WAITING
        if full:
            self._read()

    def rejected(self, tenant: str, signals: Iterable[str]) -> None:
        """Screening refused a prompt: it has no receipt."""
        label = self._tenants.of(tenant)
        self._add([(("screened", label, "rejected"), 1), *((("signals", label, name), 1) for name in signals)])

    def collect(self) -> Iterator[Metric]:
        self._read()
        with self._lock:
            sums = dict(self._sums)
        families = {
            name: CounterMetricFamily(f"reelgate_preprocess_{name}", help_, labels=labels)
            for name, (help_, labels) in FAMILIES.items()
        }
        for (name, *labels), value in sums.items():
            families[name].add_metric(labels, value)
        yield from families.values()

    def _read(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for (label, answer), times in waiting.items():
            receipt = pb.PreparedPrompt.FromString(answer).receipt
            self._add([(row, value * times) for row, value in self._rows(label, receipt)])

    def _add(self, rows: list[tuple[Row, float]]) -> None:
        with self._lock:
            for row, value in rows:
                self._sums[row] += value  # type: ignore[assignment]  # seconds are no integers

    def _rows(self, label: str, receipt: pb.Receipt) -> Iterator[tuple[Row, float]]:
        rung = RUNGS[receipt.compressor]
        yield ("prompts", rung), 1
        yield ("screened", label, SCREENED[receipt.screening.verdict]), 1
        for signal in receipt.screening.signals:
            yield ("signals", label, signal.name), 1
        yield ("cut", label), rung == "cut"
        yield ("deep_compressed", label), receipt.deep_compression
        yield ("unfaithful", label), not receipt.fidelity.passed
        yield ("tokens_in", label, receipt.tier, receipt.policy), receipt.tokens_before
        yield ("tokens_out", label, receipt.tier, receipt.policy), receipt.tokens_after
        for stage in receipt.stages:
            yield ("stage_tokens_in", stage.stage), stage.tokens_in
            yield ("stage_tokens_out", stage.stage), stage.tokens_out
        for change in receipt.changes:
            removed = len(change.original) - len(change.replacement)
            if removed > 0:
                yield ("removed_characters", *self._reason(change.stage, change.reason)), removed

    def _reason(self, stage: str, reason: str) -> tuple[str, str]:
        pair = (stage, reason)
        if pair not in self._reasons:
            if len(self._reasons) >= REASONS:
                return "other", "other"
            self._reasons.add(pair)
        return pair
