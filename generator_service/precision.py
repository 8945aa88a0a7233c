"""Linear layers in 8 bits: weights and activations, each row with a scale of its own, accumulated in fp32 or int32.

A row's scale makes its largest absolute value the largest that the format holds (448 for e4m3, 127 for int8; "dynamic" W8A8).
Products are torch's own: ``_scaled_mm`` and ``_int_mm``, on a GPU and on a CPU. The ``reference`` of each computes the same
rounded numbers in plain fp32, so that the error of a format can be measured on any machine.

Own lines instead of torchao: two products and a scale, without tensor subclasses between them and offloading, compiling and
saving. What stays as it is: everything outside the blocks, and in them norms, modulation and biases.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

E4M3_MAX = torch.finfo(torch.float8_e4m3fn).max
INT8_MAX = 127.0
# Both products want these sides in whole pieces.
MULTIPLE = 16
# So many at a time where rounding is not compiled into one kernel: its copies in fp32 would be larger than the weights that were saved.
ROWS = 8192
# `_int_mm` on CUDA takes no fewer rows.
FEWEST_ROWS = 17


class Linear8(nn.Module):
    """A linear layer whose ``weight`` is (outputs, inputs) in 8 bits with ``scale``, fp32 (outputs, 1); ``bias`` as it was."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, scale: Tensor, bias: Tensor | None, *, reference: bool = False) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", bias)
        self._product: Callable[..., Tensor] = {
            (torch.float8_e4m3fn, False): fp8_product,
            (torch.float8_e4m3fn, True): fp8_reference,
            (torch.int8, False): int8_product,
            (torch.int8, True): int8_reference,
        }[weight.dtype, reference]

    @property
    def out_features(self) -> int:
        return self.weight.shape[0]

    @property
    def in_features(self) -> int:
        return self.weight.shape[1]

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        if torch.compiler.is_compiling() or len(flat) <= ROWS:
            found = self._product(flat, self.weight, self.scale, self.bias)
        else:
            found = flat.new_empty(len(flat), self.out_features)
            for rows, made in zip(flat.split(ROWS), found.split(ROWS), strict=True):
                made.copy_(self._product(rows, self.weight, self.scale, self.bias))
        return found.unflatten(0, x.shape[:-1])


def to_fp8(x: Tensor) -> tuple[Tensor, Tensor]:
    """``x`` (rows, width) as e4m3 with a scale for each row, fp32 (rows, 1). Saturates, so that nothing becomes NaN."""
    wide = x.float()
    scale = wide.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / E4M3_MAX
    return (wide / scale).clamp(-E4M3_MAX, E4M3_MAX).to(torch.float8_e4m3fn), scale


def to_int8(x: Tensor) -> tuple[Tensor, Tensor]:
    """The same as int8, symmetric about zero."""
    wide = x.float()
    scale = wide.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / INT8_MAX
    return (wide / scale).round().clamp(-INT8_MAX, INT8_MAX).to(torch.int8), scale


def fp8_on_cpu() -> bool:
    """Whether torch has the product on a CPU: torch 2.11 knows only one scale for a whole matrix there."""
    a, ones = torch.zeros(MULTIPLE, MULTIPLE).to(torch.float8_e4m3fn), torch.ones(MULTIPLE, 1)
    try:
        torch._scaled_mm(a, a.t(), scale_a=ones, scale_b=ones.t(), out_dtype=torch.float32)
    except RuntimeError:
        return False
    return True


# Asked once: a compiled graph cannot ask.
FP8_ON_CPU = fp8_on_cpu()


def fp8_product(x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None) -> Tensor:
    """``x`` (rows, inputs) by a weight of `to_fp8`. Row-wise scales give bf16 on CUDA, whatever ``x`` is."""
    if not (x.is_cuda or FP8_ON_CPU):
        return fp8_reference(x, weight, scale, bias)
    rounded, rows = to_fp8(x)
    wide = torch.bfloat16 if x.is_cuda else x.dtype
    narrow = None if bias is None else bias.to(wide)
    # The bias goes in with the product on CUDA, at no cost; a CPU's product takes none in fp32.
    inside = narrow if x.is_cuda else None
    found: Tensor = torch._scaled_mm(
        rounded, weight.t(), scale_a=rows, scale_b=scale.t(), bias=inside, out_dtype=wide, use_fast_accum=x.is_cuda
    )
    return (found if narrow is None or inside is not None else found + narrow).to(x.dtype)


def fp8_reference(x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None) -> Tensor:
    """The numbers of `fp8_product`, summed in fp32."""
    rounded, rows = to_fp8(x)
    return _dressed((rounded.float() @ weight.float().t()) * rows * scale.t(), bias, x.dtype)


def int8_product(x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None) -> Tensor:
    """``x`` (rows, inputs) by a weight of `to_int8`; sums are exact."""
    rounded, rows = to_int8(x)
    short = FEWEST_ROWS - len(rounded) if x.is_cuda else 0
    padded = F.pad(rounded, (0, 0, 0, short)) if short > 0 else rounded
    sums = torch._int_mm(padded, weight.t())[: len(rounded)]
    return _dressed(sums.float() * rows * scale.t(), bias, x.dtype)


def int8_reference(x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None) -> Tensor:
    """The numbers of `int8_product`, by exact sums in fp64."""
    rounded, rows = to_int8(x)
    sums = (rounded.double() @ weight.double().t()).float()
    return _dressed(sums * rows * scale.t(), bias, x.dtype)


ROUNDING: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {"fp8": to_fp8, "int8": to_int8}


def quantise(
    expert: nn.Module,
    kind: str,
    device: torch.device | None = None,
    *,
    home: torch.device | None = None,
    reference: bool = False,
) -> int:
    """Replaces every linear layer of the blocks of ``expert`` in place; how many. Each layer is rounded on ``device``, where that is
    quick, and goes ``home`` by itself, so that an expert that does not fit there whole in 16 bits can still come.

    Raises ``ValueError`` where a layer's sides are no multiples of 16.
    """
    found = 0
    for parent in list(_blocks(expert).modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, linear8(child, kind, device, reference=reference).to(home))
                found += 1
    return found


def linear8(layer: nn.Linear, kind: str, device: torch.device | None = None, *, reference: bool = False) -> Linear8:
    """``layer`` rounded to ``kind``: "fp8" or "int8"."""
    if layer.in_features % MULTIPLE or layer.out_features % MULTIPLE:
        raise ValueError(f"a layer of {layer.in_features} by {layer.out_features} cannot be kept in 8 bits")
    source = layer.weight.detach().to(device or layer.weight.device)
    weight, scale = ROUNDING[kind](source)
    bias = None if layer.bias is None else layer.bias.detach().to(source.device)
    return Linear8(weight, scale, bias, reference=reference)


def _blocks(expert: Any) -> nn.Module:
    return expert.blocks


def _dressed(product: Tensor, bias: Tensor | None, dtype: torch.dtype) -> Tensor:
    return (product if bias is None else product + bias.float()).to(dtype)
