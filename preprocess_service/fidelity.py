"""Did it survive? Judges the final text against the cleaned one, after the last lossy stage.

Mandatory: protected terms, numbers, negations, and nothing invented. Weighed: colours, directions (left and right, towards
and away), counts, names, camera and style, in English and Chinese. What is missing is named: the mandatory all of it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .core import Fidelity, Verdict
from .protect import HARD, Protector, fold
from .summarise import lexicon
from .summarise.units import IS_CJK, Word, words_of

FLOOR = 0.2
"""Below this share of the weighed words the picture is another one."""
ENOUGH = 6.0
"""Weight that a text must have for its share to say anything."""
GOOD = 0.6
"""From this share on the verdict is faithful."""
GROUPS = (
    ("colour", lexicon.COLOURS),
    ("direction", lexicon.DIRECTIONS | frozenset(("toward", "towards", "away", "clockwise", "counterclockwise"))),
    ("count", lexicon.COUNTS),
    ("camera", lexicon.CAMERA),
    ("style", lexicon.STYLE),
)
WEIGHTS = {"colour": 1.0, "direction": 2.0, "count": 2.0, "camera": 2.0, "style": 2.0, "name": 2.0}
TERMS_ZH = (
    (
        "camera",
        re.compile(
            "特写|[近中远全]景|[俯仰航跟]拍|推近|拉近|拉远|摇摄|环绕|推镜|拉镜|镜头[前后左右上下]移|慢动作|延时|第一人称"
        ),
    ),
    (
        "direction",
        re.compile("[向朝往从][左右前后上下东西南北]|[左右][侧边方面]|顺时针|逆时针|靠近|远离|走近|走远|后退|前进"),
    ),
    ("count", re.compile("[两二三四五六七八九十百千数几][只个位名条头匹辆艘架座棵朵群对双片支株张]")),
    ("colour", re.compile("[红橙黄绿蓝紫白黑灰粉棕金银褐青][色发衣裙]?")),
    ("style", re.compile("动漫|动画|卡通|水彩|油画|素描|赛博朋克|像素|写实|水墨|二次元|[\u4e00-\u9fff]{2}风格")),
)
"""Chinese has no words between spaces: these are looked for as they are written."""
NEUTRAL = lexicon.FUNCTION | lexicon.NEGATIONS
NAMED_MOST = 40
"""Weighed losses listed by name; a text that lost more says how many. Mandatory ones are all listed."""


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
    weighed, score = _weighed(old, new, before, after)
    losses += weighed
    if any(loss.mandatory for loss in losses) or score < FLOOR:
        verdict = Verdict.BELOW_FLOOR
    else:
        verdict = Verdict.FAITHFUL if score >= GOOD else Verdict.WEAKENED
    names = tuple(str(loss) for loss in losses if loss.mandatory)
    others = [str(loss) for loss in losses if not loss.mandatory]
    names += tuple(others[:NAMED_MOST])
    if len(others) > NAMED_MOST:
        names += (f"and {len(others) - NAMED_MOST} more",)
    return Fidelity(verdict=verdict, score=round(score, 4), reasons=names), tuple(losses)


def _protected(before: str, after: str, protector: Protector) -> Iterable[Loss]:
    hard = protector.hard(after)
    for span in protector.pins(before):
        if not survives(span.text, after, hard if span.kind in HARD else None):
            yield Loss(kind=span.kind, text=span.text, mandatory=True)


def survives(text: str, after: str, hard: set[str] | None) -> bool:
    """Is a protected text in ``after``? ``hard``: the keywords found there, where it is one of them.

    A number survives as a number: ``3`` is not in ``30``.
    """
    if hard is not None:
        return fold(text) in hard
    key, folded = _key(text), _key(after)
    at = folded.find(key)
    while at >= 0:
        end = at + len(key)
        joins = (key[0].isdigit() and folded[max(0, at - 1) : at].isdigit()) or (
            key[-1].isdigit() and folded[end : end + 1].isdigit()
        )
        if not joins:
            return True
        at = folded.find(key, at + 1)
    return False


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


def _weighed(old: Iterable[Word], new: Iterable[Word], before: str, after: str) -> tuple[list[Loss], float]:
    """The losses among the weighed words, and the share of their weight that survived (1.0 where there are none)."""
    kept = {word.stem for word in new}
    total = got = 0.0
    losses = []
    for word in {w.stem: w for w in old if not w.mark}.values():
        kind = next((name for name, words in GROUPS if word.lower in words), "name" if word.capital else "")
        if not kind or IS_CJK.match(word.lower):
            continue
        total += WEIGHTS[kind]
        if word.stem in kept:
            got += WEIGHTS[kind]
        else:
            losses.append(Loss(kind=kind, text=word.lower, mandatory=False))
    for kind, pattern in TERMS_ZH if not before.isascii() else ():
        for term in dict.fromkeys(pattern.findall(before)):
            total += WEIGHTS[kind]
            if term in after:
                got += WEIGHTS[kind]
            else:
                losses.append(Loss(kind=kind, text=term, mandatory=False))
    return losses, got / total if total >= ENOUGH else max(GOOD, got / total) if total else 1.0
