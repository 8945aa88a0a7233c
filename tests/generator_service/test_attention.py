"""A kernel is chosen by trying it: by its error first, then by its time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from diffusers.models import attention_dispatch

from generator_service import attention, wan
from generator_service.attention import NoKernelError, Site
from generator_service.core import Request
from generator_service.engine import Engine
from generator_service.tier import Tier
from tests.generator_service.trained import latents

CPU = torch.device("cpu")
SITE = Site(rows=96, keys=40, heads=4, width=32)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)])
def test_the_probe_measures_each_candidate_against_fp32(masked: bool, dtype: torch.dtype, bound: float) -> None:
    site = Site(rows=96, keys=40, heads=4, width=32, masked=masked)
    (trial,) = attention.probe(["native"], site, dtype, CPU)
    assert trial.seconds is not None
    assert trial.seconds > 0
    assert trial.error is not None
    assert trial.error < bound


def test_a_kernel_that_is_not_here_says_why_and_auto_takes_another() -> None:
    chosen, trials = attention.choose("auto-8bit", SITE, torch.bfloat16, CPU)
    assert chosen == "native"
    assert [trial.kernel for trial in trials] == list(attention.KERNELS)
    failed = {trial.kernel: trial.why for trial in trials if trial.seconds is None}
    assert set(failed) == {"cudnn", "flash3", "sage"}
    assert "sageattention" in failed["sage"]
    assert all(failed.values())


def test_eight_bits_are_not_among_the_candidates_unless_they_are_asked_for() -> None:
    assert "sage" not in [trial.kernel for trial in attention.choose("auto", SITE, torch.bfloat16, CPU)[1]]


def test_a_tier_that_names_a_kernel_which_is_not_here_is_refused(tier: Tier) -> None:
    named = tier.model_copy(update={"dtype": "bfloat16", "attention": "flash3"})
    with pytest.raises(NoKernelError, match="Flash Attention 3"):
        wan.load(named, CPU)


@pytest.mark.parametrize(
    ("error", "good"), [(3e-3, True), (5e-3, False), (float("nan"), False), (None, False)], ids=str
)
def test_a_kernel_worse_than_the_native_one_is_not_taken_however_fast(error: float | None, good: bool) -> None:
    native = attention.Trial(kernel="native", seconds=1.0, error=2e-3)
    fast = attention.Trial(kernel="cudnn", seconds=0.1, error=error)
    assert attention._good(fast, [native, fast]) is good


@pytest.mark.parametrize(("seconds", "taken"), [(0.5, "cudnn"), (0.89, "cudnn"), (0.95, "native"), (2.0, "native")])
def test_another_kernel_must_be_clearly_faster_so_that_noise_turns_no_name(seconds: float, taken: str) -> None:
    native = attention.Trial(kernel="native", seconds=1.0, error=2e-3)
    other = attention.Trial(kernel="cudnn", seconds=seconds, error=2e-3)
    assert attention._fastest([native, other]).kernel == taken


def test_what_auto_chose_is_told_and_is_on_every_block(tier: Tier, tiny: Callable[..., Request]) -> None:
    plain, chosen = (wan.load(tier.model_copy(update=changes), CPU) for changes in ({}, {"attention": "auto"}))
    assert chosen.tuned.settings()["attention_chosen"] == "native"
    assert "native: " in chosen.tuned.settings()["attention_tried"]
    # The same kernel in the end, so the same bits and the same name.
    assert chosen.execution == plain.execution
    engines = [Engine(parts) for parts in (plain, chosen)]
    for parts in (plain, chosen):
        for expert in (parts.transformer, parts.transformer_2):
            assert attention.kernels(expert) == ({"native"}, {"native"})
    assert torch.equal(*(latents(engine, tiny().take) for engine in engines))


def test_kernels_are_set_for_each_kind_of_layer_and_survive_the_texts_attention(tier: Tier) -> None:
    parts = wan.load(tier, CPU)
    attention.install(parts.transformer, "cudnn", "native")
    Engine(parts)
    assert attention.kernels(parts.transformer) == ({"cudnn"}, {"native"})
    assert attention.kernels(parts.transformer_2) == ({"native"}, {"native"})


def test_the_kernel_of_cross_attention_runs_where_the_texts_attention_does_not(
    tier: Tier, tiny: Callable[..., Request]
) -> None:
    """This one is no CPU's, so it cannot have run when nothing is raised."""
    engine = Engine(wan.load(tier.model_copy(update={"text_kv": False}), CPU))
    latents(engine, tiny().take)
    for expert in engine.experts:
        attention.install(expert, "native", "flash3")
    with pytest.raises(NotImplementedError, match="flash_attn_3"):
        latents(engine, tiny().take)


def test_sage_is_one_operation_of_a_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its package is on no CPU: what stands for it begins as it does, with a question that no graph can hold."""

    def sageattn(*, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **named: object) -> torch.Tensor:
        assert named == {"tensor_layout": "NHD", "is_causal": False, "sm_scale": None, "return_lse": False}
        assert torch.cuda.device_count() >= 0
        query, key, value = (each.transpose(1, 2) for each in (q, k, v))
        return torch.nn.functional.scaled_dot_product_attention(query, key, value).transpose(1, 2)

    monkeypatch.setattr(attention_dispatch, "sageattn", sageattn)

    def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return attention_dispatch.dispatch_attention_fn(query, key, value, backend=attention.KERNELS["sage"]) + 1.0

    rows = [torch.randn(1, 6, 2, 16) for _ in range(3)]
    expected = torch.nn.functional.scaled_dot_product_attention(*(each.transpose(1, 2) for each in rows)) + 1.0
    compiled = torch.compile(attend, fullgraph=True, backend="aot_eager")(*rows)
    assert torch.equal(compiled, expected.transpose(1, 2))
    assert compiled.is_contiguous()
    with pytest.raises(ValueError, match="no mask"):
        attention_dispatch.dispatch_attention_fn(
            *rows, attn_mask=torch.zeros(1, 1, 1, 6), backend=attention.KERNELS["sage"]
        )
