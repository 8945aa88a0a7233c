"""Floating-point operations of a request, stage by stage; a multiplication with its addition counts as two.

The transformer's terms are those of Wan's blocks (self-attention over all latent tokens, cross-attention over the padded
text, feed-forward); norms, activations and rotations are left out. `benchmarks/engine_schedule.py` and the tests hold it
against torch's own counter.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from generator_service.core import Stage
from generator_service.geometry import Geometry, Shape


class Kind(NamedTuple):
    """Steps of a stage that are alike: the work of one, and how many. ``first``: the first one of its expert, or of decoding. Steps of
    equal ``first`` and ``passes`` (of the expert; 0 outside of denoising) lie on one line of time over work."""

    work: float
    steps: int
    first: bool = False
    passes: int = 0


def step(geometry: Geometry, shape: Shape) -> float:
    """One denoise step: every pass of the expert. Where keys and values of the text are kept, they are made in an expert's
    first step only: see `project`. Where passes share, all but one take over the first block's self-attention: see `once.py`."""
    n, d, text = geometry.tokens(shape), geometry.width, geometry.window
    linear = 8 * n * d * d + 4 * n * d * geometry.feed_forward
    attention = 4 * n * n * d
    made = 0 if geometry.text_kept else text
    cross = 4 * n * d * d + 4 * made * d * d + 4 * n * text * d
    t, h, w = geometry.patch
    ends = 2 * 2 * n * d * geometry.channels * t * h * w
    words = 2 * made * (geometry.text_width * d + d * d)
    spared = (shape.passes - 1) * (8 * n * d * d + attention) if geometry.shares_passes else 0
    return float(shape.passes * (geometry.layers * (linear + attention + cross) + ends + words) - spared)


def project(geometry: Geometry, texts: int) -> float:
    """Keys and values of ``texts`` for one expert, where they are kept over the steps; else `step` has them."""
    if not geometry.text_kept:
        return 0.0
    d, text = geometry.width, geometry.window
    return float(texts * (geometry.layers * 4 * text * d * d + 2 * text * (geometry.text_width * d + d * d)))


def decode(geometry: Geometry, shape: Shape, *, first: bool = False) -> float:
    """One latent frame to pictures. The mid block attends over the places of one frame."""
    places, inner = shape.height * shape.width, geometry.decoder[0]
    attention = 8 * places * inner * inner + 4 * places * places * inner
    layers = geometry.convolutions(shape.height, shape.width, first=first)
    return float(attention + sum(2 * c.inputs * c.outputs * c.taps * c.places for c in layers))


def text(geometry: Geometry, texts: int) -> float:
    """So many texts through UMT5's encoder on the whole window: the prompt, and the negative prompt where guidance is on, as
    far as they are not known."""
    n, d, inner = geometry.window, geometry.text_width, geometry.text_inner
    layer = 8 * n * d * inner + 4 * n * n * inner + 6 * n * d * geometry.text_feed_forward
    return float(texts * geometry.text_layers * layer)


def pixels(geometry: Geometry, shape: Shape) -> float:
    """What the container's encoder works on; no operations, but its time goes with it."""
    frames = (shape.frames - 1) * geometry.temporal + 1
    return float(frames * shape.height * shape.width * geometry.spatial**2)


@lru_cache(maxsize=1024)
def stages(geometry: Geometry, shape: Shape, texts: int | None = None) -> Mapping[Stage, tuple[Kind, ...]]:
    """For every stage its kinds of steps, the first ones first. ``texts``: how many have to be made, None for all that the request has.
    Kept, because it is asked around every step."""
    texts = shape.passes if texts is None else texts
    work, firsts, passes = step(geometry, shape), min(geometry.experts, shape.steps), shape.passes
    return {
        Stage.TEXT: (Kind(text(geometry, texts), 1),),
        Stage.DENOISE: (
            Kind(work + project(geometry, texts), firsts, first=True, passes=passes),
            Kind(work, shape.steps - firsts, passes=passes),
        ),
        Stage.DECODE: (
            Kind(decode(geometry, shape, first=True), 1, first=True),
            Kind(decode(geometry, shape), shape.frames - 1),
        ),
        Stage.ENCODE: (Kind(pixels(geometry, shape), 1),),
    }
