"""For which shapes a tier that compiles has its graphs. The first denoise step of another one makes them, for a minute and more: it is
not stuck then, and its time says nothing of the next step's. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from generator_service.core import Stage
from generator_service.run import Run


class Graphs:
    """``making``: whether the step under way, or the last one, may make graphs if it is a denoise step."""

    def __init__(self) -> None:
        self._made: set[tuple[str, int, int, int]] = set()
        self.making = False

    @contextmanager
    def step(self, run: Run, compiles: bool) -> Iterator[None]:
        """Around a step of ``run``, whose tier ``compiles`` or does not."""
        take = run.request.take
        shape = take.tier, take.width, take.height, take.frames
        self.making = compiles and shape not in self._made
        yield
        if run.tally.stage is Stage.DENOISE:
            self._made.add(shape)
