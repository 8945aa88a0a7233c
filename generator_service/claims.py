"""Who makes which video: one object for every run that has not ended.

    runs/<sha256>       the claim on videos/<sha256>: made when the request is accepted, gone when its report is stored
    cancels/<sha256>    the wish that its owner stop it

A claim changes only by compare-and-swap, so it has one owner. Listing ``runs/`` finds all unfinished work without a look at what
is finished.
"""

from __future__ import annotations

import dataclasses
import uuid
from contextlib import suppress

import pydantic

from generator_service.objects import Objects, StoreUnavailableError

BARREN_MOST = 3


class ClaimLostError(Exception):
    """Another generator owns the run now."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    """``owner`` is a generator's name, "" when it was given back. ``begun``: its owner has made a first step.

    ``attempts`` counts the owners that began; ``barren`` how many of them in a row died without ``mark`` growing, which is
    what was durable when the run was claimed: steps of the snapshot, or one more than all when the final latents are stored.
    A run that only waited in the queue of a process that died has lost no attempt. ``trace`` is the ``traceparent`` of the call that
    opened the run.
    """

    run: str
    owner: str
    begun: bool = False
    attempts: int = 0
    barren: int = 0
    mark: int = 0
    trace: str = ""

    def taken(self, owner: str, mark: int) -> Claim:
        """The claim of the next owner."""
        barren = 0 if mark > self.mark else self.barren + self.begun
        return dataclasses.replace(self, owner=owner, begun=False, barren=barren, mark=mark)

    @property
    def poisoned(self) -> bool:
        return self.barren >= BARREN_MOST


@dataclasses.dataclass(frozen=True, kw_only=True)
class Accepted:
    """What stands in a stored request beside the request: outlives the claim where a power cut takes that. ``listed_ms``: the time
    of its entry in the catalogue, 0 where there is none."""

    run: str = ""
    listed_ms: int = 0


CLAIM = pydantic.TypeAdapter(Claim)
ACCEPTED = pydantic.TypeAdapter(Accepted)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Held:
    """A claim as it was read or written; ``tag`` is what the next change is compared with."""

    claim: Claim
    tag: str


class Claims:
    """Safe to call from several threads; every method blocks, and raises `StoreUnavailableError`."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def open(self, name: str, owner: str, run: str = "", trace: str = "") -> Held | None:
        """The claim on a new run of ``name``, called ``run`` or something new; None when a run of it has not ended. Not synced:
        after a power cut the sweep of `recovery.Recovery` finds a request that has lost its claim."""
        claim = Claim(run=run or uuid.uuid4().hex, owner=owner, trace=trace)
        tag = self._objects.create(path_of(name), CLAIM.dump_json(claim), sync=False)
        return None if tag is None else Held(claim=claim, tag=tag)

    def read(self, name: str) -> Held | None:
        """None when there is no unfinished run. A torn claim reads as one that nobody owns: its request decides, and knows which
        run it was accepted for."""
        found = self._objects.get(path_of(name))
        if found is None:
            return None
        try:
            claim = CLAIM.validate_json(found.data)
        except pydantic.ValidationError:
            claim = Claim(run=self._accepted(name) or uuid.uuid4().hex, owner="")
        return Held(claim=claim, tag=found.tag)

    def change(self, name: str, held: Held, claim: Claim) -> Held:
        """Raises `ClaimLostError` when somebody else was faster.

        Not synced: what a power cut may take back is an owner, who is dead then, or an attempt, which it was the end of.
        """
        tag = self._objects.swap(path_of(name), held.tag, CLAIM.dump_json(claim), sync=False)
        if tag is None:
            raise ClaimLostError(name)
        return Held(claim=claim, tag=tag)

    def begin(self, name: str, held: Held) -> Held:
        """Counts the attempt, before its first step."""
        claim = dataclasses.replace(held.claim, begun=True, attempts=held.claim.attempts + 1)
        return self.change(name, held, claim)

    def give_back(self, name: str, held: Held) -> None:
        """For the next generator to take at once; not a failed attempt."""
        self.change(name, held, dataclasses.replace(held.claim, owner="", begun=False))

    def end(self, name: str) -> None:
        """After the report. First the claim, then the wish: who wishes looks for the claim afterwards, so one of the two sees the other.
        What a store that goes away in between leaves of a wish, the next look for unfinished runs forgets."""
        self._objects.delete(path_of(name))
        with suppress(StoreUnavailableError):
            self.forget_wish(name)

    def bury(self, name: str, held: Held, owner: str) -> bool:
        """Ends a claim that is not ours to make: only when it is still ``held``, so that a later run of ``name`` keeps its own.

        It is ours for a moment before it goes: nobody opens a new one there or takes this one, and whoever finds us dead does
        the same again.
        """
        try:
            self.change(name, held, dataclasses.replace(held.claim, owner=owner, begun=False))
        except ClaimLostError:
            return False
        self.end(name)
        return True

    def forget_wish(self, name: str) -> None:
        """The wish came too late for its run; a claim on ``name`` by now is a later run's, and so may its wish be."""
        found, held = self._objects.get(_cancel(name)), self.read(name)
        if found is None or (held is not None and held.claim.run.encode() == found.data):
            return
        # A wish for a later run may have taken this one's place since (one that comes between the two is lost).
        if self._objects.swap(_cancel(name), found.tag, b"", sync=False) is not None:
            self._objects.delete(_cancel(name))

    def names(self) -> list[str]:
        """Videos whose runs have not ended, those that waited longest first."""
        return [f"videos/{path.removeprefix('runs/')}" for path in self._objects.oldest_first("runs/")]

    def ask_to_cancel(self, name: str, run: str) -> None:
        """Its owner's next heartbeat sees it, and so does whoever takes the run over. One that comes too late is not kept, and takes no
        place from one for a later run."""
        if not self._unfinished(name, run):
            return
        self._objects.put(_cancel(name), run.encode())
        if not self._unfinished(name, run):
            self.forget_wish(name)

    def _unfinished(self, name: str, run: str) -> bool:
        held = self.read(name)
        return held is not None and held.claim.run == run

    def _accepted(self, name: str) -> str:
        found = self._objects.get(f"{name}/request.json")
        return "" if found is None else accepted(found.data).run

    def cancels(self) -> list[str]:
        """Videos whose runs are to stop, by name."""
        return [f"videos/{path.removeprefix('cancels/')}" for path in self._objects.paths("cancels/")]

    def is_cancelled(self, name: str, run: str) -> bool:
        """The wish is for one run: a later one of the same name is not meant."""
        found = self._objects.get(_cancel(name))
        return found is not None and found.data == run.encode()


def accepted(request: bytes) -> Accepted:
    """What a stored request was accepted as; nothing where it is torn, or of a version that did not write it."""
    try:
        return ACCEPTED.validate_json(request)
    except pydantic.ValidationError:
        return Accepted()


def path_of(name: str) -> str:
    """Where the claim on a video is."""
    return f"runs/{name.removeprefix('videos/')}"


def _cancel(name: str) -> str:
    return f"cancels/{name.removeprefix('videos/')}"
