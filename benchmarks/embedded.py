"""How well the embedded model follows its prompts, judged by pixels, and whether compressed prompts do as well.

    python benchmarks/embedded.py [--quick] [--count 210] [--sheet sheet.png]

Captions come from captions_heldout.py, which training never imports. Every video runs through the product's engine.
The closed loop makes each video twice with one seed: from a caption of at least 90 tokens, and from what the prompt line makes of it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.captions_heldout import HeldOut, captions
from benchmarks.line import compress
from benchmarks.report import Goal, close
from generator_service import tier as tiers
from generator_service import wan
from generator_service.core import Take
from generator_service.engine import Engine, Pictures
from generator_service.models.training.data import held_out
from generator_service.models.training.scorer import agreement, score
from generator_service.models.training.vae import judge as judge_vae
from generator_service.models.training.world import Scene, render, sample_clip, scenes

ATTRIBUTES = ("color", "background", "motion", "shape")
TIER = tiers.load(tiers.FOLDER / "embedded.yaml")
SIDEWAYS = ("left to right", "right to left", "left edge", "right edge", "left side", "right side")


def video(engine: Engine, prompt: str, seed: int) -> Pictures:
    """The pictures of one prompt at the tier's defaults, uint8 (frames, height, width, 3)."""
    take = Take(
        tenant="benchmark",
        prompt=prompt,
        negative_prompt=TIER.negative_prompt,
        width=TIER.width.default,
        height=TIER.height.default,
        frames=TIER.frames.default,
        steps=TIER.steps.default,
        guidance=TIER.guidance,
        guidance_2=TIER.guidance_2,
        seed=seed,
        tier="embedded",
        execution=engine.parts.execution,
    )
    state = engine.prepare(take)
    while not state.done:
        engine.step(state)
    decoding = engine.begin_decode(state.latents)
    pieces = []
    while not decoding.done:
        pieces.append(engine.decode(decoding))
    return np.concatenate(pieces)


def scene_of(caption: HeldOut) -> Scene:
    return Scene(color=caption.color, shape=caption.shape, motion=caption.motion, background=caption.background)


def right(pictures: Pictures, wanted: Scene) -> dict[str, bool]:
    return agreement(score(pictures.astype(np.float32) / 255), wanted)


def follow(engine: Engine, count: int, sheet: Path | None) -> list[Goal]:
    """Terse and verbose held-out captions: each attribute, everything at once, and the time of a video."""
    picked = captions(count // 2, seed=101) + captions(count - count // 2, seed=102, verbose=True)
    tally: Counter[str] = Counter()
    sideways: Counter[str] = Counter()
    unseen: Counter[str] = Counter()
    index = {s: i for i, s in enumerate(scenes())}
    shown: list[tuple[str, Pictures, bool]] = []
    times = []
    for seed, caption in enumerate(picked):
        begun = time.perf_counter()
        pictures = video(engine, caption.text, seed)
        times.append(time.perf_counter() - begun)
        good = right(pictures, scene_of(caption))
        tally.update([k for k, v in good.items() if v] + ["all"] * all(good.values()))
        if any(words in caption.text.lower() for words in SIDEWAYS):
            sideways.update(["n"] + ["right"] * good["motion"])
        if held_out(index[scene_of(caption)]):
            unseen.update(["n"] + ["right"] * all(good.values()))
        shown.append((caption.text, pictures, all(good.values())))
    if sheet:
        contact_sheet([s for s in shown if len(s[0]) < 90][:16], sheet)
    print(f"{len(picked)} held-out captions, {unseen['n']} of scenes never trained on: {unseen['right']} wholly right")
    n = len(picked)
    goals = [Goal(name=f"{k} right", value=tally[k] / n, compare=">=", target=t) for k, t in TARGETS.items()]
    if sideways["n"]:
        value = sideways["right"] / sideways["n"]
        goals.append(Goal(name=f"left to right and its like ({sideways['n']})", value=value, compare=">=", target=0.9))
    return [*goals, Goal(name="a video, median", value=float(np.median(times)), compare="<", target=5, unit=" s")]


TARGETS = {"color": 0.95, "background": 0.95, "motion": 0.90, "shape": 0.65, "all": 0.55}


def closed_loop(engine: Engine, count: int) -> list[Goal]:
    """Original against compressed prompt, same seed, pooled over the four attributes."""
    original: Counter[str] = Counter()
    shorter: Counter[str] = Counter()
    before = after = 0
    for seed, caption in enumerate(captions(count, seed=103, min_tokens=90, verbose=True)):
        prompt, tokens_before, tokens_after = compress(caption.text)
        before, after = before + tokens_before, after + tokens_after
        for tally, text in ((original, caption.text), (shorter, prompt)):
            tally.update([k for k, v in right(video(engine, text, seed), scene_of(caption)).items() if v])
    pooled = [sum(t[k] for k in ATTRIBUTES) / (count * len(ATTRIBUTES)) for t in (original, shorter)]
    print(
        f"closed loop, {count} captions: original {pooled[0]:.3f} {dict(original)}, compressed {pooled[1]:.3f} {dict(shorter)}"
    )
    loss = 100 * (pooled[0] - pooled[1])
    return [
        Goal(name="closed loop: points lost", value=loss, compare="<=", target=2),
        Goal(name="closed loop: share of the tokens", value=after / before, compare="<=", target=0.6),
    ]


def gates(engine: Engine, count: int) -> list[Goal]:
    """The scorer on true renders, the VAE on its own reconstructions."""
    rng = np.random.default_rng(17)
    every = list(scenes())
    tally: Counter[str] = Counter()
    for i in rng.integers(len(every), size=count):
        good = agreement(score(render(sample_clip(every[i], rng))), every[i])
        tally.update([k for k, v in good.items() if v])
    rebuilt = judge_vae(engine.parts.vae, count, seed=18)
    print("VAE reconstructions:", {k: round(v, 3) for k, v in rebuilt.items()})
    return [
        Goal(
            name="scorer right on true renders",
            value=min(tally[k] for k in ATTRIBUTES) / count,
            compare=">=",
            target=0.98,
        ),
        Goal(name="shape of VAE reconstructions", value=rebuilt["shape"], compare=">=", target=0.95),
    ]


def contact_sheet(shown: list[tuple[str, Pictures, bool]], path: Path) -> None:
    """One row a video: five of its frames, and its caption below."""
    scale, picks = 2, (0, 2, 4, 6, 8)
    cell_w, cell_h = 5 * 64 * scale + 20, 64 * scale + 26
    page = Image.new("RGB", (cell_w * 2, cell_h * ((len(shown) + 1) // 2)), "white")
    draw = ImageDraw.Draw(page)
    for i, (text, pictures, good) in enumerate(shown):
        x, y = (i % 2) * cell_w, (i // 2) * cell_h
        for j, frame in enumerate(picks):
            tile = Image.fromarray(pictures[frame]).resize((64 * scale, 64 * scale), Image.Resampling.NEAREST)
            page.paste(tile, (x + j * 64 * scale, y))
        draw.text((x + 4, y + 64 * scale + 6), f"{'' if good else '[wrong] '}{text}"[:104], fill="black")
    page.save(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few videos: does it run?")
    parser.add_argument("--count", type=int, default=210)
    parser.add_argument("--sheet", type=Path)
    args = parser.parse_args()
    count = 12 if args.quick else args.count
    engine = Engine(wan.load(TIER, torch.device("cpu")))
    goals = gates(engine, 24 if args.quick else 200)
    goals += follow(engine, count, args.sheet)
    goals += closed_loop(engine, 6 if args.quick else 200)
    return 0 if close(goals) == 0 or args.quick else 1


if __name__ == "__main__":
    sys.exit(main())
