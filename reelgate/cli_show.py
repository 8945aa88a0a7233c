"""How the command shows what came back."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from reelgate import values as v

out = Console()
# Progress, warnings and failures: what is not the answer.
errors = Console(stderr=True)


class Bar:
    """A progress bar over one run's stages, on standard error; made before the first event and closed after the last."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("{task.description:>8}"),
            BarColumn(bar_width=36),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=errors,
            transient=False,
        )
        self._task = self._bar.add_task("queued", total=None)

    def __enter__(self) -> Bar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, progress: v.Progress) -> None:
        self._bar.update(
            self._task, description=progress.stage.value, completed=progress.step, total=progress.steps or None
        )

    def finish(self) -> None:
        self._bar.update(self._task, description="done", completed=1, total=1)


def as_json(value: Any) -> str:
    """A value of reelgate.values as one JSON object."""
    return json.dumps(dataclasses.asdict(value), ensure_ascii=False, indent=2)


def prepared(value: v.Prepared) -> None:
    """The final prompt and where its tokens went."""
    receipt = value.receipt
    table = Table(title="token receipt", title_justify="left", show_edge=False, pad_edge=False)
    for name in ("stage", "tokens in", "tokens out", "ms"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for stage in receipt.stages:
        table.add_row(stage.stage, str(stage.tokens_in), str(stage.tokens_out), f"{stage.duration_us / 1000:.1f}")
    table.add_row("[bold]all", f"[bold]{receipt.tokens_before}", f"[bold]{receipt.tokens_after}", "")
    out.print(f"prompt: {escape(value.prompt)}", highlight=False)
    out.print(table)
    kept = [t for t in receipt.protected_terms if t.survived]
    notes = [
        f"policy {receipt.policy}, at most {receipt.target_tokens} tokens",
        f"shortened by {receipt.compressor}" if receipt.compressor != "none" else "not shortened",
        "faithful" if receipt.faithful else "below the fidelity floor",
    ]
    if receipt.protected_terms:
        notes.append(f"{len(kept)} of {len(receipt.protected_terms)} protected terms kept")
    if receipt.deep_compression:
        notes.append("deep compression")
    out.print("; ".join(notes), highlight=False)
    for reason in receipt.fidelity_reasons:
        out.print(f"  lost {escape(reason)}", highlight=False)
    for warning in receipt.warnings:
        errors.print(f"[yellow]note[/yellow]: {escape(warning)}", highlight=False)


def cost(tokens: int, video: v.Video) -> None:
    """The bill of one video: tokens, and device time by stage."""
    report = video.report
    if report is None:
        return
    stages = f"text {report.text_ms}, denoise {report.denoise_ms}, decode {report.decode_ms}, encode {report.encode_ms}"
    reused = ", from the store" if report.cached else f", {report.steps_run} steps run"
    out.print(f"cost: {tokens} tokens; {report.device_ms} device ms ({stages}){reused}", highlight=False)


def video(value: v.Video) -> None:
    """The state of one video."""
    s = value.settings
    out.print(f"{value.name}: {value.state.value}", highlight=False)
    out.print(
        f"  {s.tier}, {s.width}x{s.height}, {s.frames} frames at {value.post_processing.fps} fps, {s.steps} steps, "
        f"seed {s.seed or 0}",
        highlight=False,
    )
    if value.progress:
        p = value.progress
        out.print(f"  {p.stage.value} {p.step} of {p.steps}", highlight=False)
    if value.report and value.report.failure_reason:
        out.print(f"  {value.report.failure_reason}: {escape(value.report.failure_message)}", highlight=False)
    if value.state is v.State.DONE:
        out.print(f"  {value.size_bytes} bytes, sha256 {value.sha256}", highlight=False)
