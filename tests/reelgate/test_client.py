"""The client against the real service; the generator behind it is the small one, but where the pictures count."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import grpc
import pytest

from preprocess_service import tokens
from preprocess_service.settings import embedded_tokenizer
from reelgate import Accepted, Client, Prepared, Progress, Video, convert
from reelgate import values as v
from reelgate.generator.v1 import generator_pb2 as gpb
from reelgate.rpc import errors
from tests.preprocess_service.generator_twin import BYTES
from tests.reelgate.gate import NAME, PROMPT, Gate
from tests.reelgate.wire import relayed


@pytest.fixture
async def client(gate: Gate) -> AsyncIterator[Client]:
    async with Client(gate.address) as each:
        yield each


async def test_prepare_gives_the_prompt_and_where_its_tokens_went(client: Client, gate: Gate) -> None:
    text = "A beautiful, stunning red ball 🙂 rolls &amp; stops on the grass."
    prepared = await client.prepare(text, policy="balanced", keywords=["grass"], negative_prompt="blurry")
    receipt = prepared.receipt
    counted = tokens.load(embedded_tokenizer()).count(prepared.prompt)
    assert receipt.tokens_after == counted <= receipt.target_tokens == 128
    assert prepared.negative_prompt == "blurry"
    assert prepared.cost_tokens == counted + receipt.negative_tokens
    assert (receipt.policy, receipt.tier, receipt.compressor) == ("balanced", "embedded", "none")
    assert [(t.term, t.survived) for t in receipt.protected_terms if t.source == "keyword"] == [("grass", True)]
    assert receipt.changes
    assert all(text[c.start : c.end] == c.original for c in receipt.changes)
    assert receipt.stages[0].tokens_in == receipt.tokens_before
    assert gate.twin.asked == []


async def test_a_prompt_may_come_in_fields(client: Client) -> None:
    fields = v.Fields(subject="a red ball", style="oil painting", camera="zoom in")
    assert (await client.prepare(fields)).prompt == "a red ball, oil painting, zoom in"


async def test_events_come_in_order_and_carry_what_was_asked(client: Client, gate: Gate) -> None:
    settings = v.Settings(width=32, height=48, frames=9, steps=3, seed=7, guidance_scale=2.5)
    finish = v.PostProcessing(fps=12, watermark="mine")
    events = [e async for e in client.generate(PROMPT, settings=settings, post_processing=finish, request_id="r-1")]
    assert [type(e) for e in events] == [Prepared, Accepted, Progress, Progress, Progress, Video]
    prepared, accepted, *steps, video = events
    assert isinstance(prepared, Prepared)
    assert prepared.prompt == PROMPT
    assert isinstance(accepted, Accepted)
    assert accepted.settings == v.Settings(
        tier="embedded", width=32, height=48, frames=9, steps=3, seed=7, guidance_scale=2.5
    )
    assert [(s.stage, s.step, s.steps) for s in steps if isinstance(s, Progress)] == [
        (v.Stage.DENOISE, n, 3) for n in (1, 2, 3)
    ]
    assert isinstance(video, Video)
    assert (video.name, video.state) == (accepted.name, v.State.DONE)
    (asked,) = gate.twin.asked
    assert (asked.post_processing.fps, asked.post_processing.watermark) == (12, "mine")


async def test_a_wait_for_the_store_is_told_and_a_stage_that_is_not_known_yet_comes_after_all_that_are(
    client: Client, gate: Gate
) -> None:
    gate.twin.after = [gpb.Progress(stage=gpb.STAGE_ENCODE, steps=1, waits_for_store=True), gpb.Progress(stage=99)]  # type: ignore[arg-type]
    told = [event async for event in client.generate(PROMPT) if isinstance(event, Progress)]
    assert [(each.stage, each.waits_for_store) for each in told[-3:]] == [
        (v.Stage.DENOISE, False),
        (v.Stage.ENCODE, True),
        (v.Stage.ENCODE, False),
    ]


def test_a_report_tells_how_the_tier_ran_and_an_older_one_tells_nothing() -> None:
    assert convert.report(gpb.Report(settings={"dtype": "bfloat16"})).settings == {"dtype": "bfloat16"}
    assert convert.report(gpb.Report()).settings == {}


async def test_seconds_travel_whole(client: Client, gate: Gate) -> None:
    async with aclosing(client.generate(PROMPT, settings=v.Settings(seconds=1.75))) as events:
        assert [type(e) async for e in events][-1] is Video
    assert gate.twin.asked[0].settings.duration.ToTimedelta().total_seconds() == 1.75


async def test_a_video_comes_into_its_file_verified(client: Client, tmp_path: Path) -> None:
    seen: list[v.Event] = []
    target = tmp_path / "ball.mp4"
    target.write_bytes(b"an older one")
    video = await client.generate_to_file(PROMPT, target, on_event=seen.append)
    assert target.read_bytes() == BYTES
    assert (video.name, video.sha256) == (NAME, hashlib.sha256(BYTES).hexdigest())
    assert type(seen[0]) is Prepared
    assert seen[-1] == video
    assert os.listdir(tmp_path) == ["ball.mp4"]
    assert target.stat().st_mode & 0o777 == 0o644


async def test_a_video_that_arrives_damaged_leaves_no_file(client: Client, gate: Gate, tmp_path: Path) -> None:
    gate.twin.sha256 = "0" * 64
    with pytest.raises(errors.InternalError, match="damaged"):
        await client.generate_to_file(PROMPT, tmp_path / "ball.mp4")
    assert os.listdir(tmp_path) == []


async def test_a_run_that_fails_leaves_the_older_file(client: Client, gate: Gate, tmp_path: Path) -> None:
    gate.twin.fails = True
    (tmp_path / "ball.mp4").write_bytes(b"an older one")
    with pytest.raises(errors.InternalError, match="no video today"):
        await client.generate_to_file(PROMPT, tmp_path / "ball.mp4")
    assert (tmp_path / "ball.mp4").read_bytes() == b"an older one"
    assert os.listdir(tmp_path) == ["ball.mp4"]


async def test_a_watcher_that_fails_ends_the_call_at_once(client: Client, gate: Gate, tmp_path: Path) -> None:
    def stumble(event: v.Event) -> None:
        if isinstance(event, Accepted):
            raise KeyError("mine")

    gate.twin.hold.clear()
    with pytest.raises(KeyError, match="mine"):
        await client.generate_to_file(PROMPT, tmp_path / "ball.mp4", on_event=stumble)
    await asyncio.wait_for(gate.twin.closed.wait(), 10)
    assert gate.twin.cancelled == []


async def test_a_path_that_can_be_no_file_is_refused_before_anything_is_asked(
    client: Client, gate: Gate, tmp_path: Path
) -> None:
    for path, kind in ((tmp_path / "nowhere" / "x.mp4", FileNotFoundError), (tmp_path, IsADirectoryError)):
        with pytest.raises(kind) as caught:
            await client.generate_to_file(PROMPT, path)
        assert caught.value.filename in (str(tmp_path / "nowhere"), str(tmp_path))
        with pytest.raises(kind):
            await client.download(NAME, path)
    assert gate.twin.asked == []


async def test_get_cancel_and_download(client: Client, gate: Gate, tmp_path: Path) -> None:
    video = await client.get(NAME)
    assert (video.name, video.state, video.size_bytes) == (NAME, v.State.DONE, len(BYTES))
    assert await client.download(NAME, tmp_path / "x.mp4") == tmp_path / "x.mp4"
    assert (tmp_path / "x.mp4").read_bytes() == BYTES
    assert (await client.cancel(NAME)).state is v.State.CANCELLED
    assert gate.twin.cancelled == [NAME]


async def test_videos_come_newest_first_over_all_pages(client: Client) -> None:
    made = []
    for prompt in ("a cat", "a dog", "a bird"):
        made += [e.name async for e in client.generate(prompt) if isinstance(e, Video)]
    assert [video.name async for video in client.videos(page_size=2)] == made[::-1]


async def test_whoever_watches_hears_of_the_cancel(client: Client, gate: Gate) -> None:
    gate.twin.hold.clear()
    events = client.generate(PROMPT)
    while not isinstance(await anext(events), Progress):
        pass
    await client.cancel(NAME)
    with pytest.raises(errors.VideoCancelledError) as caught:
        await anext(events)
    assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.ABORTED, "VIDEO_CANCELLED")


async def test_a_download_that_breaks_at_the_generator_goes_on_where_it_broke(
    client: Client, gate: Gate, tmp_path: Path
) -> None:
    gate.twin.breaks = 2
    await client.download(NAME, tmp_path / "x.mp4")
    assert (tmp_path / "x.mp4").read_bytes() == BYTES
    assert gate.twin.offsets == [0, 2000, 2000]


async def test_a_download_that_never_comes_to_its_end_gives_up_and_leaves_no_file(
    client: Client, gate: Gate, tmp_path: Path
) -> None:
    gate.twin.breaks = 1000
    with pytest.raises(errors.StoreUnavailableError):
        await client.download(NAME, tmp_path / "x.mp4")
    assert os.listdir(tmp_path) == []


async def test_a_connection_that_breaks_amid_the_bytes_is_taken_up_again(gate: Gate, tmp_path: Path) -> None:
    gate.twin.data = os.urandom(1_000_000)
    gate.twin.sha256 = hashlib.sha256(gate.twin.data).hexdigest()
    async with relayed(gate.port, cut_after=300_000) as relay, Client(f"127.0.0.1:{relay.port}") as client:
        await client.download(NAME, tmp_path / "x.mp4")
        assert relay.cut.is_set()
    assert (tmp_path / "x.mp4").read_bytes() == gate.twin.data
    first, second = gate.twin.offsets
    assert first == 0 < second < 300_000


async def test_a_name_that_nobody_asked_for_is_not_found(client: Client, tmp_path: Path) -> None:
    for call in (client.get("videos/none"), client.download("videos/none", tmp_path / "x.mp4")):
        with pytest.raises(errors.NotFoundError) as caught:
            await call
        assert caught.value.resource == errors.Resource(kind="video", name="videos/none")
    assert os.listdir(tmp_path) == []


async def test_an_error_says_why_what_to_do_and_where_to_look(client: Client) -> None:
    with pytest.raises(errors.InvalidFieldError) as caught:
        async for _ in client.generate(PROMPT, settings=v.Settings(frames=16)):
            pass
    error = caught.value
    assert (error.reason, error.code) == ("INVALID_FIELD", grpc.StatusCode.INVALID_ARGUMENT)
    assert [x.subject for x in error.violations] == ["settings.frames"]
    assert error.next_step == errors.InvalidFieldError.next_step
    assert len(error.request_id) == 32


UNHOLDABLE: list[tuple[str, v.Settings, v.PostProcessing]] = [
    ("half a pair \ud83d", v.Settings(), v.PostProcessing()),
    (PROMPT, v.Settings(tier="\udcff"), v.PostProcessing()),
    (PROMPT, v.Settings(seed=2**63), v.PostProcessing()),
    (PROMPT, v.Settings(frames=-3), v.PostProcessing()),
    (PROMPT, v.Settings(steps=2**32), v.PostProcessing()),
    (PROMPT, v.Settings(seconds=float("inf")), v.PostProcessing()),
    (PROMPT, v.Settings(seconds=float("nan")), v.PostProcessing()),
    (PROMPT, v.Settings(seconds=1e30), v.PostProcessing()),
    (PROMPT, v.Settings(), v.PostProcessing(fps=-1)),
    (PROMPT, v.Settings(), v.PostProcessing(watermark="\ud800")),
]


@pytest.mark.parametrize(("prompt", "settings", "finish"), UNHOLDABLE, ids=ascii)
async def test_what_no_message_can_hold_is_a_broken_field_like_any_other(
    prompt: str, settings: v.Settings, finish: v.PostProcessing, client: Client, gate: Gate
) -> None:
    with pytest.raises(errors.InvalidFieldError) as caught:
        async for _ in client.generate(prompt, settings=settings, post_processing=finish):
            pass
    assert caught.value.next_step
    assert gate.twin.asked == []


async def test_a_name_that_is_no_text_is_a_broken_field(client: Client, tmp_path: Path) -> None:
    for call in (client.get("\udcff"), client.cancel("\udcff"), client.download("\udcff", tmp_path / "x")):
        with pytest.raises(errors.InvalidFieldError):
            await call


async def test_leaving_the_events_leaves_the_run(client: Client, gate: Gate) -> None:
    gate.twin.hold.clear()
    async with aclosing(client.generate(PROMPT)) as events:
        async for event in events:
            if isinstance(event, Progress):
                break
    await asyncio.wait_for(gate.twin.closed.wait(), 10)
    assert gate.twin.cancelled == []


async def test_a_deadline_ends_the_call_and_not_the_run(client: Client, gate: Gate) -> None:
    gate.twin.hold.clear()
    with pytest.raises(errors.DeadlineExceededError) as caught:
        async for _ in client.generate(PROMPT, timeout=0.5):
            pass
    assert "attaches" in caught.value.next_step
    assert gate.twin.cancelled == []


async def test_nobody_there_says_how_to_start_the_service() -> None:
    async with Client("127.0.0.1:1") as client:
        with pytest.raises(errors.UnavailableError) as caught:
            await client.prepare(PROMPT)
        assert "reelgate up" in caught.value.next_step
        with pytest.raises(errors.UnavailableError):
            async for _ in client.generate(PROMPT):
                pass


@pytest.mark.parametrize("token", ["a\nb", "ü", "two words", "\ud800"], ids=ascii)
async def test_a_token_that_no_header_holds_is_refused_when_the_client_is_made(token: str) -> None:
    with pytest.raises(ValueError, match="token"):
        Client("127.0.0.1:1", token=token)
