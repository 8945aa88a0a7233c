"""Builds the components of one tier from a folder in ``save_pretrained`` layout (or a Hugging Face id), and names what
decides bits.

The embedded model and Wan2.2-T2V-A14B load through the same lines.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import platform
from pathlib import Path
from typing import Any, TypeVar, cast

import diffusers
import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel
from huggingface_hub import snapshot_download
from transformers import UMT5EncoderModel

from generator_service import conflicts, core, heap, lora, processor, swap, text, tuning
from generator_service.tier import Tier
from generator_service.tuning import Tuned

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
PARTS = ("transformer", "transformer_2", "vae", "text_encoder", "scheduler")
CHUNK = 8 << 20
Model = TypeVar("Model", bound=torch.nn.Module)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experts:
    """What makes the passes of one tier, loaded. ``transformer`` is the high-noise expert; ``transformer_2`` takes over below
    ``boundary_ratio``, which is None for one-expert models.
    """

    tier: Tier
    transformer: WanTransformer3DModel
    transformer_2: WanTransformer3DModel | None
    boundary_ratio: float | None
    device: torch.device
    dtype: torch.dtype
    tuned: Tuned = dataclasses.field(default_factory=Tuned)

    @property
    def experts(self) -> list[WanTransformer3DModel]:
        """That of high noise levels first."""
        return [self.transformer] if self.transformer_2 is None else [self.transformer, self.transformer_2]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Components(Experts):
    """One tier, loaded whole. ``scheduler`` is a template: every request steps a scheduler of its own."""

    tokenizer: text.TextTokenizer
    text_encoder: UMT5EncoderModel
    vae: AutoencoderKLWan
    scheduler: UniPCMultistepScheduler
    weights: str
    tokenizer_fingerprint: str
    encoder_fingerprint: str
    execution: str
    versions: dict[str, str]


def load(tier: Tier, device: torch.device) -> Components:
    """Everything that ``tier`` needs, on ``device``, in eval mode.

    Raises ``FileNotFoundError`` or ``OSError`` where files are missing, `tuning.NotHereError` and `attention.NoKernelError` for
    settings that this device cannot have, `lora.NotForThisModelError`.
    """
    heap.keep()
    tuning.check(tier, device)
    folder = resolve(tier.model, tier.revision)
    made = load_experts(tier, device)
    scheduler = UniPCMultistepScheduler.from_pretrained(folder, subfolder="scheduler")
    if tier.flow_shift is not None:
        scheduler = UniPCMultistepScheduler.from_config(scheduler.config, flow_shift=tier.flow_shift)
    weights = fingerprint(folder)
    at = device if tier.text_encoder == "device" else swap.HOST
    encoder = _place(UMT5EncoderModel, folder, "text_encoder", made.dtype, at)
    if tier.text_encoder == "swap":
        swap.Swap([encoder], device)
    return Components(
        **{each.name: getattr(made, each.name) for each in dataclasses.fields(made)},
        tokenizer=text.load_tokenizer(folder / "tokenizer"),
        text_encoder=encoder,
        vae=load_vae(tier, device),
        scheduler=scheduler,
        weights=weights,
        tokenizer_fingerprint=text.fingerprint(folder / "tokenizer"),
        encoder_fingerprint=encoder_fingerprint(folder),
        execution=execution(weights, tier, made.boundary_ratio, scheduler, device, made.tuned),
        versions=_versions(tier, device),
    )


def _versions(tier: Tier, device: torch.device) -> dict[str, str]:
    """What decides bits and may change under a store: a GPU's name is in the execution fingerprint, a processor's would make other
    takes of those that are stored."""
    found = {"torch": torch.__version__, "diffusers": diffusers.__version__}
    computes = device.type == "cpu" or tier.text_encoder == "host"
    return found | ({"processor": processor.identity(torch.get_num_threads())} if computes else {})


def load_experts(tier: Tier, device: torch.device) -> Experts:
    """As `load`, of what makes passes alone."""
    folder, dtype = resolve(tier.model, tier.revision), DTYPES[tier.dtype]
    index = json.loads((folder / "model_index.json").read_text("utf-8"))
    boundary = index.get("boundary_ratio") if tier.boundary_ratio is None else tier.boundary_ratio
    two = boundary is not None and (folder / "transformer_2").is_dir()
    if reasons := "; ".join(conflicts.with_experts(tier, 1 + two)):
        raise ValueError(f"tier {tier.tier}: {reasons}")
    high, facts = _expert(tier, folder, "transformer", dtype, device)
    low, more = (None, {}) if boundary is None else _expert(tier, folder, "transformer_2", dtype, device)
    facts |= {name: f"{facts.get(name, '-')} + {fact}" for name, fact in more.items() if name == "lora"}
    tuned = tuning.finish([high] if low is None else [high, low], tier, device, dtype)
    return Experts(
        tier=tier,
        transformer=high,
        transformer_2=low,
        boundary_ratio=boundary,
        device=device,
        dtype=dtype,
        tuned=dataclasses.replace(tuned, facts=facts | tuned.facts),
    )


def load_vae(tier: Tier, device: torch.device) -> AutoencoderKLWan:
    """As `load`, of what decodes alone."""
    return _place(AutoencoderKLWan, resolve(tier.model, tier.revision), "vae", DTYPES[tier.vae_dtype], device)


def device_name(chosen: str) -> str:
    """``auto`` is the first GPU where there is one."""
    return chosen if chosen != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def resolve(model: str, revision: str = "") -> Path:
    """The folder of a model: itself, or the local snapshot of a Hugging Face id (fetched when it is not there)."""
    if Path(model).is_dir():
        return Path(model)
    if Path(model).is_absolute() or model.count("/") != 1:
        raise FileNotFoundError(f"{model!r} is neither a folder nor a Hugging Face id")
    return Path(snapshot_download(model, revision=revision or None))


def execution(
    weights: str,
    tier: Tier,
    boundary: float | None,
    scheduler: UniPCMultistepScheduler,
    device: torch.device,
    tuned: Tuned | None = None,
) -> str:
    """Fingerprint of all that decides a take's bits beside its request; part of the take's name."""
    tuned = tuned or Tuned()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return core.digest(
        {
            "weights": weights,
            "dtype": tier.dtype,
            "quantisation": tier.quantisation,
            "attention": tuned.attention,
            "folding": "pads" if tier.fold_text else "none",
            "batching": "shared" if tier.batch else "one",
            "device": f"{device.type} {name}",
            "boundary": boundary,
            "shift": float(scheduler.config["flow_shift"]),
            "window": tier.max_sequence_length,
        }
        | _added(tier, tuned)
    )


def _added(tier: Tier, tuned: Tuned) -> dict[str, Any]:
    """Settings that are newer than stored takes: each is named only where it is not what it was before there was a choice, so that
    those keep their names."""
    chosen: dict[str, tuple[Any, Any]] = {
        "vae_dtype": (tier.vae_dtype, "float32"),
        "cross_attention": (tuned.cross_attention, "native"),
        "fused": (tier.fuse_qkv, False),
        "compiled": (tier.compile, False),
        # Beside compiled blocks keys and values are made by the plain product, inside them by the compiled one.
        "text_kv": (tier.text_kv or not tier.compile, True),
        # One that visits the device makes the bits of one that lives there.
        "text_encoder": (tier.text_encoder if tier.text_encoder == "host" else "device", "device"),
        "lora": ([_content(place, tier) for place in (tier.lora, tier.lora_2) if place], []),
        "lora_scale": (tier.lora_scale if tier.lora else 1.0, 1.0),
        "guidance_interval": (list(tier.guidance_interval), [0.0, 1.0]),
        "guidance_every": (tier.guidance_every, 1),
        # A share of the tokens is another shape of matrix, for which a GPU may take another kernel; a band of a picture too.
        # A ring adds in another order.
        "parallel": ([tier.token_shares, tier.parallel.processes] if tier.parallel else [], []),
        "ring": (tier.rings, False),
        "step_cache": (tier.step_cache.model_dump(mode="json") if tier.step_cache else None, None),
    }
    return {key: value for key, (value, before) in chosen.items() if value != before}


def _content(place: str, tier: Tier) -> str:
    file = lora.resolve(place, Path(tier.model))
    return _file_hash(file, *_stamp(file))


def fingerprint(folder: Path) -> str:
    """Hex sha256 over the model's safetensors, its configurations and its tokenizer file, each with its relative name."""
    return _files_digest(folder, PARTS, folder / "model_index.json", text.tokenizer_file(folder / "tokenizer"))


def encoder_fingerprint(folder: Path) -> str:
    """The same over what makes states of a prompt: text encoder and tokenizer file."""
    return _files_digest(folder, ("text_encoder",), text.tokenizer_file(folder / "tokenizer"))


def _files_digest(folder: Path, parts: tuple[str, ...], *more: Path) -> str:
    files = [
        file for part in parts for pattern in ("*.safetensors", "*.json") for file in (folder / part).glob(pattern)
    ]
    found = {str(file.relative_to(folder)): _file_hash(file, *_stamp(file)) for file in (*files, *more)}
    return core.digest(cast("dict[str, Any]", found))


def _stamp(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


@functools.cache
def _file_hash(file: Path, size: int, mtime_ns: int) -> str:
    """Read once a process for each (size, time of change): two A14B experts are 57 GB."""
    found = hashlib.sha256()
    with file.open("rb") as source:
        while chunk := source.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()


def _expert(
    tier: Tier, folder: Path, part: str, dtype: torch.dtype, device: torch.device
) -> tuple[WanTransformer3DModel, dict[str, str]]:
    """One of the experts; where the tier offloads, it stays on the host until it is called for."""
    read = _place(WanTransformer3DModel, folder, part, dtype, torch.device("cpu"))
    facts = tuning.ready(read, tier, device, low=part == "transformer_2", beside=Path(tier.model))
    return read if tier.offload != "none" else read.to(device), facts


def _place(kind: type[Model], folder: Path, part: str, dtype: torch.dtype, device: torch.device) -> Model:
    build = cast("Any", kind)
    key = "dtype" if kind is UMT5EncoderModel else "torch_dtype"
    model: Model = build.from_pretrained(folder, subfolder=part, **{key: dtype})
    return model.to(device).eval().requires_grad_(False)
