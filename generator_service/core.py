"""The values that flow through the generator. A request is a pure value, and two names follow from it.

``takes/<sha256>`` names what the denoiser sees; ``videos/<sha256>`` adds how the pictures are finished. So another
watermark finds the take's latents and never denoises, and equal requests meet under one name.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import json
import re
from typing import Any

VIDEO_NAME = re.compile(r"videos/[0-9a-f]{64}")
RUN_ID = re.compile(r"[0-9a-f]{32}")


class Stage(enum.StrEnum):
    """Where a run is."""

    QUEUED = "queued"
    TEXT = "text"
    DENOISE = "denoise"
    DECODE = "decode"
    ENCODE = "encode"
    STORE = "store"


UNTIL_LATENTS = frozenset({Stage.TEXT, Stage.DENOISE})
"""What a request with stored latents has behind it."""


class Expert(enum.StrEnum):
    """Which half of the noise levels a denoise step is of. A model of one expert makes them all with that: ``HIGH``."""

    HIGH = "high"
    LOW = "low"


class Outcome(enum.StrEnum):
    """How a run ended."""

    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


class Rung(enum.IntEnum):
    """How a run uses the device's memory. Every rung down needs less of it and more time; `TILED` changes pixels, and whatever
    is decoded below it is decoded in tiles too."""

    PLAIN = 0
    TILED = 1
    EXPERT_OFFLOADED = 2
    GROUPS_OFFLOADED = 3
    ALONE = 4


class Reuse(enum.StrEnum):
    """What a run found already made: nothing, the take's final latents, or the video itself."""

    NONE = "none"
    LATENTS = "latents"
    VIDEO = "video"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Take:
    """What the denoiser sees. ``execution`` is the fingerprint of everything else that decides bits (see `wan.py`)."""

    tenant: str
    prompt: str
    negative_prompt: str
    width: int
    height: int
    frames: int
    steps: int
    guidance: float
    guidance_2: float
    seed: int
    tier: str
    execution: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finish:
    """The chain of post-processing: pictures a second, and a text burnt into the lower right corner ("" for none)."""

    fps: int
    watermark: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """One video: a take and its finish. Its names are asked around every step, so they are made once."""

    take: Take
    finish: Finish

    @functools.cached_property
    def take_name(self) -> str:
        """``takes/<sha256>`` over the canonical JSON of the take."""
        return f"takes/{digest(dataclasses.asdict(self.take))}"

    @functools.cached_property
    def name(self) -> str:
        """``videos/<sha256>`` over the take's name and the finish."""
        return f"videos/{digest({'take': self.take_name, **dataclasses.asdict(self.finish)})}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Progress:
    """``step`` of ``steps`` are done in ``stage``. ``device_ms`` is what the run had used of the device by then, 0 where that is
    not known; it is no part of where the run is. ``waits_for_store``: the store is full or away, and the run goes on when it is not.
    """

    stage: Stage
    step: int = 0
    steps: int = 0
    device_ms: int = dataclasses.field(default=0, compare=False)
    waits_for_store: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Artefact:
    """A stored file: its length in bytes and the sha256 of its content, in hex."""

    size: int
    sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a run ended without a video: a reason of the contract's error table, the stage it was in, and the cause in
    words.
    """

    reason: str
    stage: Stage
    cause: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Meter:
    """What a run has used up to a point that is stored: it goes with the snapshot, and work repeated after it is nobody's.

    ``denoise_steps`` ran, ``lost_steps`` of denoising were repeated after a crash, ``device_ns`` is device time by stage, and
    ``expert_ns`` that of denoising by expert. ``reused_steps`` were another run's, ``saved_ns`` what they had taken it.
    """

    denoise_steps: int = 0
    lost_steps: int = 0
    reused_steps: int = 0
    saved_ns: int = 0
    device_ns: dict[Stage, int] = dataclasses.field(default_factory=dict)
    expert_ns: dict[Expert, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """The terminal record of a run. ``denoise_steps`` and ``decode_steps`` are counted, not planned.

    ``run`` tells the runs of one name apart. Of ``denoise_steps``, ``resumed_steps`` were taken over from a snapshot of this
    run, which earlier processes had made; ``reused_steps`` came from another run of the take and are not among them.
    ``lost_steps`` ran again after a crash, and ``restarted`` says that there was a snapshot that could not be used: neither
    such steps nor their time are counted anywhere else. They are a lower bound where the store is no folder: what ran after
    the dead process's last heartbeat is not known. ``attempts`` counts the processes that began it; ``peak_bytes`` is the most
    device memory in use, 0 on a CPU. ``rung`` is where on the ladder of memory the run ended; ``tiled`` says that its pictures
    were decoded in tiles, which is not in its name: near the seams they differ from those of a device with more room.

    ``device_ms`` is time of the device by stage: on a GPU the time for which the stepping thread kept it busy; on a CPU
    the CPU time of the **whole process** while the stage ran, since torch's own threads cannot be told apart, so work
    beside it counts too. ``expert_ms`` is that of denoising by expert. ``saved_ms`` is device time that another run had used for
    what this one did not have to make. ``settings`` says in clear how the tier ran (`engine.Engine.settings`). ``started_ms``
    (first step) and ``ended_ms`` are Unix time.
    """

    outcome: Outcome
    run: str = ""
    reuse: Reuse = Reuse.NONE
    denoise_steps: int = 0
    decode_steps: int = 0
    resumed_steps: int = 0
    reused_steps: int = 0
    lost_steps: int = 0
    restarted: bool = False
    attempts: int = 0
    peak_bytes: int = 0
    rung: Rung = Rung.PLAIN
    tiled: bool = False
    device_ms: dict[Stage, int] = dataclasses.field(default_factory=dict)
    expert_ms: dict[Expert, int] = dataclasses.field(default_factory=dict)
    saved_ms: int = 0
    prompt_tokens: int = 0
    negative_prompt_tokens: int = 0
    model: str = ""
    execution: str = ""
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    settings: dict[str, str] = dataclasses.field(default_factory=dict)
    video: Artefact | None = None
    failure: Failure | None = None
    started_ms: int = 0
    ended_ms: int = 0


def digest(value: dict[str, Any]) -> str:
    """Hex sha256 of the canonical JSON of ``value``: sorted keys, no spaces, UTF-8, no NaN."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def round_frames(frames: int) -> int:
    """The smallest 4k+1 that is at least ``frames``: the VAE makes one picture, then four for every latent frame."""
    return max(1, -(-(frames - 1) // 4) * 4 + 1)
