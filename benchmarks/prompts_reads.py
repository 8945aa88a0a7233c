"""Does an output read as a prompt, and is everything kept that has to be?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from benchmarks.prompt_data import Check, Row, at_least, texts
from preprocess_service.clean import clean
from preprocess_service.core import Prompt, Request
from preprocess_service.pipeline import Line
from preprocess_service.summarise import lexicon
from preprocess_service.summarise.units import Word, words_of

READS, CLAUSES, FIRST = 0.9, 0.95, 0.9
CJK = re.compile("[\u3400-\u9fff]")
CLAUSE = re.compile('[，。；：！？,.;:!?\n“”"（）()—]')
NEGATION = re.compile("(?!不[断同仅但过久已禁少]|无[数缝尽论比垠]|无人机)(?:没有|不|无)")
"""Without words that are written with the character and deny nothing: steadily, different, countless, seamless, drone."""
NUMBER = re.compile(r"\d+(?:[.,:/]\d+)*")
QUOTED = re.compile('"[^"\n]+"|“[^”\n]+”|「[^」\n]+」|《[^》\n]+》')
VERBS = ("s", "ed", "ing")


def english(rows: Sequence[Row], line: Line) -> list[Check]:
    """A verb phrase or a preposition where the source had one; numbers and negations kept or named."""
    read = had = named = must = 0
    for row in rows:
        made = line.prepare(Request(text=row["long"]))
        if phrased(words_of(row["long"])):
            had += 1
            read += phrased(words_of(made.prompt))
        must += len(made.receipt.protected)
        lost = " ".join(made.receipt.fidelity.reasons)
        named += sum(term.survived or term.text in lost for term in made.receipt.protected)
    return [
        at_least(
            "outputs with a verb phrase or a preposition where the source had one", read / had if had else None, READS
        ),
        at_least("English numbers, negations and quotations kept or named", named / must if must else None, 1.0),
    ]


def phrased(words: Sequence[Word]) -> bool:
    """A preposition with something after it, or a word with a verb's ending after a word that can be its subject."""
    for before, word in pairwise(words):
        if before.lower in lexicon.PREPOSITIONS and not word.mark:
            return True
        if not before.mark and word.lower.endswith(VERBS) and before.lower not in lexicon.FUNCTION:
            return True
    return False


def chinese(rows: Sequence[Row], line: Line) -> list[Check]:
    """Over the Chinese and mixed singles that are over the target: what is kept, and where it is cut."""
    kept = must = clean_cuts = cuts = over = broken = prompts = 0
    first = 0.0
    for text in (t for row in rows for t in texts(row)):
        made = line.prepare(Request(text=text))
        if made.receipt.tokens_before <= made.receipt.target:
            continue
        source, out = clean(Prompt.of(text))[0].text, made.prompt
        lost = " ".join(made.receipt.fidelity.reasons)
        prompts += 1
        over += made.receipt.tokens_after > made.receipt.target
        broken += "\ufffd" in out
        for pattern in (NEGATION, NUMBER, QUOTED):
            for found in set(pattern.findall(source)):
                must += 1
                kept += found in out or found in lost or found.replace(" ", "") in out.replace(" ", "")
        good, all_ = edges(source, out)
        clean_cuts, cuts = clean_cuts + good, cuts + all_
        opening = CJK.findall(next((part for part in CLAUSE.split(source) if CJK.search(part)), ""))
        first += sum(char in out for char in opening) / max(len(opening), 1)
    if not prompts:
        return [Check("Chinese and mixed singles", None, "no such rows")]
    return [
        Check(
            f"Chinese: target met, no split characters, {prompts} prompts",
            not over and not broken,
            f"{over} over, {broken} broken",
        ),
        at_least("Chinese: numbers, quotations, negations kept or named", kept / must if must else None, 1.0),
        at_least("Chinese: cuts at clause ends", clean_cuts / cuts if cuts else None, CLAUSES),
        at_least("Chinese: characters of the first clause kept", first / prompts, FIRST),
    ]


def edges(source: str, out: str) -> tuple[int, int]:
    """How many Chinese clauses of the output are whole clauses of the source, and how many there are."""
    whole = {part.strip() for part in CLAUSE.split(source)}
    parts = [part.strip() for part in CLAUSE.split(out) if CJK.search(part)]
    return sum(part in whole for part in parts), len(parts)
