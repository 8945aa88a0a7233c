"""Between the contract's messages and the service's values."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.timestamp_pb2 import Timestamp

from generator_service import core
from generator_service.estimate import Estimate
from generator_service.inquiry import Outlook
from generator_service.memory import Fit
from generator_service.rules import Model, Wanted
from reelgate.generator.v1 import generator_pb2 as pb

STAGES = {
    core.Stage.QUEUED: pb.STAGE_QUEUED,
    core.Stage.TEXT: pb.STAGE_TEXT,
    core.Stage.DENOISE: pb.STAGE_DENOISE,
    core.Stage.DECODE: pb.STAGE_DECODE,
    core.Stage.ENCODE: pb.STAGE_ENCODE,
    core.Stage.STORE: pb.STAGE_ENCODE,
}
STATES = {
    core.Outcome.DONE: pb.VIDEO_STATE_DONE,
    core.Outcome.CANCELLED: pb.VIDEO_STATE_CANCELLED,
    core.Outcome.FAILED: pb.VIDEO_STATE_FAILED,
}
RUNGS = {
    core.Rung.PLAIN: pb.MEMORY_RUNG_PLAIN,
    core.Rung.TILED: pb.MEMORY_RUNG_TILED_DECODE,
    core.Rung.EXPERT_OFFLOADED: pb.MEMORY_RUNG_EXPERT_OFFLOADED,
    core.Rung.GROUPS_OFFLOADED: pb.MEMORY_RUNG_GROUPS_OFFLOADED,
    core.Rung.ALONE: pb.MEMORY_RUNG_ALONE,
}
MEDIA_TYPE = "video/mp4"


def wanted(message: pb.GenerateVideoRequest, tenant: str) -> Wanted:
    settings, post = message.settings, message.post_processing
    return Wanted(
        tenant=tenant,
        prompt=message.prompt,
        negative_prompt=message.negative_prompt if message.HasField("negative_prompt") else None,
        tier=settings.tier,
        width=settings.width,
        height=settings.height,
        frames=settings.frames,
        duration=settings.duration.ToNanoseconds() / 1e9 if settings.HasField("duration") else None,
        steps=settings.steps,
        guidance=_scale(settings.guidance_scale) if settings.HasField("guidance_scale") else None,
        guidance_2=_scale(settings.guidance_scale_2) if settings.HasField("guidance_scale_2") else None,
        seed=settings.seed,
        fps=post.fps,
        watermark=post.watermark,
        tokenizer_fingerprint=message.tokenizer_fingerprint,
        segments=len(message.segments),
        run=message.run,
    )


def estimate_wanted(message: pb.EstimateVideoRequest, tenant: str) -> Wanted:
    """Without a prompt a request of this shape, whatever its prompt: that does not change what it costs."""
    like = pb.GenerateVideoRequest(prompt="a", settings=message.settings, post_processing=message.post_processing)
    if message.HasField("prompt"):
        like.prompt = message.prompt
        if message.HasField("negative_prompt"):
            like.negative_prompt = message.negative_prompt
    return wanted(like, tenant)


def estimate(value: Estimate | None, fit: Fit) -> pb.EstimateVideoResponse:
    """``value`` is None for a tier that was not measured yet."""
    return pb.EstimateVideoResponse(
        device_ms_p50=None if value is None else round(1000 * value.p50),
        device_ms_p95=None if value is None else round(1000 * value.p95),
        peak_bytes=fit.predicted,
        available_bytes=fit.available,
    )


def outlook(request: core.Request, value: Outlook) -> pb.EstimateVideoResponse:
    """What follows from a prompt, to be merged into an estimate."""
    state = pb.VIDEO_STATE_UNSPECIFIED
    if value.stored is not None or value.run:
        state = pb.VIDEO_STATE_DONE if value.stored is not None else pb.VIDEO_STATE_RUNNING
    return pb.EstimateVideoResponse(
        name=request.name, take=request.take_name, state=state, run=value.run, denoised=value.denoised
    )


def settings(take: core.Take) -> pb.VideoSettings:
    """With nothing left out."""
    return pb.VideoSettings(
        tier=take.tier,
        width=take.width,
        height=take.height,
        frames=take.frames,
        steps=take.steps,
        guidance_scale=take.guidance,
        guidance_scale_2=take.guidance_2,
        seed=take.seed,
    )


def post_processing(finish: core.Finish) -> pb.PostProcessing:
    return pb.PostProcessing(fps=finish.fps, watermark=finish.watermark)


def progress(value: core.Progress) -> pb.Progress:
    return pb.Progress(
        stage=STAGES[value.stage],
        step=value.step,
        steps=value.steps,
        device_ms=value.device_ms,
        waits_for_store=value.waits_for_store,
    )


def video(
    request: core.Request,
    report_: core.Report | None,
    *,
    accepted_ms: int = 0,
    running: core.Progress | None = None,
    run: str = "",
) -> pb.Video:
    """``running`` is where a run without a report is, ``run`` its id."""
    message = pb.Video(
        name=request.name,
        take=request.take_name,
        settings=settings(request.take),
        post_processing=post_processing(request.finish),
        run=run if report_ is None else report_.run,
    )
    if accepted_ms:
        message.create_time.CopyFrom(_time(accepted_ms))
    if report_ is not None:
        message.state = STATES[report_.outcome]
        message.report.CopyFrom(report(request, report_))
        if report_.video is not None:
            message.media_type, message.size_bytes = MEDIA_TYPE, report_.video.size
            message.sha256 = report_.video.sha256
    else:
        # No report, so it is unfinished, and whoever serves this store goes on with it.
        message.state = pb.VIDEO_STATE_RUNNING
        message.progress.CopyFrom(progress(running or core.Progress(stage=core.Stage.QUEUED)))
    return message


def report(request: core.Request, value: core.Report) -> pb.Report:
    spent, failure = value.device_ms, value.failure
    return pb.Report(
        device_time=pb.DeviceTime(
            text_ms=spent.get(core.Stage.TEXT, 0),
            denoise_ms=spent.get(core.Stage.DENOISE, 0),
            decode_ms=spent.get(core.Stage.DECODE, 0),
            encode_ms=spent.get(core.Stage.ENCODE, 0),
            denoise_high_ms=value.expert_ms.get(core.Expert.HIGH, 0),
            denoise_low_ms=value.expert_ms.get(core.Expert.LOW, 0),
        ),
        steps_run=value.denoise_steps,
        steps_reused=value.reused_steps,
        steps_resumed=value.resumed_steps,
        steps_lost=value.lost_steps,
        restarted=value.restarted,
        attempts=value.attempts,
        peak_bytes=value.peak_bytes,
        run=value.run,
        saved_device_ms=value.saved_ms,
        memory_rung=RUNGS[value.rung],
        tiled_decode=value.tiled,
        cached=value.reuse is core.Reuse.VIDEO,
        prompt_tokens=value.prompt_tokens,
        negative_prompt_tokens=value.negative_prompt_tokens,
        model_fingerprint=value.model,
        execution_fingerprint=value.execution or request.take.execution,
        failure_reason=failure.reason if failure else "",
        failure_stage=STAGES[failure.stage] if failure else pb.STAGE_UNSPECIFIED,
        failure_message=failure.cause if failure else "",
        start_time=_time(value.started_ms) if value.started_ms else None,
        end_time=_time(value.ended_ms) if value.ended_ms else None,
        versions=value.versions,
        settings=value.settings,
    )


def tier(model: Model, weights: str, settings: Mapping[str, str]) -> pb.Tier:
    """``settings``: how it runs, as its file and the device decided."""
    value = model.tier
    return pb.Tier(
        name=value.tier,
        description=value.draws,
        defaults=pb.VideoSettings(
            tier=value.tier,
            width=value.width.default,
            height=value.height.default,
            frames=value.frames.default,
            steps=value.steps.default,
            guidance_scale=value.guidance,
            guidance_scale_2=value.guidance_2,
            seed=0,
        ),
        default_post_processing=pb.PostProcessing(fps=value.fps),
        limits=pb.TierLimits(
            max_width=value.width.max,
            max_height=value.height.max,
            max_frames=value.frames.max,
            max_steps=value.steps.max,
            max_prompt_tokens=value.max_sequence_length,
        ),
        tokenizer_fingerprint=model.tokenizer_fingerprint,
        model_fingerprint=weights,
        negative_prompt=value.negative_prompt,
        vocabulary=value.words,
        settings=settings,
    )


def _scale(single: float) -> float:
    """The decimal that a client wrote before it became a float of 32 bits."""
    return float(f"{single:.6g}")


def _time(milliseconds: int) -> Timestamp:
    return Timestamp(seconds=milliseconds // 1000, nanos=milliseconds % 1000 * 1_000_000)
