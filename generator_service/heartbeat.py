"""Keeps this generator's lease alive, in a thread of its own, and looks for wishes to cancel while it is at it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from generator_service.claims import Claims, Held
from generator_service.core import Progress
from generator_service.lease import Clock, Lease, LeaseLostError
from generator_service.objects import Objects, StoreUnavailableError

log = logging.getLogger(__name__)

# Beats in the time of a lease: a few may fail before it runs out.
BEATS = 5
# A store that does not answer within this part of a lease's time is asked again.
PARTS = 4


class Heartbeat:
    """``lost`` and ``cancels`` (the names that someone wants stopped) are called in the heartbeat's thread."""

    def __init__(
        self,
        objects: Objects,
        *,
        ttl: float,
        lost: Callable[[], None],
        cancels: Callable[[list[str]], None],
        clock: Clock = time.monotonic,
    ) -> None:
        # A beat that hangs must not cost the lease: a few of them fit into its time.
        self._objects = objects.within(ttl / PARTS)
        self._claims = Claims(self._objects)
        self._ttl, self._clock = ttl, clock
        self._lost, self._cancels = lost, cancels
        self._lease: Lease | None = None
        self._where: dict[str, Progress] = {}
        self.beats = {"renewed": 0, "failed": 0, "lost": 0}
        """Attempts to renew the lease, by how they ended; the first one counts too."""
        self._away = False
        self._telling = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._main, name="heartbeat", daemon=True)

    def start(self) -> None:
        """The first beat is made before this returns; a store that is gone is asked again at every beat."""
        self._beat()
        self._thread.start()

    def stop(self) -> None:
        """The lease is given back: what was claimed under it is for others to take."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._telling:
            lease, self._lease = self._lease, None
        try:
            if lease is not None:
                lease.release()
        except StoreUnavailableError as error:
            log.warning("the lease is left to run out", exc_info=error)

    @property
    def owner(self) -> str:
        """This generator's name, for as long as its lease holds. Raises `StoreUnavailableError` while there is none."""
        lease = self._lease
        if lease is None or not lease.sure:
            raise StoreUnavailableError("the lease cannot be renewed")
        return lease.name

    @property
    def sure(self) -> bool:
        """Nobody else can be making our videos."""
        lease = self._lease
        return lease is not None and lease.sure

    def holds(self, held: Held | None) -> bool:
        """The claim is under the lease that we have now; not so once that was lost, even when there is a new one."""
        lease = self._lease
        return lease is not None and held is not None and held.claim.owner == lease.name

    def tell(self, name: str, progress: Progress | None) -> None:
        """Where a run is; None: it has ended. Called after every step, so nothing here waits for the store."""
        with self._telling:
            where = {**self._where, name: progress} if progress is not None else dict(self._where)
            if progress is None:
                where.pop(name, None)
            self._where = where
            if self._lease is not None:
                self._lease.tell(where)

    def _main(self) -> None:
        while not self._stopped.wait(self._ttl / BEATS):
            self._beat()

    def _beat(self) -> None:
        try:
            if self._renew() and (names := self._claims.cancels()):
                self._cancels(names)
            self._away = False
        except StoreUnavailableError as error:
            self.beats["failed"] += 1
            if not self._away:
                log.warning("the store is full or cannot be reached, and is asked again at every beat: %s", error)
            self._away = True
        except BaseException as error:  # a heart that stops for a surprise, a native panic too, loses every run
            self.beats["failed"] += 1
            log.error("a heartbeat failed", exc_info=error)

    def _renew(self) -> bool:
        """False when the lease turns out to be lost."""
        try:
            if self._lease is None:
                self._lease = Lease(self._objects, ttl=self._ttl, clock=self._clock)
            else:
                self._lease.renew(self._where)
            self.beats["renewed"] += 1
        except LeaseLostError:
            self.beats["lost"] += 1
            log.error("the lease was lost: others may make our videos by now, so all runs here stop")
            with self._telling:
                lease, self._lease = self._lease, None
            self._lost()
            if lease is not None:
                lease.abandon()
            return False
        return True
