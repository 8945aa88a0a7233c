"""What is made of a prompt, once for all steps: the same bits, folded the same numbers, and how much faster than WanPipeline.

    python benchmarks/engine_text.py [--quick]

On the embedded model, whose text is a far larger part of a step than A14B's (at most 0.9 % there): its times say nothing
about A14B's. Every pair of times is a fresh prompt, one side after the other, the order changing; the negative prompt is
the same throughout, as it is in the service. Times are CPU time of the process, on one thread.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import WanTransformer3DModel
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import style_variants
from benchmarks.captions_heldout import captions
from benchmarks.pipeline import call, pipeline_of
from benchmarks.report import Goal, close
from generator_service import text_kv, wan
from generator_service import tier as tiers
from generator_service.core import Take
from generator_service.engine import Engine

TIER = tiers.load(tiers.FOLDER / "embedded.yaml")
A14B = {"num_layers": 40, "num_attention_heads": 40, "attention_head_dim": 128}
WINDOW = TIER.max_sequence_length
TIMESTEPS = (999.0, 875.0, 500.0, 40.0)
Denoise = Callable[[Take], Tensor]


def take_of(prompt: str, seed: int, *, tiny: bool) -> Take:
    return Take(
        tenant="benchmark",
        prompt=prompt,
        negative_prompt=TIER.negative_prompt,
        width=32 if tiny else TIER.width.default,
        height=32 if tiny else TIER.height.default,
        frames=5 if tiny else TIER.frames.default,
        steps=4 if tiny else TIER.steps.default,
        guidance=TIER.guidance,
        guidance_2=TIER.guidance_2,
        seed=seed,
        tier="embedded",
        execution="",
    )


def prompts(count: int, seed: int) -> list[str]:
    """Half of them terse, half of 90 tokens and more."""
    short, long = captions(count - count // 2, seed=seed), captions(count // 2, seed=seed, verbose=True)
    return [each.text for pair in zip(short, [*long, *short], strict=False) for each in pair][:count]


def engine_with(parts: wan.Components, **changes: object) -> Engine:
    return Engine(dataclasses.replace(parts, tier=TIER.model_copy(update=changes)))


def by_engine(engine: Engine) -> Denoise:
    def denoise(take: Take) -> Tensor:
        state = engine.prepare(take)
        while not state.done:
            engine.step(state)
        return state.latents

    return denoise


def by_pipeline(parts: wan.Components) -> Denoise:
    pipeline = pipeline_of(parts)

    def denoise(take: Take) -> Tensor:
        frames: Tensor = call(pipeline, take, "latent")
        return frames

    return denoise


def same_bits(parts: wan.Components, pipeline: Denoise, count: int) -> list[Goal]:
    """Values of the final latents that differ from WanPipeline's: with keys and values kept, and with them made anew."""
    differ = {True: 0, False: 0}
    values = 0
    counts = []
    for kept in differ:
        engine = engine_with(parts, text_kv=kept)
        for tiny in (True, False):
            for seed, prompt in enumerate(prompts(count, 201)):
                take = take_of(prompt, seed, tiny=tiny)
                found, expected = by_engine(engine)(take), pipeline(take)
                differ[kept] += int((found != expected).sum())
                values += found.numel() if kept else 0
        counts.append(engine.text.kvs.counts)
    print(f"same bits: {values} values of latents over {2 * count} videos; keys and values kept: {counts[0]}")
    return [
        Goal(name="values that differ, text kept", value=differ[True], compare="==", target=0),
        Goal(name="values that differ, text made anew", value=differ[False], compare="==", target=0),
        Goal(name="passes that took kept text", value=counts[0].reused, compare=">=", target=1),
    ]


@torch.no_grad()
def folding(parts: wan.Components, count: int) -> list[Goal]:
    """Largest difference of an expert's output beside its largest value, over prompts, noise levels and both experts."""
    engine = engine_with(parts)
    worst, least = 0.0, float("inf")
    low: dict[str, list[float]] = {"folded": [], "whole": []}
    for part in ("transformer", "transformer_2"):
        expert, half = getattr(parts, part), _half(part)
        for seed, prompt in enumerate(prompts(count, 202)):
            states = engine.text.encode(prompt)
            real, padded = states.real, states.padded()
            folded, dropped = text_kv.folded(expert, real, WINDOW), text_kv.project(expert, real)
            small = text_kv.folded(half, real.bfloat16(), WINDOW)
            noisy = torch.randn(1, 16, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
            for t in TIMESTEPS:
                true = _run(expert, noisy, t, padded)
                worst = max(worst, _error(_run(expert, noisy, t, real[:, :1], folded), true))
                least = min(least, _error(_run(expert, noisy, t, real[:, :1], dropped), true))
                low["whole"].append(_norm_error(_run(half, noisy.bfloat16(), t, padded.bfloat16()), true))
                low["folded"].append(_norm_error(_run(half, noisy.bfloat16(), t, real[:, :1].bfloat16(), small), true))
    whole, half_folded = (float(np.mean(low[name])) for name in ("whole", "folded"))
    print(f"folding: largest error of an expert's output in fp32 {worst:.1e}; pads dropped, the smallest {least:.1e}")
    print(
        f"in bf16, relative error in the 2-norm beside fp32, mean: whole window {whole:.4f}, folded {half_folded:.4f}"
    )
    return [
        Goal(name="folded, largest error (x 1e-5)", value=worst / 1e-5, compare="<=", target=1),
        Goal(name="pads dropped, smallest error (x 1e-5)", value=least / 1e-5, compare=">=", target=10),
        Goal(name="folded in bf16, error beside bf16's own", value=half_folded / whole, compare="<=", target=1.05),
    ]


def times(parts: wan.Components, pipeline: Denoise, *, tiny: bool, pairs: int) -> list[Goal]:
    """Each side against WanPipeline, text to final latents."""
    where = "tiny" if tiny else "demo"
    sides = {
        "text made anew": {"text_kv": False},
        "text kept": {},
        "text kept, folded": {"fold_text": True},
    }
    engines = {name: by_engine(engine_with(parts, **changes)) for name, changes in sides.items()}
    goals = []
    warm = take_of("a red circle", 0, tiny=tiny)
    for side in (pipeline, *engines.values()):
        side(warm)
    for number, (name, engine) in enumerate(engines.items()):
        ours, theirs = [], []
        for seed, prompt in enumerate(prompts(pairs, 300 + number)):
            take = take_of(prompt, seed, tiny=tiny)
            order = [(engine, ours), (pipeline, theirs)]
            for side, found in order if seed % 2 else order[::-1]:
                found.append(_timed(side, take))
        ratio, low, high = interval(ours, theirs)
        print(
            f"{where}, {name:<18} {np.median(ours) * 1e3:8.1f} ms  WanPipeline {np.median(theirs) * 1e3:8.1f} ms  "
            f"ratio {ratio:.3f} (95 % {low:.3f} to {high:.3f}), {pairs} pairs"
        )
        if name != "text made anew":
            goals.append(Goal(name=f"{where}, {name}: ratio, upper end", value=high, compare="<", target=1))
    return goals


def interval(ours: list[float], theirs: list[float]) -> tuple[float, float, float]:
    """The median of the pairs' ratios with its 95 % interval, by bootstrap over pairs."""
    ratios = np.asarray(ours) / np.asarray(theirs)
    rng = np.random.default_rng(1)
    medians = np.median(ratios[rng.integers(len(ratios), size=(4000, len(ratios)))], axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    return float(np.median(ratios)), float(low), float(high)


@torch.no_grad()
def memory(parts: wan.Components) -> list[Goal]:
    """Bytes that one prompt's keys and values hold, for one expert: measured here, by the formula for A14B in bf16."""
    engine, config = engine_with(parts), parts.transformer.config
    off = 0
    print(f"{'memory, one prompt, one expert':<34}{'tokens':>7}{'whole':>12}{'folded':>12}{'times':>7}")
    for words in ("a red circle", *prompts(2, 203)):
        states = engine.text.encode(words)
        kinds = (
            text_kv.project(parts.transformer, states.padded()),
            text_kv.folded(parts.transformer, states.real, WINDOW),
        )
        whole, folded = (sum(t.untyped_storage().nbytes() for t in (*kv.keys, *kv.values)) for kv in kinds)
        rows = states.real.shape[1] + 1
        for rows_, held in ((WINDOW, whole), (rows, folded)):
            off += abs(text_kv.kv_bytes(config, rows_, parts.dtype) - held)
        print(
            f"{'embedded fp32, measured':<34}{rows - 1:>7}{whole / 2**20:>8.2f} MiB{folded / 2**20:>8.3f} MiB{whole / folded:>7.1f}"
        )
    for tokens in (21, 65, 120):
        sizes = [text_kv.kv_bytes(A14B, rows, torch.bfloat16) / 2**20 for rows in (WINDOW, tokens + 1)]
        print(
            f"{'A14B bf16, by the formula':<34}{tokens:>7}{sizes[0]:>8.1f} MiB{sizes[1]:>8.2f} MiB{sizes[0] / sizes[1]:>7.1f}"
        )
    return [Goal(name="formula of the memory, bytes off", value=off, compare="==", target=0)]


def _timed(side: Denoise, take: Take) -> float:
    begun = time.process_time()
    side(take)
    return time.process_time() - begun


def _half(part: str) -> WanTransformer3DModel:
    """An expert in bf16 as diffusers loads one: what it keeps in fp32 stays there."""
    half = WanTransformer3DModel.from_pretrained(TIER.model, subfolder=part, torch_dtype=torch.bfloat16).eval()
    text_kv.install(half)
    return half


def _run(
    expert: WanTransformer3DModel, noisy: Tensor, t: float, text: Tensor, kv: text_kv.TextKV | None = None
) -> Tensor:
    def forward() -> Tensor:
        found: Tensor = expert(noisy, torch.tensor([t]), text, return_dict=False)[0]
        return found

    if kv is None:
        return forward()
    with text_kv.lent(expert, kv):
        return forward()


def _norm_error(found: Tensor, expected: Tensor) -> float:
    return float((found.float() - expected).norm() / expected.norm())


def _error(found: Tensor, expected: Tensor) -> float:
    return float((found.float() - expected.float()).abs().max() / expected.float().abs().max())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few of everything: does it run?")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    parts = wan.load(TIER, torch.device("cpu"))
    pipeline = by_pipeline(parts)
    print(f"torch {torch.__version__}, one thread of a CPU; embedded model, fp32; a GPU is not measured")
    goals = same_bits(parts, pipeline, 2 if quick else 6)
    goals += folding(parts, 3 if quick else 20)
    goals += memory(parts)
    for tiny in (True, False):
        goals += times(parts, pipeline, tiny=tiny, pairs=(10 if tiny else 6) if quick else (60 if tiny else 30))
    differ = style_variants.table(engine_with(parts, fold_text=True), take_of("", 0, tiny=False), 1 if quick else 4)
    goals.append(Goal(name="style table: exact beside the engine", value=differ, compare="==", target=0))
    return 0 if close(goals) == 0 or quick else 1


if __name__ == "__main__":
    sys.exit(main())
