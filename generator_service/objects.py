"""Objects by path, in a folder or in anything that obstore reaches by URL: whole or not at all, durable when a call returns.

Beside get, put, delete and list there is what leases need: `Objects.create` (only where nothing is) and `Objects.swap`
(only where nothing changed). S3 and its kin do both themselves (If-None-Match, If-Match). obstore's local folder has no
compare-and-swap, so a lock on a file of the folder stands for it, and it renames into place without a sync, so we sync.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import heapq
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError, PreconditionError
from obstore.store import LocalStore

from generator_service.disk import Disk, sync
from generator_service.lifeline import LifeLine

PAGE = 1000
STAGED = re.compile(r".+#\d+")
STALE_S = 3600.0


class StoreUnavailableError(Exception):
    """The store is full or gone; the cause says which."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Versioned:
    """The bytes of an object and the tag that changes whenever they are written."""

    data: bytes
    tag: str


class Objects:
    """Safe to call from several threads; every method blocks, and raises `StoreUnavailableError`.

    What `create` and `swap` write must be unlike what anybody else writes there.
    """

    troubles = 0
    """Calls that failed."""

    def __init__(self, store: Any, hastened: Callable[[float], Objects] | None = None) -> None:
        self._store, self._hastened = store, hastened

    def within(self, seconds: float) -> Objects:
        """The same objects for small things in a hurry: a call ends within ``seconds``, one way or the other. A folder is
        itself, since the kernel sets no time there."""
        return self if self._hastened is None else self._hastened(seconds)

    def get(self, path: str) -> Versioned | None:
        """None where nothing is."""
        with self._errors():
            try:
                found = obstore.get(self._store, path)
                return Versioned(data=bytes(found.bytes()), tag=found.meta["e_tag"] or "")
            except (FileNotFoundError, NotFoundError):
                return None

    def changed_ms(self, path: str) -> int:
        """When the object was written, Unix time."""
        with self._errors():
            return int(obstore.head(self._store, path)["last_modified"].timestamp() * 1000)

    def size(self, path: str) -> int | None:
        """Length in bytes, without the bytes; None where nothing is."""
        with self._errors():
            try:
                return int(obstore.head(self._store, path)["size"])
            except (FileNotFoundError, NotFoundError):
                return None

    def tag(self, path: str) -> str | None:
        """Changes whenever the object is written; None where nothing is."""
        with self._errors():
            try:
                return obstore.head(self._store, path)["e_tag"] or ""
            except (FileNotFoundError, NotFoundError):
                return None

    def replace(self, path: str, before: str | None, data: bytes) -> str | None:
        """Writes only where the object still is as `tag` said ("" is whatever is there). The new tag; None where somebody was there
        meanwhile."""
        if before == "":
            with self._errors():
                return self._write(path, data, "overwrite", sync=True)
        return self.create(path, data) if before is None else self.swap(path, before, data)

    def put(self, path: str, data: bytes, *, sync: bool = True) -> None:
        """Without ``sync`` it outlives this process, but a folder may lose it with the machine's power."""
        with self._errors():
            self._write(path, data, "overwrite", sync=sync)

    def create(self, path: str, data: bytes, *, sync: bool = True) -> str | None:
        """The tag of a new object; None when there is one already. ``sync`` as for `put`."""
        with self._errors():
            try:
                return self._write(path, data, "create", sync=sync)
            except AlreadyExistsError:
                return self._ours(path, data)

    def swap(self, path: str, tag: str, data: bytes, *, sync: bool = True) -> str | None:
        """Writes only over the object of ``tag``. The new tag; None when it has changed or is gone. ``sync`` as for `put`."""
        with self._errors():
            try:
                return self._write(path, data, {"e_tag": tag}, sync=sync)
            except (PreconditionError, FileNotFoundError, NotFoundError):
                return self._ours(path, data)

    def delete(self, *paths: str) -> None:
        """What is not there is no error."""
        for path in paths:
            with self._errors(), contextlib.suppress(FileNotFoundError, NotFoundError):
                obstore.delete(self._store, path)

    def paths(self, prefix: str) -> Iterator[str]:
        """Paths under ``prefix``, page by page; those of one folder come one after the other."""
        with self._errors():
            for page in obstore.list(self._store, prefix, chunk_size=PAGE):
                yield from (entry["path"] for entry in page)

    def first(self, prefix: str, most: int, after: str = "") -> list[str]:
        """The first ``most`` paths under ``prefix`` by name, of those behind ``prefix + after``."""
        found: list[str] = []
        with self._errors():
            # What a bucket lists comes by name.
            for page in obstore.list(self._store, prefix, offset=prefix + after, chunk_size=min(most, PAGE)):
                found += [entry["path"] for entry in page]
                if len(found) >= most:
                    break
        return found[:most]

    def oldest_first(self, prefix: str) -> list[str]:
        """Paths under ``prefix`` by the time of their last change: for few."""
        with self._errors():
            found = [entry for page in obstore.list(self._store, prefix, chunk_size=PAGE) for entry in page]
        return [entry["path"] for entry in sorted(found, key=lambda entry: entry["last_modified"])]

    def alive(self, name: str) -> LifeLine | None:
        """A sign of this process's life that its death takes away at once; None where the store cannot hold one."""
        return None

    def life_of(self, name: str) -> tuple[bool, bytes] | None:
        """Whether the owner of `alive` lives, and what it wrote there last; None where that cannot be known."""
        return None

    def _ours(self, path: str, data: bytes) -> str | None:
        """A write whose answer was lost is sent again by the client, and then meets itself."""
        found = self.get(path)
        return found.tag if found is not None and found.data == data else None

    def _write(self, path: str, data: bytes, mode: Any, *, sync: bool) -> str:
        return obstore.put(self._store, path, data, mode=mode, use_multipart=False)["e_tag"] or ""

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError) as error:
            self.troubles += 1  # a figure, so no lock: two at once may count as one
            # The rest is the library's own insides, many lines of them.
            raise StoreUnavailableError((str(error).splitlines() or [type(error).__name__])[0]) from error


class LocalObjects(Objects):
    """In a folder, which is made. Several processes may share it; on one machine they see each other die. ``to_disk`` makes what
    was written to a file or a folder outlive the machine's power; raises ``OSError``."""

    def __init__(self, root: Path, to_disk: Callable[[Path], None] | None = None) -> None:
        self._root = root.absolute()
        self._disk = Disk(self._root, to_disk or sync)
        try:
            super().__init__(LocalStore(self._root, mkdir=True))
        except (BaseError, OSError) as error:
            raise StoreUnavailableError(f"the store {self._root} cannot be made: {error}") from error
        self._tidy()

    def delete(self, *paths: str) -> None:
        there = [path for path in paths if (self._root / path).exists()]
        with self._errors(), self._locked():  # a swap must not bring back what goes in the middle of it
            super().delete(*there)
        for folder in {(self._root / path).parent for path in there}:
            with self._errors(), contextlib.suppress(FileNotFoundError):
                self._disk.write(folder)

    def first(self, prefix: str, most: int, after: str = "") -> list[str]:
        # A folder is listed in no order.
        return heapq.nsmallest(most, (path for path in self.paths(prefix) if path > prefix + after))

    def alive(self, name: str) -> LifeLine | None:
        with self._errors():
            return LifeLine(self._root / ".alive" / name)

    def life_of(self, name: str) -> tuple[bool, bytes] | None:
        try:
            file = os.open(self._root / ".alive" / name, os.O_RDWR)
        except OSError:
            return None
        try:
            note = os.pread(file, 1 << 20, 0).split(b"\n", 1)[0]
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True, note
        except OSError:
            return None
        else:
            return False, note
        finally:
            os.close(file)

    def _write(self, path: str, data: bytes, mode: Any, *, sync: bool) -> str:
        folder = (self._root / path).parent
        new = not folder.exists()
        swaps = isinstance(mode, dict)
        tag = self._swap(path, mode["e_tag"], data) if swaps else super()._write(path, data, mode, sync=sync)
        if sync:
            self._disk.write_place(self._root / path, new)
        return tag

    def _swap(self, path: str, tag: str, data: bytes) -> str:
        """The bytes are written before the lock is taken: they may be many, and a process may be stopped in the middle of them."""
        file = self._root / path
        staged = file.with_name(f"{file.name}#{uuid.uuid4().int}")
        try:
            staged.write_bytes(data)
            with self._locked():
                if obstore.head(self._store, path)["e_tag"] != tag:
                    raise PreconditionError(path)
                staged.replace(file)
                return obstore.head(self._store, path)["e_tag"] or ""
        finally:
            staged.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        file = os.open(self._root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)

    def _tidy(self) -> None:
        """A process that died in the middle of a write leaves what obstore had staged beside the place of the object."""
        for kind in ("takes", "videos", "ended", "runs", "generators", "cancels", "tenants"):
            for file in (self._root / kind).rglob("*#*"):
                with contextlib.suppress(OSError):
                    if STAGED.fullmatch(file.name) and _age(file) > STALE_S:
                        file.unlink()
        for file in (self._root / ".alive").glob("*"):
            life = self.life_of(file.name)
            if life is not None and not life[0] and _age(file) > STALE_S:
                file.unlink(missing_ok=True)


def _age(file: Path) -> float:
    return time.time() - file.stat().st_mtime
