"""The embedded model's architecture: every component of Wan2.2-T2V-A14B, at a size that a CPU runs in seconds.

The layout is the A14B one (AutoencoderKLWan, two WanTransformer3DModel experts, UMT5EncoderModel, UniPC), so that the engine
loads the embedded model and the real one through the same lines. Only widths and depths differ.
"""

from __future__ import annotations

from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel
from transformers import UMT5Config, UMT5EncoderModel

LATENT_CHANNELS = 16
TEXT_DIM = 96
BOUNDARY_RATIO = 0.875
FLOW_SHIFT = 3.0


def build_vae(latents_mean: list[float] | None = None, latents_std: list[float] | None = None) -> AutoencoderKLWan:
    """An untrained VAE: 8 times smaller in space, 4 times in time, 16 channels.

    ``latents_mean`` and ``latents_std`` (one value a channel) are what the denoiser sees as zero and one.
    """
    return AutoencoderKLWan(
        base_dim=16,
        decoder_base_dim=20,
        z_dim=LATENT_CHANNELS,
        dim_mult=[1, 2, 3],
        num_res_blocks=1,
        temperal_downsample=[True, True],
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_temporal=4,
        scale_factor_spatial=8,
        latents_mean=latents_mean or [0.0] * LATENT_CHANNELS,
        latents_std=latents_std or [1.0] * LATENT_CHANNELS,
    )


def build_transformer() -> WanTransformer3DModel:
    """One untrained expert, about a million parameters."""
    return WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=4,
        attention_head_dim=32,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        text_dim=TEXT_DIM,
        freq_dim=64,
        ffn_dim=384,
        num_layers=4,
        cross_attn_norm=True,
        qk_norm="rms_norm_across_heads",
        rope_max_seq_len=256,
    )


def build_text_encoder(vocab_size: int = 4096) -> UMT5EncoderModel:
    """An untrained UMT5 encoder of two layers; ``vocab_size`` is the tokenizer's."""
    config = UMT5Config(
        vocab_size=vocab_size,
        d_model=TEXT_DIM,
        d_kv=24,
        d_ff=192,
        num_layers=2,
        num_heads=4,
        dropout_rate=0.0,
        feed_forward_proj="gated-gelu",
        is_encoder_decoder=False,
        use_cache=False,
    )
    return UMT5EncoderModel(config)


def build_scheduler() -> UniPCMultistepScheduler:
    """UniPC over flow-matching sigmas, as A14B's scheduler_config.json sets it, with the embedded model's shift."""
    return UniPCMultistepScheduler(
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=FLOW_SHIFT,
        num_train_timesteps=1000,
    )
