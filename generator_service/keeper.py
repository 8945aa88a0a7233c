"""Writes what a take has come to beside the stepping, in a thread of its own.

A take has one place in line. Something newer takes the place of what waits there, so the line cannot grow, and whoever offers
never waits. A snapshot that cannot be written is logged and counted, the next one will do; final latents and deletions are
tried again until the store takes them.

Snapshots and deletions end with the lease under which they were offered: others may be further by then. Final latents do not:
they are the same whoever made them on the same kind of device. A write that outlives its lease in the middle (a process that
was stopped, a slow answer) cannot be called back. So it is made over what was there when the lease was looked at, or not at all,
and what it may have left is looked after: a snapshot of a take that nobody makes goes again.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from generator_service.claims import Claims, Held
from generator_service.core import Meter
from generator_service.objects import StoreUnavailableError
from generator_service.run import Run
from generator_service.snapshot import Snapshot, pack
from generator_service.store import Store

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)
AGAIN_S = 0.5
WRITES = 3
NOT_SURE = "the lease has not been renewed in time"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Latents:
    """Final latents of a take, and the run that made them with what it had used."""

    tensor: Tensor
    run: str
    meter: Meter


class Drop:
    """The run needs no snapshot of its take any more; another video of the same take, which goes on from it too, may."""


class Look:
    """Somebody may have left a snapshot that nobody needs: it was written, or may have been, when the lease was another's, or two
    videos of the take ended at the same time, each of which saw the other. Behind everything else, and in nobody's place."""


Item = Snapshot | Latents | Drop | Look


@dataclasses.dataclass(frozen=True, kw_only=True)
class Offer:
    """What is to be written for the run of ``video``, which was ours by ``held``."""

    video: str
    held: Held | None
    item: Item


class Standing(Protocol):
    """What of `heartbeat.Heartbeat` is asked here."""

    @property
    def sure(self) -> bool: ...
    def holds(self, held: Held | None) -> bool: ...


@dataclasses.dataclass(kw_only=True)
class Counts:
    """Of snapshots: written, given up after an error, and overtaken by a newer one before they were written."""

    written: int = 0
    failed: int = 0
    superseded: int = 0


class Keeper:
    """``heart`` is asked before each write: who lost its lease touches nothing. ``failing``: the last write that must not be
    given up was refused.
    """

    def __init__(self, store: Store, claims: Claims, heart: Standing) -> None:
        self._store, self._claims, self._heart = store, claims, heart
        self.counts = Counts()
        self._line: OrderedDict[str, Offer] = OrderedDict()
        self._looks: OrderedDict[str, Offer] = OrderedDict()
        self._writing: tuple[str, Offer] | None = None
        self._changed = threading.Condition()
        self._closing = self.failing = False
        self._thread = threading.Thread(target=self._main, name="keep", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def offer(self, run: Run, item: Item) -> None:
        """Never waits. A snapshot does not take the place of final latents: there is nothing left to go on from it."""
        take = run.request.take_name
        with self._changed:
            before = self._line[take].item if take in self._line else None
            if isinstance(before, Latents) and not isinstance(item, Latents):
                return
            if isinstance(before, Snapshot) and isinstance(item, Snapshot):
                self.counts.superseded += 1
            self._line[take] = Offer(video=run.name, held=run.held, item=item)
            self._changed.notify_all()

    def look(self, run: Run) -> None:
        """``run`` has ended, its claim is gone."""
        with self._changed:
            self._looks[run.request.take_name] = Offer(video=run.name, held=None, item=Look())
            self._changed.notify_all()

    def latents(self, take: str) -> Latents | None:
        """Final latents that are still on their way to the store."""
        with self._changed:
            ways = [*(offer for name, offer in [self._writing] if name == take)] if self._writing else []
            ways += [self._line[take]] if take in self._line else []
        return next((offer.item for offer in ways if isinstance(offer.item, Latents)), None)

    def settle(self, take: str, stopped: Callable[[], bool]) -> bool:
        """Waits until nothing of ``take`` is on its way. False when ``stopped`` turned true before that."""
        with self._changed:
            while take in self._line or take in self._looks or (self._writing is not None and self._writing[0] == take):
                if stopped():
                    return False
                self._changed.wait(AGAIN_S)
        return True

    def close(self, timeout: float) -> None:
        """Writes what waits, for ``timeout`` seconds at most, and while the store takes it."""
        end = time.monotonic() + timeout
        with self._changed:
            while (self._line or self._looks or self._writing) and not self.failing and time.monotonic() < end:
                self._changed.wait(AGAIN_S)
            self._closing = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(max(0.0, end - time.monotonic()))

    def _main(self) -> None:
        while (following := self._next()) is not None:
            take, offer = following
            done = self._try(take, offer)
            with self._changed:
                self._writing, self.failing = None, not done
                if not done:
                    (self._looks if isinstance(offer.item, Look) else self._line).setdefault(take, offer)
                self._changed.notify_all()
                if not done and not self._closing:
                    self._changed.wait(AGAIN_S)

    def _next(self) -> tuple[str, Offer] | None:
        with self._changed:
            while not (self._line or self._looks or self._closing):
                self._changed.wait()
            if self._closing:
                return None
            self._writing = (self._line or self._looks).popitem(last=False)
            return self._writing

    def _try(self, take: str, offer: Offer) -> bool:
        """False when it is to be tried again."""
        item = offer.item
        try:
            self._write(take, offer)
        except BaseException as error:  # a native library's panic must not end the thread: all ends wait for it
            if isinstance(item, Snapshot):
                self.counts.failed += 1
            if isinstance(item, Snapshot) or not self.failing:
                log.warning("%s of %s: not written: %s", type(item).__name__.lower(), take, error)
            return isinstance(item, Snapshot) or not isinstance(error, StoreUnavailableError)
        return True

    def _write(self, take: str, offer: Offer) -> None:
        item = offer.item
        if isinstance(item, Snapshot):
            self._put(take, offer, pack(item))
            return
        if isinstance(item, Look):
            self._clear(take)
            return
        if not self._heart.sure:
            raise StoreUnavailableError(NOT_SURE)
        if isinstance(item, Latents):
            from generator_service.engine import pack as pack_latents

            self._store.put_latents(take, pack_latents(item.tensor), item.run, item.meter)
        elif self._heart.holds(offer.held):
            self._clear(take, offer.video)

    def _put(self, take: str, offer: Offer, data: bytes) -> None:
        """Another video's run may be writing snapshots of the same take."""
        for _ in range(WRITES):
            before = self._store.snapshot_tag(take)
            if not self._heart.sure:
                raise StoreUnavailableError(NOT_SURE)
            if not self._heart.holds(offer.held):
                return
            try:
                written = self._store.put_snapshot(take, data, before)
            finally:  # a write whose answer was lost may have been made all the same
                if not (self._heart.sure and self._heart.holds(offer.held)):
                    with self._changed:
                        self._looks[take] = dataclasses.replace(offer, item=Look())
            if written:
                self.counts.written += 1
                return
        raise StoreUnavailableError("others write snapshots of this take")

    def _clear(self, take: str, ended: str = "") -> None:
        """The snapshot goes, unless somebody who makes a video of the take may need it; ``ended`` does not any more."""
        if self._store.snapshot_tag(take) is None:
            return
        if self._store.denoised(take) or not self._wanted(take, ended):
            self._store.drop_snapshot(take)

    def _wanted(self, take: str, ended: str) -> bool:
        return any(name != ended and self._store.take_of(name) == take for name in self._claims.names())
