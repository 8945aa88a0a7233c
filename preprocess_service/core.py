"""The values that flow through the line. Pure data: no protobuf, no I/O.

Every offset that leaves the line counts Unicode code points of the client's original text, so that
``original[change.start : change.end] == change.original`` always holds.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum


class Verdict(StrEnum):
    """Did the meaning survive? ``FAITHFUL`` lost nothing mandatory and little of the rest."""

    FAITHFUL = "faithful"
    WEAKENED = "weakened"
    BELOW_FLOOR = "below_floor"


@dataclass(frozen=True, kw_only=True, slots=True)
class Edit:
    """Replace ``text[start:end]`` of the current text by ``replacement``."""

    start: int
    end: int
    replacement: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One span that a stage removed or rewrote, in offsets into the client's original."""

    start: int
    end: int
    stage: str
    reason: str
    original: str
    replacement: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A text and, for each of its code points, the span of the original that it came from.

    Code point ``text[i]`` came from ``original[starts[i]:ends[i]]``. A copied code point has a span of one; one that
    a stage rewrote has the span of the whole rewritten run; one that a stage inserted has an empty span.
    """

    original: str
    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    @classmethod
    def of(cls, original: str) -> "Prompt":
        size = len(original)
        return cls(original=original, text=original, starts=tuple(range(size)), ends=tuple(range(1, size + 1)))

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The original's span behind ``text[start:end]``; an empty one where the text has nothing there."""
        if start < end:
            return min(self.starts[start:end]), max(self.ends[start:end])
        at = self.ends[start - 1] if start > 0 else self.starts[0] if self.starts else 0
        return at, at

    def edit(self, edits: Iterable[Edit], *, stage: str) -> tuple["Prompt", tuple[Change, ...]]:
        """Apply ``edits`` (any order; they must not overlap). Neighbouring removals become one change."""
        texts: list[str] = []
        starts: list[int] = []
        ends: list[int] = []
        changes: list[Change] = []
        cursor = 0
        for e in sorted(edits, key=lambda e: (e.start, e.end)):
            if e.start < cursor or e.end < e.start or e.end > len(self.text):
                raise ValueError(f"edits overlap or leave the text at {e.start}:{e.end}")
            if self.text[e.start : e.end] == e.replacement:
                continue
            texts += (self.text[cursor : e.start], e.replacement)
            low, high = self.span(e.start, e.end)
            starts += self.starts[cursor : e.start]
            starts += [low] * len(e.replacement)
            ends += self.ends[cursor : e.start]
            ends += [high] * len(e.replacement)
            _append(
                changes,
                self.original,
                Change(
                    start=low,
                    end=high,
                    stage=stage,
                    reason=e.reason,
                    original=self.original[low:high],
                    replacement=e.replacement,
                ),
            )
            cursor = e.end
        if not changes:
            return self, ()
        texts.append(self.text[cursor:])
        starts += self.starts[cursor:]
        ends += self.ends[cursor:]
        after = Prompt(original=self.original, text="".join(texts), starts=tuple(starts), ends=tuple(ends))
        return after, tuple(changes)


def _append(changes: list[Change], original: str, change: Change) -> None:
    """Add ``change``, joined with the one before it where two removals touch for the same reason."""
    last = changes[-1] if changes else None
    if (
        last
        and last.end == change.start
        and last.reason == change.reason
        and not last.replacement
        and not change.replacement
        and last.start <= change.start
    ):
        changes[-1] = Change(
            start=last.start,
            end=change.end,
            stage=change.stage,
            reason=change.reason,
            original=original[last.start : change.end],
            replacement="",
        )
        return
    changes.append(change)


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """A named cost policy. ``target`` is a ceiling in tokens without the end mark, never filled up."""

    name: str
    target: int
    ratio: float = 1.0
    head: int = 40
    tail: int = 24
    clean: bool = True
    compress: bool = True


WINDOW = 512
"""Tokens that the text encoder reads, the end mark included."""

POLICIES = {
    policy.name: policy
    for policy in (
        Policy(name="economy", target=64, ratio=0.7),
        Policy(name="balanced", target=128, ratio=0.7),
        Policy(name="full", target=WINDOW - 1, compress=False),
        Policy(name="passthrough", target=WINDOW - 1, clean=False, compress=False),
    )
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Fields:
    """A structured prompt. Empty fields are skipped."""

    subject: str = ""
    action: str = ""
    scene: str = ""
    style: str = ""
    camera: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Template:
    """How fields become a prompt: those of ``order``, joined by ``join``; ``defaults`` (field, text) stand where one is empty."""

    name: str = "default"
    version: str = "1"
    order: tuple[str, ...] = ("subject", "action", "scene", "style", "camera")
    join: str = ", "
    defaults: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What a client asks of the line. Exactly one of ``text`` and ``fields`` is given."""

    text: str = ""
    fields: Fields | None = None
    negative: str = ""
    keywords: tuple[str, ...] = ()
    marked: tuple[str, ...] = ()
    """Terms that the text marked, once it is normalised and the marks are out of it (see protect.py)."""
    configured: tuple[str, ...] = ()
    """Terms of the tenant's lexicon that the normalised text has (see lexicons.py)."""
    policy: Policy = field(default_factory=lambda: POLICIES["economy"])
    template: Template = field(default_factory=Template)
    emojis: str = "drop"
    strict: bool = False
    ratio: float | None = None
    """The client's own: at most this share of the cleaned prompt's tokens, and never more than the policy's target."""
    screening: str = "observe"


@dataclass(frozen=True, kw_only=True, slots=True)
class StageReport:
    """What one stage did: tokens in and out (without the end mark), how many spans it touched, and how long it took."""

    name: str
    tokens_in: int
    tokens_out: int
    changes: int
    micros: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ProtectedTerm:
    """A term that had to survive. ``present`` says whether the cleaned prompt had it at all."""

    text: str
    kind: str
    present: bool
    survived: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Fidelity:
    """The verdict on the final text, what share of the weighed words survived (0..1), and what is missing by name."""

    verdict: Verdict
    score: float
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Signal:
    """One thing that looks wrong: a value over its limit; ``severity`` 0..1. The units are in screen.py."""

    name: str
    value: float
    limit: float
    severity: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Screening:
    """What screening said: ``verdict`` is pass, flagged or rejected; ``score`` is the highest severity."""

    policy: str = "observe"
    verdict: str = "pass"
    score: float = 0.0
    signals: tuple[Signal, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """What happened to a prompt on its way, from the client's original to what is sent."""

    original: str
    policy: str
    target: int
    tokens_before: int
    tokens_after: int
    negative_tokens: int
    stages: tuple[StageReport, ...]
    changes: tuple[Change, ...]
    protected: tuple[ProtectedTerm, ...]
    fidelity: Fidelity
    method: str
    notes: tuple[str, ...]
    line_version: str
    fingerprint: str
    screening: Screening = Screening()
    template: str = ""
    """Name and version, ``default@1``."""

    @property
    def ratio(self) -> float:
        """Tokens after, over tokens before; 1.0 for a prompt that had none."""
        return self.tokens_after / self.tokens_before if self.tokens_before else 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """The line's result: what the encoder will see, and how it came to be."""

    prompt: str
    negative: str
    receipt: Receipt
