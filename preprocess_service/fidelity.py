"""Did it survive? Judges the final text against the cleaned one, after the last lossy stage.

Mandatory: protected terms, numbers, negations, and nothing invented. Weighed: colours, directions, counts, names,
camera and style. What is missing is named.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from .core import Fidelity, Verdict
from .protect import Protector, fold
from .summarise import lexicon
from .summarise.units import Word, words_of

FLOOR = 0.2
"""Below this share of the weighed words the picture is another one."""
ENOUGH = 6.0
"""Weight that a text must have for its share to say anything."""
GOOD = 0.6
"""From this share on the verdict is faithful."""
GROUPS = (
    ("colour", lexicon.COLOURS),
    ("direction", lexicon.DIRECTIONS),
    ("count", lexicon.COUNTS),
    ("camera", lexicon.CAMERA),
    ("style", lexicon.STYLE),
)
WEIGHTS = {"colour": 1.0, "direction": 2.0, "count": 2.0, "camera": 2.0, "style": 2.0, "name": 2.0}
NEUTRAL = lexicon.FUNCTION | lexicon.NEGATIONS
NAMED_MOST = 40
"""Reasons listed by name; a text that lost more says how many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Loss:
    """One thing that is missing (or new): its kind, and its words."""

    kind: str
    text: str
    mandatory: bool

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


def assess(before: str, after: str, protector: Protector) -> tuple[Fidelity, tuple[Loss, ...]]:
    """The verdict on ``after`` as a shorter form of ``before``, and every loss."""
    if before == after:
        return Fidelity(verdict=Verdict.FAITHFUL, score=1.0), ()
    old, new = words_of(before), words_of(after)
    losses = [*_protected(before, after, protector), *_invented(old, new)]
    weighed, score = _weighed(old, new)
    losses += weighed
    if any(loss.mandatory for loss in losses) or score < FLOOR:
        verdict = Verdict.BELOW_FLOOR
    else:
        verdict = Verdict.FAITHFUL if score >= GOOD else Verdict.WEAKENED
    names = tuple(str(loss) for loss in losses)
    if len(names) > NAMED_MOST:
        names = (*names[:NAMED_MOST], f"and {len(names) - NAMED_MOST} more")
    return Fidelity(verdict=verdict, score=round(score, 4), reasons=names), tuple(losses)


def _protected(before: str, after: str, protector: Protector) -> Iterable[Loss]:
    there = {(span.kind, _key(span.text)) for span in protector.spans(after)}
    texts = {key for _, key in there}
    folded = _key(after)
    for span in protector.pins(before):
        key = _key(span.text)
        if (span.kind, key) not in there and key not in texts and not (span.kind != "keyword" and key in folded):
            yield Loss(kind=span.kind, text=span.text, mandatory=True)


def _key(text: str) -> str:
    return " ".join(fold(text).split())


def _invented(old: Iterable[Word], new: Iterable[Word]) -> Iterable[Loss]:
    """Words of the new text that the old one has in no form; only a rewriting summariser can do that."""
    known = {word.stem for word in old} | {word.lower for word in old}
    parts = {part for word in known for part in word.replace("’", "-").replace("'", "-").split("-")}
    for word in {w.lower: w for w in new}.values():
        if (
            not word.mark
            and word.stem not in known
            and word.lower not in NEUTRAL
            and word.stem not in parts
            and word.lower not in parts
        ):
            yield Loss(kind="invented", text=word.lower, mandatory=True)


def _weighed(old: Iterable[Word], new: Iterable[Word]) -> tuple[list[Loss], float]:
    """The losses among the weighed words, and the share of their weight that survived (1.0 where there are none)."""
    kept = {word.stem for word in new}
    total = got = 0.0
    losses = []
    for word in {w.stem: w for w in old if not w.mark}.values():
        kind = next((name for name, words in GROUPS if word.lower in words), "name" if word.capital else "")
        if not kind:
            continue
        total += WEIGHTS[kind]
        if word.stem in kept:
            got += WEIGHTS[kind]
        else:
            losses.append(Loss(kind=kind, text=word.lower, mandatory=False))
    return losses, got / total if total >= ENOUGH else max(GOOD, got / total) if total else 1.0
