"""The training code's own claims: fast paths equal the slow ones, the scorer is right on true renders."""

from __future__ import annotations

import collections
import re

import numpy as np
import torch

from generator_service.models.blueprint import build_transformer, build_vae
from generator_service.models.training import whole
from generator_service.models.training.captions import caption
from generator_service.models.training.data import held_out, training_scenes
from generator_service.models.training.denoiser import draw_sigma
from generator_service.models.training.muon import orthogonal
from generator_service.models.training.pads import collate, fold
from generator_service.models.training.scorer import agreement, score
from generator_service.models.training.vae import initialise
from generator_service.models.training.words import BACKGROUND_PHRASES, COLOR_WORDS, SHAPE_WORDS
from generator_service.models.training.world import render, sample_clip, scenes


def test_whole_clip_pass_equals_the_chunked_vae() -> None:
    torch.manual_seed(0)
    vae = build_vae().eval()
    initialise(vae)
    for p in vae.parameters():
        p.data += 0.02 * torch.randn_like(p)
    video = torch.rand(2, 3, 9, 32, 32) * 2 - 1
    with torch.no_grad():
        expected = vae.encode(video).latent_dist
        mean, logvar = whole.encode(vae, video)
        torch.testing.assert_close(mean, expected.mean, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(logvar.clamp(-30, 20), expected.logvar, atol=1e-5, rtol=1e-4)
        decoded = whole.decode(vae, mean)
        torch.testing.assert_close(decoded.clamp(-1, 1), vae.decode(mean).sample, atol=1e-4, rtol=1e-3)
    assert decoded.std() > 0.01


def test_one_folded_pad_equals_padding_to_512() -> None:
    torch.manual_seed(0)
    folded, padded = build_transformer().eval(), build_transformer().eval()
    padded.load_state_dict(folded.state_dict())
    states = [torch.randn(12, 96), torch.randn(30, 96)]
    full = torch.zeros(2, 512, 96)
    for row, s in zip(full, states, strict=True):
        row[: len(s)] = s
    text, bias = collate(states)
    fold(folded).bias = bias
    x, t = torch.randn(2, 16, 2, 4, 4), torch.tensor([500.0, 900.0])
    with torch.no_grad():
        torch.testing.assert_close(
            folded(x, t, text, return_dict=False)[0], padded(x, t, full, return_dict=False)[0], atol=1e-5, rtol=1e-5
        )


def test_scorer_is_right_on_true_renders() -> None:
    rng = np.random.default_rng(11)
    every = list(scenes())
    right: collections.Counter[str] = collections.Counter()
    picks = rng.choice(len(every), size=120, replace=False)
    for index in picks:
        for name, good in agreement(score(render(sample_clip(every[index], rng))), every[index]).items():
            right[name] += good
    assert min(right.values()) >= 0.98 * len(picks)


def test_scorer_tells_noise_from_a_scene() -> None:
    noise = np.random.default_rng(0).random((9, 64, 64, 3), dtype=np.float32)
    wanted = next(iter(scenes()))
    assert not all(agreement(score(noise), wanted).values())


def test_captions_name_what_the_scene_shows() -> None:
    rng = np.random.default_rng(3)
    for scene in list(scenes())[::7]:
        text = caption(scene, rng).lower()
        assert any(word in text for word in COLOR_WORDS[scene.color])
        assert any(word in text for word in SHAPE_WORDS[scene.shape])
        nouns = {w for p in BACKGROUND_PHRASES[scene.background] for w in re.findall(r"\w+", p)}
        assert nouns & set(re.findall(r"\w+", text))


def test_a_tenth_of_the_scenes_is_held_out_and_holds_every_attribute() -> None:
    every = list(scenes())
    out = [s for i, s in enumerate(every) if held_out(i)]
    assert len(out) == 84
    assert not set(out) & set(training_scenes())
    for name in ("color", "shape", "motion", "background"):
        assert {getattr(s, name) for s in out} == {getattr(s, name) for s in every}


def test_noise_levels_stay_in_their_expert_span() -> None:
    sigma = draw_sigma(64, np.random.default_rng(0), 0.875, 1.0)
    assert float(sigma.min()) >= 0.875
    assert float(sigma.max()) <= 1.0
    assert float(draw_sigma(64, np.random.default_rng(0), 0.0, 0.875).max()) <= 0.875


def test_orthogonal_update_has_singular_values_near_one() -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonal(torch.randn(3, 40, 90)))
    assert 0.5 < float(values.min()) <= float(values.max()) < 1.5
