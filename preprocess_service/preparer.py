"""One message in, one prepared prompt out: from a cache where it lies there, else from the line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from reelgate.preprocess.v1 import preprocess_pb2 as pb
from reelgate.rpc.errors import InvalidFieldError, NotFoundError, PromptRejectedError, Violation

from .budgets.abnormal import Abnormal
from .budgets.books import clock
from .cache import PromptCache, cacheable, line_key, raw_key
from .convert import prepared_of, request_of
from .core import Request
from .lexicons import Lexicon
from .metrics import Metrics
from .pipeline import Line
from .screen import LIMITS
from .settings import Settings
from .tenants import Tenants
from .worker import Worker

UNKNOWN_TIER = "Another tier needs its tokenizer named in REELGATE_PREPROCESS_TOKENIZERS, by who runs the service."
Answer = TypeVar("Answer", pb.PreparedPrompt, pb.PreparePromptResponse)


class Preparer:
    """What PreparePrompt and GenerateVideo share."""

    def __init__(
        self,
        settings: Settings,
        lines: Mapping[str, Line],
        worker: Worker,
        cache: PromptCache,
        metrics: Metrics,
        tenants: Tenants | None = None,
        abnormal: Abnormal | None = None,
    ) -> None:
        self._settings, self._metrics = settings, metrics
        self._lines = dict(lines)
        self._worker = worker
        self._cache = cache
        self._tenants = tenants or Tenants(settings.tenants)
        self._abnormal = abnormal or Abnormal()

    async def prepare(self, message: pb.PromptInput, *, tier: str, tenant: str, into: type[Answer]) -> Answer:
        """The prompt with its receipt, which names the tier (the default one where ``tier`` is empty) and the cache's part.

        ``into`` is PreparedPrompt, or PreparePromptResponse, whose first fields are the same by number and type: a hit is read
        straight into what is sent.
        Raises what the line raises, fields named as in the contract; ``NotFoundError`` for an unknown tier.
        """
        try:
            made = await self._prepare(message, tier=tier, tenant=tenant, into=into)
        except PromptRejectedError as error:
            self._metrics.tally.rejected(tenant, LIMITS.keys() & error.metadata.keys())
            self._abnormal.prompt(tenant, tokens=None, score=1.0, at_ms=clock())
            raise
        receipt = made.receipt
        if into is pb.PreparedPrompt:
            self._metrics.sent(receipt.tier, receipt.tokens_after + receipt.negative_tokens)
        signals = self._abnormal.prompt(
            tenant, tokens=receipt.tokens_before, score=receipt.screening.score, at_ms=clock()
        )
        if signals:
            receipt.warnings.extend(f"abnormal:{signal}" for signal in signals)
        return made

    async def _prepare(self, message: pb.PromptInput, *, tier: str, tenant: str, into: type[Answer]) -> Answer:
        tier = tier or self._settings.default_tier
        if tier not in self._lines:
            raise NotFoundError.of("tier", tier, known=self._lines, more=UNKNOWN_TIER)
        configured = await self._tenants.now(tenant)
        versions = (*self._lines[tier].versions, configured.version)
        raw = message.SerializeToString(deterministic=True)
        key = raw_key(tenant=tenant, tier=tier, versions=versions, message=raw)
        if (known := self._cache.raw(key)) is not None:
            self._metrics.tally.again(tenant, known)
            return into.FromString(known)
        settings = self._settings
        request = request_of(
            message,
            default_policy=settings.default_policy,
            emojis=settings.emojis,
            tenant=configured,
            screening=configured.screening or settings.screening,
        )
        try:
            made, keep = await self._make(request, tier, tenant, versions, configured.lexicon)
        except InvalidFieldError as error:
            raise _in_message(error) from error
        if keep:
            self._cache.keep_raw(key, keep)
        self._metrics.tally.first(tenant, made.receipt)
        return into(prompt=made.prompt, negative_prompt=made.negative_prompt, receipt=made.receipt, cost=made.cost)

    async def _make(
        self, request: Request, tier: str, tenant: str, versions: tuple[str, ...], lexicon: Lexicon
    ) -> tuple[pb.PreparedPrompt, bytes]:
        """The answer, and the bytes that the next equal request gets; none where it had better ask the line again."""
        line = self._lines[tier]
        opened = await self._worker.open(line, request, lexicon)
        key = line_key(tenant=tenant, versions=versions, request=opened.request)
        found = await self._cache.prepared(key, lambda: self._worker.shorten(line, opened.request))
        prepared = opened.close(found.prepared)
        made = prepared_of(prepared, tier, pb.CACHE_RESULT_HIT)
        keep = made.SerializeToString() if self._cache.enabled and cacheable(prepared) else b""
        if not found.hit:
            made.receipt.cache = pb.CACHE_RESULT_MISS if self._cache.enabled else pb.CACHE_RESULT_BYPASS
        return made, keep


def _in_message(error: InvalidFieldError) -> InvalidFieldError:
    """The line names its own fields; in the contract they lie in ``input``."""
    violations = [Violation(subject=f"input.{v.subject}", description=v.description) for v in error.violations]
    return InvalidFieldError(f"input.{error.message}", violations=violations)
