"""An experiment, and no setting of the product: style variants of one subject that share what was made of the subject.

UMT5 attends both ways, so a subject's states differ behind different endings, and sharing them is an approximation. Four
ways to the text of "<subject>, <ending>", folded, are set side by side:

- exact: the whole text is encoded and projected, as the engine does it;
- first: the whole text is encoded, but the subject's keys and values are those of the subject's first variant, so a
  variant holds rows of its own for the ending only;
- alone: the same with the keys and values of the subject encoded by itself;
- apart: subject and ending are encoded each by itself, once, and their rows are put together: a new combination costs
  no encoding at all.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator

import numpy as np
import torch
from diffusers import WanTransformer3DModel
from torch import Tensor

from generator_service import text_kv
from generator_service.core import Take
from generator_service.engine import Engine, Pictures
from generator_service.models.training.scorer import score
from generator_service.text import PromptStates
from generator_service.text_kv import TextKV

SUBJECTS = ("a red circle moves left", "a blue ring stays still", "a green cross is rising", "a yellow bar moves right")
ENDINGS = {
    "style (words that the model hardly knows)": (
        "oil painting style", "watercolor", "flat vector art", "cinematic lighting", "black ink sketch", "pixel art",
    ),
    "ground (words that it draws)": (
        "on a black background", "on a white background", "over green grass", "in the sky", "at night",
        "on a grey background",
    ),
}  # fmt: skip
WAYS = ("exact", "first", "alone", "apart")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """What one way gave for one text, and what it cost: ``ms`` to get the text ready for both experts, ``own`` bytes of keys
    and values that no other variant uses.
    """

    velocity: Tensor
    latents: Tensor
    pictures: Pictures
    ms: float
    own: int


def table(engine: Engine, take: Take, subjects: int) -> int:
    """Print error and time of each way, over both families of endings. ``engine`` must fold.

    Returns how many values of one exact video differ from those that the engine makes by itself: the table's own proof.
    """
    print(f"{'style variants: ending':<43}{'way':<8}{'velocity':>9}{'latents':>9}{'pixels':>8}{'verdicts':>10}", end="")
    print(f"{'text ms':>9}{'own KiB':>9}")
    for family, endings in ENDINGS.items():
        found: dict[str, list[Variant]] = {way: [] for way in WAYS}
        for number, subject in enumerate(SUBJECTS[:subjects]):
            for way in WAYS:
                seeded = dataclasses.replace(take, seed=number)
                found[way] += variants(engine, seeded, subject, endings, way)
        for way in WAYS:
            print(f"{family if way == 'exact' else '':<43}{way:<8}{_row(found[way], found['exact'])}")
    engine.text.clear()
    state = engine.prepare(dataclasses.replace(take, prompt=f"{SUBJECTS[0]}, {endings[1]}", seed=0))
    while not state.done:
        engine.step(state)
    return int((state.latents != found["exact"][0].latents).sum())


def variants(engine: Engine, take: Take, subject: str, endings: tuple[str, ...], way: str) -> Iterator[Variant]:
    """The variants of one subject. The first gives the shared rows, so it is left out of the figures."""
    texts = [f"{subject}, {ending}" for ending in endings]
    first = _encode(engine, texts[0])
    alone = _encode(engine, subject)
    shared = texts[0] if way == "first" else subject
    heads = {expert: _fold(expert, first if way == "first" else alone) for expert in _experts(engine)}
    for ending, words in zip(endings[1:], texts[1:], strict=True):
        # Both are encoded once for all subjects they stand behind, so their time is not counted.
        tail = _encode(engine, f", {ending}").real
        begun = time.process_time()
        if way == "apart":
            states = dataclasses.replace(first, real=torch.cat([alone.real[:, :-1], tail], dim=1))
            kvs = {expert: _fold(expert, states) for expert in heads}
            own = tail.shape[1]
        else:
            states = _encode(engine, words)
            same = 0 if way == "exact" else _common(engine, shared, words)
            kvs = {expert: _join(expert, head, states, same) for expert, head in heads.items()}
            own = states.real.shape[1] + 1 - same
        took = (time.process_time() - begun) * 1e3
        size = own * len(kvs) * text_kv.kv_bytes(engine.parts.transformer.config, 1, engine.parts.dtype)
        yield _make(engine, dataclasses.replace(take, prompt=words), states, kvs, took, size)


def _make(
    engine: Engine,
    take: Take,
    states: PromptStates,
    kvs: dict[WanTransformer3DModel, TextKV],
    took: float,
    own: int,
) -> Variant:
    """The video of ``take`` with these keys and values in place of its own, under a key that no prompt has."""
    named = dataclasses.replace(states, key=dataclasses.replace(states.key, encoder="experiment", text=take.prompt))
    engine.text.clear()
    for expert, kv in kvs.items():
        name = "transformer" if expert is engine.parts.transformer else "transformer_2"
        engine.text.kvs.get((named.key, name), lambda kv=kv: kv)  # type: ignore[misc]
    state = engine.prepare(take)
    state.prompt = named
    noise = state.latents
    with torch.no_grad(), engine.text.lent(engine.parts.transformer, named) as carrier:
        t = state.scheduler.timesteps[:1]
        velocity = engine.parts.transformer(noise, t, carrier, return_dict=False)[0]
    while not state.done:
        engine.step(state)
    decoding, pieces = engine.begin_decode(state.latents), []
    while not decoding.done:
        pieces.append(engine.decode(decoding))
    return Variant(velocity=velocity, latents=state.latents, pictures=np.concatenate(pieces), ms=took, own=own)


def _row(found: list[Variant], exact: list[Variant]) -> str:
    pairs = list(zip(found, exact, strict=True))
    velocity = max(_away(each.velocity, true.velocity) for each, true in pairs)
    latents = max(_away(each.latents, true.latents) for each, true in pairs)
    pixels = np.mean([np.abs(each.pictures.astype(int) - true.pictures).mean() for each, true in pairs])
    changed = sum(_verdict(each) != _verdict(true) for each, true in pairs)
    ms = float(np.median([each.ms for each in found]))
    own = np.mean([each.own for each in found]) / 1024
    return f"{velocity:>9.4f}{latents:>9.4f}{pixels:>8.2f}{f'{changed} of {len(pairs)}':>10}{ms:>9.2f}{own:>9.1f}"


def _away(found: Tensor, true: Tensor) -> float:
    """Relative error in the 2-norm."""
    return float((found - true).norm() / true.norm())


def _verdict(each: Variant) -> object:
    return score(each.pictures.astype(np.float32) / 255)


def _experts(engine: Engine) -> list[WanTransformer3DModel]:
    return [each for each in (engine.parts.transformer, engine.parts.transformer_2) if each is not None]


@torch.no_grad()
def _encode(engine: Engine, words: str) -> PromptStates:
    engine.text.states.clear()
    return engine.text.encode(words)


@torch.no_grad()
def _fold(expert: WanTransformer3DModel, states: PromptStates) -> TextKV:
    return text_kv.folded(expert, states.real, states.key.window)


@torch.no_grad()
def _join(expert: WanTransformer3DModel, head: TextKV, states: PromptStates, same: int) -> TextKV:
    """The first ``same`` rows of ``head``, then the rest of ``states`` and the padded row."""
    own = _fold(expert, dataclasses.replace(states, real=states.real[:, same:]))
    if not same:
        return own
    rows = states.real.shape[1] + 1
    bias = states.real.new_zeros(1, 1, 1, rows)
    bias[..., -1] = math.log(states.key.window - rows + 1)
    keys, values = (
        tuple(torch.cat([mine[:, :same], rest], dim=1) for mine, rest in zip(*both, strict=True))
        for both in ((head.keys, own.keys), (head.values, own.values))
    )
    return TextKV(keys=keys, values=values, bias=bias)


def _common(engine: Engine, one: str, other: str) -> int:
    """Tokens that both texts begin with."""
    ids = [engine.parts.tokenizer.ids(each) for each in (one, other)]
    return next(i for i, (a, b) in enumerate(zip(*ids, strict=False)) if a != b)
