"""Settings of the service, from the environment (``REELGATE_GENERATOR_*``), validated when made, never changed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, BeforeValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from generator_service import tier
from generator_service.scheduler import Limits
from reelgate.rpc.telemetry import Traces

# A switch of experts costs at most a step, of which this holds a dozen.
SWAP_GROUP_S = 60.0


def data_folder() -> Path:
    """Where a user's data lies by the XDG rules."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "reelgate"


class Settings(BaseSettings):
    """``address`` is ``host:port``; port 0 takes a free one."""

    model_config = SettingsConfigDict(env_prefix="REELGATE_GENERATOR_", frozen=True, extra="forbid")

    address: str = "127.0.0.1:50051"
    token_file: Path | None = None
    """Hashes of the callers' tokens; without one only loopback is served, as tenant ``local``."""
    store: Annotated[str, BeforeValidator(str)] = Field(default_factory=lambda: str(data_folder() / "store"))
    """Where takes and videos are: a folder, or a URL that obstore knows, e.g. ``s3://bucket/prefix``."""
    store_options: dict[str, str] = Field(default_factory=dict)
    """JSON of obstore's options for a URL, e.g. ``{"aws_endpoint": "http://127.0.0.1:9000"}``; the rest comes from ``AWS_...``."""
    lease_seconds: Annotated[float, Field(ge=0.5)] = 15.0
    """How long another generator on the same store waits for a sign of life before it takes over this one's runs."""
    snapshot_steps: Annotated[int, Field(ge=1)] = 8
    snapshot_seconds: Annotated[float, Field(gt=0)] = 30.0
    """A run in the middle of denoising is kept every so many steps or seconds, whichever comes first."""
    device: str = "auto"
    """``cpu``, ``cuda``, ``cuda:1``; ``auto`` takes the first GPU where there is one."""
    threads: Annotated[int, Field(ge=0)] = 1
    """Threads of torch on a CPU; 0 takes every core. Sums in another order may change the last bit of a video.

    One, because the embedded model is too small to gain from more, and threads that spin while they wait for each other burn
    device time, which is billed, as soon as anything else runs on the machine."""
    queue: Annotated[int, Field(ge=1)] = 64
    """Requests that may wait before callers are told to come back."""
    begun: Annotated[int, Field(ge=1)] = 4
    """Requests of one priority that may be in the middle of their steps: each holds its latents in memory."""
    floor: Annotated[float, Field(ge=0, lt=0.5)] = 0.1
    """Share of the device that tiers of lower priority keep while one of higher priority has work."""
    expert_group_seconds: Annotated[float, Field(ge=0)] = 0.0
    """For how long requests that need the expert on the device go first; 0: not at all where both experts fit, a minute in tiers with
    ``offload: expert``."""
    memory_bytes: Annotated[int, Field(ge=1)] | None = None
    """What requests may use on a CPU, weights included; all of the machine's memory where it is not set. A GPU is asked."""
    default_tier: str = "embedded"
    embedded_model: str | None = None
    """Folder or hub id instead of the package's own model; "" turns the tier off."""
    full_model: str | None = None
    """Folder or hub id of Wan2.2-T2V-A14B in diffusers' layout; the tier is off without one."""
    fast_model: str | None = None
    """The same for the tier of four steps; its LoRA is in its file."""
    draft_model: str | None = None
    """Folder or hub id of Wan2.2-TI2V-5B in diffusers' layout; the tier is off without one."""
    tier_folder: Path | None = Field(
        default=None, validation_alias=AliasChoices("REELGATE_GENERATOR_TIERS", "tier_folder")
    )
    """``REELGATE_GENERATOR_TIERS``: a folder of tiers of your own, one YAML file each; one that has the name of ours stands instead
    of it, and its ``model`` is its own."""
    traces: str = ""
    """A collector's URL for OTLP over HTTP, e.g. ``http://127.0.0.1:4318/v1/traces``; empty: no traces. Needs the extra ``otel``."""
    traces_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the traces that is kept; a caller's own trace is kept where the caller keeps it."""
    traces_steps: Annotated[int, Field(ge=1)] = 8
    """Of the steps of a stage the first, the last and every so many-th is told."""
    metrics_address: str = ""
    """``host:port`` of ``/metrics`` for Prometheus, e.g. ``127.0.0.1:9465``; empty: not served."""
    drain_seconds: Annotated[float, Field(ge=0)] = 10.0

    def tracing(self) -> Traces:
        """Where traces go."""
        return Traces(endpoint=self.traces, ratio=self.traces_ratio, steps=self.traces_steps)

    def limits(self, tiers: Iterable[tier.Tier] = ()) -> Limits:
        """For the scheduler. Where callers have tokens there are several tenants, and none may fill the queue; where an expert of
        ``tiers`` has to come for its steps, those that need it go first for a while."""
        swapped = any(each.offload == "expert" for each in tiers)
        return Limits(
            begun=self.begun,
            floor=self.floor,
            group=self.expert_group_seconds or (SWAP_GROUP_S if swapped else 0.0),
            leave_room=self.token_file is not None,
        )

    def tiers(self) -> dict[str, tier.Tier]:
        """The tiers that are on, by name. Raises ``ValueError`` when the default tier is not among them, or a model is nowhere."""
        models = {
            "embedded": self.embedded_model,
            "full": self.full_model,
            "fast": self.fast_model,
            "draft": self.draft_model,
        }
        found = {name: tier.load(tier.FOLDER / f"{name}.yaml", model) for name, model in models.items()}
        if self.tier_folder is not None:
            found |= tier.folder(self.tier_folder)
        on = {name: each for name, each in found.items() if each.model}
        for each in on.values():
            tier.check_model(each)
        if self.default_tier not in on:
            raise ValueError(f"the default tier {self.default_tier!r} is not on; these are: {', '.join(on) or 'none'}")
        return on
