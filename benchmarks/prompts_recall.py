"""What of the core of a long English prompt survives, beside the plain ways to cut, for every set."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.prompt_data import Check, Row, at_least, load_metric
from preprocess_service.core import POLICIES, Request
from preprocess_service.pipeline import Line
from preprocess_service.tokens import Tokenizer

FITS, OTHERS, WIDE = 0.95, 0.55, 0.96
"""Goals: cores that fit 64, cores that do not, and all at 128."""
LINE = "the line"


def recall(pairs: Sequence[Row], line: Line) -> list[Check]:
    """The tables at 64 and 128 tokens, and their checks."""
    metric = load_metric()
    checks = []
    for policy in (POLICIES["economy"], POLICIES["balanced"]):
        target = policy.target
        methods: dict[str, Callable[[str], str]] = {
            "the long prompt": lambda text: text,
            "head and tail": lambda text, size=target: head_tail(text, line.tokenizer, size),
            "first tokens": lambda text, size=target: first(text, line.tokenizer, size),
            LINE: lambda text, policy=policy: line.prepare(Request(text=text, policy=policy)).prompt,
        }
        sets: dict[str, list[Row]] = {}
        for row in pairs:
            fits = line.tokenizer.count(row["short"]) <= target
            for name in (
                "all",
                "core fits" if fits else "core does not fit",
                f"{row['source']}{'' if fits else ' (not)'}",
            ):
                sets.setdefault(name, []).append(row)
        outputs = {name: {row["id"]: method(row["long"]) for row in pairs} for name, method in methods.items()}
        found = {
            name: [
                metric.run([{**row, "compressed": made[row["id"]]} for row in rows], line.tokenizer.count)
                for made in outputs.values()
            ]
            for name, rows in sorted(sets.items())
        }
        print(f"reachable recall at {target} tokens, English; then tokens of the line")
        print(f"{'set':36} {'rows':>5}" + "".join(f"{name:>16}" for name in methods))
        for name, scores in found.items():
            values = "".join(f"{score['reachable_recall'] or 0:16.3f}" for score in scores)
            print(f"{name:36} {len(sets[name]):5}{values} {scores[-1]['mean_tokens']:8.1f}")
        mine = {name: scores[-1]["reachable_recall"] for name, scores in found.items()}
        if target == POLICIES["economy"].target:
            checks.append(at_least(f"recall at {target} where the core fits", mine.get("core fits"), FITS))
            checks.append(at_least(f"recall at {target} where it does not", mine.get("core does not fit"), OTHERS))
        else:
            checks.append(at_least(f"recall at {target}, pooled", mine.get("all"), WIDE))
    return checks


def first(text: str, tokenizer: Tokenizer, size: int) -> str:
    """The text up to its token number ``size``."""
    offsets = tokenizer.offsets(text)
    return text if len(offsets) <= size else text[: offsets[size - 1][1]]


def head_tail(text: str, tokenizer: Tokenizer, size: int) -> str:
    """The first 5 of 8 and the last 3 of 8 of the tokens."""
    offsets = tokenizer.offsets(text)
    head = size * 5 // 8
    return text if len(offsets) <= size else f"{text[: offsets[head - 1][1]]} {text[offsets[head - size][0] :]}"
