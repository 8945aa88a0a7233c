"""Settings of the service, from the environment (``REELGATE_PREPROCESS_*``), validated when made, never changed."""

import os
import re
import secrets
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from reelgate.rpc.telemetry import Traces


def embedded_tokenizer() -> Path:
    """The tokenizer of the embedded tier, which lies in the package."""
    return Path(str(files("preprocess_service"))) / "data" / "embedded" / "spiece.model"


def embedded_bart() -> Path:
    """The small BART that lies in the package; see its README.md."""
    return Path(str(files("preprocess_service"))) / "models" / "bart"


def data_folder() -> Path:
    """Where a user's data lies by the XDG rules."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "reelgate"


LEDGERS = re.compile(r"off|memory|sqlite:///.+|postgresql://.+")


class Settings(BaseSettings):
    """``address`` and ``generator`` are ``host:port``; port 0 takes a free one."""

    model_config = SettingsConfigDict(env_prefix="REELGATE_PREPROCESS_", frozen=True, extra="forbid")

    address: str = "127.0.0.1:50050"
    generator: str = "127.0.0.1:50051"
    generator_token: str = ""
    """Bearer token with the role ``gate``, where the generator has a token file."""
    token_file: Path | None = None
    """Hashes of the clients' tokens; without one only loopback is served, as tenant ``local``."""
    tokenizers: dict[str, Path] = Field(default_factory=lambda: {"embedded": embedded_tokenizer()})
    """Tier -> the model's folder, or its tokenizer file (spiece.model where there is one, else tokenizer.json), as JSON:
    ``{"full": "/models/Wan2.2-T2V-A14B-Diffusers"}``. The embedded tier's own is always there."""
    tenants: Path | None = None
    """Folder of tenant configuration (tenants.py), read again when it changes; without one everybody has the built-in one."""
    default_tier: str = "embedded"
    default_policy: Literal["economy", "balanced", "full", "passthrough"] = "economy"
    emojis: Literal["drop", "keep"] = "drop"
    screening: Literal["observe", "flag", "reject"] = "flag"
    """What stuffing, gibberish and obfuscation lead to: signals in the receipt, a warning too, or PROMPT_REJECTED."""
    bart: str = ""
    """``embedded``, or folder or hub name of a BART checkpoint; empty: prompts are shortened without a model."""
    bart_backend: Literal["ctranslate2", "transformers"] = "ctranslate2"
    """What runs it, for the life of the process. A checkpoint is converted for CTranslate2 once, on its first start."""
    bart_compute: Literal["int8", "float32"] = "int8"
    """Precision under CTranslate2."""
    bart_beams: Annotated[int, Field(ge=1, le=16)] = 4
    bart_threads: Annotated[int, Field(ge=0)] = 0
    """Threads of BART; 0: one a core."""
    bart_queue: Annotated[int, Field(ge=1)] = 16
    """Prompts that may wait for BART; any more are shortened without it, which their receipts say (``rewriter_failed``)."""
    bart_cache: Path | None = None
    """Folder of converted checkpoints; unset: ``reelgate/bart`` in the user's cache folder."""
    semantic: str = ""
    """A sentence encoder that tells how near a shortened prompt is: a folder, or ``all-MiniLM-L6-v2`` of the extra ``semantic``."""
    cache_megabytes: Annotated[int, Field(ge=0)] = 64
    """Room for frequent prompts in this process; 0 keeps none."""
    cache_ttl_seconds: Annotated[float, Field(gt=0)] = 3600.0
    cache_redis: str = ""
    """``redis://host:port/0`` (also ``rediss://``, ``unix://``): frequent prompts shared by all processes; empty: each its own."""
    cache_redis_timeout_ms: Annotated[float, Field(gt=0)] = 5.0
    """A slower answer counts as none: the line itself takes about as long."""
    ledger: str = Field(default_factory=lambda: f"sqlite:///{data_folder() / 'ledger.db'}")
    """Where budgets and the bill are kept: ``sqlite:///file``, ``postgresql://user:password@host/database`` (for several replicas),
    ``memory`` (gone with the process) or ``off`` (nothing is counted, nothing refused)."""
    prices: Path | None = None
    """Price table (budgets/prices.py; deploy/prices.example.yaml is one), read again when it changes; without one nothing costs money."""
    events: str = ""
    """Where each hold that ends is told as a CloudEvent: ``https://host/path``, ``http://host/path`` or ``file:///path``; empty: nowhere.
    What ended while it was empty is not told later."""
    events_secret: SecretStr = SecretStr("")
    """Signs what goes to a webhook (Standard Webhooks, HMAC-SHA256); what begins with ``whsec_`` is base64."""
    events_source: Annotated[str, Field(min_length=1, max_length=256)] = "/reelgate"
    """CloudEvents' ``source`` of this deployment."""
    events_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 10.0
    events_tries: Annotated[int, Field(ge=1)] = 20
    """After so many (about an hour) an event is given up; it stays in the table ``outbox``."""
    events_seconds: Annotated[float, Field(ge=0.01)] = 2.0
    """Pause between looks for events to tell."""
    ledger_timeout_ms: Annotated[float, Field(gt=0)] = 2000.0
    """A ledger that does not answer within this counts as down: requests are refused with BUDGET_STORE_UNAVAILABLE."""
    hold_grace_seconds: Annotated[float, Field(ge=0.1)] = 60.0
    """How long a hold is kept although the generator knows no run for it. A request must be taken up within half of it."""
    reconcile_seconds: Annotated[float, Field(ge=0.01)] = 5.0
    """Pause between looks for holds that nobody looks after; another replica's are taken over after three of these."""
    unknown_device_ms: Annotated[int, Field(ge=0)] | None = None
    """Held of device time where a tier was not measured yet. Unset: a budget that limits device time refuses until it was."""
    degraded_tokens: Annotated[int, Field(ge=0)] = 0
    """What this replica may spend for each tenant while the ledger is down: a slice that it leases before. 0: nothing, requests are
    refused then with BUDGET_STORE_UNAVAILABLE. Goes together with ``degraded_device_ms``."""
    degraded_device_ms: Annotated[int, Field(ge=0)] = 0
    """The same of device time, in milliseconds."""
    degraded_tenants: Annotated[int, Field(ge=1)] = 64
    """Tenants that have a slice at the same time."""
    degraded_quiet_seconds: Annotated[float, Field(gt=0)] = 900.0
    """A tenant that asked for nothing for so long has no slice."""
    degraded_away_seconds: Annotated[float, Field(gt=0)] = 600.0
    """The slices of a replica that is gone for so long, while the ledger answers, are given back by the others."""
    degraded_folder: Path | None = None
    """Where grants lie until the ledger is back; it must outlive the process. Unset: ``reelgate/degraded`` in the user's data folder."""
    replica: Annotated[str, Field(min_length=1, max_length=64)] = Field(default_factory=lambda: secrets.token_hex(8))
    """Name under which this process looks after holds; no two that run at once have the same."""
    traces: str = ""
    """A collector's URL for OTLP over HTTP, e.g. ``http://127.0.0.1:4318/v1/traces``; empty: no traces. Needs the extra ``otel``."""
    traces_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the traces that is kept; a caller's own trace is kept where the caller keeps it."""
    metrics_address: str = ""
    """``host:port`` of ``/metrics`` for Prometheus, e.g. ``127.0.0.1:9464``; empty: not served."""
    metrics_tenants: str = ""
    """Tenants with figures of their own, separated by commas; ``*``: everybody (the first thousand). All others are ``other``."""
    worker_queue: Annotated[int, Field(ge=1)] = 64
    """Long prompts (and all, with BART) that may be in the worker's hands before callers are told to come back."""
    probe_seconds: Annotated[float, Field(gt=0)] = 1.0
    """Pause between looks at the generator while it cannot be reached."""
    drain_seconds: Annotated[float, Field(ge=0)] = 10.0

    @field_validator("tokenizers")
    @classmethod
    def _with_the_embedded(cls, tokenizers: dict[str, Path]) -> dict[str, Path]:
        return {"embedded": embedded_tokenizer(), **tokenizers}

    @field_validator("bart")
    @classmethod
    def _named(cls, value: str) -> str:
        return str(embedded_bart()) if value == "embedded" else value

    @model_validator(mode="after")
    def _both(self) -> Self:
        if bool(self.degraded_tokens) != bool(self.degraded_device_ms):
            raise ValueError("degraded_tokens and degraded_device_ms make a slice together: set both or neither")
        return self

    @field_validator("ledger")
    @classmethod
    def _kept(cls, value: str) -> str:
        if not LEDGERS.fullmatch(value):
            raise ValueError("is sqlite:///file, postgresql://..., memory or off")
        return value

    def tracing(self) -> Traces:
        """Where traces go."""
        return Traces(endpoint=self.traces, ratio=self.traces_ratio)
