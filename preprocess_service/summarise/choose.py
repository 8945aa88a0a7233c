"""Which words stay: the cheapest by value for a token go, one phrase or one word at a time, until the rest fits.

A phrase is a chunk (units.py); what may go without its phrase is glue (articles, copulas), a modifier before its noun, and
``a sense of`` before what there is a sense of. A word that is said twice is worth something once: when the mention that
carries it goes, the next one carries it.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .dangling import dangling
from .glue import optional, walks
from .units import LONGEST, Chunk, Word

GLUE = 0.02
"""Value for a token of what only joins: articles go before anything that is shown, openers after most praise."""
WALKER = 0.06
"""The same for who does something in a clause with ``as`` or ``while``: ``as | they | walk`` needs somebody who walks."""
REPEATED = 0.005
"""Factor for a mention that does not carry its word."""
LONE = 0.85
"""Factor for a phrase that carries one word only."""
STUMP = 0.6
"""Factor for one word alone between two marks, where the text had more: ``history.`` tells a reader nothing."""
WORTHLESS = 0.046
"""Value for a token below which even what fits goes."""
SKIMMED = 0.95
"""Share of the target under which nothing goes for showing little."""
SMALLEST = 0.5
"""Cost of what costs nothing, so that it can be compared."""
LEADERS = frozenset(("and", "or", "but", "of"))
"""Words that open a chunk and say nothing once the chunk before it is gone."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that can go: ``words[first:last]``. A phrase takes the ``chunks`` along that hang on it."""

    first: int
    last: int
    chunk: int
    phrase: bool = False


class Choice:
    """The words of one text, what may go of them, and what has gone."""

    def __init__(self, words: Sequence[Word], chunks: Sequence[Chunk]) -> None:
        self.words, self.chunks = words, chunks
        self.keep = [True] * len(words)
        self.optional = [False] * len(words)
        self.total = sum(word.cost for word in words)
        self.dropped: list[tuple[Candidate, list[int]]] = []
        self.skimmed = False
        self.alive = [True] * len(chunks)
        self.chunk_of = [n for n, chunk in enumerate(chunks) for _ in range(chunk.first, chunk.last)]
        self.closed = [words[chunk.last - 1].mark for chunk in chunks]
        self.ends = [n + 1 for n in range(len(chunks))]
        for n in range(len(chunks) - 2, -1, -1):
            if chunks[n + 1].hangs and chunks[self.ends[n + 1] - 1].last - chunks[n].first <= LONGEST:
                self.ends[n] = self.ends[n + 1]
        self.mentions: dict[str, list[int]] = defaultdict(list)
        self.carrier: dict[str, int] = {}
        for i, word in enumerate(words):
            if word.value:
                self.mentions[word.stem].append(i)
                self.carrier.setdefault(word.stem, i)
        self.phrases: dict[int, Candidate] = {}
        found = list(self.candidates())
        self.glue = [
            (WALKER if walks(words, i) else GLUE) * word.cost if optional and not word.value else 0.0
            for i, (word, optional) in enumerate(zip(words, self.optional, strict=True))
        ]
        self.firm = [not word.mark and not optional for word, optional in zip(words, self.optional, strict=True)]
        self.heap = [(self.density(c), -c.first, n, c) for n, c in enumerate(found)]
        self.pushed = len(self.heap)
        heapq.heapify(self.heap)

    def fit(self, target: int) -> list[bool]:
        """Drop the cheapest until the rest fits, then take back what still has room. May be called again."""
        while self.heap and self.total > target:
            _, first, n, candidate = self.heap[0]
            density = self.density(candidate)
            if density > self.heap[0][0] + 1e-12:
                heapq.heapreplace(self.heap, (density, first, n, candidate))
                continue
            heapq.heappop(self.heap)
            self.drop(candidate)
        self.refill(target)
        self.skim(int(SKIMMED * target))
        if self.trim():
            self.refill(target)
            self.trim()
        return self.led()

    def trim(self) -> bool:
        """Drop what lost what it needs; was there anything?"""
        gone = list(dangling(self.words, self.chunks, self.keep))
        for i in gone:
            self.keep[i] = False
            self.total -= self.words[i].cost
            stem = self.words[i].stem
            if self.carrier.get(stem) == i:
                self.carrier[stem] = next((m for m in self.mentions[stem] if self.keep[m]), i)
        for n in {self.chunk_of[i] for i in gone}:
            self.alive[n] = self.stays(n)
        return bool(gone)

    def skim(self, least: int) -> None:
        """Drop phrases that show next to nothing although they fit: a target is a ceiling, not a size to fill. But no further
        than to ``least`` tokens: a wide target was chosen by somebody who wants more of the text.

        Words alone stay while there is room: without its articles a phrase reads worse and is not shorter by much.
        """
        self.skimmed = False
        phrases = sorted((self.density(c), first, n, c) for _, first, n, c in self.heap if c.phrase)
        for _, _, _, candidate in phrases:
            # Again, since what went before may have left this one to carry a word.
            if self.total <= least:
                break
            if self.density(candidate) < WORTHLESS:
                self.drop(candidate)
                self.skimmed = True

    def candidates(self) -> Iterator[Candidate]:
        for n, chunk in enumerate(self.chunks):
            for first, last in optional(self.words, chunk):
                self.optional[first:last] = [True] * (last - first)
                yield Candidate(first, last, n)
        for n, chunk in enumerate(self.chunks):
            self.phrases[n] = Candidate(chunk.first, self.chunks[self.ends[n] - 1].last, n, True)
            yield self.phrases[n]

    def density(self, candidate: Candidate) -> float:
        """Value for a token of what the candidate would take away now."""
        # Asked some hundred times a prompt, so nothing here is called that need not be.
        words, keep, carrier, glue, firm = self.words, self.keep, self.carrier, self.glue, self.firm
        value, carried, kept = 0.0, 0, 0
        cost = float(self.saved_mark(candidate)) if candidate.phrase else 0.0
        for i in range(candidate.first, candidate.last - self.shares_mark(candidate)):
            word = words[i]
            if not keep[i] or word.pinned:
                continue
            cost += word.cost
            kept += firm[i]
            if word.value:
                carried += 1
                value += word.value if carrier.get(word.stem) == i else word.value * REPEATED
            else:
                value += glue[i]
        if candidate.phrase and carried < 2:
            value *= STUMP if kept == 1 and self.apart(candidate) else LONE
        return value / max(cost, SMALLEST)

    def apart(self, candidate: Candidate) -> bool:
        """Does what is left of the candidate stand between two marks, with more around it in the source?"""
        n, end = candidate.chunk, self.ends[candidate.chunk]
        if sum(word.value > 0 for word in self.words[candidate.first : candidate.last]) < 2:
            return False  # "a boat" is no stump: the text said no more
        before, after = n - 1, end
        while before >= 0 and not self.alive[before]:
            before -= 1
        while after < len(self.chunks) and not self.alive[after]:
            after += 1
        return (before < 0 or any(self.closed[before:n])) and any(self.closed[end - 1 : after])

    def shares_mark(self, candidate: Candidate) -> bool:
        """Does the candidate end with a mark that what stands before it may need?"""
        return candidate.phrase and self.words[candidate.last - 1].mark

    def saved_mark(self, candidate: Candidate) -> int:
        """Tokens of the mark that goes too: of two marks around what goes one stays, and a lone one stays."""
        n = candidate.chunk
        before = n - 1
        while before >= 0 and not self.alive[before]:
            before -= 1
        if before >= 0 and not any(self.closed[before:n]):
            return 0
        after = self.ends[n]
        last = after
        while after < len(self.chunks) and not self.alive[after]:
            after += 1
        found = (self.words[self.chunks[k].last - 1].cost for k in range(last - 1, after) if self.closed[k])
        return next(found, 0)

    def price(self, candidate: Candidate, some: Sequence[int]) -> int:
        """Tokens of the words ``some`` of the candidate, with the mark that they bring along."""
        if not candidate.phrase:
            return sum(self.words[i].cost for i in some)
        end = candidate.last - self.shares_mark(candidate)
        return sum(self.words[i].cost for i in some if i < end) + self.saved_mark(candidate)

    def drop(self, candidate: Candidate) -> None:
        gone = [i for i in range(candidate.first, candidate.last) if self.keep[i] and not self.words[i].pinned]
        for i in gone:
            self.keep[i] = False
        for i in gone:
            stem = self.words[i].stem
            if self.carrier.get(stem) == i:
                self.carrier[stem] = next((m for m in self.mentions[stem] if self.keep[m]), i)
        if gone:
            self.total -= self.price(candidate, gone)
            self.dropped.append((candidate, gone))
            self.look(candidate)
            if not candidate.phrase:
                # What is left of its phrase may have become worth less: the heap only notices what became worth more.
                self.push(self.phrases[candidate.chunk])

    def push(self, candidate: Candidate) -> None:
        self.pushed += 1
        heapq.heappush(self.heap, (self.density(candidate), -candidate.first, self.pushed, candidate))

    def refill(self, target: int) -> None:
        """Take back, dearest first, what fits after all and still has what it belongs to."""
        out = []
        for candidate, gone in reversed(self.dropped):
            cost = self.price(candidate, gone)
            if self.total + cost > target or not self.belongs(candidate):
                out.append((candidate, gone))
                continue
            for i in gone:
                self.keep[i] = True
            self.total += cost
            self.look(candidate)
            self.push(candidate)
        self.dropped = out[::-1]

    def belongs(self, candidate: Candidate) -> bool:
        """Is there what the candidate goes with: for a word its phrase, for what hangs the phrase before it?"""
        if candidate.phrase:
            return not self.chunks[candidate.chunk].hangs or self.stays(candidate.chunk - 1)
        return self.stays(candidate.chunk)

    def look(self, candidate: Candidate) -> None:
        """See again which chunks of the candidate are there."""
        if candidate.phrase:
            for n in range(candidate.chunk, self.ends[candidate.chunk]):
                self.alive[n] = self.stays(n)
        elif candidate.last == self.chunks[candidate.chunk].last and self.words[candidate.first].mark:
            self.closed[candidate.chunk] = self.keep[candidate.first]

    def stays(self, n: int) -> bool:
        """Is anything firm of the chunk left?"""
        chunk = self.chunks[n]
        return any(
            self.keep[i] and not self.words[i].mark and not self.optional[i] for i in range(chunk.first, chunk.last)
        )

    def led(self) -> list[bool]:
        """What stays, without the joining words of chunks that have nothing before them to be joined to."""
        keep = list(self.keep)
        for n, chunk in enumerate(self.chunks):
            word = self.words[chunk.first]
            if chunk.place and word.lower in LEADERS and not word.pinned and not self.stays(n - 1):
                keep[chunk.first] = False
        for i, word in enumerate(self.words[:-1]):
            if keep[i] and word.lower in ("a", "an") and not keep[i + 1] and not word.pinned:
                following = next((w for w, kept in zip(self.words[i + 1 :], keep[i + 1 :], strict=True) if kept), None)
                # "a | stunning | ultra-wide shot": "a ultra-wide" would be no English.
                keep[i] = following is not None and (following.lower[0] in "aeiou") == (word.lower == "an")
        return keep
