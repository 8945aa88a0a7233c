"""A tenant's videos, newest first: their keys, in a folder and in a bucket, and as a real client lists them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator_service.address import open_objects
from generator_service.catalogue import LATEST_MS, Catalogue, Entry, place_of, token_of
from generator_service.core import Outcome, Report, Request
from generator_service.objects import Objects
from generator_service.store import Store, StoreUnavailableError
from reelgate.generator.v1 import generator_pb2 as pb
from reelgate.generator.v1.generator_pb2_grpc import GeneratorServiceStub
from reelgate.rpc.status import from_rpc_error
from tests.generator_service.bucket import endpoint, new_bucket
from tests.generator_service.client import ask, made

TIMES = st.integers(0, LATEST_MS)
NAMES = st.binary(min_size=32, max_size=32).map(lambda raw: f"videos/{raw.hex()}")


@pytest.fixture(scope="module", name="endpoint")
def _endpoint() -> Iterator[str]:
    with endpoint() as address:
        yield address


@pytest.fixture(params=["folder", "bucket"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "folder":
        return open_objects(tmp_path / "store")
    return open_objects(*new_bucket(request.getfixturevalue("endpoint"), f"b{time.time_ns()}"))


@given(NAMES, TIMES, NAMES, TIMES)
def test_a_key_says_all_and_later_ones_come_first(name: str, ms: int, other: str, other_ms: int) -> None:
    one, two = Entry(name=name, accepted_ms=ms), Entry(name=other, accepted_ms=other_ms)
    assert Entry.of(one.key) == one
    if ms != other_ms:
        assert (one.key < two.key) == (ms > other_ms)


@given(NAMES, TIMES)
def test_a_token_is_its_tenants_alone(name: str, ms: int) -> None:
    entry = Entry(name=name, accepted_ms=ms)
    token = token_of("acme", entry)
    assert place_of("acme", token) == entry.key
    assert place_of("other", token) is None


@given(st.text())
def test_what_is_no_token_is_none(text: str) -> None:
    assert place_of("acme", text) is None


def test_pages_follow_each_other_newest_first(objects: Objects) -> None:
    catalogue = Catalogue(objects)
    entries = [Entry(name=f"videos/{n * 37 % 256:064x}", accepted_ms=1000 + n) for n in range(7)]
    for entry in entries:
        catalogue.put("acme", entry)
    catalogue.put("other", Entry(name="videos/" + "f" * 64, accepted_ms=5000))
    newest = entries[::-1]
    assert catalogue.page("acme", "", 3) == newest[:3]
    catalogue.put("acme", Entry(name="videos/" + "e" * 64, accepted_ms=9000))
    assert catalogue.page("acme", newest[2].key, 3) == newest[3:6]
    assert catalogue.page("acme", newest[5].key, 3) == newest[6:]
    # What somebody else has left there ends no list.
    folder = next(iter(objects.paths("tenants/"))).rpartition("/")[0]
    for name in ("!first", newest[3].key + "x"):
        objects.put(f"{folder}/{name}", b"")
    assert len(catalogue.page("acme", "", 99)) == 8
    assert catalogue.page("acme", newest[2].key, 3) == newest[3:6]
    catalogue.drop("acme", newest[6])
    assert catalogue.page("acme", newest[5].key, 3) == []
    assert catalogue.page("nobody", "", 3) == []


def test_what_is_accepted_again_has_one_entry(objects: Objects, tiny: Callable[..., Request]) -> None:
    store, request = Store(objects), tiny()
    store.accept(request, "1" * 32)
    first = store.catalogue.page("local", "", 9)
    store.accept(request, "2" * 32, last=Report(outcome=Outcome.CANCELLED, run="1" * 32))
    (again,) = store.catalogue.page("local", "", 9)
    assert again.accepted_ms > first[0].accepted_ms
    record = store.record(request.name)
    assert record is not None
    assert record.listed_ms == again.accepted_ms


def test_a_request_that_cannot_be_listed_is_not_accepted(tmp_path: Path, tiny: Callable[..., Request]) -> None:
    store = Store(tmp_path / "store")
    (tmp_path / "store" / "tenants").write_text("in the way")
    with pytest.raises(StoreUnavailableError):
        store.accept(tiny())
    assert store.record(tiny().name) is None


async def listed(stub: GeneratorServiceStub, tenant: str = "") -> list[pb.Video]:
    return list((await stub.ListVideos(pb.ListVideosRequest(tenant=tenant))).videos)


async def test_pages_neither_repeat_nor_skip_while_others_are_accepted(stub: GeneratorServiceStub) -> None:
    names = [(await made(stub, ask(seed=seed, steps=1)))[-1].video.name for seed in range(5)]
    request = ask(seed=9, steps=1)
    request.tenant = "acme"
    theirs = (await made(stub, request))[-1].video.name
    seen, token, pages = [], "", 0
    while token or not pages:
        page = await stub.ListVideos(pb.ListVideosRequest(page_size=2, page_token=token))
        seen += [video.name for video in page.videos]
        token, pages = page.next_page_token, pages + 1
        await made(stub, ask(seed=100 + pages, steps=1))
    assert (seen, pages) == (names[::-1], 3)
    assert [video.name for video in await listed(stub, "acme")] == [theirs]


async def test_every_state_is_listed_as_get_tells_it_and_what_is_gone_is_not(
    stub: GeneratorServiceStub, tmp_path: Path
) -> None:
    done = (await made(stub, ask(steps=1)))[-1].video
    gone = (await made(stub, ask(seed=1, steps=1)))[-1].video
    stopped = (await stub.GenerateVideo(ask(seed=2, steps=100)).read()).accepted.name
    await stub.CancelVideo(pb.CancelVideoRequest(name=stopped))
    running = (await stub.GenerateVideo(ask(seed=3, steps=100)).read()).accepted.name
    shutil.rmtree(tmp_path / "store" / gone.name)
    told = await listed(stub)
    states = [(video.name, video.state) for video in told]
    assert states == [
        (running, pb.VIDEO_STATE_RUNNING),
        (stopped, pb.VIDEO_STATE_CANCELLED),
        (done.name, pb.VIDEO_STATE_DONE),
    ]
    assert told[0].HasField("progress")
    assert told[2] == done == (await stub.GetVideo(pb.GetVideoRequest(name=done.name))).video
    await stub.CancelVideo(pb.CancelVideoRequest(name=running))
    again = stub.GenerateVideo(ask(seed=2, steps=100))
    await again.read()
    assert [video.name for video in await listed(stub)] == [stopped, running, done.name]
    await stub.CancelVideo(pb.CancelVideoRequest(name=stopped))


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (pb.ListVideosRequest(page_size=1001), "page_size"),
        (pb.ListVideosRequest(page_token="mine"), "page_token"),
        (
            pb.ListVideosRequest(page_token=token_of("acme", Entry(name="videos/" + "0" * 64, accepted_ms=1))),
            "page_token",
        ),
    ],
    ids=["size", "token", "another tenant's token"],
)
async def test_a_page_that_cannot_be_is_refused(
    stub: GeneratorServiceStub, asked: pb.ListVideosRequest, field: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.ListVideos(asked)
    error = from_rpc_error(caught.value)
    assert (error.code, error.violations[0].subject) == (grpc.StatusCode.INVALID_ARGUMENT, field)
