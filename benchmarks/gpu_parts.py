"""Rows of `gpu.py` about parts of the model: ceilings, attention, one block by precision, the VAE."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import torch
from diffusers.models.transformers.transformer_wan import WanTransformerBlock

from benchmarks import gpu_time
from benchmarks.gpu_bench import Bench, Row, share
from benchmarks.gpu_model import tier_of
from generator_service import attention, decoding, precision, tuning


def of_device(bench: Bench) -> Row:
    """Ceilings of the device."""
    return dataclasses.asdict(bench.ceilings)


def kernels(bench: Bench) -> Row:
    """Attention alone: every kernel that is here, at both sizes, self and cross, whole and folded."""
    found: Row = {}
    for name, size in (("480p", bench.p480), ("720p", bench.p720)):
        for folded in (False, True):
            tier = tier_of(bench.model, *size, fold_text=folded)
            own, cross = tuning.sites(bench.model.transformer, tier)
            for kind, site in (("cross folded", cross),) if folded else (("self", own), ("cross", cross)):
                work = 4.0 * site.rows * site.keys * site.heads * site.width
                for trial in attention.probe(list(attention.KERNELS), site, bench.model.dtype, bench.device):
                    told = dataclasses.asdict(trial)
                    told["tflops"] = work / trial.seconds / 1e12 if trial.seconds else None
                    found[f"{name} {kind} {trial.kernel}"] = told
    return found


def precisions(bench: Bench) -> Row:
    """Errors of one block beside fp32, on the same numbers: by the device's products and by the reference. Of what the block adds to its
    input."""
    tokens, texts = (2048, 512) if bench.model.real else (48, 16)
    width, inner, heads = (5120, 13824, 40) if bench.wide else (512, 1408, 4)
    torch.manual_seed(0)
    with torch.device(bench.device):
        exact = WanTransformerBlock(width, inner, heads, cross_attn_norm=True).eval().requires_grad_(False)
        x, text = torch.randn(1, tokens, width), torch.randn(1, texts, width)
        modulation = 0.1 * torch.randn(1, 6, width)
        angles = torch.randn(1, tokens, 1, width // heads)
    rope = (angles.cos(), angles.sin())
    expected = exact(x, text, modulation, rope) - x
    found: Row = {}
    for name, dtype in (("bf16", torch.bfloat16), ("fp16", torch.float16)):
        block = _narrow(exact, dtype)
        found[name] = share(_made(block, x, text, modulation, rope, dtype), expected)
        if name == "fp16":
            continue
        for kind in ("fp8", "int8"):
            for reference in (False, True):
                rounded = _rounded(block, kind, reference=reference)
                label = f"{kind}{' reference' if reference else ''}"
                found[label] = share(_made(rounded, x, text, modulation, rope, dtype), expected)
                del rounded
        del block
    return found


@torch.no_grad()
def decode(bench: Bench) -> Row:
    """The VAE alone at 720p: seconds for all frames, and the peak for a few and for all, in fp32 and in bf16."""
    width, height, frames = bench.p720
    every, few = (frames - 1) // 4 + 1, 2
    found: Row = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        vae = bench.model.vae(dtype)
        latents = torch.randn(1, 16, every, height // 8, width // 8, device=bench.device)

        def video(count: int, vae: Any = vae, latents: torch.Tensor = latents) -> None:
            state = decoding.begin(vae, latents[:, :, :count])
            while not state.done:
                decoding.pictures(vae, state)

        peaks = {}
        for count in (few, every):
            bench.fresh()
            video(count)
            peaks[count] = bench.peak()
        spent = [gpu_time.seconds(lambda: video(every), bench.device) for _ in range(bench.rounds)]
        found[name] = {"seconds": spent, f"peak_bytes_{few}": peaks[few], f"peak_bytes_{every}": peaks[every]}
        del vae
    found["seconds"] = found["fp32"]["seconds"]
    return found


def _narrow(block: Any, dtype: torch.dtype) -> Any:
    """As diffusers loads it: norms and the modulation table stay in fp32."""
    made = copy.deepcopy(block).to(dtype)
    for name, parameter in made.named_parameters():
        if name.startswith(("norm", "scale_shift_table")):
            parameter.data = parameter.data.float()
    return made


def _rounded(block: Any, kind: str, *, reference: bool) -> Any:
    holder = torch.nn.Module()
    holder.blocks = torch.nn.ModuleList([copy.deepcopy(block)])
    precision.quantise(holder, kind, reference=reference)
    return holder.blocks[0]


def _made(block: Any, x: Any, text: Any, modulation: Any, rope: Any, dtype: torch.dtype) -> torch.Tensor:
    """What the block adds, so that its input does not hide the error."""
    narrow = x.to(dtype)
    return block(narrow, text.to(dtype), modulation, rope).float() - narrow.float()
