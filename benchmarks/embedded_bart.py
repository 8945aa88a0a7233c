"""The embedded BART on real English prompts, beside the extractive path alone: recall of the core, use, inventions, CPU.

    python -m benchmarks.embedded_bart [--quick]

Reads the shared data (../shared/data), copies nothing. The ladder is the line's own: BART where its output passes fidelity, then
words chosen. Recall is the data's own `recall.py`; both paths run on the same prompts in the same run, each on one CPU thread.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from benchmarks.prompt_data import DATA, Row, load, load_metric
from benchmarks.report import Goal, close
from preprocess_service import fidelity, tokens
from preprocess_service.app import load_rewriter
from preprocess_service.core import POLICIES, Policy, Prepared, Request
from preprocess_service.pipeline import Line
from preprocess_service.protect import Protector
from preprocess_service.run import Rewriter
from preprocess_service.settings import Settings, embedded_bart

ROWS, QUICK_ROWS = 150, 24
LONG = 64
"""Only prompts of more tokens are shortened at all under the default policy."""
MOST_BYTES = 8e6
UNSEEN, COPIED = 40, 0.9
POLICY_NAMES = ("economy", "balanced")


@dataclass(kw_only=True)
class Watched:
    """A rewriter whose outputs are kept (both policies ask for the same), with its CPU seconds a prompt."""

    inner: Rewriter
    made: dict[tuple[str, float], str] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    @property
    def version(self) -> str:
        """Of the model, where it has one."""
        return str(getattr(self.inner, "version", ""))

    def shorten(self, text: str, ratio: float) -> str:
        key = (text, ratio)
        if key not in self.made:
            started = time.process_time()
            self.made[key] = self.inner.shorten(text, ratio)
            self.seconds.append(time.process_time() - started)
        return self.made[key]


def main() -> int:
    """Print the tables and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROWS} prompts instead of {ROWS}")
    parser.add_argument("--rows", type=int, default=0, help="another number of prompts")
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    rewriter = load_rewriter(Settings(bart="embedded", bart_threads=1))
    assert rewriter is not None
    size = sum(file.stat().st_size for file in embedded_bart().iterdir())
    goals = [Goal(name="bytes of the folder", value=size, compare="<=", target=MOST_BYTES)]
    goals.append(Goal(name="unseen words copied", value=unseen(rewriter), compare=">=", target=COPIED))
    if DATA.is_dir():
        goals += real(rewriter, args.rows or (QUICK_ROWS if args.quick else ROWS))
    else:
        names = ("recall lost by the default at 64", "invented words in prompts", "prompts over the target")
        goals += [Goal(name=n, value=None, compare="<=", target=0, why="no data") for n in names]
    code = close(goals)
    rewriter.close()
    # A sample shows that it runs, no more.
    return 0 if args.quick else code


def unseen(rewriter: Rewriter) -> float:
    """Share of made-up words (seven random letters, three a text) that come through, in sentences with filler around."""
    rng = random.Random(20)
    right = 0
    for _ in range(UNSEEN):
        made = ["".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(7)) for _ in range(3)]
        text = (
            f"In a breathtaking display of serenity, a {made[0]} walks towards the {made[1]}, creating a sense of wonder. "
            f"The camera follows the {made[2]}. The scene captures the essence of tranquility and joy."
        )
        short = rewriter.shorten(text, 0.7)
        right += sum(word in short for word in made)
    return right / (3 * UNSEEN)


def real(rewriter: Rewriter, count: int) -> list[Goal]:
    """The table of recall, and what the outputs were like."""
    counter = tokens.load(DATA / "tokenizers" / "t5-umt5-proxy" / "tokenizer.json")
    rows = [row for row in load() if "long" in row and row["lang"] == "en" and row["source"] != "vbench-hunyuan"]
    rows = [row for row in rows if counter.count(row["long"]) > LONG]
    rows = random.Random(1).sample(rows, min(count, len(rows)))
    watched = Watched(inner=rewriter)
    plain, ladder = Line(tokenizer=counter), Line(tokenizer=counter, rewriter=watched)
    metric = load_metric()
    print(
        f"{len(rows)} real English prompts of more than {LONG} tokens; reachable recall, tokens, CPU ms (median) a prompt"
    )
    found: dict[tuple[str, str], dict[str, Any]] = {}
    outputs: list[tuple[Row, Prepared]] = []
    for name in POLICY_NAMES:
        for label, line in (("extractive", plain), ("embedded BART, then extractive", ladder)):
            made, cpu = prepared(line, rows, POLICIES[name])
            outputs += made
            scored = [{**row, "compressed": one.prompt} for row, one in made]
            used = [pair for pair in made if "bart" in pair[1].receipt.method]
            found[name, label] = score = metric.run(scored, counter.count)
            share = f", BART used in {len(used) / len(rows):.3f}" if line is ladder else ""
            print(
                f"{POLICIES[name].target:4} {label:32} {score['reachable_recall']:.4f} {score['mean_tokens']:7.1f} {cpu:8.1f}{share}"
            )
            if used:
                both = [
                    {**row, "compressed": plain.prepare(Request(text=row["long"], policy=POLICIES[name])).prompt}
                    for row, _ in used
                ]
                mine = metric.run([{**row, "compressed": one.prompt} for row, one in used], counter.count)
                other = metric.run(both, counter.count)
                print(
                    f"     where BART was used: {mine['reachable_recall']:.4f}, extractive {other['reachable_recall']:.4f}"
                )
    judge(watched)
    lost = (
        found["economy", "extractive"]["reachable_recall"]
        - found["economy", "embedded BART, then extractive"]["reachable_recall"]
    )
    better = lost if Settings().bart else -lost
    over = sum(one.receipt.tokens_after > one.receipt.target for _, one in outputs)
    invented = sum(reason.startswith("invented") for _, one in outputs for reason in one.receipt.fidelity.reasons)
    return [
        Goal(name="recall lost by the default at 64", value=better, compare="<=", target=0),
        Goal(name="invented words in prompts", value=invented, compare="<=", target=0),
        Goal(name="prompts over the target", value=over, compare="<=", target=0),
    ]


def prepared(line: Line, rows: list[Row], policy: Policy) -> tuple[list[tuple[Row, Prepared]], float]:
    """What the line made of every row, and the median CPU milliseconds."""
    made, times = [], []
    for row in rows:
        started = time.process_time()
        made.append((row, line.prepare(Request(text=row["long"], policy=policy))))
        times.append(time.process_time() - started)
    return made, sorted(times)[len(times) // 2] * 1e3


def judge(watched: Watched) -> None:
    """What BART itself wrote, before anything was held against it."""
    kinds: Counter[str] = Counter()
    texts = 0
    for (text, _), short in watched.made.items():
        lost = [loss for loss in fidelity.assess(text, short, Protector())[1] if loss.mandatory]
        kinds.update(loss.kind for loss in lost)
        texts += any(loss.kind == "invented" for loss in lost)
    total = len(watched.made)
    cpu = sorted(watched.seconds)
    print(
        f"BART alone: {total} outputs, {texts / total:.3f} with an invented word, faults by kind {dict(kinds)}; "
        f"CPU {cpu[total // 2] * 1e3:.0f} ms median, {cpu[int(total * 0.99)] * 1e3:.0f} ms p99"
    )


if __name__ == "__main__":
    sys.exit(main())
