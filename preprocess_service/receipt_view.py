"""A receipt as a person reads it: the original with what went struck through, by stage, and where the tokens went.

On a terminal each stage has its colour. Where there is none, what went stands in ``[-...-]`` and what came in ``{+...+}``,
as wdiff writes it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

Receipt = Mapping[str, Any]
"""The contract's receipt as JSON with the proto's field names."""
COLOURS = {"clean": "cyan", "protect": "blue", "summarise": "red", "template": "yellow", "fit": "magenta"}
ADDED, PROTECTED = "green", "bold underline"


def show(console: Console, original: str, receipt: Receipt) -> None:
    """Print the receipt of ``original``."""
    console.print(diff(original, receipt, styled=console.is_terminal and not console.no_color), highlight=False)
    console.print(legend(receipt), highlight=False)
    console.print(stages(receipt))
    before, after = receipt["tokens_before"], receipt["tokens_after"]
    fidelity = receipt["fidelity"]
    console.print(
        f"{before} -> {after} tokens (at most {receipt['target_tokens']}, policy {receipt['policy']}), "
        f"{fidelity['rung']}, {'nothing mandatory lost' if fidelity['passed'] else 'below the floor'}"
        + (f", meaning {fidelity['semantic']:.2f}" if "semantic" in fidelity else ""),
        highlight=False,
    )
    for title, words in notes(receipt):
        if words:
            console.print(Text(f"{title}: {', '.join(words)}"), highlight=False)


def notes(receipt: Receipt) -> Iterator[tuple[str, list[str]]]:
    """What was protected, what of it was lost, and what else there is to say."""
    terms = receipt["protected_terms"]
    yield "protected", [f"{t['term']} ({t['source']})" for t in terms if t["survived"]]
    yield "not kept", [f"{t['term']} ({t['source']})" for t in terms if not t["survived"]]
    yield "lost", list(receipt["fidelity"]["reasons"])
    yield "warnings", list(receipt["warnings"])
    yield "screening", [f"{s['name']} {s['value']:g}" for s in receipt.get("screening", {}).get("signals", ())]


def stages(receipt: Receipt) -> Table:
    table = Table(show_edge=False, pad_edge=False)
    for name in ("stage", "tokens in", "tokens out", "ms"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for stage in receipt["stages"]:
        style = COLOURS.get(stage["stage"], "")
        milliseconds = int(stage["duration_us"]) / 1000
        table.add_row(
            Text(stage["stage"], style), str(stage["tokens_in"]), str(stage["tokens_out"]), f"{milliseconds:.1f}"
        )
    return table


def legend(receipt: Receipt) -> Text:
    """How many spans each stage took or rewrote, in its colour."""
    counts: dict[str, int] = {}
    for change in receipt["changes"]:
        counts[change["stage"]] = counts.get(change["stage"], 0) + 1
    parts = [
        Text(f"{stage} {count} span{'s' * (count > 1)}", COLOURS.get(stage, "red")) for stage, count in counts.items()
    ]
    return Text("changed by ").append(Text(", ").join(parts)) if parts else Text("nothing was changed")


def diff(original: str, receipt: Receipt, *, styled: bool) -> Text:
    """The original with every change in it; ``styled`` by colour and strike, else by brackets."""
    stage_of: list[str] = [""] * len(original)
    added: dict[int, str] = {}
    for change in receipt["changes"]:
        start, end, new = trimmed(change)
        for at in range(start, end):
            stage_of[at] = stage_of[at] or change["stage"]
        if new.strip():
            added[end] = new
    kept = protected(original, receipt)
    out = Text()
    at = 0
    places = sorted(added)
    if 0 in added:
        out.append(*((added[0], ADDED) if styled else (f"{{+{added[0]}+}}", "")))
    for (stage, safe, _), run in groupby(
        range(len(original)), key=lambda i: (stage_of[i], i in kept, bisect_right(places, i))
    ):
        size = len(list(run))
        put(out, original[at : at + size], stage, safe and not stage, styled)
        at += size
        if at in added:
            out.append(*((added[at], ADDED) if styled else (f"{{+{added[at]}+}}", "")))
    return out


def put(out: Text, text: str, stage: str, safe: bool, styled: bool) -> None:
    visible = "".join(c if c.isprintable() or c.isspace() else f"U+{ord(c):04X}" for c in text)
    if not styled:
        out.append(f"[-{visible}-]" if stage and visible.strip() else visible)
    else:
        out.append(visible, f"strike {COLOURS.get(stage, 'red')}" if stage else PROTECTED if safe else "")


def trimmed(change: Mapping[str, Any]) -> tuple[int, int, str]:
    """Start, end and replacement of a change, less what both texts share in front and behind."""
    start, end = int(change.get("start", 0)), int(change.get("end", 0))
    old, new = change.get("original", ""), change.get("replacement", "")
    while old and new and old[-1] == new[-1]:
        old, new, end = old[:-1], new[:-1], end - 1
    while old and new and old[0] == new[0]:
        old, new, start = old[1:], new[1:], start + 1
    return start, end, new


def protected(original: str, receipt: Receipt) -> set[int]:
    """The code points of the protected terms, wherever the original says them."""
    lower = original.lower() if len(original.lower()) == len(original) else original
    out: set[int] = set()
    terms: Sequence[str] = [t["term"] for t in receipt["protected_terms"] if t["term"]]
    for term in terms:
        at = lower.find(term.lower())
        while at >= 0:
            out.update(range(at, at + len(term)))
            at = lower.find(term.lower(), at + len(term))
    return out
