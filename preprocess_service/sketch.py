"""How often was a key asked for lately? A count-min sketch with ageing, as in TinyLFU (Einziger, Friedman, Manes, 2017)."""

from typing import Final

ROWS: Final = 4
MOST: Final = 15
"""Counters stop here: four bits are enough to tell the frequent from the rare, and halving forgets them soon."""
PERIOD: Final = 10
"""All counters are halved after this many mentions for each expected key."""
_HALVED: Final = bytes(count >> 1 for count in range(256))


class Sketch:
    """Counts mentions of keys, never too few and seldom too many, in ``4 * 8 * keys`` bytes whatever comes.

    Keys are digests of at least 16 bytes: their own bytes serve as the four hashes.
    """

    def __init__(self, keys: int) -> None:
        width = 1 << max(6, (8 * keys - 1).bit_length())
        self._mask = width - 1
        self._rows = tuple(bytearray(width) for _ in range(ROWS))
        self._period = PERIOD * max(1, keys)
        self._mentions = 0

    def mention(self, key: bytes) -> None:
        """Count ``key`` once. Only the smallest of its counters grow, which keeps strangers' counts low."""
        places = self._places(key)
        least = min(row[place] for row, place in zip(self._rows, places, strict=True))
        if least < MOST:
            for row, place in zip(self._rows, places, strict=True):
                if row[place] == least:
                    row[place] += 1
        self._mentions += 1
        if self._mentions >= self._period:
            self._age()

    def count(self, key: bytes) -> int:
        """Mentions of ``key`` of late, 0..15."""
        return min(row[place] for row, place in zip(self._rows, self._places(key), strict=True))

    def _age(self) -> None:
        """What was frequent yesterday makes room for what is frequent today."""
        self._rows = tuple(row.translate(_HALVED) for row in self._rows)
        self._mentions //= 2

    def _places(self, key: bytes) -> tuple[int, int, int, int]:
        mask, bits = self._mask, int.from_bytes(key[:16], "little")
        return bits & mask, bits >> 32 & mask, bits >> 64 & mask, bits >> 96 & mask
