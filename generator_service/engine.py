"""Advances one request by one step over the components of a tier.

The loop is that of diffusers' ``WanPipeline`` taken apart, so that whoever calls it may stop, look or turn to another
request between any two steps; the latents are bit-equal to the pipeline's. This is exact mode: batch of one,
conditional and unconditional as two passes, no caches over steps but the text's keys and values, which change no bit
(`text_kv.py`). A tier that folds, batches, quantises, compiles, skips or thins out guidance is not exact, and its execution
fingerprint says so.

Call from one thread at a time; nothing here locks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from diffusers import UniPCMultistepScheduler, WanTransformer3DModel
from torch import Tensor

from generator_service import guidance, latents
from generator_service.batch import Row, velocities
from generator_service.conditioning import Conditioner
from generator_service.core import Take
from generator_service.decoding import Decoding, Pictures, begin, pictures
from generator_service.denoising import Denoising
from generator_service.guidance import Direction
from generator_service.latents import pack, unpack
from generator_service.once import modules, once
from generator_service.snapshot import Frozen
from generator_service.step_cache import Ticket
from generator_service.text import PromptStates
from generator_service.tier import Tier
from generator_service.wan import Components

if TYPE_CHECKING:
    from generator_service.group import Group

__all__ = ["Decoding", "Denoising", "Engine", "NotFiniteError", "Pictures", "pack", "unpack"]


class NotFiniteError(ArithmeticError):
    """The latents hold NaN or infinity: nothing that follows can be a video."""


class Engine:
    """The steps of one tier. ``passes`` counts the experts' forward passes by how many rows they had: in exact mode one."""

    def __init__(self, components: Components) -> None:
        self._parts = components
        self.group: Group | None = None
        """The processes that make the passes of a tier with `Tier.parallel`, set once they are there."""
        self._text = Conditioner(components)
        self._shared = [modules(expert, components.tier) for expert in self.experts]
        self.passes: Counter[int] = Counter()

    @property
    def text(self) -> Conditioner:
        """The caches of the prompts, for whoever counts or needs their memory."""
        return self._text

    @property
    def parts(self) -> Components:
        return self._parts

    @property
    def tier(self) -> Tier:
        return self._parts.tier

    @property
    def execution(self) -> str:
        return self._parts.execution

    @property
    def tokenizer_fingerprint(self) -> str:
        return self._parts.tokenizer_fingerprint

    @cached_property
    def settings(self) -> dict[str, str]:
        """How the tier runs, by name, as its file and the device decided: for people."""
        return {**self.tier.settings(), **self._parts.tuned.settings()}

    def peak_bytes(self) -> int:
        """The most device memory that this process has had in use; 0 on a CPU."""
        device = self._parts.device
        return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0

    def tokens(self, prompt: str) -> int:
        """Tokens of ``prompt`` as the text encoder reads it, without the end mark. Safe from any thread."""
        return len(self._parts.tokenizer.ids(prompt)) - 1

    @torch.no_grad()
    def prepare(self, take: Take) -> Denoising:
        """Encodes the text and draws the noise. Guidance of 1 or less on the high-noise expert turns it off in both, as
        ``WanPipeline`` does. Raises `text.PromptTooLongError`."""
        return self._ready(take, latents.noise(self._parts, take))

    def freeze(self, state: Denoising) -> Frozen:
        """A copy, on the device, of what ``state`` needs to go on: cheap, and nothing that is done to ``state`` later
        touches it.
        """
        solver = state.scheduler
        return Frozen(
            index=state.index,
            latents=state.latents.clone(),
            model_outputs=tuple(None if output is None else output.clone() for output in solver.model_outputs),
            last_sample=None if solver.last_sample is None else solver.last_sample.clone(),
            lower_order_nums=solver.lower_order_nums,
            # Not there before the first step.
            this_order=getattr(solver, "this_order", None),
            step_index=solver._step_index,
        )

    @torch.no_grad()
    def thaw(self, take: Take, frozen: Frozen) -> Denoising:
        """``take`` as `freeze` found it, its text encoded again: it goes on to the same bits. ``frozen`` must be of this
        take and of an engine of the same execution fingerprint.
        """
        device = self._parts.device
        state = self._ready(take, frozen.latents.to(device))
        solver = state.scheduler
        solver.model_outputs = [None if output is None else output.to(device) for output in frozen.model_outputs]
        solver.last_sample = None if frozen.last_sample is None else frozen.last_sample.to(device)
        solver.lower_order_nums = frozen.lower_order_nums
        if frozen.this_order is not None:
            solver.this_order = frozen.this_order
        solver._step_index = frozen.step_index
        state.index = frozen.index
        return state

    @torch.no_grad()
    def step(self, state: Denoising) -> None:
        """One denoise step: the expert of this noise level, both passes, UniPC. Raises `NotFiniteError`."""
        if self.tier.batch:
            for error in self.step_many([state]):
                if error is not None:
                    raise error
            return
        self._move(state, self._guided_one(state))

    def _guided_one(self, state: Denoising) -> Tensor:
        """The velocity of the next step of ``state``, fp32, by as many passes as it needs."""
        tier, t = self.tier, state.scheduler.timesteps[state.index]
        expert, scale = self._expert(t, state.take)
        number = int(expert is not self._parts.transformer)
        noisy = state.latents.to(self._parts.dtype)
        if state.negative is None or not self._guides(t):
            return self._passes(state, number, noisy, t, [state.prompt])[0].float()
        if not guidance.fresh(tier, state.index, state.direction, number) and state.direction is not None:
            return guidance.along(self._passes(state, number, noisy, t, [state.prompt])[0], state.direction, scale)
        velocity, away = self._passes(state, number, noisy, t, [state.prompt, state.negative])
        if tier.guidance_every > 1:
            state.direction = Direction(expert=number, towards=velocity.float() - away.float())
        return guidance.combine(away, velocity, scale)

    def _passes(
        self, state: Denoising, number: int, noisy: Tensor, t: Tensor, texts: Sequence[PromptStates]
    ) -> list[Tensor]:
        """What expert ``number`` makes of ``noisy`` for each of ``texts``."""
        self.passes[1] += len(texts)
        if self.group is not None:
            return self.group.passes(self._parts, self._text, number, noisy, t, texts)
        with once(self._shared[number] if len(texts) > 1 else ()):
            return [self._velocity(self.experts[number], noisy, t, state, text) for text in texts]

    def _guides(self, t: Tensor) -> bool:
        return guidance.here(self.tier, t, self._parts.scheduler.config["num_train_timesteps"])

    @property
    def resumes(self) -> bool:
        """Whether a snapshot may hold a take of this tier at all."""
        return self.tier.step_cache is None

    def resumable(self, state: Denoising) -> bool:
        """Whether a snapshot holds all that ``state`` needs now to go on to the same bits."""
        return self.resumes and state.index % self.tier.guidance_every == 0

    @torch.no_grad()
    def step_many(self, states: Sequence[Denoising]) -> list[Exception | None]:
        """One denoise step of each of ``states``, whose latents have one shape: those that need the same expert share its
        forward passes, conditional and unconditional, as many as fit ``batch_tokens``. Steps, guidance and texts may differ.

        What kept a state from its step, in the order of ``states``, such as `NotFiniteError`: its neighbours do not notice.
        Whatever else raises has moved none of them. Raises ``ValueError`` for a tier without ``batch``.
        """
        if not self.tier.batch:
            raise ValueError(f"the tier {self.tier.tier} is exact: it makes no batches")
        guided = self._guided(states)
        return [self._moved(state, velocity) for state, velocity in zip(states, guided, strict=True)]

    def _guided(self, states: Sequence[Denoising]) -> list[Tensor]:
        """The velocity of each state's next step, with its guidance."""
        rows: dict[WanTransformer3DModel, list[tuple[int, bool, Row]]] = {}
        scales = []
        for i, state in enumerate(states):
            t = state.scheduler.timesteps[state.index]
            expert, scale = self._expert(t, state.take)
            scales.append(scale)
            noisy = state.latents.to(self._parts.dtype)
            for negative, text in ((False, state.prompt), (True, state.negative)):
                if text is not None and (not negative or self._guides(t)):
                    rows.setdefault(expert, []).append((i, negative, Row(noisy=noisy, t=t, text=text)))
        most = max(1, self.tier.batch_tokens // latents.tokens(self._parts, states[0].latents.shape[1:]))
        found: dict[tuple[int, bool], Tensor] = {}
        for expert, of_expert in rows.items():
            made = velocities(expert, [row for *_, row in of_expert], self._text, most=most, passes=self.passes)
            found |= {(i, negative): each for (i, negative, _), each in zip(of_expert, made, strict=True)}
        return [
            guidance.combine(found[i, True], found[i, False], scale) if (i, True) in found else found[i, False].float()
            for i, scale in enumerate(scales)
        ]

    def _moved(self, state: Denoising, velocity: Tensor) -> Exception | None:
        try:
            self._move(state, velocity)
        except Exception as error:
            return error
        return None

    def _move(self, state: Denoising, velocity: Tensor) -> None:
        t = state.scheduler.timesteps[state.index]
        state.latents = state.scheduler.step(velocity, t, state.latents, return_dict=False)[0]
        state.index += 1
        # This also waits for a GPU: the step has really been made when we return.
        if not state.latents.isfinite().all():
            raise NotFiniteError(f"step {state.index} of {state.take.steps}")

    @torch.no_grad()
    def begin_decode(self, latents: Tensor) -> Decoding:
        """``latents`` as `step` left them, ready to be decoded."""
        return begin(self._parts.vae, latents.to(self._parts.device))

    @torch.no_grad()
    def decode(self, state: Decoding) -> Pictures:
        """The pictures of the next latent frame: see `decoding.pictures`."""
        if self.group is None:
            return pictures(self._parts.vae, state)
        made: Pictures = self.group.pictures(self._parts, state).cpu().numpy()
        return made

    def _expert(self, t: Tensor, take: Take) -> tuple[WanTransformer3DModel, float]:
        parts = self._parts
        if parts.transformer_2 is None or parts.boundary_ratio is None:
            return parts.transformer, take.guidance
        if t >= parts.boundary_ratio * parts.scheduler.config["num_train_timesteps"]:
            return parts.transformer, take.guidance
        return parts.transformer_2, take.guidance_2

    def _ready(self, take: Take, latents: Tensor) -> Denoising:
        scheduler = UniPCMultistepScheduler.from_config(self._parts.scheduler.config)
        scheduler.set_timesteps(take.steps, device=self._parts.device)
        scheduler.set_begin_index(0)
        cache = self.tier.step_cache
        # Ratios were measured for the steps of one schedule: a take of another is made in full.
        skips = cache is not None and (cache.kind != "mag" or take.steps == self.tier.steps.default)
        return Denoising(
            take=take,
            ticket=Ticket(self.experts) if skips else None,
            latents=latents,
            prompt=self._encode(take.prompt),
            negative=self._encode(take.negative_prompt) if take.guidance > 1.0 else None,
            scheduler=scheduler,
        )

    def _encode(self, prompt: str) -> PromptStates:
        return self._text.encode(prompt)

    @property
    def experts(self) -> list[WanTransformer3DModel]:
        """That of high noise levels first."""
        return self._parts.experts

    def latent_tokens(self, width: int, height: int, frames: int) -> int:
        """See `latents.tokens`."""
        return latents.tokens(self._parts, latents.shape(self._parts, width, height, frames))

    def _velocity(
        self, expert: WanTransformer3DModel, noisy: Tensor, t: Tensor, state: Denoising, prompt: PromptStates
    ) -> Tensor:
        with self._going_on(expert, state, prompt):
            return self._text.velocity(expert, noisy, t, prompt)

    def _going_on(
        self, expert: WanTransformer3DModel, state: Denoising, prompt: PromptStates
    ) -> AbstractContextManager[None]:
        """For the hooks of a step cache: whose pass this is. One without a ticket is nobody's, and skips nothing."""
        if self.tier.step_cache is None:
            return nullcontext()
        ticket = state.ticket or Ticket(self.experts)
        return ticket.held(expert, "prompt" if prompt is state.prompt else "negative")
