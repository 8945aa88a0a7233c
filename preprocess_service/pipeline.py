"""The line: clean -> screen -> protect -> summarise -> template -> fit -> fidelity -> count. Pure but for the clock."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

from reelgate.rpc.errors import (
    FidelityError,
    InvalidFieldError,
    PromptTokensExceededError,
    ProtectedTermsError,
)

from . import clean, endings, fidelity, labels, template
from .core import (
    POLICIES,
    Fidelity,
    Policy,
    Prepared,
    Prompt,
    ProtectedTerm,
    Receipt,
    Request,
    Verdict,
)
from .lexicons import Lexicon
from .opened import Opened
from .protect import HARD, KEYWORD_LENGTH_MAX, KEYWORDS_MAX, Protector, fold
from .run import Rewriter, Run, Similarity
from .summarise import extractive
from .tokens import Tokenizer

LINE_VERSION = "5"
"""Changes whenever the same request could give another prompt."""
TEXT_MAX = 65_536
"""Code points of a prompt; real ones stay under 5,000."""
TARGET_MIN = 16
READ = 2_048
"""Tokens that are weighed word by word, four times the encoder's window; of a longer text head and tail are read. Choosing words
costs more than linear time, and nobody writes such prompts."""
NO_LEXICON = Lexicon()
RATIO_MIN = 0.1
"""The least share of its tokens that a client may ask for."""
SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, kw_only=True)
class Line:
    """The stages with what they need of the world: a tokenizer, and a rewriter where one is configured."""

    tokenizer: Tokenizer
    rewriter: Rewriter | None = None
    similarity: Similarity | None = None

    @property
    def versions(self) -> tuple[str, ...]:
        """Of everything here that shapes a prompt; part of every key of the cache."""
        scorer = self.similarity.version if self.similarity else ""
        return (LINE_VERSION, self.tokenizer.fingerprint, self.rewriter.version if self.rewriter else "", scorer)

    @property
    def version(self) -> str:
        """What the receipt calls the line: the code's version, and the rewriter's where there is one."""
        return f"{LINE_VERSION}+{self.rewriter.version}" if self.rewriter else LINE_VERSION

    def prepare(self, request: Request) -> Prepared:
        """The prompt that will be sent, and its receipt: never empty, never over the policy's target.

        Raises a ``RequestError`` (reelgate.rpc.errors).
        """
        opened = self.open(request)
        return opened.close(self.shorten(opened.request))

    def open(self, request: Request, lexicon: Lexicon = NO_LEXICON) -> Opened:
        """Check and normalise: from here on equal prompts are equal strings. ``lexicon`` has the tenant's own keywords."""
        original = template.compose(request.fields, request.template) if request.fields else request.text
        check(request, original)
        run = Run(prompt=Prompt.of(original), tokenizer=self.tokenizer, protector=Protector())
        if request.policy.clean:
            run.do(clean.STAGE, lambda p: clean.clean(p, emojis=request.emojis))
        screening = run.screen(request)
        if request.policy.clean:
            run.protect(request, lexicon)
            hard = tuple(term for _, term in run.protector.terms)
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
                configured=run.protector.configured,
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
        protector = Protector(request.keywords, request.marked, request.configured)
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
            raise unfaithful(losses, policy, ratio=request.ratio)
        if self.similarity and run.lossy and rewritable(request.text):
            verdict = replace(verdict, semantic=run.likeness(self.similarity, request.text))
        negative = self._negative(request)
        return Prepared(
            prompt=run.prompt.text, negative=negative, receipt=self._receipt(run, policy, verdict, negative)
        )

    def _summarise(self, run: Run, policy: Policy) -> None:
        """The ladder: the rewriter at its ratio while it is faithful, then words chosen, pins kept."""
        if self.rewriter and rewritable(run.prompt.text):
            run.rewrite(self.rewriter, policy.ratio)
        if run.tokens > READ:
            run.cut(replace(policy, target=READ, head=3, tail=1))
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

    def _receipt(self, run: Run, policy: Policy, verdict: Fidelity, negative: str) -> Receipt:
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
            line_version=self.version,
            fingerprint=self.tokenizer.fingerprint,
        )


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
    """English, as far as the letters tell: the rewriter knows nothing else. One letter of another script is too many."""
    letters = [c for c in text if c.isalpha()]
    others = [c for c in letters if not c.isascii()]
    few = bool(letters) and len(others) <= 0.02 * len(letters)
    return few and all(unicodedata.name(c, "").startswith("LATIN") for c in others)


def unfaithful(losses: Sequence[fidelity.Loss], policy: Policy, *, ratio: float | None) -> FidelityError:
    """What strict mode answers: what would be lost, and the policy that keeps more."""
    lost = ", ".join(map(str, losses[:8]))
    more = wider(policy)
    return FidelityError(
        f"the shortened prompt would lose {lost}",
        metadata={"lost": lost, "wider_policy": more},
        next_step="Ask for a higher ratio, or leave strict off."
        if ratio is not None
        else f"Choose the policy {more}, or leave strict off."
        if more
        else None,
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
        for kind, text in protector.terms
    ]
    terms += [
        ProtectedTerm(
            text=span.text, kind=span.kind, present=True, survived=fidelity.survives(span.text, after, hard=None)
        )
        for span in protector.pins(before)
        if span.kind not in HARD
    ]
    return tuple(terms)
