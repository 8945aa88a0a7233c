"""Where slow prompts are prepared: one thread beside the event loop, with a queue that ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from reelgate.rpc.errors import QueueFullError

from .core import Prepared, Request
from .lexicons import Lexicon
from .opened import Opened
from .pipeline import Line

T = TypeVar("T")
INLINE_MAX = 2_000
"""Code points that the loop prepares itself, in some milliseconds; a longer text would hold up everyone's calls."""


class Worker:
    """Prepares prompts: short ones at once, long ones and all of a line with a model in its thread, one after another."""

    def __init__(self, *, queue: int) -> None:
        self._queue = queue
        self._waiting = 0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="line")

    async def open(self, line: Line, request: Request, lexicon: Lexicon) -> Opened:
        """As ``Line.open``. Raises ``QueueFullError`` when too many wait."""
        return await self._run(partial(line.open, lexicon=lexicon), request, slow=False)

    async def shorten(self, line: Line, request: Request) -> Prepared:
        """As ``Line.shorten``. Raises ``QueueFullError`` when too many wait."""
        return await self._run(line.shorten, request, slow=line.rewriter is not None)

    async def _run(self, stage: Callable[[Request], T], request: Request, *, slow: bool) -> T:
        if not slow and _size(request) <= INLINE_MAX:
            return stage(request)
        if self._waiting >= self._queue:
            raise QueueFullError("too many prompts wait to be prepared")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, stage, request)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Drop what waits and let the thread end."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _size(request: Request) -> int:
    fields = request.fields
    parts = (fields.subject, fields.action, fields.scene, fields.style, fields.camera) if fields else (request.text,)
    return sum(map(len, parts)) + len(request.negative) + sum(map(len, request.keywords))
