"""What is known of a run by its id, and what would become of a request, from the store alone: no run is touched.

A run moves one way: its claim, then its report in the video's folder, then, when a later run of the name is accepted, among the ended
ones. Each place is written before the one before it is given up, so a look that goes the same way never misses a run, whoever moves
it meanwhile. The id in the stored request is the last place: a power cut may take a claim, and never that.
"""

from __future__ import annotations

import dataclasses

from generator_service.claims import Claims
from generator_service.core import Report, Request
from generator_service.store import Record, Store


class AcceptingError(Exception):
    """The run is being accepted in this moment, or nearly was: nothing can be said of it yet."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Known:
    """One run: ``report`` is None while it has not ended."""

    record: Record
    report: Report | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outlook:
    """What a request would come to: ``stored`` is the report of its video, ``run`` the one it would join or that made the video, ""
    where it would open a new one. ``denoised``: the take's latents are there."""

    stored: Report | None = None
    run: str = ""
    denoised: bool = False


class Inquiry:
    """Safe to call from several threads; every method blocks, and raises `StoreUnavailableError`."""

    def __init__(self, store: Store, claims: Claims) -> None:
        self._store, self._claims = store, claims

    def of_run(self, name: str, run: str) -> Known | None:
        """None when no such run was ever accepted. Raises `AcceptingError` while that is not decided."""
        held = self._claims.read(name)
        claimed = held is not None and held.claim.run == run
        record = self._store.record(name)
        if record is None:
            if claimed:
                raise AcceptingError(run)
            return None
        if record.report is not None and record.report.run == run:
            return Known(record=record, report=record.report)
        ended = self._store.ended(name, run)
        if ended is None and not claimed:
            if record.run != run or record.report is not None:
                return None
            # Its claim went with the machine's power. What is said here to be unfinished is to be finished.
            self._claims.open(name, "", run)
        return Known(record=record, report=ended)

    def current(self, name: str) -> str:
        """The run of ``name`` that has not ended; "" when there is none."""
        held = self._claims.read(name)
        return "" if held is None else held.claim.run

    def outlook(self, request: Request) -> Outlook:
        stored = self._store.finished(request.name)
        if stored is not None:
            return Outlook(stored=stored, run=stored.run, denoised=True)
        return Outlook(run=self.current(request.name), denoised=self._store.denoised(request.take_name))
