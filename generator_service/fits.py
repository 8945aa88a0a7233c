"""Which way of running a tier fits which card, by the same prediction that admits requests. From configurations: needs no weights.

On a GPU the prediction is not measured yet; it was taken from small models in fp32 on a CPU and corrects itself as it serves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from generator_service.core import Rung, Take
from generator_service.geometry import Geometry
from generator_service.memory import Memory
from generator_service.models import wan22
from generator_service.tier import Tier

Size = tuple[int, int, int]
GB = 1_000_000_000
SIZES: tuple[Size, ...] = ((832, 480, 81), (1280, 720, 81))
SIZES_5B: tuple[Size, ...] = ((1280, 704, 121),)
CARDS = (24, 48, 80, 141)
VAE: dict[str, str | bool] = {"vae_dtype": "bfloat16"}
SWAP: dict[str, str | bool] = {"text_encoder": "swap"}
HOST: dict[str, str | bool] = {"text_encoder": "host"}
FP8: dict[str, str | bool] = {"quantisation": "fp8"}
# From what changes least to what needs least: precision of the VAE and of the experts' blocks, where UMT5 is, what is offloaded.
WAYS: tuple[dict[str, str | bool], ...] = (
    {},
    VAE,
    VAE | SWAP,
    VAE | HOST,
    FP8,
    FP8 | VAE,
    FP8 | VAE | SWAP,
    FP8 | VAE | HOST,
    VAE | SWAP | {"offload": "expert"},
    VAE | HOST | {"offload": "expert"},
    FP8 | VAE | SWAP | {"offload": "expert"},
    FP8 | VAE | HOST | {"offload": "expert"},
    # No bit changes, and a self-attention more is made in each step.
    FP8 | VAE | HOST | {"offload": "expert", "share_passes": False},
    FP8 | VAE | HOST | {"offload": "group"},
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice:
    """``settings`` are what the tier's file needs beside its own; ``rung`` is None where nothing fits."""

    card: int
    size: Size
    settings: Mapping[str, str | bool]
    predicted: int
    rung: Rung | None


def choices(tier: Tier, sizes: tuple[Size, ...]) -> Iterator[Choice]:
    """For each card and size the first way that fits; decoding in tiles, and then blocks one at a time, only where none does; else the
    last of all, and no rung."""
    for card in CARDS:
        for size in sizes:
            yield _choice(tier, card, size)


def _choice(tier: Tier, card: int, size: Size) -> Choice:
    found = [_with(tier, card, size, way) for way in WAYS if not _pointless(tier, way)]
    whole = (each for each in found if each.rung is Rung.PLAIN and each.settings.get("offload") != "group")
    return [*whole, *(each for each in found if each.rung is not None), found[-1]][0]


def _pointless(tier: Tier, way: Mapping[str, str | bool]) -> bool:
    """One expert alone has nobody to change places with."""
    return tier.multiple == 32 and way.get("offload") == "expert"


def _with(tier: Tier, card: int, size: Size, way: Mapping[str, str | bool]) -> Choice:
    geometry = of(tier.model_copy(update=dict(way)))
    # What a tier sets is never left to the ladder, so that a choice says what it means.
    fit = Memory(card * GB, (Rung.PLAIN, Rung.TILED)).fit(geometry, take_of(tier, size))
    return Choice(card=card, size=size, settings=dict(way), predicted=fit.predicted, rung=fit.rung)


def told(choice: Choice) -> str:
    """The settings of ``choice`` as lines of a tier's file, side by side."""
    if choice.rung is None:
        return "does not fit"
    settings = ", ".join(f"{name}: {str(value).lower()}" for name, value in choice.settings.items()) or "none"
    return settings + (" (decodes in tiles)" if choice.rung is Rung.TILED else "")


def default_size(tier: Tier) -> Size:
    return tier.width.default, tier.height.default, tier.frames.default


def take_of(tier: Tier, size: Size, prompt: str = "") -> Take:
    """A request of the tier's defaults at ``size``."""
    width, height, frames = size
    return Take(
        tenant="",
        prompt=prompt,
        negative_prompt=tier.negative_prompt,
        width=width,
        height=height,
        frames=frames,
        steps=tier.steps.default,
        guidance=tier.guidance,
        guidance_2=tier.guidance_2,
        seed=0,
        tier=tier.tier,
        execution="",
    )


def of(tier: Tier) -> Geometry:
    """The sizes of a published model under the settings of ``tier``: TI2V-5B where the tier's pieces are of 32 pixels, else A14B."""
    small = tier.multiple == 32
    transformer = wan22.TRANSFORMER_5B if small else wan22.TRANSFORMER
    vae = _decoder_defaults() | (wan22.VAE_5B if small else wan22.VAE)
    item, vae_item = (4 if dtype == "float32" else 2 for dtype in (tier.dtype, tier.vae_dtype))
    expert, experts = expert_bytes(transformer, item, tier.quantisation), 1 if small else 2
    text = wan22.UMT5_PARAMETERS * item
    stays = text if tier.text_encoder == "device" else 0
    return Geometry.of(
        transformer,
        vae,
        wan22.UMT5,
        window=tier.max_sequence_length,
        item=item,
        vae_item=vae_item,
        weights=experts * expert + stays + vae_item * (wan22.VAE_5B_PARAMETERS if small else wan22.VAE_PARAMETERS),
        expert=expert,
        experts=experts,
        text_kept=(tier.text_kv_mib << 20) if tier.text_kv else 0,
        shares=tier.token_shares,
        ring=tier.rings,
        visiting=text if tier.text_encoder == "swap" else 0,
        shares_passes=tier.shares_attention,
        offload=tier.offload,
        may_offload=tier.may_offload,
    )


def expert_bytes(config: Mapping[str, Any], item: int, quantisation: str) -> int:
    """Of one ``WanTransformer3DModel`` (diffusers 0.42); ``item`` bytes a number, but 8 bits and a scale in a rounded block."""
    d, inner, layers = (
        config["num_attention_heads"] * config["attention_head_dim"],
        config["ffn_dim"],
        config["num_layers"],
    )
    patch = config["patch_size"][0] * config["patch_size"][1] * config["patch_size"][2]
    matrices, outputs = 8 * d * d + 2 * d * inner, 8 * d + inner + d
    weights = matrices * item if quantisation == "none" else matrices + 4 * outputs
    # Biases and the norms of queries and keys; then norm2 and the modulation table, which stay in fp32.
    block = weights + (outputs + 4 * d) * item + 4 * (2 * d + 6 * d)
    time = 4 * (config["freq_dim"] * d + d + d * d + d)
    ends = config["in_channels"] * patch * d + d + d * config["out_channels"] * patch + config["out_channels"] * patch
    text = config["text_dim"] * d + d + d * d + d
    modulation = 6 * d * d + 6 * d
    tables = 4 * 2 * config["rope_max_seq_len"] * config["attention_head_dim"]
    return layers * block + time + (ends + text + modulation) * item + 4 * 2 * d + tables


def _decoder_defaults() -> dict[str, Any]:
    """What A14B's VAE leaves at ``AutoencoderKLWan``'s own values."""
    return {"decoder_base_dim": None, "out_channels": 3, "scale_factor_temporal": 4, "scale_factor_spatial": 8}
