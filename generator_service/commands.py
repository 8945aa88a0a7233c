"""``reelgate tiers``, ``fits`` and ``calibrate``: what this machine's settings let the generator draw with, what a card holds, and
what a step cache needs to know of a model. None of them starts the service.
"""

from __future__ import annotations

from typing import Annotated

import typer

from generator_service import fits as fitting
from generator_service.settings import Settings
from generator_service.tier import FOLDER, Tier, folder


def register(app: typer.Typer) -> None:
    """Add this service's verbs to the ``reelgate`` command."""
    app.command(name="tiers")(tiers)
    app.command(name="fits")(fits)
    app.command(name="calibrate")(calibrate)


def tiers() -> None:
    """List the generator's tiers that are on, with their defaults and limits."""
    settings = Settings()
    try:
        on = settings.tiers()
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="REELGATE_GENERATOR_*") from error
    for name, tier in on.items():
        mark = " (default)" if name == settings.default_tier else ""
        print(f"{name}{mark}: {tier.draws}")
        print(f"  {tier.width.default}x{tier.height.default}, up to {tier.width.max}x{tier.height.max}")
        print(
            f"  {tier.frames.default} frames, up to {tier.frames.max}; {tier.fps} a second; {tier.steps.default} steps"
        )
        print(f"  {tier.model}")


def fits() -> None:
    """How Wan2.2's tiers fit cards of 24, 48, 80 and 141 GB, as the memory predictor says; no GPU and no weights are needed."""
    shipped = folder(FOLDER)
    print(f"{'tier':<6} {'card':>6}  {'size':<14} {'predicted':>9}  settings beside the tier's own")
    for name, sizes in (("full", fitting.SIZES), ("fast", fitting.SIZES), ("draft", fitting.SIZES_5B)):
        for choice in fitting.choices(shipped[name], sizes):
            width, height, frames = choice.size
            print(
                f"{name:<6} {choice.card:>3} GB  {f'{width}x{height}x{frames}':<14} "
                f"{choice.predicted / fitting.GB:>6.1f} GB  {fitting.told(choice)}"
            )


def calibrate(
    prompt: Annotated[list[str], typer.Argument(help="Prompts to measure on; their ratios are averaged.")],
    tier: Annotated[str, typer.Option(help="A tier that is on, without step_cache and compile.")] = "",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1")] = "cpu",
) -> None:
    """Measure the ratios of step_cache's kind mag for a tier at its default size and steps; prints lines for its file."""
    settings = Settings()
    on = settings.tiers()
    name = tier or settings.default_tier
    if name not in on:
        raise typer.BadParameter(f"{name!r} is not on; these are: {', '.join(on)}", param_hint="--tier")
    high, low = _ratios(on[name], prompt, device)
    print("step_cache:\n  kind: mag\n  threshold: 0.05")
    print(f"  ratios: [{', '.join(f'{ratio:.4f}' for ratio in high)}]")
    print(f"  ratios_2: [{', '.join(f'{ratio:.4f}' for ratio in low)}]")


def _ratios(tier: Tier, prompts: list[str], device: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    import torch

    from generator_service import calibrate as measuring
    from generator_service import offload, wan
    from generator_service.engine import Engine

    parts = wan.load(tier, torch.device(device))
    offload.apply(parts, offload.OFFLOADS[tier.offload])
    takes = [fitting.take_of(tier, fitting.default_size(tier), prompt) for prompt in prompts]
    return measuring.ratios(Engine(parts), takes)
