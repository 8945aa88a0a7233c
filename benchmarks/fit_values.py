"""Fit the log-odds of summarise/values.py over the shared pairs, and say how they do on cores that were held out.

    python -m benchmarks.fit_values [--write]

Logistic regression with a ridge, by Newton's method (Hastie, Tibshirani, Friedman: The Elements of Statistical Learning, 4.4.1).
Folds are by the short prompt, so that no core is in two of them. ``--write`` replaces summarise/log_odds.py.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.prompt_data import DATA, Row, load, load_metric
from preprocess_service import clean, tokens
from preprocess_service.core import POLICIES, Prompt, Request
from preprocess_service.pipeline import Line
from preprocess_service.summarise import log_odds, values
from preprocess_service.summarise.units import chunks_of, words_of
from preprocess_service.summarise.values import signals

FOLDS = 5
RIDGE = 3.0
STEPS = 12


def main() -> int:
    """Print the log loss a word, fitted and held out; write the table when asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="replace summarise/log_odds.py")
    write = parser.parse_args().write
    if not DATA.is_dir():
        print(f"no data at {DATA.name}: nothing can be fitted")
        return 0
    names, rows, wanted, fold = examples()
    print(f"{len(rows)} words, {len(names)} signals")
    whole = fit(rows, wanted, len(names))
    held = np.concatenate(
        [
            losses(fit(rows[fold != k], wanted[fold != k], len(names)), rows[fold == k], wanted[fold == k])
            for k in range(FOLDS)
        ]
    )
    print(f"log loss {losses(whole, rows, wanted).mean():.4f} fitted, {held.mean():.4f} held out")
    for name, value in held_out(names, rows, wanted, fold).items():
        print(f"recall at 64 tokens, each core with the odds of the other folds, {name}: {value:.3f}")
    if write:
        Path(log_odds.__file__).write_text(table(names, whole), encoding="utf-8")
    return 0


def held_out(names: list[str], rows: np.ndarray, wanted: np.ndarray, fold: np.ndarray) -> dict[str, float]:
    """Reachable recall of the whole line when no core was fitted on: what new prompts may expect."""
    metric = load_metric()
    line = Line(tokenizer=tokens.load(DATA / "tokenizers" / "t5-umt5-proxy" / "tokenizer.json"))
    made: dict[str, list[Row]] = {"core fits": [], "core does not fit": []}
    fitted = values.LOG_ODDS, values.BIAS
    for k in range(FOLDS):
        weights = fit(rows[fold != k], wanted[fold != k], len(names))
        values.LOG_ODDS, values.BIAS = dict(zip(names, weights, strict=False)), float(weights[-1])
        for row in pairs():
            if fold_of(row) == k:
                name = (
                    "core fits"
                    if line.tokenizer.count(row["short"]) <= POLICIES["economy"].target
                    else "core does not fit"
                )
                made[name].append({**row, "compressed": line.prepare(Request(text=row["long"])).prompt})
    values.LOG_ODDS, values.BIAS = fitted
    return {name: metric.run(some, line.tokenizer.count)["reachable_recall"] for name, some in made.items()}


def pairs() -> Iterator[Row]:
    """The English rows with a core and a long prompt of its own."""
    return (r for r in load() if "short" in r and r["lang"] == "en" and r["source"] != "vbench-hunyuan")


def fold_of(row: Row) -> int:
    return zlib.crc32(row["short"].encode()) % FOLDS


def examples() -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """The signals' names; for every word the indices of its signals (padded with the last), if it is core, its fold."""
    metric = load_metric()
    index: dict[str, int] = {}
    found, wanted, fold = [], [], []
    for row in pairs():
        core = metric.content(row["short"])
        words = words_of(clean.clean(Prompt.of(row["long"]))[0].text)
        for at, names in signals(words, chunks_of(words)):
            if stems := metric.content(words[at].lower):
                found.append([index.setdefault(name, len(index)) for name in names])
                wanted.append(any(stem in core for stem in stems))
                fold.append(fold_of(row))
    width = max(map(len, found))
    rows = np.array([[*some, *[len(index)] * (width - len(some))] for some in found])
    return list(index), rows, np.array(wanted, dtype=float), np.array(fold)


def fit(rows: np.ndarray, wanted: np.ndarray, size: int) -> np.ndarray:
    """``size`` log-odds and the bias."""
    matrix = np.zeros((len(rows), size + 1), dtype=np.float32)
    np.put_along_axis(matrix, rows, 1.0, axis=1)
    matrix[:, size] = 1.0
    weights = np.zeros(size + 1)
    ridge = np.diag([RIDGE] * size + [0.01])
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-(matrix @ weights)))
        gradient = matrix.T @ (chance - wanted) + ridge @ weights
        curve = (matrix * (chance * (1 - chance))[:, None].astype(np.float32)).T @ matrix + ridge
        weights -= np.linalg.solve(curve, gradient)
    return weights


def losses(weights: np.ndarray, rows: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    padded = np.append(weights[:-1], 0.0)
    odds = padded[rows].sum(axis=1) + weights[-1]
    return np.logaddexp(0.0, np.where(wanted > 0, -odds, odds))


def table(names: list[str], weights: np.ndarray) -> str:
    """The module."""
    lines = "\n".join(f'    "{name}": {weight:.2f},' for name, weight in sorted(zip(names, weights, strict=False)))
    return (
        '"""The log-odds of the signals in values.py. Written by ``benchmarks/fit_values.py --write``; not edited by hand."""\n\n'
        f"BIAS = {weights[-1]:.2f}\nLOG_ODDS = {{\n{lines}\n}}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
