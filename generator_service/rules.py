"""The rules of every field, checked once: from what a client asked for to a request, a pure value with nothing left out."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping
from typing import Protocol

from generator_service.core import RUN_ID, Finish, Request, Take, round_frames
from generator_service.tier import Bound, Tier
from reelgate.rpc.errors import (
    InvalidFieldError,
    NotFoundError,
    PromptTokensExceededError,
    RequestTooLargeError,
    TokenizerMismatchError,
    Violation,
)

NO_RUN = "must be 32 lower-case hex digits"
MOST_GUIDANCE = 20.0
MOST_FPS = 60
MOST_MARK = 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a client asked for. Zero, "" and None mean that the tier's default is wanted; ``duration`` is in seconds."""

    tenant: str
    prompt: str
    negative_prompt: str | None = None
    tier: str = ""
    width: int = 0
    height: int = 0
    frames: int = 0
    duration: float | None = None
    steps: int = 0
    guidance: float | None = None
    guidance_2: float | None = None
    seed: int = 0
    fps: int = 0
    watermark: str = ""
    tokenizer_fingerprint: str = ""
    segments: int = 0
    run: str = ""


class Model(Protocol):
    """What the rules need to know of a loaded tier."""

    @property
    def tier(self) -> Tier: ...
    @property
    def execution(self) -> str: ...
    @property
    def tokenizer_fingerprint(self) -> str: ...
    def tokens(self, prompt: str) -> int: ...
    def latent_tokens(self, width: int, height: int, frames: int) -> int: ...


def resolve(wanted: Wanted, models: Mapping[str, Model], default_tier: str) -> Request:
    """The request, with every default filled in. Raises the errors of the contract; broken field rules come all at once.

    A tokenizer reads the prompts here: call it beside the event loop.
    """
    name = wanted.tier or default_tier
    model = models.get(name)
    if model is None:
        raise NotFoundError.of("tier", name, known=models)
    if wanted.tokenizer_fingerprint not in ("", model.tokenizer_fingerprint):
        facts = {"tier": name, "expected": model.tokenizer_fingerprint, "received": wanted.tokenizer_fingerprint}
        raise TokenizerMismatchError(f"the tier {name} counts with another tokenizer", metadata=facts)
    tier = model.tier
    if violations := [Violation(subject=field, description=rule) for field, rule in _broken(wanted)]:
        raise InvalidFieldError("; ".join(f"{v.subject}: {v.description}" for v in violations), violations=violations)
    request = _filled(wanted, model)
    _check_multiple(request.take, tier)
    _check_limits(request.take, tier)
    _check_shares(request.take, model)
    _check_window(model, "prompt", request.take.prompt)
    _check_window(model, "negative_prompt", request.take.negative_prompt)
    return request


def warnings(prompt: str, tier: Tier) -> list[str]:
    """What a user should know before the video is there: that ``tier`` cannot draw anything the prompt names."""
    if not tier.subjects or any(_names(subject, prompt) for subject in tier.subjects):
        return []
    return [f"The tier {tier.tier!r} cannot draw this: {tier.draws}"]


def _broken(wanted: Wanted) -> Iterator[tuple[str, str]]:
    """Every broken rule as (field, what it must be)."""
    if not wanted.prompt.strip():
        yield "prompt", "is empty"
    if wanted.segments:
        yield "segments", "storyboards are not built yet"
    if wanted.run and not RUN_ID.fullmatch(wanted.run):
        yield "run", NO_RUN
    if bool(wanted.width) != bool(wanted.height):
        yield "settings.height" if wanted.width else "settings.width", "give both width and height, or neither"
    for field, size in (("width", wanted.width), ("height", wanted.height)):
        if size % 16:
            yield f"settings.{field}", f"is {size}, must be a multiple of 16"
    if wanted.frames and wanted.frames % 4 != 1:
        yield "settings.frames", f"is {wanted.frames}, must be 4k+1, e.g. {round_frames(wanted.frames)}"
    if wanted.duration is not None and wanted.frames:
        yield "settings.duration", "give frames or duration, not both"
    if wanted.duration is not None and wanted.duration <= 0:
        yield "settings.duration", f"is {wanted.duration:g} s, must be longer than 0"
    for field, scale in (("guidance_scale", wanted.guidance), ("guidance_scale_2", wanted.guidance_2)):
        if scale is not None and not 1.0 <= scale <= MOST_GUIDANCE:
            yield f"settings.{field}", f"is {scale:g}, must be 1 to {MOST_GUIDANCE:g}"
    if wanted.seed < 0:
        yield "settings.seed", f"is {wanted.seed}, must not be negative"
    if wanted.fps > MOST_FPS:
        yield "post_processing.fps", f"is {wanted.fps}, must be 1 to {MOST_FPS}"
    if len(wanted.watermark) > MOST_MARK or not all(" " <= c <= "~" for c in wanted.watermark):
        yield "post_processing.watermark", f"must be at most {MOST_MARK} printable ASCII characters"


def _filled(wanted: Wanted, model: Model) -> Request:
    tier = model.tier
    fps = wanted.fps or tier.fps
    frames = wanted.frames or tier.frames.default
    if wanted.duration is not None:
        frames = round_frames(math.ceil(round(wanted.duration * fps, 6)))
    guidance = tier.guidance if wanted.guidance is None else wanted.guidance
    guidance_2 = tier.guidance_2 if wanted.guidance is None else wanted.guidance
    take = Take(
        tenant=wanted.tenant,
        prompt=wanted.prompt,
        negative_prompt=tier.negative_prompt if wanted.negative_prompt is None else wanted.negative_prompt,
        width=wanted.width or tier.width.default,
        height=wanted.height or tier.height.default,
        frames=frames,
        steps=wanted.steps or tier.steps.default,
        guidance=guidance,
        # Guidance that is off is off in both experts, so that what is equal has one name.
        guidance_2=1.0 if guidance == 1.0 else guidance_2 if wanted.guidance_2 is None else wanted.guidance_2,
        seed=wanted.seed,
        tier=tier.tier,
        execution=model.execution,
    )
    return Request(take=take, finish=Finish(fps=fps, watermark=wanted.watermark.strip()))


def _check_multiple(take: Take, tier: Tier) -> None:
    """Some models cut pictures into larger pieces than 16 pixels."""
    for field, size in (("width", take.width), ("height", take.height)):
        if size % tier.multiple:
            rule = f"is {size}, must be a multiple of {tier.multiple} in the tier {tier.tier}"
            raise InvalidFieldError.of(f"settings.{field}", rule)


def _check_limits(take: Take, tier: Tier) -> None:
    limits: dict[str, tuple[int, Bound]] = {
        "width": (take.width, tier.width),
        "height": (take.height, tier.height),
        "frames": (take.frames, tier.frames),
        "steps": (take.steps, tier.steps),
    }
    for field, (value, bound) in limits.items():
        if value > bound.max:
            message = f"settings.{field} is {value}; the tier {tier.tier} goes to {bound.max}"
            violation = Violation(subject=f"settings.{field}", description=f"is {value}, at most {bound.max}")
            facts = {"field": f"settings.{field}", "value": str(value), "limit": str(bound.max)}
            step = f"Set {field} to at most {bound.max}, or choose a tier that goes further."
            raise RequestTooLargeError(message, metadata=facts, violations=[violation], next_step=step)


def _check_shares(take: Take, model: Model) -> None:
    """Processes that share a pass have equal shares of its tokens; the next longer video that has, and that the
    tier makes, is named."""
    shares = model.tier.token_shares
    tokens = model.latent_tokens(take.width, take.height, take.frames)
    if tokens % shares == 0:
        return
    longer = range(take.frames + 4, min(take.frames + 4 * (shares - 1), model.tier.frames.max) + 1, 4)
    fitting = next((f for f in longer if model.latent_tokens(take.width, take.height, f) % shares == 0), None)
    rule = f"is {take.frames}: {tokens} latent tokens are no equal shares for the {shares} devices of the tier {model.tier.tier}"
    hint = f"; {fitting} frames are" if fitting is not None else "; choose another width or height"
    raise InvalidFieldError.of("settings.frames", rule + hint)


def _check_window(model: Model, field: str, text: str) -> None:
    """Counts are without the end mark; the window is with it."""
    count, limit = model.tokens(text), model.tier.max_sequence_length - 1
    if count > limit:
        raise PromptTokensExceededError.of(count=count, limit=limit, field=field)
    if field == "prompt" and count == 0:
        raise InvalidFieldError.of("prompt", "holds nothing that the text encoder could read")


def _names(subject: str, prompt: str) -> bool:
    if subject.isascii():
        return re.search(rf"\b{re.escape(subject)}\b", prompt, re.IGNORECASE) is not None
    return subject in prompt
