"""What the client gives back: plain frozen values; protobuf stays inside client.py."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from datetime import datetime

from reelgate.budgets import Bill, Money, Verdict


class Stage(enum.StrEnum):
    """Where a run is."""

    QUEUED = "queued"
    TEXT = "text"
    DENOISE = "denoise"
    DECODE = "decode"
    ENCODE = "encode"


class State(enum.StrEnum):
    """What became of a video."""

    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fields:
    """A prompt in fields; they are joined as "subject, action, scene, style, camera", empty ones left out."""

    subject: str = ""
    action: str = ""
    scene: str = ""
    style: str = ""
    camera: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What the denoiser is asked for; None takes the tier's default.

    ``width`` and ``height`` in pixels, multiples of 16; ``frames`` is 4k+1; ``seconds`` may stand instead of frames.
    """

    tier: str = ""
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    seconds: float | None = None
    steps: int | None = None
    guidance_scale: float | None = None
    guidance_scale_2: float | None = None
    seed: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class PostProcessing:
    """How the pictures are finished: frames a second (0: the tier's default) and a watermark ("" for none)."""

    fps: int = 0
    watermark: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class StageReport:
    """One stage of the line: tokens in and out without the end mark, and its time in microseconds."""

    stage: str
    tokens_in: int
    tokens_out: int
    duration_us: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """A span that was removed or rewritten: ``text[start:end] == original`` in code points of the client's own text."""

    start: int
    end: int
    stage: str
    reason: str
    original: str
    replacement: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProtectedTerm:
    """A term that had to survive; ``source`` is keyword, quoted, number or negation."""

    term: str
    source: str
    survived: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Signal:
    """Something that does not look like a prompt: ``value`` is over ``limit``; ``severity`` is 1 at twice the limit."""

    name: str
    value: float
    limit: float
    severity: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Screening:
    """``verdict`` is pass or flagged, ``score`` (0 to 1) the highest severity of the signals."""

    policy: str
    verdict: str
    score: float
    signals: tuple[Signal, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Receipt:
    """Where every token went. Counts are without the end mark."""

    line_version: str
    tier: str
    tokenizer_fingerprint: str
    policy: str
    target_tokens: int
    tokens_before: int
    tokens_after: int
    negative_tokens: int
    stages: tuple[StageReport, ...]
    changes: tuple[Change, ...]
    protected_terms: tuple[ProtectedTerm, ...]
    faithful: bool
    fidelity_reasons: tuple[str, ...]
    semantic: float | None
    rung: str
    compressor: str
    deep_compression: bool
    warnings: tuple[str, ...]
    screening: Screening
    template: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepared:
    """What the text encoder sees, its receipt, and its cost: ``cost_tokens`` are budget tokens.

    ``device_ms_p50`` and ``device_ms_p95`` are None where the generator gave no estimate, ``price`` (at most) where none is set,
    ``budget`` where budgets are not kept or were not asked.
    """

    prompt: str
    negative_prompt: str
    receipt: Receipt
    cost_tokens: int
    device_ms_p50: int | None = None
    device_ms_p95: int | None = None
    price: Money | None = None
    budget: Verdict | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Accepted:
    """The run has a name; ``settings`` has every default filled in. ``run`` is the one that was opened or joined; ``cached``: it
    made the stored video, which is returned as it is.
    """

    name: str
    take: str
    settings: Settings
    post_processing: PostProcessing
    warnings: tuple[str, ...]
    attached: bool
    run: str = ""
    cached: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Progress:
    """``step`` of ``steps`` are done in ``stage``. ``device_ms`` of device time were used by then, all stages together.
    ``waits_for_store``: the generator's store is full or away, and the run goes on by itself when it is not.
    """

    stage: Stage
    step: int
    steps: int
    device_ms: int = 0
    waits_for_store: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """The terminal record of a run. Times are milliseconds of device time by stage; ``denoise_high_ms`` and ``denoise_low_ms``
    are the two experts' parts of ``denoise_ms``.

    Of ``steps_run``, ``steps_resumed`` were made before the last of ``attempts`` processes; ``steps_lost`` were made again.
    ``saved_device_ms`` is what others had used for what was not made again: of the stored video, or of the take's latents.
    ``tiled_decode``: the pictures were decoded in overlapping tiles for want of memory, and differ a little near the seams.
    ``settings``: how the tier ran (precision, attention kernels, caches and the like), by name.
    """

    text_ms: int
    denoise_ms: int
    decode_ms: int
    encode_ms: int
    steps_run: int
    steps_reused: int
    cached: bool
    prompt_tokens: int
    negative_prompt_tokens: int
    model_fingerprint: str
    execution_fingerprint: str
    failure_reason: str
    failure_message: str
    steps_resumed: int = 0
    steps_lost: int = 0
    attempts: int = 0
    restarted: bool = False
    denoise_high_ms: int = 0
    denoise_low_ms: int = 0
    run: str = ""
    saved_device_ms: int = 0
    tiled_decode: bool = False
    settings: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)

    @property
    def device_ms(self) -> int:
        """All stages together."""
        return self.text_ms + self.denoise_ms + self.decode_ms + self.encode_ms


@dataclasses.dataclass(frozen=True, kw_only=True)
class Video:
    """A video as it is now; ``report`` is None while it runs, ``sha256`` and ``size_bytes`` are set once it is done.

    ``bill``: what was charged, at the end of the stream that made it, where budgets are kept. ``accepted``: when its last run was,
    None where that is not known.
    """

    name: str
    take: str
    state: State
    settings: Settings
    post_processing: PostProcessing
    size_bytes: int
    sha256: str
    report: Report | None
    progress: Progress | None
    run: str = ""
    bill: Bill | None = None
    accepted: datetime | None = None


Event = Prepared | Accepted | Progress | Video
