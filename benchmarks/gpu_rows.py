"""What `gpu.py` measures, a function a row. Each builds what it needs, checks it, times it, and leaves nothing."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from functools import cached_property
from statistics import median
from typing import Any

import torch
from diffusers import WanPipeline
from diffusers.models.transformers.transformer_wan import WanTransformerBlock

from benchmarks import gpu_model, gpu_time
from benchmarks.gpu_model import Model, engine_of, state_of, take_of, tier_of
from generator_service import attention, compiled, decoding, offload, precision, tuning
from generator_service.core import Finish
from generator_service.engine import Denoising, Engine
from generator_service.geometry import Shape
from generator_service.swap import Swap

Size = tuple[int, int, int]
Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Bench:
    """``model`` says where and how large; ``rounds`` are timed after ``warm`` ones. ``compile``: ours is compiled. ``wide``: the block of
    `precisions` has A14B's width, on a CPU too.
    """

    model: Model
    rounds: int = 3
    warm: int = 1
    compile: bool = True
    wide: bool = True

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def p480(self) -> Size:
        return (832, 480, 81) if self.model.real else (64, 64, 9)

    @property
    def p720(self) -> Size:
        return (1280, 720, 81) if self.model.real else (96, 64, 9)

    @cached_property
    def ceilings(self) -> gpu_time.Ceilings:
        return gpu_time.ceilings(self.device, real=self.model.real)

    def peak(self) -> int | None:
        return torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else None

    def cap(self, gigabytes: float | None) -> None:
        """From now on this process gets no more of the device: a smaller card, but for its speed."""
        if self.device.type == "cuda":
            total = torch.cuda.get_device_properties(self.device).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, (gigabytes or 1e6) * 1e9 / total), self.device)

    def fresh(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)


def of_device(bench: Bench) -> Row:
    """Ceilings of the device."""
    return dataclasses.asdict(bench.ceilings)


def kernels(bench: Bench) -> Row:
    """Attention alone: every kernel that is here, at both sizes, self and cross, whole and folded."""
    found: Row = {}
    for name, size in (("480p", bench.p480), ("720p", bench.p720)):
        for folded in (False, True):
            tier = tier_of(bench.model, *size, fold_text=folded)
            own, cross = tuning.sites(bench.model.transformer, tier)
            for kind, site in (("cross folded", cross),) if folded else (("self", own), ("cross", cross)):
                work = 4.0 * site.rows * site.keys * site.heads * site.width
                for trial in attention.probe(list(attention.KERNELS), site, bench.model.dtype, bench.device):
                    told = dataclasses.asdict(trial)
                    told["tflops"] = work / trial.seconds / 1e12 if trial.seconds else None
                    found[f"{name} {kind} {trial.kernel}"] = told
    return found


def precisions(bench: Bench) -> Row:
    """Errors of one block beside fp32, on the same numbers: by the device's products and by the reference. Of what the block adds to its
    input."""
    tokens, texts = (2048, 512) if bench.model.real else (48, 16)
    width, inner, heads = (5120, 13824, 40) if bench.wide else (512, 1408, 4)
    torch.manual_seed(0)
    with torch.device(bench.device):
        exact = WanTransformerBlock(width, inner, heads, cross_attn_norm=True).eval().requires_grad_(False)
        x, text = torch.randn(1, tokens, width), torch.randn(1, texts, width)
        modulation = 0.1 * torch.randn(1, 6, width)
        angles = torch.randn(1, tokens, 1, width // heads)
    rope = (angles.cos(), angles.sin())
    expected = exact(x, text, modulation, rope) - x
    found: Row = {}
    for name, dtype in (("bf16", torch.bfloat16), ("fp16", torch.float16)):
        block = _narrow(exact, dtype)
        found[name] = _share(_made(block, x, text, modulation, rope, dtype), expected)
        if name == "fp16":
            continue
        for kind in ("fp8", "int8"):
            for reference in (False, True):
                rounded = _rounded(block, kind, reference=reference)
                label = f"{kind}{' reference' if reference else ''}"
                found[label] = _share(_made(rounded, x, text, modulation, rope, dtype), expected)
                del rounded
        del block
    return found


def exact_step(bench: Bench, size: Size) -> Row:
    """Ours and diffusers' own step in turns: bf16, exact mode, the same weights, the same numbers in."""
    tier = tier_of(bench.model, *size, **_fast(bench))
    ours = engine_of(bench.model, tier, [bench.model.expert()])
    take, stock = take_of(tier, steps=1), _pipeline(bench)
    state = state_of(ours, bench.model, take)
    arguments = {
        "prompt_embeds": state.prompt.padded(),
        "negative_prompt_embeds": state.negative.padded() if state.negative else None,
        "latents": state.latents,
        "width": take.width,
        "height": take.height,
        "num_frames": take.frames,
        "num_inference_steps": 1,
        "guidance_scale": take.guidance,
        "output_type": "latent",
    }
    theirs: list[torch.Tensor] = []
    mine: list[torch.Tensor] = []
    graphs = compiled.graphs()
    spent = gpu_time.interleaved(
        {
            "stock": lambda: theirs.append(stock(**arguments).frames),
            "ours": lambda: mine.append(_one(ours, dataclasses.replace(state, scheduler=_again(ours, take, state)))),
        },
        bench.device,
        warm=bench.warm,
        rounds=bench.rounds,
    )
    return {
        "seconds": spent["ours"],
        "stock_seconds": spent["stock"],
        "times_faster": median(spent["stock"]) / median(spent["ours"]),
        "difference": _share(mine[-1], theirs[-1]),
        "graphs": compiled.graphs() - graphs,
        "kernels": gpu_model.kernels_of(ours),
        "floor": _floor(bench, ours, take),
        "peak_bytes": bench.peak(),
    }


def own_step(bench: Bench, size: Size, **changes: Any) -> Row:
    """A step of ours with other settings."""
    tier = tier_of(bench.model, *size, **(_fast(bench) | changes))
    engine = engine_of(bench.model, tier, [bench.model.expert()])
    take, graphs = take_of(tier), compiled.graphs()
    state = state_of(engine, bench.model, take)
    spent = gpu_time.interleaved(
        {"ours": lambda: engine.step(state)}, bench.device, warm=bench.warm, rounds=bench.rounds
    )
    return {
        "seconds": spent["ours"],
        "graphs": compiled.graphs() - graphs,
        "kernels": gpu_model.kernels_of(engine),
        "floor": _floor(bench, engine, take, fp8=tier.quantisation == "fp8"),
        "peak_bytes": bench.peak(),
    }


def eight_bit_attention(bench: Bench, size: Size) -> Row:
    """fp8 with an 8-bit attention kernel; an error where none is here, so that no other kernel's time stands for it."""
    found = own_step(bench, size, quantisation="fp8", attention="auto-8bit")
    if not any(name in found["kernels"] for name in attention.EIGHT_BITS):
        raise attention.NoKernelError("no 8-bit attention kernel is installed, or none is fast or right enough")
    return found


def request(bench: Bench, size: Size) -> Row:
    """A whole request of four steps without guidance, from text to MP4, both experts in fp8."""
    from generator_service import post

    tier = tier_of(bench.model, *size, guidance=1.0, guidance_2=1.0, flow_shift=5.0, quantisation="fp8", **_fast(bench))
    engine = _whole(bench, tier)
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
    engine = _whole(bench, tier)
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
    found = {"peak_bytes": bench.peak(), "step_seconds": spent, "marks": marks, "experts": len(used)}
    bench.cap(None)
    return found | {"kernels": gpu_model.kernels_of(engine)}


@torch.no_grad()
def decode(bench: Bench) -> Row:
    """The VAE alone at 720p: seconds for all frames, and the peak for a few and for all, in fp32 and in bf16."""
    width, height, frames = bench.p720
    every, few = (frames - 1) // 4 + 1, 2
    found: Row = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        vae = bench.model.vae(dtype)
        latents = torch.randn(1, 16, every, height // 8, width // 8, device=bench.device)

        def video(count: int, vae: Any = vae, latents: torch.Tensor = latents) -> None:
            state = decoding.begin(vae, latents[:, :, :count])
            while not state.done:
                decoding.pictures(vae, state)

        peaks = {}
        for count in (few, every):
            bench.fresh()
            video(count)
            peaks[count] = bench.peak()
        spent = [gpu_time.seconds(lambda: video(every), bench.device) for _ in range(bench.rounds)]
        found[name] = {"seconds": spent, f"peak_bytes_{few}": peaks[few], f"peak_bytes_{every}": peaks[every]}
        del vae
    found["seconds"] = found["fp32"]["seconds"]
    return found


def switch(bench: Bench) -> Row:
    """One expert comes, the other goes: against a step of 480p in the same run."""
    tier = tier_of(bench.model, *bench.p480, **(_fast(bench) | {"compile": False}))
    experts = [bench.model.expert(0).to("cpu"), bench.model.expert(1).to("cpu")]
    engine = engine_of(bench.model, tier, experts)
    swapping = Swap(experts, bench.device)
    take, turn = take_of(tier), [0]
    state = state_of(engine, bench.model, take)

    def swap() -> None:
        turn[0] += 1
        swapping.bring(experts[turn[0] % 2])

    spent = [gpu_time.seconds(swap, bench.device) for _ in range(2 + 2 * bench.rounds)][2:]
    swapping.bring(experts[0])
    steps = [gpu_time.seconds(lambda: engine.step(state), bench.device) for _ in range(bench.warm + bench.rounds)]
    size = sum(each.nbytes for each in (*experts[0].parameters(), *experts[0].buffers()))
    rate = bench.ceilings.host
    return {
        "seconds": spent,
        "step_seconds": steps[bench.warm :],
        "steps_worth": median(spent) / median(steps[bench.warm :]),
        "bytes": size,
        "floor_seconds": size / rate if rate else None,
        "peak_bytes": bench.peak(),
    }


def prompt_lengths(bench: Bench) -> Row:
    """A step by the prompt's length, with the whole window and with its padding folded into one row."""
    found: Row = {}
    expert = bench.model.expert()
    # The kernel of cross-attention has to take the bias of a folded text.
    settings = _fast(bench) | {"fuse_qkv": False, "compile": False, "cross_attention": "native"}
    tier = tier_of(bench.model, *bench.p480, **settings)
    plain = engine_of(bench.model, tier, [expert])
    folded = Engine(dataclasses.replace(plain.parts, tier=tier.model_copy(update={"fold_text": True})))
    for tokens in (16, 64, 128, 256, 512):
        states = {
            name: (engine, state_of(engine, bench.model, take_of(tier), tokens=tokens, negative=tokens))
            for name, engine in (("whole", plain), ("folded", folded))
        }
        calls: dict[str, Callable[[], Any]] = {
            name: (lambda engine=engine, state=state: engine.step(state)) for name, (engine, state) in states.items()
        }
        spent = gpu_time.interleaved(calls, bench.device, warm=bench.warm, rounds=bench.rounds)
        kv = {name: engine.text.kvs.bytes for name, (engine, _) in states.items()}
        for name, values in spent.items():
            found[f"{tokens} {name}"] = {"seconds": values, "text_kv_bytes": kv[name]}
        for engine, _ in states.values():
            engine.text.clear()
    return found


def _fast(bench: Bench) -> dict[str, Any]:
    """Ours, where it may be as fast as it can without other numbers than rounding makes."""
    return {"attention": "auto", "cross_attention": "auto", "fuse_qkv": True, "compile": bench.compile}


def _whole(bench: Bench, tier: Any) -> Engine:
    """All parts where ``tier`` has them, the experts rounded one after the other: both at once in 16 bits need not fit."""
    away = {"quantisation": tier.quantisation, "fuse_qkv": tier.fuse_qkv}
    experts = []
    for seed in (0, 1):
        expert = bench.model.expert(seed)
        if tier.fuse_qkv:
            compiled.fuse(expert)
        if tier.quantisation != "none":
            precision.quantise(expert, tier.quantisation)
        experts.append(expert if tier.offload == "none" else expert.to("cpu"))
    bench.fresh()
    encoder = bench.model.encoder()
    encoder = encoder.to("cpu") if tier.text_encoder == "host" else encoder
    placed = tier.model_copy(update={"quantisation": "none", "fuse_qkv": False})
    engine = engine_of(bench.model, placed, experts, vae=bench.model.vae(), encoder=encoder)
    engine = Engine(dataclasses.replace(engine.parts, tier=tier.model_copy(update=away)))
    offload.apply(engine.parts, offload.OFFLOADS[tier.offload])
    return engine


def _pipeline(bench: Bench) -> WanPipeline:
    from diffusers import UniPCMultistepScheduler

    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=12.0)
    made = WanPipeline(
        tokenizer=None,
        text_encoder=None,
        vae=bench.model.vae(),
        scheduler=scheduler,
        transformer=bench.model.expert(),
    )
    made.set_progress_bar_config(disable=True)
    return made


def _again(engine: Engine, take: Any, state: Denoising) -> Any:
    scheduler = state.scheduler.from_config(state.scheduler.config)
    scheduler.set_timesteps(take.steps, device=engine.parts.device)
    scheduler.set_begin_index(0)
    return scheduler


def _one(engine: Engine, state: Denoising) -> torch.Tensor:
    engine.step(state)
    return state.latents


def _floor(bench: Bench, engine: Engine, take: Any, *, fp8: bool = False) -> dict[str, float]:
    geometry = gpu_model.geometry_of(bench.model, engine.tier, list(engine.experts))
    shape: Shape = geometry.shape(take)
    return gpu_time.floor(geometry, shape, bench.ceilings, fp8=fp8)


def _narrow(block: Any, dtype: torch.dtype) -> Any:
    """As diffusers loads it: norms and the modulation table stay in fp32."""
    made = copy.deepcopy(block).to(dtype)
    for name, parameter in made.named_parameters():
        if name.startswith(("norm", "scale_shift_table")):
            parameter.data = parameter.data.float()
    return made


def _rounded(block: Any, kind: str, *, reference: bool) -> Any:
    holder = torch.nn.Module()
    holder.blocks = torch.nn.ModuleList([copy.deepcopy(block)])
    precision.quantise(holder, kind, reference=reference)
    return holder.blocks[0]


def _made(block: Any, x: Any, text: Any, modulation: Any, rope: Any, dtype: torch.dtype) -> torch.Tensor:
    """What the block adds, so that its input does not hide the error."""
    narrow = x.to(dtype)
    return block(narrow, text.to(dtype), modulation, rope).float() - narrow.float()


def _share(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.float() - expected.float()).norm() / expected.float().norm())
