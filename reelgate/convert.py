"""Between the contract's messages and the client's values."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC

from google.protobuf.duration_pb2 import Duration

from reelgate import convert_budgets
from reelgate import values as v
from reelgate.generator.v1 import generator_pb2 as gpb
from reelgate.holding import holds
from reelgate.holding import message as message
from reelgate.preprocess.v1 import preprocess_pb2 as pb


@holds()
def prompt_input(
    prompt: str | v.Fields,
    *,
    policy: str,
    keywords: tuple[str, ...],
    negative_prompt: str | None,
    template: str,
    strict: bool,
    ratio: float | None = None,
) -> pb.PromptInput:
    """What the client wrote, as a message."""
    message = pb.PromptInput(
        policy=policy, keywords=keywords, template=template, strict=strict, negative_prompt=negative_prompt, ratio=ratio
    )
    if isinstance(prompt, v.Fields):
        message.structured.CopyFrom(
            pb.StructuredPrompt(
                subject=prompt.subject,
                action=prompt.action,
                scene=prompt.scene,
                style=prompt.style,
                camera=prompt.camera,
            )
        )
    else:
        message.text = prompt
    return message


@holds()
def settings_message(s: v.Settings) -> gpb.VideoSettings:
    message = gpb.VideoSettings(
        tier=s.tier,
        width=s.width or 0,
        height=s.height or 0,
        frames=s.frames or 0,
        steps=s.steps or 0,
        guidance_scale=s.guidance_scale,
        guidance_scale_2=s.guidance_scale_2,
        seed=s.seed,
    )
    if s.seconds is not None:
        nanos = round(s.seconds * 1e9)
        message.duration.CopyFrom(Duration(seconds=nanos // 10**9, nanos=nanos % 10**9))
    return message


def settings(m: gpb.VideoSettings) -> v.Settings:
    return v.Settings(
        tier=m.tier,
        width=m.width,
        height=m.height,
        frames=m.frames,
        steps=m.steps,
        guidance_scale=m.guidance_scale if m.HasField("guidance_scale") else None,
        guidance_scale_2=m.guidance_scale_2 if m.HasField("guidance_scale_2") else None,
        seed=m.seed if m.HasField("seed") else None,
    )


def prepared(m: pb.PreparedPrompt | pb.PreparePromptResponse) -> v.Prepared:
    return v.Prepared(
        prompt=m.prompt,
        negative_prompt=m.negative_prompt,
        receipt=receipt(m.receipt),
        cost_tokens=m.cost.tokens,
        device_ms_p50=m.cost.device_ms_p50 if m.cost.HasField("device_ms_p50") else None,
        device_ms_p95=m.cost.device_ms_p95 if m.cost.HasField("device_ms_p95") else None,
        price=convert_budgets.money(m.cost.price) if m.cost.HasField("price") else None,
        budget=convert_budgets.verdict(m.budget) if m.HasField("budget") else None,
    )


def screening(m: pb.Screening) -> v.Screening:
    return v.Screening(
        policy=m.policy,
        verdict=pb.ScreeningVerdict.Name(m.verdict).removeprefix("SCREENING_VERDICT_").lower(),
        score=m.score,
        signals=tuple(v.Signal(name=s.name, value=s.value, limit=s.limit, severity=s.severity) for s in m.signals),
    )


def receipt(m: pb.Receipt) -> v.Receipt:
    return v.Receipt(
        line_version=m.line_version,
        tier=m.tier,
        tokenizer_fingerprint=m.tokenizer_fingerprint,
        policy=m.policy,
        target_tokens=m.target_tokens,
        tokens_before=m.tokens_before,
        tokens_after=m.tokens_after,
        negative_tokens=m.negative_tokens,
        stages=tuple(
            v.StageReport(stage=s.stage, tokens_in=s.tokens_in, tokens_out=s.tokens_out, duration_us=s.duration_us)
            for s in m.stages
        ),
        changes=tuple(
            v.Change(
                start=c.start,
                end=c.end,
                stage=c.stage,
                reason=c.reason,
                original=c.original,
                replacement=c.replacement,
            )
            for c in m.changes
        ),
        protected_terms=tuple(
            v.ProtectedTerm(term=t.term, source=t.source, survived=t.survived) for t in m.protected_terms
        ),
        faithful=m.fidelity.passed,
        fidelity_reasons=tuple(m.fidelity.reasons),
        semantic=m.fidelity.semantic if m.fidelity.HasField("semantic") else None,
        rung=m.fidelity.rung,
        compressor=pb.Compressor.Name(m.compressor).removeprefix("COMPRESSOR_").lower(),
        deep_compression=m.deep_compression,
        warnings=tuple(m.warnings),
        screening=screening(m.screening),
        template=m.template,
    )


def accepted(m: gpb.VideoAccepted) -> v.Accepted:
    return v.Accepted(
        name=m.name,
        take=m.take,
        settings=settings(m.settings),
        post_processing=finish(m.post_processing),
        warnings=tuple(m.warnings),
        attached=m.attached,
        run=m.run,
        cached=m.cached,
    )


def finish(m: gpb.PostProcessing) -> v.PostProcessing:
    return v.PostProcessing(fps=m.fps, watermark=m.watermark)


def progress(m: gpb.Progress) -> v.Progress:
    return v.Progress(
        stage=_stage(m.stage),
        step=m.step,
        steps=m.steps,
        device_ms=m.device_ms,
        waits_for_store=m.waits_for_store,
    )


def _stage(value: int) -> v.Stage:
    """A stage of a newer service than this client comes after all that are known here."""
    if value not in gpb.Stage.values():
        return v.Stage.ENCODE
    name = gpb.Stage.Name(gpb.Stage.ValueType(value)).removeprefix("STAGE_").lower()
    return v.Stage(name) if value else v.Stage.QUEUED


def video(m: gpb.Video) -> v.Video:
    return v.Video(
        name=m.name,
        take=m.take,
        state=v.State(gpb.VideoState.Name(m.state).removeprefix("VIDEO_STATE_").lower()),
        settings=settings(m.settings),
        post_processing=finish(m.post_processing),
        size_bytes=m.size_bytes,
        sha256=m.sha256,
        report=report(m.report) if m.HasField("report") else None,
        progress=progress(m.progress) if m.HasField("progress") else None,
        run=m.run,
        accepted=m.create_time.ToDatetime(tzinfo=UTC) if m.HasField("create_time") else None,
    )


def report(m: gpb.Report) -> v.Report:
    return v.Report(
        text_ms=m.device_time.text_ms,
        denoise_ms=m.device_time.denoise_ms,
        decode_ms=m.device_time.decode_ms,
        encode_ms=m.device_time.encode_ms,
        denoise_high_ms=m.device_time.denoise_high_ms,
        denoise_low_ms=m.device_time.denoise_low_ms,
        steps_run=m.steps_run,
        steps_reused=m.steps_reused,
        cached=m.cached,
        prompt_tokens=m.prompt_tokens,
        negative_prompt_tokens=m.negative_prompt_tokens,
        model_fingerprint=m.model_fingerprint,
        execution_fingerprint=m.execution_fingerprint,
        failure_reason=m.failure_reason,
        failure_message=m.failure_message,
        steps_resumed=m.steps_resumed,
        steps_lost=m.steps_lost,
        attempts=m.attempts,
        restarted=m.restarted,
        run=m.run,
        saved_device_ms=m.saved_device_ms,
        tiled_decode=m.tiled_decode,
        settings=dict(m.settings),
    )


def event(m: pb.GenerateVideoResponse) -> v.Event | None:
    """The one event that a message of the stream carries; None for a kind that only a newer service knows."""
    kind = m.WhichOneof("event")
    if kind == "prepared":
        return prepared(m.prepared)
    if kind == "accepted":
        return accepted(m.accepted)
    if kind == "progress":
        return progress(m.progress)
    if kind == "video":
        done = video(m.video)
        return replace(done, bill=convert_budgets.bill(m.bill)) if m.HasField("bill") else done
    return None
