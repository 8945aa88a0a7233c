"""Starts a training run from the published weights, so that one part can be trained again without the others.

``python -m generator_service.models.training.restore`` writes the embedded VAE where the denoiser's training looks for it. The
optimiser's state is not published, so training.vae cannot go on from it: remove ``vae.pt`` to train the VAE anew.
"""

from __future__ import annotations

from pathlib import Path

from diffusers import AutoencoderKLWan

from generator_service.models.training import state
from generator_service.models.training.export import FOLDER


def restore(folder: Path) -> None:
    vae = AutoencoderKLWan.from_pretrained(folder, subfolder="vae")
    state.save("vae.pt", model={k: v.float() for k, v in vae.state_dict().items()})


if __name__ == "__main__":
    restore(FOLDER)
    print(f"the published VAE is in {state.cache_folder()}")
