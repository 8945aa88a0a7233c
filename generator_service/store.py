"""Content-addressed artefacts in an object store.

    takes/<sha256>/    request.json  latents.safetensors  report.json (checksum of the latents)
    videos/<sha256>/   request.json  video.mp4            report.json (how the run ended, checksum of the video)

Every object is written whole or not at all, and is on the disk before `put` returns. A report is written last, so what
has a request and no report is unfinished. What does not match its report's checksum counts as absent, and is made
again.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from pathlib import Path
from typing import TypeVar

import obstore
import pydantic
from obstore.exceptions import BaseError
from obstore.store import LocalStore

from generator_service.core import Artefact, Report, Request

Value = TypeVar("Value")
REQUEST = pydantic.TypeAdapter(Request)
REPORT = pydantic.TypeAdapter(Report)
ARTEFACT = pydantic.TypeAdapter(Artefact)


class StoreUnavailableError(Exception):
    """The store is full or gone; the cause says which."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """What the store knows of one video. ``report`` is None while its run has not ended; ``accepted_ms`` is Unix time."""

    request: Request
    report: Report | None
    accepted_ms: int


class Store:
    """Safe to call from several threads; every method blocks. All raise `StoreUnavailableError`."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        try:
            self._objects = LocalStore(self._root, mkdir=True)
        except (BaseError, OSError) as error:
            raise StoreUnavailableError(str(error)) from error

    def accept(self, request: Request) -> None:
        """Opens a run: the request is stored, and what an earlier run of the same name left as its report is gone."""
        text = REQUEST.dump_json(request)
        self._put(f"{request.take_name}/request.json", text)
        self._put(f"{request.name}/request.json", text)
        self._delete(f"{request.name}/report.json")

    def record(self, name: str) -> Record | None:
        """What is known of ``videos/<sha256>``; None when nothing is, or when its request cannot be read."""
        raw = self._get(f"{name}/request.json")
        request = None if raw is None else _parse(REQUEST, raw)
        if request is None:
            return None
        accepted = self._time(f"{name}/request.json")
        return Record(request=request, report=self._report(name), accepted_ms=accepted)

    def video(self, name: str) -> tuple[Report, bytes] | None:
        """The finished video with its report; None when there is none, or when its bytes are not the ones that were
        stored.
        """
        report = self._report(name)
        if report is None or report.video is None:
            return None
        data = self._verified(f"{name}/video.mp4", report.video)
        return None if data is None else (report, data)

    def put_video(self, name: str, data: bytes, report: Report) -> None:
        self._put(f"{name}/video.mp4", data)
        self.put_report(name, report)

    def put_report(self, name: str, report: Report) -> None:
        """Ends a run."""
        self._put(f"{name}/report.json", REPORT.dump_json(report))

    def latents(self, take: str) -> bytes | None:
        """The take's final latents (safetensors); None when there are none or they are damaged."""
        raw = self._get(f"{take}/report.json")
        artefact = None if raw is None else _parse(ARTEFACT, raw)
        return None if artefact is None else self._verified(f"{take}/latents.safetensors", artefact)

    def put_latents(self, take: str, data: bytes) -> None:
        self._put(f"{take}/latents.safetensors", data)
        self._put(f"{take}/report.json", ARTEFACT.dump_json(artefact_of(data)))

    def _report(self, name: str) -> Report | None:
        raw = self._get(f"{name}/report.json")
        return None if raw is None else _parse(REPORT, raw)

    def _verified(self, path: str, expected: Artefact) -> bytes | None:
        data = self._get(path)
        return data if data is not None and artefact_of(data) == expected else None

    def _get(self, path: str) -> bytes | None:
        try:
            return bytes(obstore.get(self._objects, path).bytes())
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise StoreUnavailableError(str(error)) from error

    def _time(self, path: str) -> int:
        try:
            return int(obstore.head(self._objects, path)["last_modified"].timestamp() * 1000)
        except (BaseError, OSError) as error:
            raise StoreUnavailableError(str(error)) from error

    def _put(self, path: str, data: bytes) -> None:
        try:
            obstore.put(self._objects, path, data, use_multipart=False)
            self._sync(path)
        except (BaseError, OSError) as error:
            raise StoreUnavailableError(str(error)) from error

    def _delete(self, path: str) -> None:
        try:
            obstore.delete(self._objects, path)
            _sync(self._root / Path(path).parent)
        except FileNotFoundError:
            return
        except (BaseError, OSError) as error:
            raise StoreUnavailableError(str(error)) from error

    def _sync(self, path: str) -> None:
        """A local store renames into place without a sync: the file, its folder and that folder's parents up to the
        root.
        """
        file = self._root / path
        _sync(file)
        for folder in file.relative_to(self._root).parents:
            _sync(self._root / folder)


def artefact_of(data: bytes) -> Artefact:
    return Artefact(size=len(data), sha256=hashlib.sha256(data).hexdigest())


def _parse(adapter: pydantic.TypeAdapter[Value], raw: bytes) -> Value | None:
    """None for a torn or foreign file: the caller makes it again."""
    try:
        return adapter.validate_json(raw)
    except pydantic.ValidationError:
        return None


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
