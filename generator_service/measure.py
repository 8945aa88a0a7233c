"""What the loaded models and their device say of themselves. Runs in the stepping thread."""

from __future__ import annotations

import time
from typing import Any

import torch
from diffusers import UniPCMultistepScheduler
from torch import nn

from generator_service import flops, ladder, post
from generator_service.core import Finish, Stage, Take
from generator_service.engine import Engine
from generator_service.estimate import Estimator
from generator_service.flops import Kind
from generator_service.geometry import Geometry
from generator_service.memory import predict
from generator_service.tier import Tier
from generator_service.wan import Components

Size = tuple[int, int, int]
# The smallest video, and one of twice the size: two points for a line. The first round of each only warms.
SIZES: tuple[Size, ...] = ((32, 32, 5), (64, 64, 9))
# A GPU takes as long for either, the time to call its kernels; these are work for one, a few seconds of an A14B's.
SIZES_ON_GPU: tuple[Size, ...] = ((416, 256, 33), (832, 480, 33))
ROUNDS = 3


def geometry(parts: Components) -> Geometry:
    """The sizes of ``parts``, with the bytes that their weights take."""
    experts = [parts.transformer] if parts.transformer_2 is None else [parts.transformer, parts.transformer_2]
    return Geometry.of(
        parts.transformer.config,
        parts.vae.config,
        parts.text_encoder.config.to_dict(),
        window=parts.tier.max_sequence_length,
        item=parts.dtype.itemsize,
        vae_item=parts.vae.dtype.itemsize,
        weights=sum(_bytes(part) for part in (*experts, parts.vae, *_texts(parts))),
        shares=parts.tier.token_shares,
        ring=parts.tier.rings,
        visiting=_bytes(parts.text_encoder) if parts.tier.text_encoder == "swap" else 0,
        offload=parts.tier.offload,
        may_offload=parts.tier.may_offload,
        expert=_bytes(parts.transformer),
        experts=len(experts),
        text_kept=(parts.tier.text_kv_mib << 20) if parts.tier.text_kv else 0,
        shares_passes=parts.tier.shares_attention,
        batch_tokens=parts.tier.batch_tokens if parts.tier.batch else 0,
        batch_requests=parts.tier.batch_requests if parts.tier.batch else 1,
    )


def available(device: torch.device, on_cpu: int) -> int:
    """Bytes that this process may use on ``device``, those that it holds already among them."""
    if device.type != "cuda":
        return on_cpu
    free, _ = torch.cuda.mem_get_info(device)
    return int(free) + int(torch.cuda.memory_reserved(device))


def peak(device: torch.device) -> int:
    """The most bytes of tensors that this process ever had on ``device``; 0 on a CPU, which does not say."""
    return int(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else 0


def high_steps(parts: Components, steps: int) -> int:
    """How many of ``steps`` the high-noise expert makes; they come first."""
    if parts.transformer_2 is None or parts.boundary_ratio is None:
        return steps
    scheduler = UniPCMultistepScheduler.from_config(parts.scheduler.config)
    scheduler.set_timesteps(steps)
    edge = parts.boundary_ratio * parts.scheduler.config["num_train_timesteps"]
    return int((scheduler.timesteps >= edge).sum())


def steps(engine: Engine, sizes: Geometry, estimator: Estimator, *, room: int) -> None:
    """Makes a few videos of four steps and tells ``estimator`` how long each step took. None in a tier that compiles: there is no
    estimate before its first video. Processes that share steps cannot go on after one found no memory, so they try nothing that needs
    more than ``room`` bytes by the prediction."""
    limits = engine.tier
    if limits.compile:
        return  # each of these sizes would be compiled first, and then used for nothing else
    full = False
    for width, height, frames in sizes_for(limits, engine.parts.device.type):
        if engine.latent_tokens(width, height, frames) % limits.token_shares:
            continue
        if limits.parallel and predict(sizes, sizes.shape(_take(engine, "", (width, height, frames)))).peak() > room:
            break
        try:
            _measure(engine, sizes, estimator, (width, height, frames))
        except Exception as error:
            if not ladder.out_of_memory(error):
                raise
            full = True
        if full:  # a larger one has no room either; requests will show what they take
            ladder.relieve(engine.parts.device)
            break
    engine.text.clear()


def _measure(engine: Engine, sizes: Geometry, estimator: Estimator, size: Size) -> None:
    for turn in range(ROUNDS):
        # Another text each time: what is kept of a text must not pass for its encoding.
        for stage, kind, seconds in _video(engine, sizes, f"a {turn} {size[0]}", *size):
            if turn:
                estimator.step(engine.tier.tier, stage, kind, seconds)


def sizes_for(tier: Tier, device: str) -> tuple[Size, ...]:
    """What is measured of ``tier`` on a kind of device ("cuda", "cpu"), within its limits."""

    def within(sizes: tuple[Size, ...]) -> tuple[Size, ...]:
        most = (tier.width.max, tier.height.max, tier.frames.max)
        return tuple(size for size in sizes if all(each <= limit for each, limit in zip(size, most, strict=True)))

    return (within(SIZES_ON_GPU) if device == "cuda" else ()) or within(SIZES)


def _video(
    engine: Engine, sizes: Geometry, prompt: str, width: int, height: int, frames: int
) -> list[tuple[Stage, Kind, float]]:
    """(stage, kind, seconds) of every step of one video; of four steps, so that each expert makes one that is not its first."""
    clock = time.process_time if engine.parts.device.type == "cpu" else time.perf_counter
    take = _take(engine, prompt, (width, height, frames))
    shape, found = sizes.shape(take), []

    def timed(stage: Stage, kind: Kind, call: Any, *arguments: Any) -> Any:
        begun = clock()
        made = call(*arguments)
        found.append((stage, kind, clock() - begun))
        return made

    texts = engine.text.missing(take)
    kinds = flops.stages(sizes, shape, texts)
    high = high_steps(engine.parts, take.steps)
    state = timed(Stage.TEXT, kinds[Stage.TEXT][0], engine.prepare, take)
    while not state.done:
        first = state.index in (0, high)
        timed(Stage.DENOISE, kinds[Stage.DENOISE][0 if first else -1], engine.step, state)
    decoding, pieces = engine.begin_decode(state.latents), []
    while not decoding.done:
        kind = kinds[Stage.DECODE][0 if decoding.index == 0 else -1]
        pieces.append(timed(Stage.DECODE, kind, engine.decode, decoding))
    timed(Stage.ENCODE, kinds[Stage.ENCODE][0], post.finish, pieces, Finish(fps=engine.tier.fps))
    return found


def _take(engine: Engine, prompt: str, size: Size) -> Take:
    width, height, frames = size
    return Take(
        tenant="",
        prompt=prompt,
        negative_prompt="",
        width=width,
        height=height,
        frames=frames,
        steps=4,
        guidance=engine.tier.guidance,
        guidance_2=engine.tier.guidance_2,
        seed=0,
        tier=engine.tier.tier,
        execution="",
    )


def _texts(parts: Components) -> list[nn.Module]:
    """The text encoder where it stays on the device."""
    away = {"device": False, "host": parts.device.type != "cpu", "swap": True}[parts.tier.text_encoder]
    return [] if away else [parts.text_encoder]


def _bytes(part: nn.Module) -> int:
    tensors = [*part.parameters(), *part.buffers()]
    return sum(each.numel() * each.element_size() for each in tensors)
