"""Trains the experts: one velocity model over all noise levels, then a copy each for high and low noise.

``python -m generator_service.models.training.denoiser --steps 6000``, after vae and text. Flow matching as in Wan:
x_t = (1 - sigma) x_0 + sigma noise, target noise - x_0, timestep 1000 sigma, sigma uniform and shifted as the scheduler does.
"""

from __future__ import annotations

import argparse
import copy
import time

import numpy as np
import torch
from diffusers import WanTransformer3DModel
from torch import Tensor, nn

from generator_service.models.blueprint import BOUNDARY_RATIO, FLOW_SHIFT, build_transformer, build_vae
from generator_service.models.training import muon, state
from generator_service.models.training.captions import negative
from generator_service.models.training.data import Latents, draw_caption, encode_clips, training_scenes
from generator_service.models.training.judge import judge
from generator_service.models.training.pads import collate, fold
from generator_service.models.training.text import CLASSES, Reader, encode, tokenizer
from generator_service.models.training.world import Scene

STATE = "denoiser.pt"
DROPPED = 0.10
OBJECT_WEIGHT = 3.0
EMA = 0.998
# The share of the run that decays the learning rate to zero.
DECAY = 0.3


class Captions:
    """Text states of captions of every training scene, encoded once by the frozen text encoder."""

    def __init__(self, reader: Reader, per_scene: int, seed: int) -> None:
        self.processor = tokenizer()
        self.reader = reader.eval()
        rng = np.random.default_rng([seed, 3])
        every = training_scenes()
        self.short = [self.understood(s, [draw_caption(s, rng, True) for _ in range(per_scene)]) for s in every]
        self.long = [self.understood(s, [draw_caption(s, rng, False) for _ in range(per_scene // 4)]) for s in every]
        self.empty = self.states([""])[0]
        self.nothing = self.states([negative(rng) for _ in range(40)])

    @torch.no_grad()
    def understood(self, scene: Scene, texts: list[str]) -> list[Tensor]:
        """States of the captions that the encoder reads right: the denoiser should not learn its reader's mistakes."""
        states = self.states(texts)
        right = [
            s
            for s in states
            if all(
                int(head(s[-1]).argmax()) == CLASSES[k].index(getattr(scene, k))
                for k, head in self.reader.heads.items()
            )
        ]
        return right or states

    @torch.no_grad()
    def states(self, texts: list[str]) -> list[Tensor]:
        """The encoder's states of each text, (length, dim), the end mark's included."""
        ids, mask = encode(self.processor, texts)
        out = self.reader.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        return [row[: int(m.sum())].clone() for row, m in zip(out, mask, strict=True)]

    def draw(self, scene_indices: list[int], rng: np.random.Generator) -> list[Tensor]:
        """One caption's states for each scene; all short or of any length, so that little is spent on padding."""
        pool = self.short if rng.random() < 0.7 else self.long
        rows = []
        for index in scene_indices:
            choices = self.nothing if rng.random() < DROPPED else pool[index]
            rows.append(choices[int(rng.integers(len(choices)))])
        return rows


def draw_sigma(count: int, rng: np.random.Generator, low: float, high: float) -> Tensor:
    """``count`` noise levels, stratified over the part of the shifted schedule between ``low`` and ``high``."""

    def unshift(sigma: float) -> float:
        return sigma / (FLOW_SHIFT - (FLOW_SHIFT - 1) * sigma)

    u = (rng.permutation(count) + rng.random(count)) / count
    u = unshift(low) + u * (unshift(high) - unshift(low))
    return torch.from_numpy(FLOW_SHIFT * u / (1 + (FLOW_SHIFT - 1) * u)).float()


def loss_of(
    model: WanTransformer3DModel, x: Tensor, weight: Tensor, sigma: Tensor, noise: Tensor, text: Tensor
) -> Tensor:
    """Mean squared error of the velocity, each latent position weighted."""
    s = sigma.view(-1, 1, 1, 1, 1)
    out = model((1 - s) * x + s * noise, sigma * 1000, text, return_dict=False)[0]
    return ((out - (noise - x)).square() * weight).sum() / (weight.sum() * x.shape[1])


def train(
    model: WanTransformer3DModel,
    data: Latents,
    captions: Captions,
    *,
    name: str,
    steps: int,
    size: int,
    seed: int,
    device: str,
    rate: float,
    span: tuple[float, float] = (0.0, 1.0),
    watch: int = 0,
) -> WanTransformer3DModel:
    """Train ``model`` on noise levels in ``span``; returns the moving average. Resumes from, and saves to, ``name``."""
    processor = fold(model.to(device).train())
    average = copy.deepcopy(model).eval()
    opts = muon.optimizers(model, lr=rate, adam_lr=rate / 5)
    first = _resume(name, model, average, opts)
    begun, mean_loss = time.time(), 1.0
    for step in range(first, steps):
        rng = np.random.default_rng([seed, 4, step])
        torch.manual_seed(seed * 1_000_003 + step)
        pick = rng.integers(len(data.latents), size=size)
        x = data.latents[pick].float().to(device)
        weight = 1 + (OBJECT_WEIGHT - 1) * data.object[pick].to(device)
        text, bias = collate(captions.draw(data.scene[pick].tolist(), rng))
        processor.bias = bias.to(device)
        sigma = draw_sigma(size, rng, *span).to(device)
        noise = torch.randn(x.shape).to(device)
        muon.set_rate(opts, min(1.0, (step + 1) / 100, (steps - step) / (DECAY * steps)))
        loss = loss_of(model, x, weight, sigma, noise, text.to(device))
        _update(model, average, opts, loss, step)
        mean_loss += 0.02 * (loss.item() - mean_loss)
        if (step + 1) % 250 == 0 or step + 1 == steps:
            _save(name, model, average, opts, step + 1)
            print(name, step + 1, f"{time.time() - begun:.0f}s loss {mean_loss:.4f}", flush=True)
        if watch and (step + 1) % watch == 0:
            print(
                "  seen captions:", judge(average, data, captions.short, captions.empty, count=48, seed=5), flush=True
            )
    processor.bias = None
    return average


def _update(model: nn.Module, average: nn.Module, opts: list[torch.optim.Optimizer], loss: Tensor, step: int) -> None:
    for opt in opts:
        opt.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for opt in opts:
        opt.step()
    keep = min(EMA, (step + 1) / (step + 10))
    with torch.no_grad():
        for kept, new in zip(average.parameters(), model.parameters(), strict=True):
            kept.lerp_(new, 1 - keep)


def _save(name: str, model: nn.Module, average: nn.Module, opts: list[torch.optim.Optimizer], step: int) -> None:
    kept = [o.state_dict() for o in opts]
    state.save(name, model=model.state_dict(), average=average.state_dict(), optimizers=kept, step=step)


def _resume(name: str, model: nn.Module, average: nn.Module, opts: list[torch.optim.Optimizer]) -> int:
    saved = state.load(name)
    if saved is None:
        return 0
    model.load_state_dict(saved["model"])
    average.load_state_dict(saved["average"])
    for opt, kept in zip(opts, saved["optimizers"], strict=True):
        opt.load_state_dict(kept)
    step: int = saved["step"]
    return step


def load_inputs(seed: int, device: str, clips: int, captions: int) -> tuple[Latents, Captions]:
    """The cached latents and text states, from the trained VAE and text encoder."""
    vae, reader = build_vae(), Reader(tokenizer().get_piece_size())
    trained_vae, trained_text = state.load("vae.pt"), state.load("text.pt")
    if trained_vae is None or trained_text is None:
        raise SystemExit("train the VAE and the text encoder first: training.vae, training.text")
    vae.load_state_dict(trained_vae["model"])
    reader.load_state_dict(trained_text["model"])
    return encode_clips(vae.to(device).eval(), clips, seed, device), Captions(reader, captions, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--size", type=int, default=48)
    parser.add_argument("--rate", type=float, default=0.01)
    parser.add_argument("--clips", type=int, default=8, help="clips a scene in the cache")
    parser.add_argument("--captions", type=int, default=24, help="captions a scene in the cache")
    parser.add_argument(
        "--experts", type=int, nargs=2, default=(400, 300), help="steps of the high- and low-noise experts"
    )
    parser.add_argument("--watch", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    data, captions = load_inputs(args.seed, args.device, args.clips, args.captions)
    torch.manual_seed(args.seed)
    common = {"size": args.size, "seed": args.seed, "device": args.device}
    shared = train(
        build_transformer(), data, captions, name=STATE, steps=args.steps, rate=args.rate, watch=args.watch, **common
    )
    for name, steps, span in (
        ("high.pt", args.experts[0], (BOUNDARY_RATIO, 1.0)),
        ("low.pt", args.experts[1], (0.0, BOUNDARY_RATIO)),
    ):
        train(copy.deepcopy(shared), data, captions, name=name, steps=steps, rate=args.rate / 5, span=span, **common)


if __name__ == "__main__":
    main()
