"""Rows of `gpu.py` with every part of the model on the device: whole requests, and the most memory that one needs."""

from __future__ import annotations

from typing import Any

from benchmarks import gpu_model, gpu_time
from benchmarks.gpu_bench import Bench, Row, Size, eight_bit_kernel, fast, whole
from benchmarks.gpu_model import take_of, tier_of
from generator_service.core import Finish


def request(bench: Bench, size: Size, *, eight_bit: bool = False) -> Row:
    """A whole request of four steps without guidance, from text to MP4, both experts in fp8; ``eight_bit``: self-attention too, and an
    error where it has no kernel."""
    from generator_service import post

    settings = fast(bench) | ({"attention": eight_bit_kernel(bench, size)} if eight_bit else {})
    tier = tier_of(bench.model, *size, guidance=1.0, guidance_2=1.0, flow_shift=5.0, quantisation="fp8", **settings)
    engine = whole(bench, tier)
    take, sizes = take_of(tier, steps=4), []

    def video() -> None:
        # Of no text that was kept: a request's own is new.
        engine.text.clear()
        state = engine.prepare(take)
        while not state.done:
            engine.step(state)
        decoded, pieces = engine.begin_decode(state.latents), []
        while not decoded.done:
            pieces.append(engine.decode(decoded))
        sizes.append(len(post.finish(pieces, Finish(fps=16))))

    spent = gpu_time.interleaved({"request": video}, bench.device, warm=bench.warm, rounds=bench.rounds)
    return {
        "seconds": spent["request"],
        "mp4_bytes": sizes[-1],
        "kernels": gpu_model.kernels_of(engine),
        "peak_bytes": bench.peak(),
    }


def memory(bench: Bench, cap: float | None = None, **changes: Any) -> Row:
    """The peak of a 480p request: text, steps of each expert, decode. Guidance on. ``cap``: gigabytes of a smaller card, which the
    request has to do with once its weights are there; an error where it cannot."""
    tier = tier_of(bench.model, *bench.p480, **changes)
    engine = whole(bench, tier)
    bench.fresh()
    bench.cap(cap)
    marks: dict[str, int | None] = {"resident": bench.peak()}
    take, used, spent = take_of(tier, steps=4), set(), []
    state = engine.prepare(take)
    marks["text"] = bench.peak()
    while not state.done:
        used.add(int(engine._expert(state.scheduler.timesteps[state.index], take)[0] is engine.experts[0]))
        spent.append(gpu_time.seconds(lambda: engine.step(state), bench.device))
    marks["denoise"] = bench.peak()
    decoded = engine.begin_decode(state.latents)
    while not decoded.done:
        engine.decode(decoded)
    found = {
        "peak_bytes": bench.peak(),
        "reserved_bytes": bench.reserved(),
        "step_seconds": spent,
        "marks": marks,
        "experts": len(used),
    }
    bench.cap(None)
    return found | {"kernels": gpu_model.kernels_of(engine)}
