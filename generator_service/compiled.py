"""Blocks compiled as one graph, and projections as one product. Both give other bits than the plain model, within rounding.

All blocks of both experts are one piece of code, so torch makes one graph of a shape and uses it for each; more graphs mean
that something differs from block to block, and as many times the wait at the start.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import torch
from diffusers import WanTransformer3DModel
from torch._dynamo.utils import counters

OPTIONS = {"max_autotune_gemm_backends": "ATEN"}


class GraphsError(RuntimeError):
    """Compiling made more graphs than there should be."""


def fuse(expert: WanTransformer3DModel) -> int:
    """One product instead of three in self-attention, and instead of two for keys and values of a text; in how many layers.

    The parts are dropped, which diffusers keeps beside the whole.
    """
    layers = [attn for block in expert.blocks for attn in (block.attn1, block.attn2)]
    for attn in layers:
        attn.fuse_projections()
        for part in ("to_k", "to_v") if attn.is_cross_attention else ("to_q", "to_k", "to_v"):
            delattr(attn, part)
        attn.requires_grad_(False)  # what was fused is new
    return len(layers)


def compile_blocks(expert: WanTransformer3DModel) -> None:
    """From the next pass on. A block that cannot be one graph raises then.

    Products in 8 bits are lowered to Triton templates that are tried one by one, a hundred for each shape, though nobody asked for
    tuning: minutes at each start, and a choice by chance, which may change bits. The library's own kernel is taken; whether a
    template would be faster was not measured.
    """
    expert.compile_repeated_blocks(fullgraph=True, options=OPTIONS)


def graphs() -> int:
    """Graphs that torch has made in this process."""
    return int(counters["stats"]["unique_graphs"])


def check(made: int, most: int) -> None:
    """Raises `GraphsError` for ``made`` graphs where ``most`` were expected, or none at all."""
    if not 0 < made <= most:
        raise GraphsError(f"compiling made {made} graphs, and {most} were expected")


def available(device: str = "cpu") -> str:
    """ "" where this machine can compile for a kind of device ("cuda", "cpu"); else what is missing."""
    if device == "cuda" and importlib.util.find_spec("triton") is None:
        return "triton, which writes a GPU's kernels, is not installed"
    inductor: Any = torch._inductor
    try:
        from torch._inductor.cpp_builder import get_cpp_compiler

        get_cpp_compiler()
    except Exception as error:
        return f"{inductor.__name__}: {error}"
    return ""
