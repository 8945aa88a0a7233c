"""A take in the middle of denoising, as a file: torn, damaged and foreign ones are told from good ones.

The file is the sha256 of the rest (32 bytes), then a safetensors file: the tensors, and in its metadata everything else.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING

import pydantic

from generator_service.core import Meter

if TYPE_CHECKING:
    from torch import Tensor

DIGEST = hashlib.sha256().digest_size


@dataclasses.dataclass(frozen=True, kw_only=True)
class Frozen:
    """What denoising needs to go on to the same bits: ``index`` steps are done, ``latents`` as `engine.Denoising` has them,
    and the five fields of UniPC (`UniPCMultistepScheduler`: ``step_index`` is its ``_step_index``).
    """

    index: int
    latents: Tensor
    model_outputs: tuple[Tensor | None, ...]
    last_sample: Tensor | None
    lower_order_nums: int
    this_order: int | None
    step_index: int | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Snapshot:
    """``take`` is its name, ``execution`` the fingerprint of the engine that made it, ``run`` the run that did. ``versions`` are those of
    the libraries, and the processor, whose kernels decide bits too; what older versions of ours did not write is not there.
    """

    take: str
    execution: str
    run: str
    meter: Meter
    frozen: Frozen
    versions: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Header:
    """The numbers of a snapshot. ``outputs`` says which of ``model_outputs`` there are."""

    take: str
    execution: str
    run: str
    meter: Meter
    index: int
    outputs: tuple[bool, ...]
    lower_order_nums: int
    this_order: int | None
    step_index: int | None
    versions: dict[str, str] = dataclasses.field(default_factory=dict)


HEADER = pydantic.TypeAdapter(Header)


def pack(snapshot: Snapshot) -> bytes:
    """The file. Waits for the device, so call it beside the stepping thread."""
    from safetensors.torch import save

    frozen = snapshot.frozen
    header = Header(
        take=snapshot.take,
        execution=snapshot.execution,
        run=snapshot.run,
        meter=snapshot.meter,
        index=frozen.index,
        outputs=tuple(output is not None for output in frozen.model_outputs),
        lower_order_nums=frozen.lower_order_nums,
        this_order=frozen.this_order,
        step_index=frozen.step_index,
        versions=snapshot.versions,
    )
    tensors = {f"model_output_{i}": output for i, output in enumerate(frozen.model_outputs)}
    tensors |= {"latents": frozen.latents, "last_sample": frozen.last_sample}
    there = {name: tensor.cpu().contiguous() for name, tensor in tensors.items() if tensor is not None}
    body = save(there, metadata={"snapshot": HEADER.dump_json(header).decode()})
    return hashlib.sha256(body).digest() + body


def header(data: bytes) -> Header | None:
    """None for what `pack` did not write, or not to its end."""
    body = memoryview(data)[DIGEST:]
    if hashlib.sha256(body).digest() != data[:DIGEST]:
        return None
    try:
        length = int.from_bytes(body[:8], "little")
        return HEADER.validate_json(json.loads(bytes(body[8 : 8 + length]))["__metadata__"]["snapshot"])
    except (ValueError, KeyError, TypeError):
        return None


def unpack(data: bytes) -> Snapshot | None:
    """What `pack` wrote, on the CPU; None for anything else."""
    from safetensors.torch import load

    found = header(data)
    if found is None:
        return None
    tensors = load(data[DIGEST:])
    frozen = Frozen(
        index=found.index,
        latents=tensors["latents"],
        model_outputs=tuple(tensors[f"model_output_{i}"] if there else None for i, there in enumerate(found.outputs)),
        last_sample=tensors.get("last_sample"),
        lower_order_nums=found.lower_order_nums,
        this_order=found.this_order,
        step_index=found.step_index,
    )
    return Snapshot(
        take=found.take,
        execution=found.execution,
        run=found.run,
        meter=found.meter,
        frozen=frozen,
        versions=found.versions,
    )
