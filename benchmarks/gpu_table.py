"""The table of what was to be shown: our figure beside what others published, the goal, and what the device could do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from statistics import median
from typing import Any

from benchmarks.report import Goal

Row = Mapping[str, Any]
GB = 1e9


def _median(key: str) -> Callable[[Row], float | None]:
    return lambda row: median(row[key]) if row.get(key) else None


def _single(key: str, unit: float = 1.0) -> Callable[[Row], float | None]:
    return lambda row: row[key] / unit if row.get(key) is not None else None


# Name of the figure, row, how to read it, comparison, goal, unit, and what others published.
SHOWN: list[tuple[str, str, Callable[[Row], float | None], str, float, str, str]] = [
    ("480p bf16 exact, a step", "step-480p", _median("seconds"), "<=", 5.0, " s", "SGLang 5.14 (H200)"),
    ("480p, times faster than diffusers", "step-480p", _single("times_faster"), ">=", 1.35, "", "1.0"),
    ("480p, difference from diffusers' step", "step-480p", _single("difference"), "<=", 0.1, "", "rounding of bf16"),
    (
        "480p fp8, a step, linears only",
        "step-480p-fp8",
        _median("seconds"),
        "<=",
        4.4,
        " s",
        "LightX2V 4.8 (8-bit attention)",
    ),
    (
        "480p fp8, a step, 8-bit attention",
        "step-480p-fp8-attention8",
        _median("seconds"),
        "<=",
        3.6,
        " s",
        "LightX2V 4.8",
    ),
    (
        "720p bf16 exact, a step",
        "step-720p",
        _median("seconds"),
        "<=",
        18.9,
        " s",
        "SGLang 19.4, LightX2V 18.8 (8-bit attention)",
    ),
    (
        "720p fp8, a step, linears only",
        "step-720p-fp8",
        _median("seconds"),
        "<=",
        17.5,
        " s",
        "LightX2V 16.8 (8-bit attention)",
    ),
    (
        "720p fp8, a step, 8-bit attention",
        "step-720p-fp8-attention8",
        _median("seconds"),
        "<=",
        12.5,
        " s",
        "LightX2V 16.8",
    ),
    ("480p, 4 steps to MP4", "request-480p", _median("seconds"), "<=", 12.0, " s", "LightX2V 14 (fp8)"),
    ("720p, 4 steps to MP4", "request-720p", _median("seconds"), "<=", 38.0, " s", "LightX2V 44 (fp8)"),
    ("480p, the same, 8-bit attention", "request-480p-attention8", _median("seconds"), "<=", 12.0, " s", "LightX2V 14"),
    ("720p, the same, 8-bit attention", "request-720p-attention8", _median("seconds"), "<=", 38.0, " s", "LightX2V 44"),
    (
        "480p peak memory, bf16, all resident",
        "memory-bf16",
        _single("peak_bytes", GB),
        "<=",
        76.0,
        " GB",
        "SGLang 89.5",
    ),
    (
        "480p peak memory, fp8, all resident",
        "memory-fp8",
        _single("peak_bytes", GB),
        "<=",
        48.0,
        " GB",
        "SGLang 89.5 (bf16)",
    ),
    (
        "480p peak memory, bf16, UMT5 swapped",
        "memory-bf16-swap",
        _single("peak_bytes", GB),
        "<=",
        76.0,
        " GB",
        "SGLang 89.5",
    ),
    (
        "480p peak memory, fp8, UMT5 swapped",
        "memory-fp8-swap",
        _single("peak_bytes", GB),
        "<=",
        48.0,
        " GB",
        "SGLang 89.5 (bf16)",
    ),
    (
        "480p peak memory, bf16, VAE too",
        "memory-bf16-vae16",
        _single("peak_bytes", GB),
        "<=",
        76.0,
        " GB",
        "SGLang 89.5",
    ),
    (
        "480p peak memory, fp8, VAE in bf16",
        "memory-fp8-vae16",
        _single("peak_bytes", GB),
        "<=",
        48.0,
        " GB",
        "SGLang 89.5 (bf16)",
    ),
    ("720p decode of 81 frames", "decode-720p", _median("seconds"), "<=", 6.0, " s", "7"),
    (
        "720p decode, VAE in bf16",
        "decode-720p",
        lambda row: _median("seconds")(row.get("bf16", {})),
        "<=",
        6.0,
        " s",
        "7",
    ),
    ("720p decode, peak of 81 frames over 5", "decode-720p", lambda row: _flat(row), "<=", 1.05, "", "flat is 1.0"),
    ("expert switch, in eager steps", "switch", _single("steps_worth"), "<=", 1.0, "", "SGLang 7 (CPU offload)"),
]


def goals(kept: Mapping[str, Any]) -> list[Goal]:
    """Each figure beside its goal."""
    return [_goal(kept["rows"].get(row), *shown) for shown in SHOWN for row in (shown[1],)]


def table(kept: Mapping[str, Any]) -> None:
    """Where it was measured, what others published, the floor of each step, and the rows that have no goal."""
    for name, value in kept.get("environment", {}).items():
        print(f"{name}: {value}")
    print(f"\n{'figure':<40} {'ours':>14} {'floor':>9} {'of floor':>8}  anchor")
    for name, row_name, read, _, _, unit, anchor in SHOWN:
        row = kept["rows"].get(row_name) or {}
        value, least = _value(row, read), _least(row) if unit == " s" else None
        print(
            f"{name:<40} {'not measured' if value is None else f'{value:.3f}{unit}':>14} "
            f"{'' if least is None else f'{least:.3f}':>9} {'' if not (least and value) else f'{value / least:.2f}':>8}  {anchor}"
        )
    for line in (*_lengths(kept["rows"].get("prompt-length")), *_precisions(kept["rows"].get("precision"))):
        print(line)
    print()


def _goal(row: Row | None, name: str, _: str, read: Any, compare: str, target: float, unit: str, __: str) -> Goal:
    why = "no GPU, or the row was not run" if row is None else row.get("error", "the device does not say")
    value = _value(row or {}, read)
    return Goal(name=name, value=value, compare=compare, target=target, unit=unit, why=why)


def _value(row: Row, read: Callable[[Row], float | None]) -> float | None:
    return None if "error" in row else read(row)


def _least(row: Row) -> float | None:
    floor = row.get("floor")
    return max(floor["seconds_by_flops"], floor["seconds_by_bytes"]) if floor else None


def _flat(row: Row) -> float | None:
    peaks = [value for key, value in row.get("fp32", {}).items() if key.startswith("peak_bytes") and value]
    return peaks[-1] / peaks[0] if len(peaks) == 2 else None


def _lengths(row: Row | None) -> Iterator[str]:
    if not row or "error" in row:
        yield "step by prompt length, 16 to 512 tokens   not measured"
        return
    for name, found in row.items():
        if isinstance(found, dict):
            yield f"480p step, {name:<14} {median(found['seconds']):.3f} s, {found['text_kv_bytes'] / GB:.3f} GB of keys and values"


def _precisions(row: Row | None) -> Iterator[str]:
    if not row or "error" in row:
        yield "error of a full-size block by precision   not measured"
        return
    shown = ", ".join(f"{name} {value:.4f}" for name, value in row.items() if name not in ("wall_s", "when"))
    yield f"error of a full-size block beside fp32: {shown}"
