"""Wan2.2-T2V-A14B at full size on one GPU, with random weights: what a step, a request and a decode take, and what they could.

    python benchmarks/gpu.py --out gpu.json                 every row, each in a process of its own
    python benchmarks/gpu.py --out gpu.json --row step-480p --row step-480p-fp8
    python benchmarks/gpu.py --out gpu.json --seconds 560   as many as fit, the most telling first; again: those that are left
    python benchmarks/gpu.py --table gpu.json               the table again, from what is kept
    python benchmarks/gpu.py --cpu-check                    the same lines at small sizes, on a CPU: proves the script, times nothing

A row is kept as soon as it is there, so that a run which is cut short keeps its rows; each takes less than ten minutes. Where there is
no GPU every row says "not measured". A bare CUDA image lacks diffusers and perhaps pydantic: see docs/models.md for what to carry.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

# As the service does (`heap.py`): before torch is there.
os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")

import torch

from benchmarks import gpu_parts, gpu_steps, gpu_whole
from benchmarks.gpu_bench import Bench
from benchmarks.gpu_model import Model
from benchmarks.gpu_table import goals, table
from benchmarks.gpu_time import Ceilings
from benchmarks.report import close

# With its number: torch's cap of memory refuses a device without one.
FIRST_GPU = torch.device("cuda", 0)
ROW_LIMIT_S = 570.0
FP8, VAE, SWAP = {"quantisation": "fp8"}, {"vae_dtype": "bfloat16"}, {"text_encoder": "swap"}
# Those first that tell most for their time: who has a card for a quarter of an hour gets about the first nine.
ROWS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "device": gpu_parts.of_device,
    "step-480p": lambda bench: gpu_steps.exact_step(bench, bench.p480),
    "step-480p-fp8": lambda bench: gpu_steps.own_step(bench, bench.p480, quantisation="fp8"),
    "memory-bf16-swap": lambda bench: gpu_whole.memory(bench, **SWAP),
    "decode-720p": gpu_parts.decode,
    "step-720p": lambda bench: gpu_steps.own_step(bench, bench.p720),
    "step-720p-fp8": lambda bench: gpu_steps.own_step(bench, bench.p720, quantisation="fp8"),
    "memory-fp8-swap": lambda bench: gpu_whole.memory(bench, **FP8, **SWAP),
    "request-480p": lambda bench: gpu_whole.request(bench, bench.p480),
    "precision": gpu_parts.precisions,
    "attention": gpu_parts.kernels,
    "request-720p": lambda bench: gpu_whole.request(bench, bench.p720),
    "switch": gpu_steps.switch,
    "memory-bf16": lambda bench: gpu_whole.memory(bench),
    "memory-fp8": lambda bench: gpu_whole.memory(bench, **FP8),
    "step-480p-int8": lambda bench: gpu_steps.own_step(bench, bench.p480, quantisation="int8"),
    "prompt-length": gpu_steps.prompt_lengths,
    "memory-80": lambda bench: gpu_whole.memory(bench, 80, **FP8),
    "memory-48": lambda bench: gpu_whole.memory(bench, 48, **FP8, **VAE),
    "memory-24": lambda bench: gpu_whole.memory(bench, 24, **FP8, **VAE, text_encoder="host", offload="expert"),
    "memory-bf16-vae16": lambda bench: gpu_whole.memory(bench, **VAE),
    "memory-fp8-vae16": lambda bench: gpu_whole.memory(bench, **FP8, **VAE),
    "step-480p-fp8-attention8": lambda bench: gpu_steps.eight_bit_attention(bench, bench.p480),
    "step-720p-fp8-attention8": lambda bench: gpu_steps.eight_bit_attention(bench, bench.p720),
    "request-480p-attention8": lambda bench: gpu_whole.request(bench, bench.p480, eight_bit=True),
    "request-720p-attention8": lambda bench: gpu_whole.request(bench, bench.p720, eight_bit=True),
}
# Estimates, none measured: operations at half of a card's rate, 60 s for building and compiling. For `--seconds`.
EXPECTED_S = {
    "device": 20.0,
    "decode-720p": 70.0,
    "step-480p": 120.0,
    "step-720p": 150.0,
    "step-720p-fp8": 150.0,
    "request-480p": 110.0,
    "request-720p": 200.0,
    "switch": 120.0,
}
Kept = dict[str, Any]


def measured(name: str, bench: Bench, rows: Mapping[str, Callable[[Bench], Kept]] = ROWS) -> Kept:
    """One row; an error is a row too, so that the others go on. What does not compile is measured as it is, and the row says so."""
    begun = time.perf_counter()
    found = _tried(rows[name], bench)
    wrong = found.get("error", "").startswith(gpu_steps.WrongError.__name__)
    if "error" in found and not wrong and bench.compile and name.startswith(("step", "request")):
        without = _tried(rows[name], dataclasses.replace(bench, compile=False))
        found = found if "error" in without else without | {"not_compiled": found["error"]}
    return found | {
        "wall_s": round(time.perf_counter() - begun, 1),
        "when": now(),
    }


def _tried(row: Callable[[Bench], Kept], bench: Bench) -> Kept:
    """What an earlier try left is let go first: a model and its compiled blocks refer to each other, and two do not fit a card."""
    gc.collect()
    torch._dynamo.reset()
    try:
        _ = bench.ceilings  # measured now, so that its tensors are in no row's peak
        bench.fresh()
        return row(bench)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}".strip()[:500]}


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def environment(device: torch.device) -> dict[str, str]:
    """What the figures depend on."""
    import diffusers
    import transformers

    found = {
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu {platform.machine()}",
    }
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        found |= {
            "cuda": str(torch.version.cuda),
            "cudnn": str(torch.backends.cudnn.version()),
            "memory_bytes": str(total),
        }
    return found


def keep(path: Path | None, name: str, row: Kept, about: Mapping[str, str]) -> Kept:
    """All rows so far, this one among them; written beside the old file and put in its place."""
    kept: Kept = {"rows": {}} if path is None else kept_in(path)
    kept["environment"] = dict(about)
    kept["rows"][name] = row
    if path is not None:
        beside = path.with_suffix(".part")
        beside.write_text(json.dumps(kept, indent=1), "utf-8")
        beside.replace(path)
    return kept


def said(name: str, row: Kept) -> str:
    if "error" in row:
        return f"{name:<26} {row.get('wall_s', 0.0):>6.1f} s  {row['error'][:150]}"
    return f"{name:<26} {row.get('wall_s', 0.0):>6.1f} s  {', '.join(_figures(row))[:200]}"


def _figures(row: Kept) -> list[str]:
    plain = {key: value for key, value in row.items() if key not in ("wall_s", "when", "floor", "marks", "longest")}
    return [f"{key} {_short(value)}" for key, value in plain.items() if value is not None]


def _short(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], float):
        return f"{median(value):.4g}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value) if not isinstance(value, dict) else f"({', '.join(_figures(value))})"


def check(names: list[str]) -> Kept:
    """Every row at small sizes on a CPU, in this process and in fp32, where both sides of a comparison must agree. A block of full width
    takes a minute and more: only where its row is asked for by name."""
    torch.set_num_threads(1)
    model = Model(device=torch.device("cpu"), real=False, dtype=torch.float32)
    bench = Bench(model, rounds=1, warm=1, compile=False, wide=names == ["precision"])
    kept: Kept = {"rows": {}, "environment": environment(bench.device)}
    for name in names:
        row = measured(name, bench)
        kept["rows"][name] = row
        print(said(name, row), flush=True)
    return kept


def on_gpu(names: list[str], out: Path, *, rounds: int = 3, seconds: float | None = None) -> Kept:
    """Several rows in a process each, so that none finds the memory or the graphs of another; one in this process. With ``seconds``
    none begins that is not expected to end within them, and what was measured before is left as it is."""
    begun = time.perf_counter()
    kept = kept_in(out)
    for name in names if seconds is None else left(names, kept):
        if len(names) > 1:
            limit = ROW_LIMIT_S if seconds is None else min(ROW_LIMIT_S, seconds - (time.perf_counter() - begun))
            if seconds is not None and limit < EXPECTED_S.get(name, 100.0):
                continue
            command = [sys.executable, __file__, "--row", name, "--out", str(out), "--rounds", str(rounds), "--quiet"]
            kept = apart(command, name, out, limit)
        else:
            bench = Bench(Model(device=FIRST_GPU, real=True), rounds=rounds, known=ceilings_in(kept))
            row = measured(name, bench)
            kept = keep(out, name, row, environment(FIRST_GPU))
        print(said(name, kept["rows"][name]), flush=True)
    return kept


def left(names: Sequence[str], kept: Kept) -> list[str]:
    """Those without figures, those that failed last."""
    return [
        *(name for name in names if name not in kept["rows"]),
        *(name for name in names if "error" in kept["rows"].get(name, {})),
    ]


def kept_in(path: Path) -> Kept:
    found: Kept = json.loads(path.read_text("utf-8")) if path.is_file() else {"rows": {}}
    return found


def ceilings_in(kept: Kept) -> Ceilings | None:
    """Those of the same device and versions, where its own row has measured them."""
    row = kept["rows"].get("device", {})
    if "error" in row or kept.get("environment") != environment(FIRST_GPU):
        return None
    names = [field.name for field in dataclasses.fields(Ceilings)]
    return Ceilings(**{name: row[name] for name in names}) if set(names) <= set(row) else None


def apart(command: Sequence[str], name: str, out: Path, limit: float = ROW_LIMIT_S) -> Kept:
    """All rows so far, after ``command`` was to keep the row ``name`` in ``out``. One that was killed or takes longer than ``limit``
    seconds leaves an error, and never the figures of an earlier run."""
    begun = time.perf_counter()
    try:
        code: int | str = subprocess.run(command, check=False, timeout=limit).returncode
    except subprocess.TimeoutExpired:
        code = f"none, stopped after {limit:.0f} s"
    kept = kept_in(out)
    if code == 0 and name in kept["rows"]:
        return kept
    row = {
        "error": f"its process ended with {code}",
        "wall_s": round(time.perf_counter() - begun, 1),
        "when": now(),
    }
    return keep(out, name, row, kept.get("environment", {}))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--row", action="append", choices=list(ROWS), default=[])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--cpu-check", action="store_true")
    parser.add_argument("--quick", action="store_true", help="without a GPU the same as --cpu-check")
    parser.add_argument("--rounds", type=int, default=3, help="timed steps of a row, after one that warms")
    parser.add_argument(
        "--seconds", type=float, help="begin no row that may not end within them; skip those that are kept"
    )
    parser.add_argument("--quiet", action="store_true", help="no table: for the processes of a row")
    chosen = parser.parse_args()
    names = chosen.row or list(ROWS)
    there = torch.cuda.is_available() and not chosen.cpu_check
    failed = False
    kept: Kept = {"rows": {}}
    if chosen.table is not None:
        kept = json.loads(chosen.table.read_text("utf-8"))
    elif there:
        if chosen.out is None:  # beside everything: a later run goes on with it
            chosen.out = Path(tempfile.gettempdir()) / "reelgate-gpu.json"
        print(f"rows are kept in {chosen.out}")
        kept = on_gpu(names, chosen.out, rounds=chosen.rounds, seconds=chosen.seconds)
    else:
        print("The same lines at small sizes on this CPU; no figure of it is one of the table's.")
        checked = check(names)
        failed = any("error" in row for name, row in checked["rows"].items() if not name.endswith("attention8"))
        if chosen.out is not None:
            chosen.out.write_text(json.dumps(checked, indent=1), "utf-8")
    if chosen.quiet:
        return 0
    table(kept)
    print("every row, with its kernels and settings")
    for name in ROWS:
        print(
            said(name, kept["rows"][name])
            if (there or chosen.table) and name in kept["rows"]
            else f"{name:<26} not measured"
        )
    print()
    return close(goals(kept)) or int(failed)


if __name__ == "__main__":
    sys.exit(main())
