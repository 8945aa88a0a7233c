"""A generator's lease on the runs that it claimed, and how the others judge whether it lives.

    generators/<name>    the lease: renewed by compare-and-swap, so that whoever lost it learns it at its next renewal

One lease a generator and not one a run: sixty queued runs cost one write a heartbeat. No wall clock is compared. A watcher
takes a generator for dead when it has itself seen the same lease for longer than the lease's time, by its own monotonic
clock; or at once when both run on one machine and the kernel has taken the owner's file lock back. It then breaks the lease,
by compare-and-swap again, before it touches a claim: an owner that was only slow loses the race or wins it, never half.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

import pydantic

from generator_service.core import Progress
from generator_service.objects import Objects

BROKEN = b"broken"
Clock = Callable[[], float]
Where = Mapping[str, Progress]
WHERE = pydantic.TypeAdapter(dict[str, Progress])


class LeaseLostError(Exception):
    """Others took this generator for dead, and may make its videos by now."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Note:
    """What a lease says: which renewal it is, on which machine, for how long it holds, and where each of its runs is."""

    beat: int
    machine: str
    ttl: float
    where: dict[str, Progress] = dataclasses.field(default_factory=dict)


NOTE = pydantic.TypeAdapter(Note)


class Lease:
    """Belongs to one thread, but for `sure` and `tell`."""

    def __init__(self, objects: Objects, *, ttl: float, clock: Clock = time.monotonic) -> None:
        """Raises `StoreUnavailableError`."""
        self.name = uuid.uuid4().hex
        self._objects, self._ttl, self._clock = objects, ttl, clock
        self._path = f"generators/{self.name}"
        self._beat = 0
        self._life = objects.alive(self.name)
        begun = clock()
        try:
            self._tag = objects.create(self._path, self._note({}), sync=False) or ""
        except BaseException:
            self._let_go()
            raise
        self._renewed = begun

    @property
    def sure(self) -> bool:
        """Nobody can have taken this generator for dead yet. Counted from before the last renewal was sent."""
        return self._clock() - self._renewed < self._ttl

    def renew(self, where: Where) -> None:
        """Raises `LeaseLostError`, and `StoreUnavailableError`, after which the lease may still be held."""
        begun = self._clock()
        self._beat += 1
        note = self._note(where)
        tag = self._objects.swap(self._path, self._tag, note, sync=False)
        if tag is None:
            # Any renewal since the last answer may have been made though its own was lost on the way. The name is ours alone,
            # so what is there is ours, unless it says that it was broken.
            found = self._objects.get(self._path)
            if found is not None and found.data != BROKEN:
                tag = self._objects.swap(self._path, found.tag, note, sync=False)
        if tag is None:
            raise LeaseLostError(self.name)
        self._tag, self._renewed = tag, begun

    def tell(self, where: Where) -> None:
        """Where the runs are, for who finds this process dead: after every step, where the store is a folder."""
        if self._life is not None:
            self._life.write(WHERE.dump_json(dict(where)))

    def release(self) -> None:
        """The generator goes away in good order."""
        self._let_go()
        self._objects.delete(self._path)

    def abandon(self) -> None:
        """The lease was lost."""
        self._let_go()

    def _let_go(self) -> None:
        if self._life is not None:
            self._life.close()
            self._life = None

    def _note(self, where: Where) -> bytes:
        return NOTE.dump_json(Note(beat=self._beat, machine=machine(), ttl=self._ttl, where=dict(where)))


@dataclasses.dataclass(kw_only=True)
class Seen:
    """A lease as the watcher saw it last, and since when."""

    tag: str
    since: float
    note: Note | None


class Watcher:
    """One watcher's view of the others. Safe to call from several threads: who looks forgets while others remember."""

    def __init__(self, objects: Objects, *, ttl: float, clock: Clock = time.monotonic) -> None:
        self._objects, self._ttl, self._clock = objects, ttl, clock
        self._seen: dict[str, Seen] = {}
        self._remembering = threading.Lock()

    def look(self) -> set[str]:
        """Names of the generators with a lease; those gone are forgotten. For `alive` to be asked often enough."""
        names = {path.removeprefix("generators/") for path in self._objects.paths("generators/")}
        with self._remembering:
            self._seen = {name: seen for name, seen in self._seen.items() if name in names}
        return names

    def alive(self, name: str) -> bool:
        """False once the lease is gone or ours to break, and broken. Raises `StoreUnavailableError`."""
        found = self._objects.get(f"generators/{name}")
        if found is None:
            with self._remembering:
                self._seen.pop(name, None)
            return False
        with self._remembering:
            seen = self._seen.get(name)
            if seen is None or seen.tag != found.tag:
                seen = self._seen[name] = Seen(tag=found.tag, since=self._clock(), note=_read(found.data))
        if not self._expired(name, seen):
            return True
        # Not deleted unchanged: the owner must not be renewing it in this moment.
        if self._objects.swap(f"generators/{name}", found.tag, BROKEN) is None:
            return True
        self._objects.delete(f"generators/{name}")
        return False

    def where(self, owner: str, name: str) -> Progress | None:
        """Where a run was when its owner told it last: after the last step on one machine, else at the last heartbeat."""
        life = self._objects.life_of(owner)
        if life is not None:
            with contextlib.suppress(pydantic.ValidationError):
                return WHERE.validate_json(life[1]).get(name)
        found = self._objects.get(f"generators/{owner}")
        note = _read(found.data) if found is not None else None
        seen = self._seen.get(owner)
        note = note or (seen.note if seen is not None else None)
        return note.where.get(name) if note is not None else None

    def _expired(self, name: str, seen: Seen) -> bool:
        if seen.note is not None and seen.note.machine == machine():
            life = self._objects.life_of(name)
            if life is not None and not life[0]:
                return True
        ttl = self._ttl if seen.note is None else max(self._ttl, seen.note.ttl)
        return self._clock() - seen.since > ttl


def machine() -> str:
    """Same kernel, same locks: the id of this boot, and the host's name where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()


def _read(data: bytes) -> Note | None:
    with contextlib.suppress(pydantic.ValidationError):
        return NOTE.validate_json(data)
    return None
