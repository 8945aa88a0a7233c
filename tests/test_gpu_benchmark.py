"""benchmarks/gpu.py runs, at small sizes, where there is no GPU, and its table reads what it keeps."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.cuda._utils import _get_device_index

from benchmarks import gpu, gpu_profile, gpu_steps
from benchmarks.gpu_bench import Bench
from benchmarks.gpu_model import Model
from generator_service import precision

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "benchmarks" / "gpu.py"
# Nobody's machine but a GPU's has one.
NEEDS_EIGHT_BIT_KERNEL = {name for name in gpu.ROWS if name.endswith("attention8")}


def run(*arguments: str, script: Path = SCRIPT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(script), *arguments]
    environment = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False, env=environment)


def test_every_row_runs_on_a_cpu_and_none_of_its_figures_passes_for_a_gpus(tmp_path: Path) -> None:
    kept = tmp_path / "gpu.json"
    done = run("--cpu-check", "--out", str(kept))
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.strip().splitlines()
    assert lines[-1] == "0 met, 0 missed, 22 not measured"
    rows = json.loads(kept.read_text())["rows"]
    assert {name for name, row in rows.items() if "error" in row} == NEEDS_EIGHT_BIT_KERNEL
    # Both sides of the comparison compute the same, so that their times may be compared.
    assert rows["step-480p"]["difference"] < 1e-4
    assert rows["step-480p"]["floor"]["flops"] > 0
    assert rows["memory-bf16"]["experts"] == 2
    assert 0 < rows["precision"]["int8"] < rows["precision"]["fp8"] < 0.12
    assert rows["precision"]["int8"] == pytest.approx(rows["precision"]["int8 reference"], rel=0.02)
    assert rows["prompt-length"]["16 folded"]["text_kv_bytes"] < rows["prompt-length"]["16 whole"]["text_kv_bytes"] / 10


def test_the_table_counts_what_was_kept_against_its_goals(tmp_path: Path) -> None:
    floor = {"flops": 1.0, "bytes": 1.0, "seconds_by_flops": 4.0, "seconds_by_bytes": 0.5}
    rows = {
        "step-480p": {"seconds": [4.8, 4.9, 7.0], "times_faster": 1.3, "floor": floor},
        "memory-fp8": {"peak_bytes": 47e9},
        "decode-720p": {"seconds": [6.5], "fp32": {"peak_bytes_2": 10, "peak_bytes_21": 10}},
        "switch": {"error": "RuntimeError: no room"},
    }
    (tmp_path / "kept.json").write_text(json.dumps({"rows": rows, "environment": {"device": "a card"}}))
    done = run("--table", str(tmp_path / "kept.json"))
    assert done.returncode == 1
    assert done.stdout.strip().splitlines()[-1] == "3 met, 2 missed, 17 not measured"
    assert "4.900 s     4.000     1.23  SGLang 5.14" in done.stdout
    assert "RuntimeError: no room" in done.stdout
    assert "device: a card" in done.stdout


@pytest.mark.parametrize("factor", [0.0, 1.2])
def test_a_product_that_is_wrong_is_not_timed(factor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    product = precision.fp8_product
    monkeypatch.setattr(precision, "fp8_product", lambda *each: factor * product(*each))
    bench = Bench(
        Model(device=torch.device("cpu"), real=False, dtype=torch.float32), rounds=1, compile=False, wide=False
    )
    with pytest.raises(gpu_steps.WrongError, match="fp8 in one block"):
        gpu_steps.own_step(bench, bench.p480, quantisation="fp8")


def test_within_a_budget_only_rows_are_begun_that_are_left_and_may_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, now = tmp_path / "gpu.json", [0.0]
    asked: list[tuple[str, float]] = []

    def apart(command: list[str], name: str, path: Path, limit: float) -> dict[str, Any]:
        asked.append((name, limit))
        now[0] += 200.0
        assert command[command.index("--rounds") + 1] == "2"
        return gpu.keep(path, name, {"wall_s": 200.0, "when": ""}, {})

    monkeypatch.setattr(gpu, "apart", apart)
    monkeypatch.setattr(gpu.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(gpu, "EXPECTED_S", {"d": 90.0, "e": 70.0})
    gpu.keep(out, "a", {"wall_s": 1.0, "when": ""}, {})
    gpu.keep(out, "b", {"wall_s": 1.0, "when": "", "error": "no room"}, {})
    gpu.on_gpu(["a", "b", "c", "d", "e"], out, rounds=2, seconds=480.0)
    # What is kept is left, 80 s are too few for one and enough for another, and what failed is tried again at last.
    assert asked == [("c", 480.0), ("d", 280.0), ("e", 80.0)]
    assert gpu.left(["a", "b", "c", "d", "e", "f"], gpu.kept_in(out)) == ["f", "b"]


def test_kernels_are_told_apart_by_their_names() -> None:
    kinds = {
        "cudnn_generated_fort_native_sdpa_sm90": "attention",
        "flash_fwd_kernel": "attention",
        "nvjet_hsh_128x256": "products",
        "triton_tem_fused__scaled_mm_3": "products",
        "triton_poi_fused_addmm_gelu_3": "other",
        "vectorized_elementwise_kernel": "other",
    }
    assert {name: gpu_profile.kind_of(name) for name in kinds} == kinds


@pytest.mark.parametrize(
    ("script", "limit", "said"),
    [
        ("import os; os.abort()", 60.0, "its process ended with -6"),
        ("import time; time.sleep(60)", 0.5, "its process ended with none, stopped after 0 s"),
        ("pass", 60.0, "its process ended with 0"),
    ],
    ids=["killed", "too long", "nothing kept"],
)
def test_a_row_whose_process_dies_is_an_error_and_not_an_earlier_runs_figure(
    tmp_path: Path, script: str, limit: float, said: str
) -> None:
    out, earlier = tmp_path / "gpu.json", {"seconds": [1.0], "wall_s": 9.0}
    name = "step-480p" if "pass" not in script else "device"
    out.write_text(json.dumps({"rows": {"step-480p": earlier, "switch": earlier}, "environment": {"device": "a card"}}))
    kept = gpu.apart([sys.executable, "-c", script], name, out, limit)
    assert kept == json.loads(out.read_text())
    assert kept["rows"][name]["error"] == said
    assert kept["rows"]["switch"] == earlier
    assert kept["environment"] == {"device": "a card"}


def test_what_does_not_compile_is_measured_plain_once_its_model_is_gone() -> None:
    class Part:
        """As a compiled block, it refers to itself."""

        def __init__(self) -> None:
            self.call = self.__init__

    parts: list[weakref.ref[Part]] = []

    def row(bench: Bench) -> dict[str, Any]:
        alive = sum(each() is not None for each in parts)
        part = Part()
        parts.append(weakref.ref(part))
        if bench.compile:
            raise RuntimeError("no graph")
        return {"alive": alive}

    bench = Bench(Model(device=torch.device("cpu"), real=False, dtype=torch.float32), compile=True)
    gc.disable()
    try:
        found = gpu.measured("step-x", bench, {"step-x": row})
    finally:
        gc.enable()
    assert (found["alive"], found["not_compiled"], len(parts)) == (0, "RuntimeError: no graph", 2)


def test_ceilings_that_fail_are_an_error_of_their_row() -> None:
    class Broken(Bench):
        @property
        def ceilings(self) -> Any:
            raise ValueError("no product")

    bench = Broken(Model(device=torch.device("cpu"), real=False, dtype=torch.float32))
    assert gpu.measured("device", bench)["error"] == "ValueError: no product"


def test_the_gpu_has_a_number_since_the_cap_of_memory_takes_none_without() -> None:
    assert _get_device_index(gpu.FIRST_GPU) == 0
    with pytest.raises(ValueError, match="specified index"):
        _get_device_index(torch.device("cuda"))


@pytest.mark.parametrize("processes", [4])
def test_a_step_that_processes_share_is_the_step_of_one(processes: int) -> None:
    """Over gloo: each has an equal share of the 64 latent tokens, and all end with the same latents, or the script fails."""
    done = run("--cpu-check", "--processes", str(processes), script=ROOT / "benchmarks" / "gpu_parallel.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{processes} processes on cpu, 64 tokens" in done.stdout
    assert f"ulysses: {64 // processes} tokens in each" in done.stdout
    assert f"ring: {64 // processes} tokens in each" in done.stdout
    assert f"guidance: {64 // (processes // 2)} tokens in each" in done.stdout
    assert done.stdout.strip().splitlines()[-1] == "0 met, 0 missed, 3 not measured"


def test_without_gpus_sharing_is_not_measured() -> None:
    done = run(script=ROOT / "benchmarks" / "gpu_parallel.py")
    assert done.returncode == 0
    assert done.stdout.strip().splitlines()[-1] == "0 met, 0 missed, 3 not measured"
