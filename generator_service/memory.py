"""How many bytes of the device a request needs at its peak, before it is admitted.

The terms follow from the shapes; the coefficients are measured, with `Allocations` on a CPU in fp32 over five shapes of
the embedded model and three other widths of its feed-forward (tests/generator_service/test_memory.py measures them again).
On a GPU, or in another precision, they are a beginning: `Correction` learns from what the device says.
"""

from __future__ import annotations

import dataclasses
import os
from collections import deque

from generator_service import ladder
from generator_service.core import Rung, Stage, Take
from generator_service.geometry import Geometry, Shape

# UniPC of order two keeps two model outputs and the last sample, and a step makes the next one; one more to be safe.
LATENT_COPIES = 6
# Of UMT5's (heads, window, window) attention scores: scores, with bias and mask, softmax in fp32, its copy.
SCORES = 3.8
# Of (tokens, width): what is alive beside two feed-forward layers' worth, and in self-attention.
BESIDE_FEED_FORWARD, IN_ATTENTION = 3.5, 8.0
# By count and not measured: what goes in, queries, two pairs of keys and values, a sum in fp32, a part and its copy in fp32.
IN_RING = 13.0
# Of (window, width): the text inside the expert, its keys and its values.
TEXT_INSIDE = 5.2
# Of a convolution's input: itself, its residual, joined with earlier frames, padded.
AROUND_CONVOLUTION = 3.75
# In TI2V-5B's decoder beside it: what a block began with, and the same repeated to the next one's size.
AROUND_RESIDUAL = 7.3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Need:
    """Bytes. ``held`` stays between the steps, and from the first step on ``kept``, keys and values of the text; ``text``,
    ``step`` and ``decode`` come on top while such a step is made.

    ``map`` is the causal VAE's feature map, which stays during the decode. ``tile`` is the share of a picture that one
    tile has. ``offloaded`` and ``grouped`` are the weights that leave the device on those rungs.
    """

    weights: int
    held: int
    kept: int
    text: int
    step: int
    decode: int
    map: int
    tile: float
    offloaded: int
    grouped: int

    def fixed(self, rung: Rung = Rung.PLAIN) -> int:
        """Weights on the device."""
        gone = {Rung.EXPERT_OFFLOADED: self.offloaded}.get(rung, self.grouped if rung > Rung.EXPERT_OFFLOADED else 0)
        return self.weights - gone

    def between(self, rung: Rung = Rung.PLAIN) -> int:
        """The most that this request keeps between two steps, weights left out."""
        return self.held + round((self.tile if rung >= Rung.TILED else 1.0) * self.map)

    def stage(self, stage: Stage, rung: Rung = Rung.PLAIN) -> int:
        """What this request needs in ``stage``, weights included."""
        share = self.tile if rung >= Rung.TILED else 1.0
        extra = {
            Stage.TEXT: self.text,
            Stage.DENOISE: self.kept + self.step,
            Stage.DECODE: self.kept + round(share * (self.decode + self.map)),
        }
        return self.fixed(rung) + self.held + extra.get(stage, 0)

    def peak(self, rung: Rung = Rung.PLAIN) -> int:
        """The most of any stage."""
        return max(self.stage(stage, rung) for stage in (Stage.TEXT, Stage.DENOISE, Stage.DECODE))


def predict(geometry: Geometry, shape: Shape, *, cached: int = 0) -> Need:
    """``cached`` are bytes that caches of text may hold beside all requests."""
    tokens, item = -(-geometry.tokens(shape) // geometry.shares), geometry.item
    latents = 4 * geometry.channels * shape.frames * shape.height * shape.width
    states = shape.passes * geometry.window * geometry.text_width * item
    # Keys and values of both texts in every layer of every expert, as many as may be kept.
    rows, text_kv = geometry.rows(shape), geometry.layers * 2 * geometry.window * geometry.width * item
    requests = geometry.batch_requests if rows > 1 else 1
    kept = min(requests * shape.passes * geometry.experts * text_kv, geometry.text_kept)
    if rows > 1 and geometry.text_kept:
        # While they are lent to a batch, they are there whatever the bound.
        kept = max(kept, rows * text_kv)
    layers = list(geometry.convolutions(shape.height, shape.width))
    feed_forward = 2 * geometry.feed_forward + BESIDE_FEED_FORWARD * geometry.width
    # Kept keys and values are made for one text at a time, and not copied for a batch.
    texts = 1 if geometry.text_kept else rows
    activations = rows * tokens * max(feed_forward, (IN_RING if geometry.ring else IN_ATTENTION) * geometry.width)
    if geometry.shares_passes and shape.passes > 1:
        activations += tokens * geometry.width
    around = AROUND_RESIDUAL if geometry.residual else AROUND_CONVOLUTION
    idle, grouped = idle_bytes(geometry)
    never = {"none": 0, "expert": idle}.get(geometry.offload, grouped)
    return Need(
        weights=geometry.weights - never + cached,
        held=LATENT_COPIES * latents + states,
        kept=kept,
        text=geometry.visiting + round(SCORES * geometry.text_heads * geometry.window**2 * item),
        step=round(item * (activations + TEXT_INSIDE * texts * geometry.window * geometry.width)),
        decode=round(around * geometry.vae_item * max(c.inputs * c.places for c in layers)),
        map=geometry.vae_item * sum(c.inputs * c.memory * c.height * c.width for c in layers),
        tile=tile_share(shape.height) * tile_share(shape.width),
        offloaded=max(0, idle - never),
        grouped=max(0, grouped - never),
    )


def idle_bytes(geometry: Geometry) -> tuple[int, int]:
    """Of the experts' weights, what leaves the device where one expert is there at a time, and where two blocks are."""
    block = geometry.expert // max(1, geometry.layers)
    return geometry.expert * (geometry.experts - 1), geometry.expert * geometry.experts - 2 * block


def tile_share(length: int) -> float:
    """How much of ``length`` latents one of two overlapping tiles covers."""
    return (length + overlap(length)) / (2 * length) if length > 1 else 1.0


def overlap(length: int) -> int:
    """Latents that two tiles share: a quarter of the picture, at most eight (64 pixels)."""
    wide = min(8, length // 4)
    return wide + (length + wide) % 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fit:
    """``predicted`` bytes on the highest rung that fits; ``rung`` is None where none does."""

    predicted: int
    available: int
    rung: Rung | None


class Memory:
    """Admission by memory. ``available`` are the bytes that this process may use, weights included; ``rungs`` are those that
    the device has, from the top."""

    def __init__(self, available: int, rungs: tuple[Rung, ...] = tuple(Rung), *, cached: int = 0) -> None:
        self.available = available
        self.rungs = rungs
        self._cached = cached
        self._corrections: dict[str, Correction] = {}

    def need(self, geometry: Geometry, take: Take) -> Need:
        """Where weights cannot leave the device, the rungs below take nothing off them."""
        need = predict(geometry, geometry.shape(take), cached=self._cached)
        if Rung.EXPERT_OFFLOADED not in self.rungs or geometry.may_offload == "none":
            return dataclasses.replace(need, offloaded=0, grouped=0)
        return dataclasses.replace(need, grouped=need.offloaded) if geometry.may_offload == "expert" else need

    def fit(self, geometry: Geometry, take: Take) -> Fit:
        """Whether ``take`` can run here, and from which rung on."""
        need, factor = self.need(geometry, take), self.correction(take.tier).factor
        for rung in ladder.within(self.rungs, geometry.may_offload):
            predicted = round(need.peak(rung) * factor)
            if predicted <= self.available:
                return Fit(predicted=predicted, available=self.available, rung=rung)
        return Fit(predicted=predicted, available=self.available, rung=None)

    def beside(self, geometry: Geometry, take: Take, rung: Rung) -> tuple[int, int, int]:
        """Of ``take`` on ``rung``, in bytes: what it keeps between its steps, its peak, and the room beside the weights."""
        need, factor = self.need(geometry, take), self.correction(take.tier).factor
        fixed = need.fixed(rung)
        held, peak = round(need.between(rung) * factor), round((need.peak(rung) - fixed) * factor)
        return held, peak, self.available - round(fixed * factor)

    def correction(self, tier: str) -> Correction:
        return self._corrections.setdefault(tier, Correction())


class Correction:
    """Learns how far measured peaks lie from predicted ones. ``factor`` covers 95 % of the last peaks, and never trusts less
    than the formula says before there are eight of them."""

    KEPT = 128
    ENOUGH = 8

    def __init__(self) -> None:
        self._ratios: deque[float] = deque(maxlen=self.KEPT)

    def observe(self, predicted: int, measured: int) -> None:
        if predicted > 0 and measured > 0:
            self._ratios.append(measured / predicted)

    @property
    def factor(self) -> float:
        ratios = sorted(self._ratios)
        covering = ratios[min(len(ratios) - 1, int(0.95 * len(ratios)))] if ratios else 1.0
        return max(1.0, covering) if len(ratios) < self.ENOUGH else covering


def host_bytes() -> int:
    """Memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
