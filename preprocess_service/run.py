"""One prompt on its way through the stages, and what they said of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from reelgate.rpc.errors import PromptRejectedError

from . import clean, fidelity, fit, screen, template
from .core import Change, Policy, Prompt, Request, Screening, StageReport, Verdict
from .lexicons import Lexicon
from .protect import STAGE as PROTECT
from .protect import Protector, unmark
from .rewriting import mended, rewriting
from .summarise import extractive
from .tokens import Tokenizer

WHOLE = 0.7
"""Share of a rewriter's tokens that must be left when it is mended."""


class Rewriter(Protocol):
    """A summariser that writes its own words; English only."""

    version: str
    """Part of the line's version: equal versions write equal texts."""

    def shorten(self, text: str, ratio: float) -> str:
        """``text`` in about ``ratio`` of its tokens. May raise anything; the line then goes on without."""


class Similarity(Protocol):
    """Tells how alike two texts are (semantic.py)."""

    version: str

    def score(self, before: str, after: str) -> float:
        """-1 to 1. May raise anything; the receipt then says so, and nothing else changes."""


@dataclass(kw_only=True)
class Run:
    """One prompt on its way through the stages, with what they reported."""

    prompt: Prompt
    tokenizer: Tokenizer
    protector: Protector
    tokens: int = 0
    before: int = 0
    reports: list[StageReport] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    methods: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tokens = self.tokens or self.tokenizer.count(self.prompt.text)
        self.before = self.before or self.tokens

    @property
    def lossy(self) -> bool:
        return bool(self.methods)

    def change(self, stage: Callable[[Prompt], tuple[Prompt, tuple[Change, ...]]]) -> None:
        """Run a stage that is reported only where it changed something: on most prompts it does not."""
        after, changes = stage(self.prompt)
        if changes:
            self.do(template.STAGE, lambda _: (after, changes))

    def do(self, name: str, stage: Callable[[Prompt], tuple[Prompt, tuple[Change, ...]]]) -> None:
        """Run one stage, count what it left and write down what it did."""
        started = time.perf_counter_ns()
        after, changes = stage(self.prompt)
        tokens = self.tokenizer.count(after.text) if after.text != self.prompt.text else self.tokens
        self.reports.append(
            StageReport(
                name=name,
                tokens_in=self.tokens,
                tokens_out=tokens,
                changes=len(changes),
                micros=(time.perf_counter_ns() - started) // 1000,
            )
        )
        self.changes += changes
        self.prompt, self.tokens = after, tokens

    def screen(self, request: Request) -> Screening:
        """Judge the raw text and what was taken out of it. Raises ``PromptRejectedError`` where the policy says so."""
        started = time.perf_counter_ns()
        raw = self.prompt.original
        removed = self.changes if request.policy.clean else clean.clean(self.prompt)[1]
        found = screen.screen(raw, removed, self.before, policy=request.screening)
        micros = (time.perf_counter_ns() - started) // 1000
        self.reports.append(
            StageReport(name=screen.STAGE, tokens_in=self.tokens, tokens_out=self.tokens, changes=0, micros=micros)
        )
        if found.verdict == "rejected":
            names = ", ".join(signal.name for signal in found.signals)
            raise PromptRejectedError(
                f"the prompt does not look like one: {names}",
                metadata={signal.name: f"{signal.value:g} (limit {signal.limit:g})" for signal in found.signals}
                | {"score": f"{found.score:g}"},
            )
        if found.verdict == "flagged" and request.screening != "observe":
            self.notes += [f"screening:{signal.name}" for signal in found.signals]
        return found

    def protect(self, request: Request, lexicon: Lexicon) -> None:
        """Take the brackets of the marks out, and know from here on what must survive."""
        marked: list[str] = []

        def stage(prompt: Prompt) -> tuple[Prompt, tuple[Change, ...]]:
            after, changes, terms = unmark(prompt)
            marked.extend(terms)
            return after, changes

        if "[[" in self.prompt.text:
            self.do(PROTECT, stage)
        keywords = (clean.clean(Prompt.of(k), emojis=request.emojis)[0].text or k for k in request.keywords)
        self.protector = Protector(keywords, marked, lexicon.found(self.prompt.text))

    def tidied(self, prompt: Prompt, *, balance: bool) -> tuple[Prompt, tuple[Change, ...]]:
        """Tidy, unless a keyword is made of what would be tidied away."""
        after, changes = template.tidy(prompt, balance=balance)
        return (after, changes) if self.protector.holds(prompt.text, after.text) else (prompt, ())

    def rewrite(self, rewriter: Rewriter, ratio: float) -> None:
        """Let the rewriter try; what it made is taken only when nothing mandatory is lost and nothing invented."""
        text = self.prompt.text
        started = time.perf_counter_ns()
        try:
            written = clean.clean(Prompt.of(rewriter.shorten(text, ratio)))[0].text
        except Exception as error:  # a model may fail in any way, and the line has another rung
            self.notes.append(f"rewriter_failed:{type(error).__name__}")
            return
        shorter = mended(text, written)
        tokens = self.tokenizer.count(shorter)
        faithful = fidelity.assess(text, shorter, self.protector)[0].verdict is Verdict.FAITHFUL
        # What had to be mended much was not a shorter prompt but a broken one.
        whole = tokens >= WHOLE * self.tokenizer.count(written)
        if not shorter or not faithful or not whole or tokens >= self.tokens:
            self.notes.append("rewriter_discarded")
            return
        self.do(extractive.STAGE, lambda p: p.edit(rewriting(text, shorter), stage=extractive.STAGE))
        self.reports[-1] = replace(self.reports[-1], micros=(time.perf_counter_ns() - started) // 1000)
        self.methods.append("bart")

    def likeness(self, similarity: Similarity, before: str) -> float | None:
        """How near the prompt is to ``before``; None, and a note, where the model fails: a soft signal refuses nothing."""
        try:
            return round(similarity.score(before, self.prompt.text), 4)
        except Exception as error:
            self.notes.append(f"semantic_failed:{type(error).__name__}")
            return None

    def cut(self, policy: Policy) -> None:
        """Head and tail, tidied; a tidied cut never counts more than the target."""
        room = policy.target
        before = self.prompt
        while True:

            def stage(prompt: Prompt, room: int = room) -> tuple[Prompt, tuple[Change, ...]]:
                pins = self.protector.pins(prompt.text)
                shorter, changes, _ = fit.fit(
                    prompt, target=room, head=policy.head, tail=policy.tail, tokenizer=self.tokenizer, pins=pins
                )
                tidied, more = self.tidied(shorter, balance=True)
                return (tidied, changes + more) if tidied.text else (shorter, changes)

            trial = replace(self, prompt=before, reports=[], changes=[])
            trial.do(fit.STAGE, stage)
            if trial.tokens <= policy.target:
                break
            room -= trial.tokens - policy.target
        self.prompt, self.tokens = trial.prompt, trial.tokens
        self.reports += trial.reports
        self.changes += trial.changes
        self.methods.append("head_tail")
