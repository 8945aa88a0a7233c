"""The blocking client, in a thread of its own as its users have it, against the real service."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from reelgate import Accepted, Prepared, Progress, SyncClient, Video
from reelgate import values as v
from reelgate.rpc import errors
from tests.preprocess_service.generator_twin import BYTES
from tests.reelgate.gate import NAME, PROMPT, Gate

ROOT = Path(__file__).resolve().parents[2]


async def test_every_call_of_the_client_is_there_and_blocks(gate: Gate, tmp_path: Path) -> None:
    def use() -> None:
        with SyncClient(gate.address) as client:
            assert client.prepare(PROMPT, policy="full").receipt.policy == "full"
            kinds = [type(e) for e in client.generate(PROMPT, settings=v.Settings(frames=5))]
            assert kinds == [Prepared, Accepted, Progress, Progress, Progress, Video]
            assert client.generate_to_file(PROMPT, tmp_path / "a.mp4").name == NAME
            assert client.get(NAME).state is v.State.DONE
            assert [video.name for video in client.videos()] == [NAME]
            assert client.videos(limit=0) == []
            assert client.download(NAME, tmp_path / "b.mp4") == tmp_path / "b.mp4"
            assert client.cancel(NAME).state is v.State.DONE  # a run that has ended stays as it ended

    await asyncio.to_thread(use)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes() == BYTES


async def test_errors_are_those_of_the_client(gate: Gate) -> None:
    def use() -> None:
        with SyncClient(gate.address) as client:
            with pytest.raises(errors.NotFoundError) as caught:
                client.get("videos/none")
            assert (caught.value.reason, len(caught.value.request_id)) == ("RESOURCE_NOT_FOUND", 32)
            with pytest.raises(errors.InvalidFieldError):
                list(client.generate("", settings=v.Settings(frames=16)))
            assert client.prepare(PROMPT).prompt == PROMPT

    await asyncio.to_thread(use)


async def test_leaving_the_events_leaves_the_run(gate: Gate) -> None:
    gate.twin.hold.clear()

    def use() -> None:
        with SyncClient(gate.address) as client:
            for event in client.generate(PROMPT):
                if isinstance(event, Progress):
                    break
            gc.collect()
            assert client.prepare(PROMPT).prompt == PROMPT

    await asyncio.to_thread(use)
    await asyncio.wait_for(gate.twin.closed.wait(), 10)
    assert gate.twin.cancelled == []


async def test_several_threads_share_one_client(gate: Gate) -> None:
    with SyncClient(gate.address) as client:
        asked = [f"a red ball, number {n}" for n in range(8)]
        prepared = await asyncio.gather(*(asyncio.to_thread(client.prepare, text) for text in asked))
        assert [p.prompt for p in prepared] == asked
        await asyncio.to_thread(client.close)


async def test_closing_ends_what_another_thread_waits_for(gate: Gate) -> None:
    gate.twin.hold.clear()
    client, waits = SyncClient(gate.address), asyncio.Event()
    loop = asyncio.get_running_loop()

    def watch() -> None:
        for event in client.generate(PROMPT):
            if isinstance(event, Progress):
                loop.call_soon_threadsafe(waits.set)

    watching = asyncio.create_task(asyncio.to_thread(watch))
    await asyncio.wait_for(waits.wait(), 10)
    await asyncio.to_thread(client.close)
    await asyncio.to_thread(client.close)
    with pytest.raises(errors.CallCancelledError):
        await asyncio.wait_for(watching, 10)
    with pytest.raises(RuntimeError, match="closed"):
        client.get(NAME)
    with pytest.raises(RuntimeError, match="closed"):
        next(client.generate(PROMPT))


def test_a_client_that_cannot_be_made_leaves_no_thread() -> None:
    before = threading.active_count()
    with pytest.raises(ValueError, match="token"):
        SyncClient("127.0.0.1:1", token="a\nb")
    assert threading.active_count() == before


async def test_ctrl_c_amid_the_events_is_a_keyboard_interrupt_and_ends_the_call(gate: Gate) -> None:
    gate.twin.hold.clear()
    script = f"""
from reelgate import Progress, SyncClient
with SyncClient({gate.address!r}) as client:
    try:
        for event in client.generate({PROMPT!r}):
            if isinstance(event, Progress):
                print("waits", flush=True)
    except KeyboardInterrupt:
        print("interrupted", client.prepare({PROMPT!r}).prompt == {PROMPT!r}, flush=True)
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"waits\n"
    process.send_signal(signal.SIGINT)
    out, said = await asyncio.wait_for(process.communicate(), 30)
    assert (out, said, process.returncode) == (b"interrupted True\n", b"", 0)
    await asyncio.wait_for(gate.twin.closed.wait(), 10)
    assert gate.twin.cancelled == []
