"""``reelgate tiers``: what this machine's settings let the generator draw with, without starting it."""

from __future__ import annotations

import typer

from generator_service.settings import Settings


def register(app: typer.Typer) -> None:
    """Add this service's verbs to the ``reelgate`` command."""
    app.command(name="tiers")(tiers)


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
