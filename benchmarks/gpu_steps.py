"""Rows of `gpu.py` about steps: beside diffusers' own, in every precision, by the prompt's length, and after a switch of experts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from diffusers import WanPipeline

from benchmarks import gpu_model, gpu_parts, gpu_profile, gpu_time
from benchmarks.gpu_bench import Bench, Row, Size, eight_bit_kernel, fast, floor, share
from benchmarks.gpu_model import engine_of, state_of, take_of, tier_of
from generator_service import attention, compiled
from generator_service.engine import Denoising, Engine
from generator_service.swap import Swap

# Measured on a block of full width on a CPU: 0.030 and 0.071.
BLOCK_BOUNDS = {"int8": 0.045, "fp8": 0.1}
# Of what a step moves. Forty narrow blocks of random weights add their rounding up to 0.06, 0.09 and 0.24 on a CPU: these only refuse
# what is no answer at all.
BOUNDS = {"none": 0.15, "int8": 0.25, "fp8": 0.5, "attention8": 0.2}


def exact_step(bench: Bench, size: Size) -> Row:
    """Ours and diffusers' own step in turns: bf16, exact mode, the same weights, the same numbers in."""
    tier = tier_of(bench.model, *size, **fast(bench))
    ours = engine_of(bench.model, tier, [bench.model.expert()])
    take, stock = take_of(tier, steps=1), _pipeline(bench)
    state = state_of(ours, bench.model, take)
    arguments = {
        "prompt_embeds": state.prompt.padded(),
        "negative_prompt_embeds": state.negative.padded() if state.negative else None,
        "latents": state.latents,
        "width": take.width,
        "height": take.height,
        "num_frames": take.frames,
        "num_inference_steps": 1,
        "guidance_scale": take.guidance,
        "output_type": "latent",
    }
    theirs: list[torch.Tensor] = []
    mine: list[torch.Tensor] = []
    graphs = compiled.graphs()
    spent = gpu_time.interleaved(
        {
            "stock": lambda: theirs.append(stock(**arguments).frames),
            "ours": lambda: mine.append(_one(ours, dataclasses.replace(state, scheduler=_again(ours, take, state)))),
        },
        bench.device,
        warm=bench.warm,
        rounds=bench.rounds,
    )
    peak = bench.peak()
    once = dataclasses.replace(state, scheduler=_again(ours, take, state))
    return {
        "seconds": spent["ours"],
        "stock_seconds": spent["stock"],
        "times_faster": median(spent["stock"]) / median(spent["ours"]),
        "difference": share(mine[-1], theirs[-1]),
        "graphs": compiled.graphs() - graphs,
        "kernels": gpu_model.kernels_of(ours),
        "floor": floor(bench, ours, take),
        "peak_bytes": peak,
        "profile": gpu_profile.of(lambda: _one(ours, once), bench.device),
    }


class WrongError(RuntimeError):
    """A step gives other numbers than rounding can: its time is no figure."""


def own_step(bench: Bench, size: Size, **changes: Any) -> Row:
    """A step of ours with other settings, checked before it is timed: beside one of the plain model in 16 bits with the same weights.
    Raises `WrongError`."""
    tier = tier_of(bench.model, *size, **(fast(bench) | changes))
    if tier.quantisation != "none":
        _check_block(bench, tier.quantisation)
    expert = bench.model.expert()
    right = _moved(bench, engine_of(bench.model, tier_of(bench.model, *size), [expert]))
    engine = engine_of(bench.model, tier, [expert])
    bench.fresh()
    graphs = compiled.graphs()
    difference = share(_moved(bench, engine), right)
    eight = tier.attention in attention.EIGHT_BITS
    bound = BOUNDS[tier.quantisation] + (BOUNDS["attention8"] if eight else 0.0)
    if not difference <= bound:
        raise WrongError(
            f"the step differs by {difference:.3g} of its length from the plain one, at most {bound} is rounding"
        )
    take = take_of(tier)
    state = state_of(engine, bench.model, take)
    spent = gpu_time.interleaved(
        {"ours": lambda: engine.step(state)}, bench.device, warm=bench.warm, rounds=bench.rounds
    )
    peak, made = bench.peak(), compiled.graphs() - graphs
    return {
        "seconds": spent["ours"],
        "difference": difference,
        "graphs": made,
        "kernels": gpu_model.kernels_of(engine),
        "floor": floor(bench, engine, take, fp8=tier.quantisation == "fp8", attention8=eight),
        "peak_bytes": peak,
        "profile": gpu_profile.of(lambda: engine.step(state), bench.device),
    }


def eight_bit_attention(bench: Bench, size: Size) -> Row:
    """fp8 with an 8-bit attention kernel."""
    return own_step(bench, size, quantisation="fp8", attention=eight_bit_kernel(bench, size))


def switch(bench: Bench) -> Row:
    """One expert comes, the other goes: against a step of 480p in the same run."""
    tier = tier_of(bench.model, *bench.p480, **(fast(bench) | {"compile": False}))
    experts = [bench.model.expert(0).to("cpu"), bench.model.expert(1).to("cpu")]
    engine = engine_of(bench.model, tier, experts)
    swapping = Swap(experts, bench.device)
    take, turn = take_of(tier), [0]
    state = state_of(engine, bench.model, take)

    def swap() -> None:
        turn[0] += 1
        swapping.bring(experts[turn[0] % 2])

    spent = [gpu_time.seconds(swap, bench.device) for _ in range(2 + 2 * bench.rounds)][2:]
    swapping.bring(experts[0])
    steps = [gpu_time.seconds(lambda: engine.step(state), bench.device) for _ in range(bench.warm + bench.rounds)]
    size = sum(each.nbytes for each in (*experts[0].parameters(), *experts[0].buffers()))
    rate = bench.ceilings.host
    return {
        "seconds": spent,
        "step_seconds": steps[bench.warm :],
        "steps_worth": median(spent) / median(steps[bench.warm :]),
        "bytes": size,
        "floor_seconds": size / rate if rate else None,
        "peak_bytes": bench.peak(),
    }


def prompt_lengths(bench: Bench) -> Row:
    """A step by the prompt's length, shortest and longest, with the whole window and with its padding folded into one row."""
    found: Row = {}
    expert = bench.model.expert()
    # The kernel of cross-attention has to take the bias of a folded text.
    settings = fast(bench) | {"fuse_qkv": False, "compile": False, "cross_attention": "native"}
    tier = tier_of(bench.model, *bench.p480, **settings)
    plain = engine_of(bench.model, tier, [expert])
    folded = Engine(dataclasses.replace(plain.parts, tier=tier.model_copy(update={"fold_text": True})))
    # What lies between is between: folding saves at most the text's share of a step.
    for tokens in (16, 512):
        states = {
            name: (engine, state_of(engine, bench.model, take_of(tier), tokens=tokens, negative=tokens))
            for name, engine in (("whole", plain), ("folded", folded))
        }
        calls: dict[str, Callable[[], Any]] = {
            name: (lambda engine=engine, state=state: engine.step(state)) for name, (engine, state) in states.items()
        }
        spent = gpu_time.interleaved(calls, bench.device, warm=bench.warm, rounds=bench.rounds)
        kv = {name: engine.text.kvs.bytes for name, (engine, _) in states.items()}
        for name, values in spent.items():
            found[f"{tokens} {name}"] = {"seconds": values, "text_kv_bytes": kv[name]}
        for engine, _ in states.values():
            engine.text.clear()
    return found


def _check_block(bench: Bench, kind: str) -> None:
    """Of what one block adds to its input: a step's answer is mostly its input, and hides a product that is wrong by a fifth."""
    error = gpu_parts.precisions(bench)[kind]
    if not error <= BLOCK_BOUNDS[kind]:
        raise WrongError(f"{kind} in one block is {error:.3g} off, at most {BLOCK_BOUNDS[kind]} is rounding")


def _moved(bench: Bench, engine: Engine) -> torch.Tensor:
    """By what the first step moves the latents: the model's answer, without the noise that hides it."""
    state = state_of(engine, bench.model, take_of(engine.tier))
    before = state.latents.clone()
    engine.step(state)
    return state.latents - before


def _pipeline(bench: Bench) -> WanPipeline:
    from diffusers import UniPCMultistepScheduler

    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=12.0)
    made = WanPipeline(
        tokenizer=None,
        text_encoder=None,
        vae=bench.model.vae(),
        scheduler=scheduler,
        transformer=bench.model.expert(),
    )
    made.set_progress_bar_config(disable=True)
    return made


def _again(engine: Engine, take: Any, state: Denoising) -> Any:
    scheduler = state.scheduler.from_config(state.scheduler.config)
    scheduler.set_timesteps(take.steps, device=engine.parts.device)
    scheduler.set_begin_index(0)
    return scheduler


def _one(engine: Engine, state: Denoising) -> torch.Tensor:
    engine.step(state)
    return state.latents
