"""Which attention kernel serves which layers, chosen once on the device by trying those that are there.

``auto`` takes the fastest of the 16-bit kernels, ``auto-8bit`` of all. Nothing is taken on trust: each candidate runs on the
tier's own shape, with random numbers, and its error beside fp32 is measured with its time. What was chosen decides bits, so it is
in the execution fingerprint, and `GetModel` tells it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from statistics import median

import torch
from diffusers import WanTransformer3DModel
from diffusers.models.attention_dispatch import (
    AttentionBackendName,
    _AttentionBackendRegistry,
    _check_attention_backend_requirements,
    dispatch_attention_fn,
)
from torch import Tensor

KERNELS = {
    "native": AttentionBackendName.NATIVE,
    "cudnn": AttentionBackendName._NATIVE_CUDNN,
    "flash3": AttentionBackendName._FLASH_3,
    "sage": AttentionBackendName.SAGE,
}
EIGHT_BITS = ("sage",)
# Rows of queries that are held against fp32: all of them would need the whole matrix of scores.
CHECKED = 64
ROUNDS = 3
# Against the native kernel's own error for a 16-bit kernel; of the norm for an 8-bit one.
AS_GOOD, EIGHT_BIT_ERROR = 2.0, 0.1
# Of the native kernel's time, what another one must stay below.
CLEARLY = 0.9


_THEIR_SAGE = _AttentionBackendRegistry._backends[AttentionBackendName.SAGE]


@torch.library.custom_op("reelgate::sage", mutates_args=())
def sage(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Sage's attention over (1, rows, heads, width) as one operation: it asks for the kind of device and calls extensions, which a graph of
    a whole block cannot hold. FlashAttention 3 is one already, by diffusers."""
    found: Tensor = _THEIR_SAGE(query=query, key=key, value=value)
    return found.contiguous()


@sage.register_fake
def _(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return query.new_empty(*query.shape[:-1], value.shape[-1])


def _sage(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """In the place of diffusers' own, which hands it the mask only because it can take none."""
    if attn_mask is not None:
        raise ValueError("Sage takes no mask")
    return sage(query, key, value)


_AttentionBackendRegistry._backends[AttentionBackendName.SAGE] = _sage
_AttentionBackendRegistry._supported_arg_names[AttentionBackendName.SAGE] = {"query", "key", "value", "attn_mask"}


class NoKernelError(ValueError):
    """The kernel that a tier names is not here, or does not compute what it should."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Site:
    """Where a kernel works: ``rows`` queries and ``keys`` keys of ``heads`` x ``width``. ``masked``: with an additive mask."""

    rows: int
    keys: int
    heads: int
    width: int
    masked: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """``seconds`` a call, ``error`` as a share of the norm of fp32's; both None where the kernel failed, and ``why``."""

    kernel: str
    seconds: float | None = None
    error: float | None = None
    why: str = ""


def choose(policy: str, site: Site, dtype: torch.dtype, device: torch.device) -> tuple[str, list[Trial]]:
    """The kernel of ``policy`` for ``site``, and what was tried. ``native`` is taken as it is.

    Raises `NoKernelError` where ``policy`` names one that is not here or is wrong.
    """
    if policy == "native":
        return policy, []
    names = [name for name in KERNELS if name not in EIGHT_BITS or policy == "auto-8bit"]
    wanted = names if policy.startswith("auto") else ["native", policy]
    trials = list(probe(wanted, site, dtype, device))
    good = [trial for trial in trials if _good(trial, trials)]
    if policy.startswith("auto"):
        return _fastest(good).kernel, trials
    found = next(trial for trial in trials if trial.kernel == policy)
    if found not in good:
        raise NoKernelError(f"attention {policy}: {found.why or f'its error is {found.error:.2g}'}")
    return policy, trials


def probe(names: Sequence[str], site: Site, dtype: torch.dtype, device: torch.device) -> Iterator[Trial]:
    """Time and error of each of ``names``."""
    generator = torch.Generator(device).manual_seed(0)

    def drawn(rows: int) -> Tensor:
        return torch.randn(1, rows, site.heads, site.width, generator=generator, device=device).to(dtype)

    query, key, value = drawn(site.rows), drawn(site.keys), drawn(site.keys)
    mask = torch.zeros(1, 1, 1, site.keys, dtype=dtype, device=device) if site.masked else None
    if mask is not None:
        mask[..., -1] = 6.0  # as the bias of a folded text
    expected = _exact(query[:, :CHECKED], key, value, mask)
    for name in names:
        try:
            _check_attention_backend_requirements(KERNELS[name])
            found, seconds = _timed(name, query, key, value, mask)
        except Exception as error:  # whatever a kernel that does not suit this device raises
            yield Trial(kernel=name, why=f"{type(error).__name__}: {error}".splitlines()[0][:200])
            continue
        difference = found[:, :CHECKED].float() - expected
        yield Trial(kernel=name, seconds=seconds, error=float(difference.norm() / expected.norm()))


def install(expert: WanTransformer3DModel, own: str, cross: str) -> None:
    """Self-attention of ``expert`` runs on the kernel ``own``, cross-attention on ``cross``."""
    for block in expert.blocks:
        block.attn1.processor._attention_backend = KERNELS[own]
        block.attn2.processor._attention_backend = KERNELS[cross]


def kernels(expert: WanTransformer3DModel) -> tuple[set[str], set[str]]:
    """Those that are set on the blocks of ``expert``: of self-attention, and of cross-attention."""
    names = {backend: name for name, backend in KERNELS.items()}
    own = {names[block.attn1.processor._attention_backend] for block in expert.blocks}
    return own, {names[block.attn2.processor._attention_backend] for block in expert.blocks}


def _good(trial: Trial, trials: Sequence[Trial]) -> bool:
    if trial.error is None:
        return False
    native = next((each.error for each in trials if each.kernel == "native"), None)
    bound = EIGHT_BIT_ERROR if trial.kernel in EIGHT_BITS else AS_GOOD * (native or 0.0) + 1e-6
    return trial.error <= bound  # never so for NaN


def _fastest(good: Sequence[Trial]) -> Trial:
    """The native kernel unless another is clearly faster: the choice decides bits and names, so noise shall not turn it."""
    best = min(good, key=lambda trial: trial.seconds or 0.0)
    native = next((trial for trial in good if trial.kernel == "native"), best)
    return best if (best.seconds or 0.0) < CLEARLY * (native.seconds or 0.0) else native


def _exact(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    rows = [each.float().transpose(1, 2) for each in (query, key, value)]
    scores = rows[0] @ rows[1].transpose(2, 3) / query.shape[-1] ** 0.5
    if mask is not None:
        scores = scores + mask.float()
    return (scores.softmax(-1) @ rows[2]).transpose(1, 2)


def _timed(name: str, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> tuple[Tensor, float]:
    """The median of `ROUNDS` calls after one that warms."""
    spent = []
    for turn in range(1 + ROUNDS):
        _wait(query)
        begun = time.perf_counter()
        found: Tensor = dispatch_attention_fn(query, key, value, attn_mask=mask, backend=KERNELS[name])
        _wait(query)
        if turn:
            spent.append(time.perf_counter() - begun)
    return found, median(spent)


def _wait(tensor: Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
