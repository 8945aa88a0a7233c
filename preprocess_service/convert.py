"""Between the contract's messages and the line's values."""

from __future__ import annotations

import hashlib

from reelgate.preprocess.v1 import preprocess_pb2 as pb
from reelgate.rpc.errors import InvalidFieldError

from .core import POLICIES, Change, Fields, Prepared, Receipt, Request, Screening, Verdict
from .tenants import Tenant

COMPRESSORS = {
    "none": pb.COMPRESSOR_NONE,
    "bart": pb.COMPRESSOR_BART,
    "extractive": pb.COMPRESSOR_EXTRACTIVE,
    "head_tail": pb.COMPRESSOR_CUT,
}
RUNGS = {"head_tail": "cut"}
VERDICTS = {"pass": pb.SCREENING_VERDICT_PASS, "flagged": pb.SCREENING_VERDICT_FLAGGED}
"""A rejected prompt has no receipt: its signals are in the error."""
SOURCES = {"quote": "quoted", "mark": "marked"}


def request_of(
    message: pb.PromptInput, *, default_policy: str, emojis: str, tenant: Tenant, screening: str = "observe"
) -> Request:
    """The line's request. Raises ``InvalidFieldError`` for a missing prompt or an unknown policy, ``NotFoundError`` for a template."""
    policy = message.policy or default_policy
    if policy not in POLICIES:
        raise InvalidFieldError.of("input.policy", f"is {policy!r}, must be one of {', '.join(POLICIES)}")
    if not message.WhichOneof("prompt"):
        raise InvalidFieldError.of("input.text", "the prompt is empty")
    structured = message.structured
    fields = Fields(
        subject=structured.subject,
        action=structured.action,
        scene=structured.scene,
        style=structured.style,
        camera=structured.camera,
    )
    return Request(
        text=message.text,
        fields=fields if message.HasField("structured") else None,
        negative=message.negative_prompt,
        keywords=tuple(message.keywords),
        policy=POLICIES[policy],
        template=tenant.template(message.template or "default"),
        emojis=emojis,
        strict=message.strict,
        ratio=message.ratio if message.HasField("ratio") else None,
        screening=screening,
    )


def prepared_of(prepared: Prepared, tier: str, cache: pb.CacheResult = pb.CACHE_RESULT_BYPASS) -> pb.PreparedPrompt:
    """The first message of a run."""
    receipt = prepared.receipt
    return pb.PreparedPrompt(
        prompt=prepared.prompt,
        negative_prompt=prepared.negative,
        receipt=receipt_of(receipt, tier, cache),
        cost=pb.CostEstimate(tokens=receipt.tokens_after + receipt.negative_tokens),
    )


def receipt_of(receipt: Receipt, tier: str, cache: pb.CacheResult = pb.CACHE_RESULT_BYPASS) -> pb.Receipt:
    """The receipt as the contract has it."""
    last = receipt.method.rpartition("+")[2]
    return pb.Receipt(
        line_version=receipt.line_version,
        tier=tier,
        tokenizer_fingerprint=receipt.fingerprint,
        policy=receipt.policy,
        target_tokens=receipt.target,
        tokens_before=receipt.tokens_before,
        tokens_after=receipt.tokens_after,
        negative_tokens=receipt.negative_tokens,
        stages=[
            pb.StageReport(stage=s.name, tokens_in=s.tokens_in, tokens_out=s.tokens_out, duration_us=s.micros)
            for s in receipt.stages
        ],
        changes=[change_of(change) for change in receipt.changes],
        protected_terms=[
            pb.ProtectedTerm(term=t.text, source=SOURCES.get(t.kind, t.kind), survived=t.survived)
            for t in receipt.protected
        ],
        fidelity=pb.Fidelity(
            passed=receipt.fidelity.verdict is not Verdict.BELOW_FLOOR,
            reasons=receipt.fidelity.reasons,
            rung=RUNGS.get(last, last),
        ),
        compressor=COMPRESSORS[last],
        deep_compression="deep_compression" in receipt.notes,
        cache=cache,
        warnings=[*(note for note in receipt.notes if note != "deep_compression"), *absent(receipt)],
        screening=screening_of(receipt.screening),
        template=receipt.template,
        original_sha256=hashlib.sha256(receipt.original.encode("utf-8")).hexdigest(),
    )


def screening_of(screening: Screening) -> pb.Screening:
    return pb.Screening(
        policy=screening.policy,
        verdict=VERDICTS[screening.verdict],
        score=screening.score,
        signals=[
            pb.ScreeningSignal(name=s.name, value=s.value, limit=s.limit, severity=s.severity)
            for s in screening.signals
        ],
    )


def absent(receipt: Receipt) -> list[str]:
    """A keyword that the prompt never had cannot survive; the client should know."""
    return [f"keyword_absent:{term.text}" for term in receipt.protected if not term.present]


def change_of(change: Change) -> pb.Change:
    return pb.Change(
        start=change.start,
        end=change.end,
        stage=change.stage,
        reason=change.reason.replace(" ", "_"),
        original=change.original,
        replacement=change.replacement,
    )
