"""The field rules of a request, checked once, at the edge. Every broken rule of a request is named at once."""

from __future__ import annotations

from collections.abc import Iterator

from reelgate.generator.v1.generator_pb2 import PostProcessing, VideoSettings
from reelgate.rpc.errors import InvalidFieldError, Violation

MULTIPLE = 16
GUIDANCE_MAX = 20.0
FPS_MAX = 60
WATERMARK_MAX = 64
REQUEST_ID_MAX = 128


def check_video(settings: VideoSettings, post: PostProcessing | None = None) -> None:
    """Raise ``InvalidFieldError`` with all violations. Limits of a tier are the generator's to check."""
    broken = [*_size(settings), *_length(settings), *_sampling(settings), *(_post(post) if post else ())]
    if broken:
        message = "; ".join(f"{violation.subject} {violation.description}" for violation in broken)
        raise InvalidFieldError(message, violations=broken)


def _broken(field: str, description: str) -> Violation:
    return Violation(subject=field, description=description)


def _size(settings: VideoSettings) -> Iterator[Violation]:
    if bool(settings.width) != bool(settings.height):
        yield _broken("settings.width", "and settings.height are given together or not at all")
    for field, value in (("settings.width", settings.width), ("settings.height", settings.height)):
        if value % MULTIPLE:
            yield _broken(field, f"is {value}, must be a multiple of {MULTIPLE}")


def _length(settings: VideoSettings) -> Iterator[Violation]:
    if settings.frames and settings.frames % 4 != 1:
        yield _broken("settings.frames", f"is {settings.frames}, must be 4k+1")
    if settings.HasField("duration"):
        if settings.frames:
            yield _broken("settings.duration", "stands instead of settings.frames, not beside it")
        if settings.duration.seconds < 0 or settings.duration.nanos < 0 or not settings.duration.ToNanoseconds():
            yield _broken("settings.duration", "must be positive")


def _sampling(settings: VideoSettings) -> Iterator[Violation]:
    for field in ("guidance_scale", "guidance_scale_2"):
        value = getattr(settings, field)
        if settings.HasField(field) and not 1.0 <= value <= GUIDANCE_MAX:
            yield _broken(f"settings.{field}", f"is {value:g}, must be between 1 and {GUIDANCE_MAX:g}")
    if settings.seed < 0:
        yield _broken("settings.seed", f"is {settings.seed}, must not be negative")


def _post(post: PostProcessing) -> Iterator[Violation]:
    if post.fps > FPS_MAX:
        yield _broken("post_processing.fps", f"is {post.fps}, must be at most {FPS_MAX}")
    if len(post.watermark) > WATERMARK_MAX or not (post.watermark.isascii() and post.watermark.isprintable()):
        yield _broken("post_processing.watermark", f"must be at most {WATERMARK_MAX} printable ASCII characters")


def check_request_id(request_id: str) -> None:
    """Raise ``InvalidFieldError`` for a client's request id that is too long, or that no log and no database can show as it is."""
    if not request_id.isprintable():
        raise InvalidFieldError.of("request_id", "must be printable characters only")
    if len(request_id) > REQUEST_ID_MAX:
        raise InvalidFieldError.of("request_id", f"has {len(request_id)} characters, at most {REQUEST_ID_MAX} are kept")
