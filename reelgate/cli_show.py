"""How the command shows what came back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from reelgate import values as v
from reelgate.budgets import Money, Verdict
from reelgate.rpc.errors import ReelgateError

out = Console(emoji=False)
# Progress, warnings and failures: what is not the answer.
errors = Console(stderr=True, emoji=False)
WAITS_FOR_STORE = (
    "the generator's store is full or cannot be reached; the video goes on by itself once it takes what is made"
)


def line(text: str, *, to: Console = out) -> None:
    """Markup as one line, never folded: people copy it and programs read it."""
    to.print(text, highlight=False, soft_wrap=True)


def table(*columns: tuple[str, Literal["left", "right"]]) -> Table:
    """An empty table of figures, for `print_table`."""
    made = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name, side in columns:
        made.add_column(name, justify=side, no_wrap=True)
    return made


def print_table(made: Table) -> None:
    """As wide as its figures need, also where that is more than the screen or the pipe says: none is cut short."""
    wide = Measurement.get(out, out.options.update(max_width=10_000), made).maximum
    Console(file=out.file, width=max(wide, out.width), emoji=False).print(made)


def note(text: str) -> None:
    """A warning, as one line."""
    line(f"[yellow]note[/yellow]: {escape(text)}", to=errors)


def failure(what: str, why: str, next_step: str = "", request_id: str = "") -> None:
    """Why it did not work, as one line, then what to do."""
    line(f"[red]{escape(what)}[/red]: {escape(' '.join(why.split()))}", to=errors)
    if next_step:
        line(f"  {escape(next_step)}", to=errors)
    if request_id:
        line(f"  [dim]request {escape(request_id)}[/dim]", to=errors)


def refusal(error: ReelgateError) -> None:
    """A typed error, with its reason; of a budget, every limit that is in the way."""
    failure(error.reason, error.message, error.next_step, error.request_id)
    if error.quota and len(error.violations) > 1:
        for violation in error.violations:
            line(f"  {escape(violation.subject)}: {escape(violation.description)}", to=errors)


class Bar:
    """A progress bar over one run's stages, on standard error where that is a terminal. It lives from before the first event to after
    the last."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("{task.description:>8}"),
            BarColumn(bar_width=36),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=errors,
            transient=False,
            disable=not errors.is_terminal,
        )
        self._task = self._bar.add_task("queued", total=None)
        self._waits = False

    def __enter__(self) -> Bar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, progress: v.Progress) -> None:
        self._bar.update(
            self._task, description=progress.stage.value, completed=progress.step, total=progress.steps or None
        )
        if progress.waits_for_store and not self._waits:
            note(WAITS_FOR_STORE)
        self._waits = progress.waits_for_store

    def finish(self) -> None:
        self._bar.update(self._task, description="done", completed=1, total=1)


def as_json(value: Any) -> str:
    """A value of reelgate.values as one JSON object, a list of them as an array."""
    many = isinstance(value, list)
    plain = [dataclasses.asdict(each) for each in value] if many else dataclasses.asdict(value)
    return json.dumps(plain, ensure_ascii=False, indent=2, default=datetime.isoformat)


def prepared(value: v.Prepared) -> None:
    """The final prompt and where its tokens went."""
    receipt = value.receipt
    table = Table(title="token receipt", title_justify="left", show_edge=False, pad_edge=False)
    for name in ("stage", "tokens in", "tokens out", "ms"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for stage in receipt.stages:
        table.add_row(stage.stage, str(stage.tokens_in), str(stage.tokens_out), f"{stage.duration_us / 1000:.1f}")
    table.add_row("[bold]all", f"[bold]{receipt.tokens_before}", f"[bold]{receipt.tokens_after}", "")
    line(f"prompt: {escape(value.prompt)}")
    out.print(table)
    kept = [t for t in receipt.protected_terms if t.survived]
    notes = [
        f"policy {receipt.policy}, at most {receipt.target_tokens} tokens",
        f"shortened by {receipt.compressor}" if receipt.compressor != "none" else "not shortened",
        "nothing mandatory lost" if receipt.faithful else "below the fidelity floor",
    ]
    if receipt.protected_terms:
        notes.append(f"{len(kept)} of {len(receipt.protected_terms)} protected terms kept")
    if receipt.deep_compression:
        notes.append("deep compression")
    line("; ".join(notes))
    for reason in receipt.fidelity_reasons:
        line(f"  lost {escape(reason)}")
    for warning in receipt.warnings:
        note(warning)
    if value.budget:
        verdict(value.budget)


def cost(tokens: int, video: v.Video) -> None:
    """The bill of one video: tokens, and device time by stage."""
    report = video.report
    if report is None:
        return
    experts = f" (high {report.denoise_high_ms}, low {report.denoise_low_ms})" if report.denoise_low_ms else ""
    denoise = f"denoise {report.denoise_ms}{experts}"
    stages = f"text {report.text_ms}, {denoise}, decode {report.decode_ms}, encode {report.encode_ms}"
    reused = ", from the store" if report.cached else f", {report.steps_run} steps run"
    if report.steps_resumed:
        reused += f" ({report.steps_resumed} of them before a restart)"
    line(f"cost: {tokens} tokens; {report.device_ms} device ms ({stages}){reused}")


def bill(video: v.Video) -> None:
    """What was charged, where budgets are kept."""
    charged = video.bill
    if charged is None:
        return
    paid = f"{money(charged.price)}; " if charged.price else ""
    over = f", {charged.overrun_device_ms} ms more on the house" if charged.overrun_device_ms else ""
    line(f"bill: {paid}{charged.tokens} tokens, {charged.device_ms} device ms ({charged.cause}){over}")


def money(value: Money) -> str:
    """All six decimals: a prompt costs less than a cent."""
    sign, micros = "-" if value.micros < 0 else "", abs(value.micros)
    return f"{sign}{micros // 1_000_000}.{micros % 1_000_000:06d} {value.currency}"


def verdict(value: Verdict) -> None:
    """What the budget said, where it said something that a user should know."""
    for warning in value.warnings:
        note(f"budget: {warning}")


def videos(values: Sequence[v.Video]) -> None:
    """A table, as they come."""
    if not values:
        line("no videos")
        return
    made = table(
        ("name", "left"), ("state", "left"), ("tier", "left"), ("size", "right"), ("frames", "right"), ("when", "left")
    )
    for each in values:
        s = each.settings
        when = f"{each.accepted:%Y-%m-%d %H:%M:%SZ}" if each.accepted else ""
        made.add_row(each.name, each.state.value, escape(s.tier), f"{s.width}x{s.height}", str(s.frames), when)
    print_table(made)


def video(value: v.Video) -> None:
    """The state of one video."""
    s = value.settings
    line(f"{value.name}: {value.state.value}")
    line(
        f"  {s.tier}, {s.width}x{s.height}, {s.frames} frames at {value.post_processing.fps} fps, {s.steps} steps, "
        f"seed {s.seed or 0}"
    )
    if value.progress:
        p = value.progress
        line(f"  {p.stage.value} {p.step} of {p.steps}")
        if p.waits_for_store:
            note(WAITS_FOR_STORE)
    if value.report and value.report.failure_reason:
        line(f"  {value.report.failure_reason}: {escape(value.report.failure_message)}")
    if value.state is v.State.DONE:
        line(f"  {value.size_bytes} bytes, sha256 {value.sha256}")
