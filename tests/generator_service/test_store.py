"""What is stored is found, what is damaged is not."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pydantic
import pytest

from generator_service.claims import Claims
from generator_service.core import Failure, Outcome, Report, Request, Stage
from generator_service.store import RunOverError, Store, StoreUnavailableError, artefact_of

Tiny = Callable[..., Request]
VIDEO = b"ftyp" + bytes(range(256)) * 20


def done(data: bytes) -> Report:
    return Report(outcome=Outcome.DONE, denoise_steps=4, device_ms={Stage.DENOISE: 12}, video=artefact_of(data))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_a_request_is_on_the_disk_once_it_is_accepted(store: Store, tiny: Tiny, tmp_path: Path) -> None:
    request = tiny(prompt="红色 circle")
    store.accept(request)
    found = Store(tmp_path / "store").record(request.name)
    assert found is not None
    assert (found.request, found.report) == (request, None)
    assert found.accepted_ms > 0


def test_a_video_comes_back_with_its_report(store: Store, tiny: Tiny) -> None:
    request = tiny()
    store.accept(request)
    store.put_video(request.name, VIDEO, done(VIDEO))
    assert store.video(request.name) == (done(VIDEO), VIDEO)
    assert store.latents(request.take_name) is None


def test_nothing_is_known_of_a_name_never_asked_for(store: Store, tiny: Tiny) -> None:
    assert store.record(tiny().name) is None
    assert store.video(tiny().name) is None


def test_asking_again_opens_a_new_run(store: Store, tiny: Tiny) -> None:
    request = tiny()
    store.accept(request)
    failure = Failure(reason="GENERATION_FAILED", stage=Stage.DENOISE, cause="the latents are not finite")
    store.put_report(request.name, Report(outcome=Outcome.FAILED, failure=failure))
    found = store.record(request.name)
    assert found is not None
    assert found.report is not None
    assert found.report.failure == failure
    store.accept(request)
    found = store.record(request.name)
    assert found is not None
    assert found.report is None


def ending(outcome: Outcome, run: str) -> Report:
    return Report(outcome=outcome, run=run)


def test_the_first_report_of_a_run_stands(store: Store, tiny: Tiny) -> None:
    name, late = tiny().name, ending(Outcome.FAILED, "r")
    store.accept(tiny(), "r")
    first = dataclasses.replace(done(VIDEO), run="r")
    assert store.put_video(name, VIDEO, first, store.video_tag(name)) == first
    assert store.put_report(name, late) == first
    assert store.video(name) == (first, VIDEO)


def test_a_report_that_comes_after_a_later_run_was_accepted_is_nothing(store: Store, tiny: Tiny) -> None:
    """Whether it comes while that runs, which it must not seem to end, or later."""
    name, late = tiny().name, ending(Outcome.FAILED, "r")
    store.accept(tiny(), "r")
    store.put_report(name, ending(Outcome.CANCELLED, "r"))
    claims = Claims(store.objects)
    claims.open(name, "owner", "s")
    store.accept(tiny(), "s", last=store.report(name))
    for write in (lambda: store.put_report(name, late), lambda: store.put_video(name, b"late", late)):
        with pytest.raises(RunOverError):
            write()
    # It was on its way already when the later run was accepted.
    stray = pydantic.TypeAdapter(Report).dump_json(late)
    store.objects.put(f"{name}/report.json", stray)
    record = store.record(name)
    assert record is not None
    assert (record.run, record.report) == ("s", None)
    second = dataclasses.replace(done(VIDEO), run="s")
    assert store.put_video(name, VIDEO, second) == second
    with pytest.raises(RunOverError):
        store.put_report(name, late)
    assert store.video(name) == (second, VIDEO)
    ended = store.ended(name, "r")
    assert ended is not None
    assert ended.outcome is Outcome.CANCELLED


def test_of_a_run_that_was_never_accepted_whole_the_one_before_is_told(store: Store, tiny: Tiny) -> None:
    """Its request was stored, the report of before could not be taken away, and its claim went again."""
    name, ended = tiny().name, ending(Outcome.CANCELLED, "r")
    store.accept(tiny(), "r")
    store.put_report(name, ended)
    raw = pydantic.TypeAdapter(Report).dump_json(ended)
    store.accept(tiny(), "s", last=ended)
    store.objects.put(f"{name}/report.json", raw)
    record = store.record(name)
    assert record is not None
    assert record.report == ended


def test_who_was_stopped_between_its_video_and_its_report_takes_no_others_place(store: Store, tiny: Tiny) -> None:
    name, other = tiny().name, b"made elsewhere, on another kind of processor"
    store.accept(tiny(), "r")
    late, right = (dataclasses.replace(done(data), run="r") for data in (VIDEO, other))
    tag = store.objects.replace(f"{name}/video.mp4", store.video_tag(name), VIDEO)
    assert tag is not None
    assert store.put_video(name, other, right, store.video_tag(name)) == right
    assert store.put_report(name, late, tag) == right
    assert store.video(name) == (right, other)


def test_a_video_is_not_written_over_one_that_was_not_there_when_it_was_looked(store: Store, tiny: Tiny) -> None:
    name, other = tiny().name, b"made elsewhere"
    before = store.video_tag(name)
    store.put_video(name, VIDEO, done(VIDEO))
    assert store.put_video(name, other, done(other), before) is None
    assert store.video(name) == (done(VIDEO), VIDEO)
    # Who owns the run looks again.
    assert store.put_video(name, other, done(other), store.video_tag(name)) == done(other)
    assert store.video(name) == (done(other), other)


def test_a_report_of_a_version_that_told_no_settings_can_be_read(store: Store, tiny: Tiny, tmp_path: Path) -> None:
    store.put_video(tiny().name, VIDEO, dataclasses.replace(done(VIDEO), settings={"dtype": "float32"}))
    file = tmp_path / "store" / tiny().name / "report.json"
    told = json.loads(file.read_bytes())
    assert told.pop("settings") == {"dtype": "float32"}
    file.write_text(json.dumps(told))
    assert store.finished(tiny().name) == done(VIDEO)


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "gone", "report cut", "report gone"])
def test_a_damaged_video_counts_as_absent(store: Store, tiny: Tiny, tmp_path: Path, damage: str) -> None:
    name = tiny().name
    store.put_video(name, VIDEO, done(VIDEO))
    spoil(tmp_path / "store" / name, "video.mp4", VIDEO, damage)
    assert store.video(name) is None
    store.put_video(name, VIDEO, done(VIDEO))
    assert store.video(name) is not None


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "gone", "report cut", "report gone"])
def test_damaged_latents_count_as_absent(store: Store, tiny: Tiny, tmp_path: Path, damage: str) -> None:
    take = tiny().take_name
    store.put_latents(take, VIDEO)
    found = store.latents(take)
    assert found is not None
    assert found[1] == VIDEO
    spoil(tmp_path / "store" / take, "latents.safetensors", VIDEO, damage)
    assert store.latents(take) is None


def spoil(folder: Path, name: str, data: bytes, damage: str) -> None:
    file = folder / ("report.json" if damage.startswith("report") else name)
    if damage.endswith("gone"):
        file.unlink()
    elif damage == "report cut":
        file.write_bytes(file.read_bytes()[:-9])
    else:
        file.write_bytes({"flip": data[:50] + b"?" + data[51:], "cut": data[:-1], "empty": b""}[damage])


def test_a_torn_request_counts_as_absent(store: Store, tiny: Tiny, tmp_path: Path) -> None:
    store.accept(tiny())
    (tmp_path / "store" / tiny().name / "request.json").write_text('{"take": {"tenant"')
    assert store.record(tiny().name) is None


def test_a_store_that_is_gone_says_so(store: Store, tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "store").rmdir()
    (tmp_path / "store").write_text("a file where the folder was")
    with pytest.raises(StoreUnavailableError):
        store.accept(tiny())
    with pytest.raises(StoreUnavailableError):
        Store(tmp_path / "store")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here (it takes root)")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_says_so_and_leaves_what_was_there(small_disk: Path, tiny: Tiny) -> None:
    store = Store(small_disk)
    store.accept(tiny())
    store.put_video(tiny().name, VIDEO, done(VIDEO))
    with pytest.raises(StoreUnavailableError):
        store.put_video(tiny(seed=2).name, b"x" * (1 << 20), done(VIDEO))
    assert store.video(tiny().name) is not None
    assert store.video(tiny(seed=2).name) is None
