"""Wan2.2-T2V-A14B with random weights, built on the device: speed and memory need no real ones.

The configurations are those of Wan-AI/Wan2.2-T2V-A14B-Diffusers to the letter. Weights are normal with a standard deviation of 0.02
and a seed: never zeros, on which matrix products run faster than on real data.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel
from torch import nn
from transformers import UMT5Config, UMT5EncoderModel

from generator_service import attention, compiled, latents, precision, text, tuning, wan
from generator_service import tier as tiers
from generator_service.core import Take
from generator_service.engine import Denoising, Engine
from generator_service.geometry import Geometry
from generator_service.models import blueprint
from generator_service.models.wan22 import TRANSFORMER, UMT5, VAE
from generator_service.text import PromptStates, StatesKey

EMBEDDED = tiers.FOLDER.parent / "models" / "embedded"
DEVIATION = 0.02


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """Where and how large. ``real``: the exact A14B; else the embedded model's layout, so that the same lines run on a CPU."""

    device: torch.device
    real: bool
    dtype: torch.dtype = torch.bfloat16

    @property
    def transformer(self) -> dict[str, Any]:
        return TRANSFORMER if self.real else dict(blueprint.build_transformer().config)

    def expert(self, seed: int = 0) -> WanTransformer3DModel:
        """One expert, with what diffusers keeps in fp32 in fp32."""
        config = {key: value for key, value in self.transformer.items() if not key.startswith("_")}
        return filled(built(WanTransformer3DModel, config, self), seed)

    def vae(self, dtype: torch.dtype = torch.float32) -> AutoencoderKLWan:
        with torch.device(self.device):
            made = AutoencoderKLWan(**VAE) if self.real else blueprint.build_vae()
        # Not diffusers' own `to`, which warns of an empty list of modules that stay in fp32.
        return torch.nn.Module.to(made, self.device, dtype).eval().requires_grad_(False)

    def encoder(self) -> UMT5EncoderModel:
        """UMT5-xxl; its initialisation by transformers is random already."""
        before = torch.get_default_dtype()
        torch.set_default_dtype(self.dtype)
        try:
            with torch.device(self.device):
                made = UMT5EncoderModel(UMT5Config(**UMT5)) if self.real else blueprint.build_text_encoder(8192)
        finally:
            torch.set_default_dtype(before)
        return made.to(self.device, self.dtype).eval().requires_grad_(False)


def built(kind: Any, config: dict[str, Any], model: Model) -> Any:
    """Never in fp32 as a whole: 57 GB an expert would not fit beside another."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(model.dtype)
    try:
        with torch.device(model.device):
            made = kind(**config)
    finally:
        torch.set_default_dtype(before)
    kept = [name for name in kind._keep_in_fp32_modules if name != "rope"]
    for name, parameter in made.named_parameters():
        if any(part in name.split(".") for part in kept):
            parameter.data = parameter.data.float()
    # Its tables must not be rounded.
    made.rope = type(made.rope)(config["attention_head_dim"], tuple(config["patch_size"]), config["rope_max_seq_len"])
    made.rope.to(model.device)
    return made.eval().requires_grad_(False)


@torch.no_grad()
def filled(expert: WanTransformer3DModel, seed: int) -> WanTransformer3DModel:
    """Weights anew, by ``seed``."""
    generator = torch.Generator(next(expert.parameters()).device).manual_seed(seed)
    for name, parameter in expert.named_parameters():
        if "scale_shift_table" in name:
            nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5, generator=generator)
        elif parameter.ndim > 1:
            nn.init.normal_(parameter, std=DEVIATION, generator=generator)
        elif name.endswith("bias"):
            parameter.zero_()
    return expert


def engine_of(
    model: Model,
    tier: tiers.Tier,
    experts: list[WanTransformer3DModel],
    *,
    vae: AutoencoderKLWan | None = None,
    encoder: UMT5EncoderModel | None = None,
) -> Engine:
    """An engine over parts that are on the device already; ``tier`` is put on the experts as `wan.load` does."""
    for expert in experts:
        if tier.fuse_qkv:
            compiled.fuse(expert)
        if tier.quantisation != "none":
            precision.quantise(expert, tier.quantisation)
    scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=tier.flow_shift or 12.0,
        num_train_timesteps=1000,
    )
    tuned = tuning.finish(experts, tier, model.device, model.dtype)
    parts = wan.Components(
        tier=tier,
        tokenizer=text.load_tokenizer(EMBEDDED / "tokenizer"),
        text_encoder=encoder,
        transformer=experts[0],
        transformer_2=experts[1] if len(experts) > 1 else None,
        vae=vae if vae is not None else shell(model),
        scheduler=scheduler,
        boundary_ratio=0.875 if len(experts) > 1 else None,
        device=model.device,
        dtype=model.dtype,
        weights="random",
        tokenizer_fingerprint="",
        encoder_fingerprint="random",
        execution="",
        versions={},
        tuned=tuned,
    )
    return Engine(parts)


def shell(model: Model) -> AutoencoderKLWan:
    """A VAE for its configuration only."""
    with torch.device("meta"):
        return AutoencoderKLWan(**VAE) if model.real else blueprint.build_vae()


def tier_of(model: Model, width: int, height: int, frames: int, **changes: Any) -> tiers.Tier:
    """The full tier at this size."""
    full = tiers.load(tiers.FOLDER / "full.yaml", "random")
    size = {"width": width, "height": height, "frames": frames}
    bounds = {name: {"default": value, "max": value} for name, value in size.items()}
    dtype = {torch.bfloat16: "bfloat16", torch.float32: "float32"}[model.dtype]
    return tiers.Tier.model_validate(full.model_dump() | bounds | {"dtype": dtype} | changes)


def take_of(tier: tiers.Tier, **changes: Any) -> Take:
    values: dict[str, Any] = {
        "tenant": "",
        "prompt": "a red ball rolls over the grass towards the sea",
        "negative_prompt": "blurred, still",
        "width": tier.width.default,
        "height": tier.height.default,
        "frames": tier.frames.default,
        "steps": tier.steps.default,
        "guidance": tier.guidance,
        "guidance_2": tier.guidance_2,
        "seed": 0,
        "tier": tier.tier,
        "execution": "",
    }
    return Take(**(values | changes))


def prompt_of(model: Model, tokens: int, name: str, window: int = 512) -> PromptStates:
    """Random states of a text of ``tokens``, as large as UMT5's."""
    generator = torch.Generator(model.device).manual_seed(tokens)
    width = model.transformer["text_dim"]
    real = 0.1 * torch.randn(1, tokens, width, generator=generator, device=model.device)
    key = StatesKey(encoder="random", text=f"{name} {tokens}", window=window, dtype=model.dtype, device=model.device)
    return PromptStates(key=key, real=real.to(model.dtype))


@torch.no_grad()
def state_of(engine: Engine, model: Model, take: Take, *, tokens: int = 64, negative: int = 126) -> Denoising:
    """As `Engine.prepare`, with texts of so many tokens instead of an encoder's work. 126 are those of the official negative
    prompt."""
    scheduler = UniPCMultistepScheduler.from_config(engine.parts.scheduler.config)
    scheduler.set_timesteps(take.steps, device=model.device)
    scheduler.set_begin_index(0)
    return Denoising(
        take=take,
        latents=latents.noise(engine.parts, take),
        prompt=prompt_of(model, tokens, "prompt"),
        negative=prompt_of(model, negative, "negative") if take.guidance > 1 else None,
        scheduler=scheduler,
    )


def geometry_of(model: Model, tier: tiers.Tier, experts: list[nn.Module]) -> Geometry:
    """For counting operations and bytes."""
    weights = sum(each.nbytes for each in (*experts[0].parameters(), *experts[0].buffers()))
    umt5 = UMT5 if model.real else blueprint.build_text_encoder(256).config.to_dict()
    return Geometry.of(
        model.transformer,
        shell(model).config,
        umt5,
        window=tier.max_sequence_length,
        item=model.dtype.itemsize,
        expert=weights,
        experts=len(experts),
        text_kept=tier.text_kv_mib << 20,
        shares_passes=tier.shares_attention,
    )


def kernels_of(engine: Engine) -> str:
    own, cross = attention.kernels(engine.experts[0])
    return f"self {'/'.join(sorted(own))}, cross {'/'.join(sorted(cross))}"
