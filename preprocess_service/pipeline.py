"""The line: clean -> screen -> protect -> summarise -> template -> fit -> fidelity -> count. Pure but for the clock."""

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from reelgate.rpc.errors import (
    FidelityError,
    InvalidFieldError,
    PromptRejectedError,
    PromptTokensExceededError,
    ProtectedTermsError,
)

from . import clean, endings, fidelity, fit, labels, screen, template
from .core import (
    POLICIES,
    Change,
    Edit,
    Fidelity,
    Policy,
    Prepared,
    Prompt,
    ProtectedTerm,
    Receipt,
    Request,
    Screening,
    StageReport,
    Verdict,
)
from .opened import Opened
from .protect import HARD, KEYWORD, KEYWORD_LENGTH_MAX, KEYWORDS_MAX, MARK, Protector, fold, unmark
from .protect import STAGE as PROTECT
from .summarise import extractive
from .tokens import Tokenizer

LINE_VERSION = "2"
"""Changes whenever the same request could give another prompt."""
TEXT_MAX = 65_536
"""Code points of a prompt; real ones stay under 5,000."""
TARGET_MIN = 16
RATIO_MIN = 0.1
"""The least share of its tokens that a client may ask for."""
SURROGATE = re.compile("[\ud800-\udfff]")


class Rewriter(Protocol):
    """A summariser that writes its own words; English only."""

    def shorten(self, text: str, ratio: float) -> str:
        """``text`` in about ``ratio`` of its tokens. May raise anything; the line then goes on without."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """The stages with what they need of the world: a tokenizer, and a rewriter where one is configured."""

    tokenizer: Tokenizer
    rewriter: Rewriter | None = None

    @property
    def versions(self) -> tuple[str, ...]:
        """Of everything here that shapes a prompt; part of every key of the cache."""
        rewriter = self.rewriter
        model = getattr(rewriter, "version", type(rewriter).__name__) if rewriter else ""
        return (LINE_VERSION, self.tokenizer.fingerprint, str(model))

    def prepare(self, request: Request) -> Prepared:
        """The prompt that will be sent, and its receipt: never empty, never over the policy's target.

        Raises a ``RequestError`` (reelgate.rpc.errors).
        """
        opened = self.open(request)
        return opened.close(self.shorten(opened.request))

    def open(self, request: Request) -> Opened:
        """Check and normalise: from here on equal prompts are equal strings."""
        original = template.compose(request.fields, request.template) if request.fields else request.text
        check(request, original)
        run = Run(prompt=Prompt.of(original), tokenizer=self.tokenizer, protector=Protector())
        if request.policy.clean:
            run.do(clean.STAGE, lambda p: clean.clean(p, emojis=request.emojis))
        screening = run.screen(request)
        if request.policy.clean:
            run.protect(request)
            hard = run.protector.keywords + run.protector.marked
            run.change(lambda p: labels.unlabel(p, request.template))
            run.change(lambda p: endings.settle(p, keywords=hard))
        if not run.prompt.text.strip():
            raise InvalidFieldError.of("text", "the prompt is empty once what nobody can see is taken out")
        return Opened(
            request=replace(
                request,
                text=run.prompt.text,
                fields=None,
                keywords=run.protector.keywords,
                marked=run.protector.marked,
            ),
            prompt=run.prompt,
            tokens=run.before,
            reports=tuple(run.reports),
            changes=tuple(run.changes),
            notes=tuple(run.notes),
            screening=screening,
        )

    def shorten(self, request: Request) -> Prepared:
        """The costly part, for a request that ``open`` normalised; the receipt is told in offsets of the normalised text."""
        protector = Protector(request.keywords, request.marked)
        run = Run(prompt=Prompt.of(request.text), tokenizer=self.tokenizer, protector=protector)
        policy = narrowed(request.policy, request.ratio, run.tokens)
        if not policy.clean and run.tokens > policy.target:
            raise PromptTokensExceededError.of(count=run.tokens, limit=policy.target)
        if policy.compress and run.tokens > policy.target:
            self._summarise(run, policy)
        if policy.clean:
            run.do(template.STAGE, lambda p: run.tidied(p, balance=run.lossy))
        if run.tokens > policy.target:
            run.cut(policy)
        if not run.protector.holds(request.text, run.prompt.text):
            raise ProtectedTermsError("the protected terms do not survive within the target")
        verdict, losses = fidelity.assess(request.text, run.prompt.text, run.protector)
        if request.strict and verdict.verdict is Verdict.BELOW_FLOOR:
            raise unfaithful(losses, policy)
        negative = self._negative(request)
        return Prepared(
            prompt=run.prompt.text, negative=negative, receipt=self._receipt(run, policy, verdict, negative)
        )

    def _summarise(self, run: "Run", policy: Policy) -> None:
        """The ladder: the rewriter at its ratio while it is faithful, then words chosen, pins kept."""
        if self.rewriter and rewritable(run.prompt.text):
            run.rewrite(self.rewriter, policy.ratio)
        if run.tokens > policy.target:
            pins = run.protector.pins(run.prompt.text)
            run.do(
                extractive.STAGE,
                lambda p: extractive.compress(p, target=policy.target, tokenizer=run.tokenizer, pins=pins),
            )
            run.methods.append("extractive")

    def _negative(self, request: Request) -> str:
        """The negative prompt cleaned and checked against the window, never compressed."""
        if not request.negative:
            return ""
        text = request.negative
        if request.policy.clean:
            text = clean.clean(Prompt.of(text), emojis=request.emojis)[0].text
        limit = POLICIES["full"].target
        if (count := self.tokenizer.count(text)) > limit:
            raise PromptTokensExceededError.of(count=count, limit=limit, field="negative_prompt")
        return text

    def _receipt(self, run: "Run", policy: Policy, verdict: Fidelity, negative: str) -> Receipt:
        return Receipt(
            original=run.prompt.original,
            policy=policy.name,
            target=policy.target,
            tokens_before=self.tokenizer.count(run.prompt.original),
            tokens_after=run.tokens,
            negative_tokens=self.tokenizer.count(negative) if negative else 0,
            stages=tuple(run.reports),
            changes=tuple(run.changes),
            protected=protected(run.protector, run.prompt.original, run.prompt.text),
            fidelity=verdict,
            method="+".join(run.methods) or "none",
            notes=tuple(run.notes),
            line_version=LINE_VERSION,
            fingerprint=self.tokenizer.fingerprint,
        )


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

    def protect(self, request: Request) -> None:
        """Take the brackets of the marks out, and know from here on what must survive."""
        marked: list[str] = []

        def stage(prompt: Prompt) -> tuple[Prompt, tuple[Change, ...]]:
            after, changes, terms = unmark(prompt)
            marked.extend(terms)
            return after, changes

        if "[[" in self.prompt.text:
            self.do(PROTECT, stage)
        keywords = (clean.clean(Prompt.of(k), emojis=request.emojis)[0].text or k for k in request.keywords)
        self.protector = Protector(keywords, marked)

    def tidied(self, prompt: Prompt, *, balance: bool) -> tuple[Prompt, tuple[Change, ...]]:
        """Tidy, unless a keyword is made of what would be tidied away."""
        after, changes = template.tidy(prompt, balance=balance)
        return (after, changes) if self.protector.holds(prompt.text, after.text) else (prompt, ())

    def rewrite(self, rewriter: Rewriter, ratio: float) -> None:
        """Let the rewriter try; what it made is taken only when nothing mandatory is lost and nothing invented."""
        text = self.prompt.text
        try:
            shorter = clean.clean(Prompt.of(rewriter.shorten(text, ratio)))[0].text
        except Exception as error:  # a model may fail in any way, and the line has another rung
            self.notes.append(f"rewriter_failed:{type(error).__name__}")
            return
        lost = [loss for loss in fidelity.assess(text, shorter, self.protector)[1] if loss.mandatory]
        if not shorter or lost or self.tokenizer.count(shorter) >= self.tokens:
            self.notes.append("rewriter_discarded")
            return
        self.do(
            extractive.STAGE,
            lambda p: p.edit(
                [Edit(start=0, end=len(text), replacement=shorter, reason="rewritten")], stage=extractive.STAGE
            ),
        )
        self.methods.append("bart")

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


def check(request: Request, original: str) -> None:
    """The field rules. Raises ``InvalidFieldError``."""
    for name, text in (("text", original), ("negative_prompt", request.negative)):
        if len(text) > TEXT_MAX:
            raise InvalidFieldError.of(name, f"has {len(text)} characters, at most {TEXT_MAX} are read")
        if SURROGATE.search(text):
            raise InvalidFieldError.of(name, "is not valid Unicode: it has lone surrogates")
    if not original.strip():
        raise InvalidFieldError.of("text", "the prompt is empty")
    if len(request.keywords) > KEYWORDS_MAX:
        raise InvalidFieldError.of("keywords", f"{len(request.keywords)} keywords, at most {KEYWORDS_MAX} are taken")
    if any(len(keyword) > KEYWORD_LENGTH_MAX for keyword in request.keywords):
        raise InvalidFieldError.of("keywords", f"a keyword may have at most {KEYWORD_LENGTH_MAX} characters")
    if request.emojis not in ("drop", "keep"):
        raise InvalidFieldError.of("emojis", "is drop or keep")
    if request.ratio is not None and not RATIO_MIN <= request.ratio <= 1:
        raise InvalidFieldError.of("ratio", f"is {request.ratio:g}, must be between {RATIO_MIN:g} and 1")
    if request.policy.target < TARGET_MIN:
        raise InvalidFieldError.of("policy", f"a target is at least {TARGET_MIN} tokens")


def narrowed(policy: Policy, ratio: float | None, tokens: int) -> Policy:
    """The policy with the client's own ratio: a lower ceiling, and the rewriter's ratio."""
    if ratio is None or not policy.compress:
        return policy
    ceiling = max(TARGET_MIN, int(ratio * tokens))
    return replace(policy, ratio=ratio, target=min(policy.target, ceiling))


def rewritable(text: str) -> bool:
    """English, as far as the alphabet tells: the rewriter knows nothing else."""
    letters = [c for c in text if c.isalpha()]
    return bool(letters) and sum(c.isascii() for c in letters) >= 0.98 * len(letters)


def unfaithful(losses: Sequence[fidelity.Loss], policy: Policy) -> FidelityError:
    """What strict mode answers: what would be lost, and the policy that keeps more."""
    lost = ", ".join(map(str, losses[:8]))
    more = wider(policy)
    return FidelityError(
        f"the shortened prompt would lose {lost}",
        metadata={"lost": lost, "wider_policy": more},
        next_step=f"Choose the policy {more}, or leave strict off." if more else None,
    )


def wider(policy: Policy) -> str:
    """The next policy with a higher target."""
    higher = sorted((p for p in POLICIES.values() if p.target > policy.target and p.clean), key=lambda p: p.target)
    return higher[0].name if higher else ""


def protected(protector: Protector, before: str, after: str) -> tuple[ProtectedTerm, ...]:
    """Every keyword and every other protected span of the cleaned text, and whether it is in the final one."""
    had, has = protector.hard(before), protector.hard(after)
    terms = [
        ProtectedTerm(text=text, kind=kind, present=fold(text) in had, survived=fold(text) in has)
        for texts, kind in ((protector.keywords, KEYWORD), (protector.marked, MARK))
        for text in texts
    ]
    terms += [
        ProtectedTerm(
            text=span.text, kind=span.kind, present=True, survived=fidelity.survives(span.text, after, hard=None)
        )
        for span in protector.pins(before)
        if span.kind not in HARD
    ]
    return tuple(terms)
