"""The model's own thread. Callers wait in a bounded queue; those who wait at the same time are answered together.

A batch never waits for company: it is what stands in the queue when the model becomes free, eldest first, and only
requests with equal ``key`` share one. A batch that fails is tried again one by one, so nobody pays for another's fault.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from reelgate.rpc.errors import QueueFullError

Key = TypeVar("Key", bound=Hashable)
In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True, eq=False)
class _Waiting(Generic[Key, In, Out]):
    item: In
    key: Key
    answer: Future[Out] = field(default_factory=Future)


class Batcher(Generic[Key, In, Out]):
    """``work`` maps a list of items with equal ``key`` to the list of their answers, in one thread."""

    def __init__(
        self,
        work: Callable[[Key, Sequence[In]], Sequence[Out]],
        *,
        size: int,
        queue: int,
    ) -> None:
        """At most ``size`` items a batch, at most ``queue`` that wait."""
        self._work = work
        self._size = size
        self._room = queue
        self._queue: deque[_Waiting[Key, In, Out]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="bart", daemon=True)
        self._thread.start()

    def ask(self, key: Key, item: In) -> Out:
        """The answer for ``item``; blocks. Raises ``QueueFullError`` at once when ``queue`` items wait, ``CancelledError``
        once closed, or what ``work`` raised for this item alone.
        """
        waiting: _Waiting[Key, In, Out] = _Waiting(item, key)
        with self._changed:
            if self._closed:
                raise CancelledError
            if len(self._queue) >= self._room:
                raise QueueFullError("too many prompts wait for the model")
            self._queue.append(waiting)
            self._changed.notify()
        return waiting.answer.result()

    def close(self) -> None:
        """Answer those who wait with ``CancelledError``, and return when the thread has finished its batch and ended."""
        with self._changed:
            self._closed = True
            while self._queue:
                self._queue.popleft().answer.set_exception(CancelledError())
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._next():
            self._answer(batch)

    def _next(self) -> list[_Waiting[Key, In, Out]]:
        """The eldest, and those behind it with its key; empty once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._queue)
            if self._closed:
                return []
            batch = [w for w in self._queue if w.key == self._queue[0].key][: self._size]
            self._queue = deque(w for w in self._queue if w not in batch)
            return batch

    def _answer(self, batch: Sequence[_Waiting[Key, In, Out]]) -> None:
        try:
            answers = self._work(batch[0].key, [waiting.item for waiting in batch])
            for waiting, answer in zip(batch, answers, strict=True):
                waiting.answer.set_result(answer)
        except Exception as error:  # whatever the model does, the thread lives and every caller is answered
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
                return
            for waiting in batch:
                if not waiting.answer.done():
                    self._answer([waiting])
