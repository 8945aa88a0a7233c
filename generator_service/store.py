"""Content-addressed artefacts in an object store.

    takes/<sha256>/    request.json  snapshot.safetensors  latents.safetensors  report.json (checksum and meter of the latents)
    videos/<sha256>/   request.json  video.mp4             report.json (how the run ended, checksum of the video)
    ended/<sha256>/    <run>.json: the reports of earlier runs of videos/<sha256>, put there when a later one is accepted
    tenants/<sha256>/  which videos a tenant has, newest first: see catalogue.py

Every object is written whole or not at all, and is on the disk before `put` returns. A report is written last, so what
has a request and no report is unfinished. What does not match its report's checksum counts as absent, and is made
again.

A process that was stopped in the middle of a write ends it when it goes on, whatever became of its lease; nothing can call such a
write back. So what ends a run is written over what was there when the lease was looked at, or not at all, and the first report of a
run stands. A deletion knows no such condition: one that hangs for longer than a lease in the middle may take what a later owner made.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import time
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import TypeVar

import pydantic

from generator_service import snapshot
from generator_service.address import open_objects
from generator_service.catalogue import Catalogue, Entry
from generator_service.claims import Accepted, accepted, path_of
from generator_service.core import VIDEO_NAME, Artefact, Meter, Outcome, Report, Request
from generator_service.objects import Objects, StoreUnavailableError

__all__ = ["Final", "Record", "Store", "StoreUnavailableError", "artefact_of"]

Value = TypeVar("Value")
REQUEST = pydantic.TypeAdapter(Request)
REPORT = pydantic.TypeAdapter(Report)
# Of one video.
ENDED_MOST = 100


class RunOverError(Exception):
    """It has ended, and a later one of the same name was accepted: nothing of it is to be written any more."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """What the store knows of one video. ``report`` is None while its run has not ended; ``accepted_ms`` is Unix time; ``run`` is
    the one that was accepted last, "" in what older versions stored; ``listed_ms`` is the time of its entry in the catalogue."""

    request: Request
    report: Report | None
    accepted_ms: int
    run: str = ""
    listed_ms: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Final:
    """The report of a take: its latents, which run made them, and what that run had used by then."""

    size: int
    sha256: str
    run: str = ""
    meter: Meter = dataclasses.field(default_factory=Meter)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Made:
    """``mark``: denoise steps in the snapshot, one more than all when the final latents are there. Of which ``run``, and what
    that had used."""

    mark: int = 0
    run: str = ""
    meter: Meter = dataclasses.field(default_factory=Meter)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stored(Request, Accepted):
    """A request as it is written: older versions read the request in it."""


FINAL = pydantic.TypeAdapter(Final)
STORED = pydantic.TypeAdapter(Stored)


class Store:
    """Safe to call from several threads; every method blocks. All raise `StoreUnavailableError`."""

    def __init__(self, where: Path | str | Objects, options: Mapping[str, str] | None = None) -> None:
        self.objects = where if isinstance(where, Objects) else open_objects(where, options)
        self.catalogue = Catalogue(self.objects)

    def accept(self, request: Request, run: str = "", *, last: Report | None = None) -> None:
        """Opens a run: the request is stored with the run's id, and ``last``, which an earlier run of the same name left as its
        report, goes to the ended ones before it is gone from here."""
        # For people who look: what is made follows from the video's own request.
        self.objects.put(f"{request.take_name}/request.json", REQUEST.dump_json(request), sync=False)
        if last is not None and last.run:
            self._keep(request.name, last)
        # A first run has no entry to look for.
        before = 0 if last is None else accepted(self._get(f"{request.name}/request.json") or b"").listed_ms
        entry = Entry(name=request.name, accepted_ms=max(time.time_ns() // 1_000_000, before + 1))
        self.catalogue.put(request.take.tenant, entry)
        stored = Stored(take=request.take, finish=request.finish, run=run, listed_ms=entry.accepted_ms)
        self.objects.put(f"{request.name}/request.json", STORED.dump_json(stored))
        self.objects.delete(f"{request.name}/report.json")
        if before:
            # One that stays does not count any more, and the run is accepted.
            with contextlib.suppress(StoreUnavailableError):
                self.catalogue.drop(request.take.tenant, Entry(name=request.name, accepted_ms=before))

    def record(self, name: str) -> Record | None:
        """What is known of ``videos/<sha256>``; None when nothing is, or when its request cannot be read."""
        raw = self._get(f"{name}/request.json")
        request = None if raw is None else _parse(REQUEST, raw)
        if request is None:
            return None
        known, report = accepted(raw or b""), self.report(name)
        # A late write of a run that had ended when this one was accepted; without a claim this one was never accepted.
        other = report is not None and bool(known.run) and bool(report.run) and report.run != known.run
        stray = other and self.objects.tag(path_of(name)) is not None
        return Record(
            request=request,
            report=None if stray else report,
            accepted_ms=self.objects.changed_ms(f"{name}/request.json"),
            run=known.run,
            listed_ms=known.listed_ms,
        )

    def ended(self, name: str, run: str) -> Report | None:
        """The report of an earlier run, or of one that was barred; None when it is the last one, has not ended or never was."""
        raw = self._get(_ended(name, run))
        return None if raw is None else _parse(REPORT, raw)

    def bar(self, name: str, run: str) -> None:
        """No run of ``name`` is to be accepted under this id: it was cancelled before."""
        self._keep(name, Report(outcome=Outcome.CANCELLED, run=run))

    def finished(self, name: str) -> Report | None:
        """The report of a finished video whose file has the right length; its bytes are looked at by `video`, and only when
        somebody wants them."""
        report = self.report(name)
        return report if report is not None and self.stands(name, report) else None

    def stands(self, name: str, report: Report) -> bool:
        """``report`` is of a finished video whose file has the right length."""
        return report.video is not None and self.objects.size(f"{name}/video.mp4") == report.video.size

    def video(self, name: str) -> tuple[Report, bytes] | None:
        """The finished video with its report; None when there is none, or when its bytes are not the ones that were
        stored: those are deleted, so that who asks for it again is not told that it is there.
        """
        report = self.report(name)
        if report is None or report.video is None:
            return None
        data = self._verified(f"{name}/video.mp4", report.video)
        # A new run may be storing another in this moment; then the report is gone, or another's.
        if data is None and self.report(name) == report:
            self.objects.delete(f"{name}/video.mp4")
        return None if data is None else (report, data)

    def video_tag(self, name: str) -> str | None:
        """For `put_video`; None where there is none."""
        return self.objects.tag(f"{name}/video.mp4")

    def put_video(self, name: str, data: bytes, report: Report, before: str | None = "") -> Report | None:
        """Ends a run that has a video, see `put_report`. None where the video is not as `video_tag` said ``before`` any more; "" is
        whatever is there."""
        self._check_current(name, report.run)
        tag = self.objects.replace(f"{name}/video.mp4", before, data)
        return None if tag is None else self.put_report(name, report, tag)

    def put_report(self, name: str, report: Report, video: str = "") -> Report:
        """Ends a run. The report that it has by now: the first one that was stored, whoever of its owners stored it; but that of the video
        that is in its place, which is ours while it has the tag ``video``. Raises `RunOverError`."""
        self._check_current(name, report.run)
        path, data = f"{name}/report.json", REPORT.dump_json(report)
        while self.objects.create(path, data) is None:
            found = self.objects.get(path)
            if found is None:
                continue
            stored = _parse(REPORT, found.data)
            same = stored is not None and stored.run == report.run
            if stored is not None and same:
                # Two made it, and not to the same bytes.
                differ = None not in (stored.video, report.video) and stored.video != report.video
                if not (differ and self.video_tag(name) == video):
                    return stored
            if not same:  # of a run before this one, or torn
                self._check_current(name, report.run)
            if self.objects.swap(path, found.tag, data) is not None:
                break
        return report

    def _check_current(self, name: str, run: str) -> None:
        raw = self._get(f"{name}/request.json")
        current = "" if raw is None else accepted(raw).run
        if current and run and current != run:
            raise RunOverError(f"a later run of {name} was accepted")

    def latents(self, take: str) -> tuple[Final, bytes] | None:
        """The take's final latents (safetensors) and their report; None when there are none or they are damaged."""
        raw = self._get(f"{take}/report.json")
        final = None if raw is None else _parse(FINAL, raw)
        if final is None:
            return None
        data = self._verified(f"{take}/latents.safetensors", Artefact(size=final.size, sha256=final.sha256))
        return None if data is None else (final, data)

    def put_latents(self, take: str, data: bytes, run: str = "", meter: Meter | None = None) -> None:
        """They end the take's denoising, so its snapshot goes."""
        artefact = artefact_of(data)
        final = Final(size=artefact.size, sha256=artefact.sha256, run=run, meter=meter or Meter())
        self.objects.put(f"{take}/latents.safetensors", data)
        self.objects.put(f"{take}/report.json", FINAL.dump_json(final))
        self.drop_snapshot(take)

    def denoised(self, take: str) -> bool:
        """Final latents of the right length are there; whether they are good is seen by who reads them."""
        raw = self._get(f"{take}/report.json")
        final = None if raw is None else _parse(FINAL, raw)
        return final is not None and self.objects.size(f"{take}/latents.safetensors") == final.size

    def snapshot(self, take: str) -> bytes | None:
        """As `put_snapshot` left it, good or torn: see `snapshot.unpack`."""
        return self._get(f"{take}/snapshot.safetensors")

    def snapshot_tag(self, take: str) -> str | None:
        """For `put_snapshot`; None where there is none."""
        return self.objects.tag(f"{take}/snapshot.safetensors")

    def put_snapshot(self, take: str, data: bytes, before: str | None = "") -> bool:
        """False where the snapshot is not as `snapshot_tag` said ``before`` any more; "" is whatever is there."""
        return self.objects.replace(f"{take}/snapshot.safetensors", before, data) is not None

    def drop_snapshot(self, take: str) -> None:
        self.objects.delete(f"{take}/snapshot.safetensors")

    def made(self, request: Request) -> Made:
        """How much of a take is durable."""
        found = self.latents(request.take_name)
        if found is not None:
            return Made(mark=request.take.steps + 1, run=found[0].run, meter=found[0].meter)
        data = self.snapshot(request.take_name)
        header = None if data is None else snapshot.header(data)
        return Made() if header is None else Made(mark=header.index, run=header.run, meter=header.meter)

    def take_of(self, name: str) -> str:
        """The take of a video; "" where nothing is known of it."""
        raw = self._get(f"{name}/request.json")
        request = None if raw is None else _parse(REQUEST, raw)
        return "" if request is None else request.take_name

    def unreported(self) -> Iterator[str]:
        """Names of all videos with a request and no report, one look at every video's list of files: for a start, not a
        clock."""
        paths = (path.rpartition("/") for path in self.objects.paths("videos/"))
        for name, entries in groupby(paths, key=lambda parts: parts[0]):
            files = {file for _, _, file in entries}
            if "request.json" in files and "report.json" not in files and VIDEO_NAME.fullmatch(name):
                yield name

    def _keep(self, name: str, report: Report) -> None:
        """Bounded: somebody may ask for what always fails, for ever."""
        self.objects.put(_ended(name, report.run), REPORT.dump_json(report))
        kept = self.objects.oldest_first(_ended(name, ""))
        self.objects.delete(*kept[: max(0, len(kept) - ENDED_MOST)])

    def report(self, name: str) -> Report | None:
        """How the last run of ``name`` ended; None while it has not."""
        raw = self._get(f"{name}/report.json")
        return None if raw is None else _parse(REPORT, raw)

    def _verified(self, path: str, expected: Artefact) -> bytes | None:
        data = self._get(path)
        return data if data is not None and artefact_of(data) == expected else None

    def _get(self, path: str) -> bytes | None:
        found = self.objects.get(path)
        return None if found is None else found.data


def _ended(name: str, run: str) -> str:
    return f"ended/{name.removeprefix('videos/')}/{run and run + '.json'}"


def artefact_of(data: bytes) -> Artefact:
    return Artefact(size=len(data), sha256=hashlib.sha256(data).hexdigest())


def _parse(adapter: pydantic.TypeAdapter[Value], raw: bytes) -> Value | None:
    """None for a torn or foreign file: the caller makes it again."""
    try:
        return adapter.validate_json(raw)
    except pydantic.ValidationError:
        return None
