"""diffusers' own pipeline over the components of an engine: what the engine is held against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import WanPipeline
from transformers import AutoTokenizer

from generator_service.core import Take
from generator_service.wan import Components

WINDOW = 512


def pipeline_of(parts: Components) -> WanPipeline:
    made = WanPipeline(
        tokenizer=AutoTokenizer.from_pretrained(Path(parts.tier.model) / "tokenizer"),
        text_encoder=parts.text_encoder,
        vae=parts.vae,
        scheduler=parts.scheduler.from_config(parts.scheduler.config),
        transformer=parts.transformer,
        transformer_2=parts.transformer_2,
        boundary_ratio=parts.boundary_ratio,
    )
    made.set_progress_bar_config(disable=True)
    return made


def call(pipeline: WanPipeline, take: Take, output_type: str) -> Any:
    """The pipeline's frames, ``latent`` or ``np``, for a take whose texts its own cleaning leaves alone."""
    return pipeline(
        prompt=take.prompt,
        negative_prompt=take.negative_prompt,
        width=take.width,
        height=take.height,
        num_frames=take.frames,
        num_inference_steps=take.steps,
        guidance_scale=take.guidance,
        guidance_scale_2=take.guidance_2,
        generator=torch.Generator("cpu").manual_seed(take.seed),
        max_sequence_length=WINDOW,
        output_type=output_type,
    ).frames
