"""Shorten by rewriting with BART. English only. Its output is not trusted: the caller checks it.

Prompts share a batch only where they have equally many tokens: then a batch changes nothing (1,000 of 1,000 outputs equal to
those alone). In int8, padding does: of mixed batches of 8 between 2 and 3 % of the outputs came out otherwise than alone.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from . import checkpoint
from .batcher import Batcher
from .runtime import CTranslate2, Ids, Runtime, Transformers

RATIO_MIN, RATIO_MAX = 0.6, 0.8
"""Bounds of the length that is asked for, as a share of the input's tokens; below them BART starts to invent."""
SLACK = 0.1
"""How far below the ratio the text may end, as a share of the input."""
BATCH = 8
"""Prompts a batch, at most."""
QUEUE = 2 * BATCH
"""Prompts that wait, at most, unless a setting says otherwise."""
WARM = "A red ball rolls slowly over green grass."
Backend = Literal["ctranslate2", "transformers"]
Key = tuple[int, int, int]
"""What prompts of one batch have in common: tokens in, shortest and longest output."""


class Bart:
    """One checkpoint in one runtime. ``shorten`` blocks and may be called from many threads, which then share batches."""

    def __init__(self, runtime: Runtime, *, queue: int = QUEUE, batch: int = BATCH) -> None:
        self._runtime = runtime
        self.version = runtime.version
        self.room = batch + queue
        """Prompts that it has in hand and lets wait, at most."""
        self._batcher: Batcher[Key, Ids, Ids] = Batcher(self._work, size=batch, queue=queue)

    def shorten(self, text: str, ratio: float) -> str:
        """``text`` in about ``ratio`` (bounded to 0.6..0.8) of its tokens.

        Raises ``ValueError`` past the window, ``QueueFullError`` when too many wait, or what the runtime raised.
        """
        return str(self._runtime.tokenizer.decode(self.ids(text, ratio), skip_special_tokens=True)).strip()

    def ids(self, text: str, ratio: float) -> Ids:
        """The token ids that ``shorten`` decodes, without marks."""
        read = list(self._runtime.tokenizer.encode(text).ids)
        if len(read) > self._runtime.facts.window:
            raise ValueError(f"{len(read)} tokens do not fit BART's window")
        return self._batcher.ask((len(read), *lengths(len(read), ratio)), read)

    def close(self) -> None:
        """Answer those who wait with ``CancelledError``, and return when the model is at rest."""
        self._batcher.close()

    def _work(self, key: Key, rows: Sequence[Ids]) -> list[Ids]:
        _, shortest, longest = key
        return self._runtime.generate(rows, shortest, longest)


def load(
    name_or_path: str,
    *,
    backend: Backend = "ctranslate2",
    compute: str = "int8",
    beams: int = 4,
    threads: int = 0,
    queue: int = QUEUE,
    cache: Path | None = None,
) -> Bart:
    """A warm BART from a folder or, by name, from the hub. ``threads`` 0 takes one a core.

    Raises ``ValueError`` where there is no such checkpoint or it cannot be converted.
    """
    source = checkpoint.find(name_or_path)
    threads = threads or os.cpu_count() or 1
    runtime: Runtime
    if backend == "transformers":
        runtime = Transformers(source, beams=beams, threads=threads)
    else:
        where = cache or checkpoint.cache_folder()
        runtime = CTranslate2(source, compute=compute, beams=beams, threads=threads, cache=where)
    # transformers takes the prompts of a batch in turn; one at a time, a stop need not wait for eight.
    bart = Bart(runtime, queue=queue, batch=1 if backend == "transformers" else BATCH)
    bart.shorten(WARM, RATIO_MAX)
    return bart


def lengths(size: int, ratio: float) -> tuple[int, int]:
    """The shortest and longest output in BART's tokens, marks not counted, for an input of ``size``."""
    bounded = min(RATIO_MAX, max(RATIO_MIN, ratio))
    longest = max(2, math.floor(size * bounded))
    return min(max(1, math.floor(size * (bounded - SLACK))), longest), longest
