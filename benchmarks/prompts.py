"""Every real prompt through the line, and what of its core survives in 64 tokens, beside the plain ways to cut.

    python -m benchmarks.prompts [--quick]

Reads the shared data (../shared/data), copies nothing. The metric is the data's own `recall.py`; all methods are measured in
the same run with the same tokenizer. The last line counts the checks: met, missed, not measured.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import time
from collections.abc import Iterator

from benchmarks.prompt_data import DATA, Check, Row, load, texts
from benchmarks.prompts_reads import chinese, english
from benchmarks.prompts_recall import recall
from benchmarks.prompts_rules import beside
from preprocess_service import tokens
from preprocess_service.core import Request
from preprocess_service.pipeline import Line

TARGET = 64
QUICK_ROWS = 300
BROKEN = re.compile(r"[，、；：,;][，、；：。,;]|[。！？][，、；。]|^[\s，。、；：！？,.;:!?]|[，、；：,;:]\s*$")
PAIRED = ("“”", "《》", "（）", "「」", "『』", "【】", "()", "[]")


def main() -> int:
    """Print the tables and the verdict; 1 when a check is missed by all rows (a sample shows that it runs, no more)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"a fixed sample of {QUICK_ROWS} rows")
    quick = parser.parse_args().quick
    if not DATA.is_dir():
        print(f"no data at {DATA.name}: nothing can be measured\n0 met, 0 missed, 12 not measured")
        return 0
    rows = list(load())
    if quick:
        rows = random.Random(1).sample(rows, QUICK_ROWS)
    line = Line(tokenizer=tokens.load(DATA / "tokenizers" / "t5-umt5-proxy" / "tokenizer.json"))
    bart = Line(tokenizer=tokens.load(DATA / "tokenizers" / "bart-large-cnn" / "tokenizer.json"))
    pairs = [r for r in rows if "short" in r and r["lang"] == "en" and r["source"] != "vbench-hunyuan"]
    checks = [
        every_row("all rows, T5, economy", rows, line),
        every_row("Chinese and mixed rows, BART's tokenizer", [r for r in rows if r["lang"] != "en"], bart, marks=True),
        *recall(pairs, line),
        *english(pairs, line),
        beside(pairs, line),
        *chinese([r for r in rows if r["lang"] != "en" and "text" in r], bart),
    ]
    for check in checks:
        state = "not measured" if check.met is None else "met" if check.met else "MISSED"
        print(f"{state:12} {check.name}: {check.detail}")
    count = [sum(c.met is state for c in checks) for state in (True, False, None)]
    print(f"{count[0]} met, {count[1]} missed, {count[2]} not measured")
    return 1 if count[1] and not quick else 0


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


if __name__ == "__main__":
    sys.exit(main())
