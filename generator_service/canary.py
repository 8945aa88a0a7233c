"""The smallest video, made before anybody asks for one: proves that a tier's components fit each other, and warms them."""

from __future__ import annotations

from generator_service import compiled
from generator_service.core import Take
from generator_service.engine import Engine
from generator_service.tier import Tier


class CanaryError(RuntimeError):
    """A tier was loaded and cannot make the smallest video: which tier, and what broke."""


def sing(engine: Engine) -> None:
    """One denoise step and a decode. A tier that compiles does so here, for its default video, so that the first request does not wait
    for it. Raises `CanaryError`."""
    try:
        _sing(engine)
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise CanaryError(f"tier {engine.tier.tier} is loaded, and fails its canary: {what}") from error


def _sing(engine: Engine) -> None:
    tier = engine.tier
    before = compiled.graphs()
    # Folded texts have as many rows as tokens: the second one has torch make the graph for any number of them.
    prompts = ("a", "a b c d e f") if tier.compile and tier.fold_text else ("a",)
    for prompt in prompts:
        state = engine.prepare(_smallest(tier, prompt))
        engine.step(state)
    if tier.compile:
        compiled.check(compiled.graphs() - before, len(prompts))
    engine.decode(engine.begin_decode(state.latents))
    engine.text.clear()


def _smallest(tier: Tier, prompt: str) -> Take:
    """A compiled block is compiled for a shape: that of the tier's default video. Where processes share the tokens, there are as many
    latent frames as share those of one."""
    shares = tier.token_shares
    return Take(
        tenant="",
        prompt=prompt,
        negative_prompt="",
        width=tier.width.default if tier.compile else 2 * tier.multiple,
        height=tier.height.default if tier.compile else 2 * tier.multiple,
        frames=tier.frames.default if tier.compile else 4 * shares - 3,
        steps=1,
        guidance=tier.guidance,
        guidance_2=tier.guidance_2,
        seed=0,
        tier=tier.tier,
        execution="",
    )
