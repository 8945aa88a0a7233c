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

from generator_service import core, heap, text
from generator_service.tier import Tier

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
PARTS = ("transformer", "transformer_2", "vae", "text_encoder", "scheduler")
CHUNK = 8 << 20
Model = TypeVar("Model", bound=torch.nn.Module)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Components:
    """One tier, loaded. ``transformer`` is the high-noise expert; ``transformer_2`` takes over below
    ``boundary_ratio``.

    ``scheduler`` is a template: every request steps a scheduler of its own. ``boundary_ratio`` is None for one-expert
    models.
    """

    tier: Tier
    tokenizer: text.TextTokenizer
    text_encoder: UMT5EncoderModel
    transformer: WanTransformer3DModel
    transformer_2: WanTransformer3DModel | None
    vae: AutoencoderKLWan
    scheduler: UniPCMultistepScheduler
    boundary_ratio: float | None
    device: torch.device
    dtype: torch.dtype
    weights: str
    tokenizer_fingerprint: str
    encoder_fingerprint: str
    execution: str
    versions: dict[str, str]


def load(tier: Tier, device: torch.device) -> Components:
    """Everything that ``tier`` needs, on ``device``, in eval mode. The VAE stays in fp32, as its authors run it.

    Raises ``FileNotFoundError`` or ``OSError`` where files are missing.
    """
    heap.keep()
    folder = resolve(tier.model)
    index = json.loads((folder / "model_index.json").read_text("utf-8"))
    dtype = DTYPES[tier.dtype]
    boundary = index.get("boundary_ratio") if tier.boundary_ratio is None else tier.boundary_ratio
    scheduler = UniPCMultistepScheduler.from_pretrained(folder, subfolder="scheduler")
    if tier.flow_shift is not None:
        scheduler = UniPCMultistepScheduler.from_config(scheduler.config, flow_shift=tier.flow_shift)
    weights = fingerprint(folder)
    return Components(
        tier=tier,
        tokenizer=text.load_tokenizer(folder / "tokenizer"),
        text_encoder=_place(UMT5EncoderModel, folder, "text_encoder", dtype, device),
        transformer=_place(WanTransformer3DModel, folder, "transformer", dtype, device),
        transformer_2=None
        if boundary is None
        else _place(WanTransformer3DModel, folder, "transformer_2", dtype, device),
        vae=_place(AutoencoderKLWan, folder, "vae", torch.float32, device),
        scheduler=scheduler,
        boundary_ratio=boundary,
        device=device,
        dtype=dtype,
        weights=weights,
        tokenizer_fingerprint=text.fingerprint(folder / "tokenizer"),
        encoder_fingerprint=encoder_fingerprint(folder),
        execution=execution(weights, tier, boundary, scheduler, device),
        versions={"torch": torch.__version__, "diffusers": diffusers.__version__},
    )


def resolve(model: str) -> Path:
    """The folder of a model: itself, or the local snapshot of a Hugging Face id (fetched when it is not there)."""
    if Path(model).is_dir():
        return Path(model)
    if Path(model).is_absolute() or model.count("/") != 1:
        raise FileNotFoundError(f"{model!r} is neither a folder nor a Hugging Face id")
    return Path(snapshot_download(model))


def execution(
    weights: str, tier: Tier, boundary: float | None, scheduler: UniPCMultistepScheduler, device: torch.device
) -> str:
    """Fingerprint of all that decides a take's bits beside its request; part of the take's name."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return core.digest(
        {
            "weights": weights,
            "dtype": tier.dtype,
            "quantisation": "none",
            "attention": "native",
            "folding": "pads" if tier.fold_text else "none",
            "batching": "shared" if tier.batch else "one",
            "device": f"{device.type} {name}",
            "boundary": boundary,
            "shift": float(scheduler.config["flow_shift"]),
            "window": tier.max_sequence_length,
        }
    )


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


def _place(kind: type[Model], folder: Path, part: str, dtype: torch.dtype, device: torch.device) -> Model:
    build = cast("Any", kind)
    key = "dtype" if kind is UMT5EncoderModel else "torch_dtype"
    model: Model = build.from_pretrained(folder, subfolder=part, **{key: dtype})
    return model.to(device).eval().requires_grad_(False)
