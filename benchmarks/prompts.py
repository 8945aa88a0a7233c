"""Every real prompt through the line, and what of its core survives in 64 tokens, beside the plain ways to cut.

    python -m benchmarks.prompts [--quick]

Reads the shared data (../shared/data), copies nothing. The metric is the data's own `recall.py`; all methods are measured in
the same run with the same tokenizer. The last line counts the checks: met, missed, not measured.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from preprocess_service import tokens
from preprocess_service.core import Request
from preprocess_service.pipeline import Line

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
TARGET = 64
QUICK_ROWS = 300
BROKEN = re.compile(r"[，、；：,;][，、；：。,;]|[。！？][，、；。]|^[\s，。、；：！？,.;:!?]|[，、；：,;:]\s*$")
PAIRED = ("“”", "《》", "（）", "「」", "『』", "【】", "()", "[]")
GOAL = 0.891
"""Reachable recall of first-64 where the core fits, from the data's README."""
Row = dict[str, Any]


@dataclass
class Check:
    """One claim: ``None`` means that it was not measured here."""

    name: str
    met: bool | None
    detail: str


def main() -> int:
    """Print the tables and the verdict; 1 when a check is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"a fixed sample of {QUICK_ROWS} rows")
    quick = parser.parse_args().quick
    if not DATA.is_dir():
        print(f"no data at {DATA.name}: nothing can be measured\n0 met, 0 missed, 3 not measured")
        return 0
    rows = list(load())
    if quick:
        rows = random.Random(1).sample(rows, QUICK_ROWS)
    line = Line(tokenizer=tokens.load(DATA / "tokenizers" / "t5-umt5-proxy" / "tokenizer.json"))
    bart = Line(tokenizer=tokens.load(DATA / "tokenizers" / "bart-large-cnn" / "tokenizer.json"))
    checks = [
        every_row("all rows, T5, economy", rows, line),
        every_row("Chinese and mixed rows, BART's tokenizer", [r for r in rows if r["lang"] != "en"], bart, marks=True),
        recall([r for r in rows if "short" in r and r["source"] != "vbench-hunyuan"], line),
    ]
    for check in checks:
        state = "not measured" if check.met is None else "met" if check.met else "MISSED"
        print(f"{state:12} {check.name}: {check.detail}")
    count = [sum(c.met is state for c in checks) for state in (True, False, None)]
    print(f"{count[0]} met, {count[1]} missed, {count[2]} not measured")
    return 1 if count[1] else 0


def load() -> Iterator[Row]:
    """All rows: pairs with ``short`` and ``long``, singles with ``text``."""
    for path in sorted((DATA / "prompts").glob("*.jsonl")):
        for raw in path.read_text(encoding="utf-8").splitlines():
            if raw.strip():
                yield json.loads(raw)


def texts(row: Row) -> list[str]:
    return [row[name] for name in ("text", "long", "short") if name in row]


def every_row(name: str, rows: list[Row], line: Line, *, marks: bool = False) -> Check:
    """No crash, no empty output, none over the target, every count equal to a recount; with ``marks`` no broken ones."""
    faults: list[str] = []
    times: list[float] = []
    before = after = 0
    for row in rows:
        for text in texts(row):
            started = time.process_time()
            try:
                made = line.prepare(Request(text=text))
            except Exception as error:
                faults.append(f"{row['id']}: {type(error).__name__}")
                continue
            times.append(time.process_time() - started)
            before, after = before + made.receipt.tokens_before, after + made.receipt.tokens_after
            faults += [
                f"{row['id']}: {fault}" for fault in faulty(text, made.prompt, made.receipt.tokens_after, line, marks)
            ]
    if not times:
        return Check(name, None, "no such rows")
    times.sort()
    detail = (
        f"{len(times)} prompts, {len(faults)} faults, {before} -> {after} tokens, CPU "
        f"{times[len(times) // 2] * 1e3:.1f} ms median, {times[int(len(times) * 0.99)] * 1e3:.1f} ms p99"
    )
    return Check(name, not faults, detail + "".join(f"\n    {fault}" for fault in faults[:10]))


def faulty(text: str, prompt: str, count: int, line: Line, marks: bool) -> Iterator[str]:
    """What is wrong with one output."""
    if not prompt.strip():
        yield "empty"
    if count > TARGET:
        yield f"{count} tokens"
    if count != line.tokenizer.count(prompt):
        yield "count differs from a recount"
    if not marks:
        return
    if "\ufffd" in prompt:
        yield "U+FFFD"
    if BROKEN.search(prompt) and not BROKEN.search(text):
        yield f"broken punctuation {prompt!r}"
    for left, right in map(tuple, PAIRED):
        if prompt.count(left) != prompt.count(right) and text.count(left) == text.count(right):
            yield f"unpaired {left}{right}"


def recall(pairs: list[Row], line: Line) -> Check:
    """The table of recall at 64 tokens; met when the line beats first-64 where the core fits."""
    if not pairs:
        return Check("recall at 64", None, "no pairs")
    metric = load_metric()
    fits = [row for row in pairs if line.tokenizer.count(row["short"]) <= TARGET]
    rest = [row for row in pairs if line.tokenizer.count(row["short"]) > TARGET]
    methods: dict[str, Callable[[str], str]] = {
        "the long prompt": lambda text: text,
        "head 40 + tail 24": lambda text: head_tail(text, line.tokenizer),
        "first 64": lambda text: first(text, line.tokenizer),
        "the line, economy": lambda text: line.prepare(Request(text=text)).prompt,
    }
    print(f"recall at {TARGET} tokens, {len(pairs)} English pairs ({len(fits)} cores fit {TARGET}, {len(rest)} do not)")
    print(
        f"{'method':20} {'micro':>7} {'reach':>7} {'fits':>7} {'others':>7} {'all kept':>9} {'tokens':>7} {'ratio':>6}"
    )
    reached: dict[str, float] = {}
    for name, method in methods.items():
        outputs = {row["id"]: method(row["long"]) for row in pairs}

        def score(some: list[Row], outputs: dict[str, str] = outputs) -> dict[str, Any]:
            given = [{**row, "compressed": outputs[row["id"]]} for row in some]
            result: dict[str, Any] = metric.run(given, line.tokenizer.count)
            return result

        whole, reached[name] = score(pairs), score(fits)["reachable_recall"] or 0.0
        others = score(rest)["reachable_recall"] or 0.0
        print(
            f"{name:20} {whole['micro_recall']:7.3f} {whole['reachable_recall']:7.3f} {reached[name]:7.3f} {others:7.3f} "
            f"{whole['full_hit']:9.3f} {whole['mean_tokens']:7.1f} {whole['token_ratio']:6.3f}"
        )
    mine, plain = reached["the line, economy"], reached["first 64"]
    return Check(
        "reachable recall where the core fits",
        mine > plain,
        f"{mine:.3f} against {plain:.3f} of first-64 (README: {GOAL})",
    )


def load_metric() -> ModuleType:
    """The data's own recall.py."""
    spec = importlib.util.spec_from_file_location("recall", DATA / "recall.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError("recall.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def first(text: str, tokenizer: tokens.Tokenizer) -> str:
    """The text up to its 64th token."""
    offsets = tokenizer.offsets(text)
    return text if len(offsets) <= TARGET else text[: offsets[TARGET - 1][1]]


def head_tail(text: str, tokenizer: tokens.Tokenizer) -> str:
    """The first 40 and the last 24 tokens."""
    offsets = tokenizer.offsets(text)
    return text if len(offsets) <= TARGET else f"{text[: offsets[39][1]]} {text[offsets[-24][0] :]}"


if __name__ == "__main__":
    sys.exit(main())
