"""One video's steps over several processes: the steps of one, and nothing lost when one of them dies."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import av
import grpc
import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, device, distributed, float32, full, zeros

from generator_service.app import App, running
from generator_service.engine import unpack
from generator_service.parallel import NotDivisibleError
from generator_service.said import TEXTS, Texts
from generator_service.settings import Settings
from generator_service.store import Store
from generator_service.text import PromptStates, StatesKey
from generator_service.tier import FOLDER
from reelgate.generator.v1 import generator_pb2 as pb
from reelgate.generator.v1.generator_pb2_grpc import GeneratorServiceStub
from reelgate.processes import Service
from reelgate.rpc import errors
from tests.generator_service.client import ask, made, refused

LOOPBACK = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}
PAIR = {"processes": 2, "method": "ulysses"}
HALVES = {"processes": 2, "method": "guidance"}
RING = {"processes": 2, "method": "ring"}
ROUNDING = 1e-4
QUARTERS = {"processes": 4, "method": "guidance"}
# Each process imports torch, on two busy cores.
pytestmark = pytest.mark.timeout(180)


def tier_file(folder: Path, model: Path, **parallel: Mapping[str, object]) -> Path:
    """A folder of the embedded tier's settings, once for each of ``parallel``, by name."""
    folder.mkdir(exist_ok=True)
    settings = yaml.safe_load((FOLDER / "embedded.yaml").read_text("utf-8"))
    for name, how in parallel.items():
        mine = {**settings, "tier": name, "model": str(model), "parallel": dict(how)}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(mine), "utf-8")
    return folder


@asynccontextmanager
async def served(store: Path, tiers: Path, model: Path) -> AsyncIterator[tuple[App, GeneratorServiceStub]]:
    settings = Settings(address="127.0.0.1:0", store=str(store), tier_folder=tiers, embedded_model=str(model))
    async with running(settings) as app:
        await app.ready
        async with grpc.aio.insecure_channel(f"127.0.0.1:{app.server.port}") as channel:
            yield app, GeneratorServiceStub(channel)


def service(store: Path, tiers: Path, model: Path, log: BinaryIO) -> Service:
    environment = {
        "REELGATE_GENERATOR_ADDRESS": "127.0.0.1:0",
        "REELGATE_GENERATOR_STORE": str(store),
        "REELGATE_GENERATOR_TIERS": str(tiers),
        "REELGATE_GENERATOR_EMBEDDED_MODEL": str(model),
        "REELGATE_GENERATOR_SNAPSHOT_STEPS": "4",
        "OMP_NUM_THREADS": "1",
    }
    return Service("generator_service", environment, log)


@asynccontextmanager
async def begun(
    store: Path, tiers: Path, model: Path, log: Path
) -> AsyncIterator[tuple[Service, GeneratorServiceStub]]:
    """As `served`, in a process of its own."""
    with log.open("ab") as said:
        process = service(store, tiers, model, said)
        await process.start()
        await process.ready()
        async with grpc.aio.insecure_channel(process.address) as channel:
            yield process, GeneratorServiceStub(channel)
        await process.stop()


def children(pid: int) -> list[int]:
    """Followers of the process ``pid``."""
    found = [
        int(each) for task in Path(f"/proc/{pid}/task").iterdir() for each in (task / "children").read_text().split()
    ]
    return [each for each in found if b"generator_service.follower" in Path(f"/proc/{each}/cmdline").read_bytes()]


def listening(pid: int) -> set[str]:
    """Addresses that ``pid`` listens on, as the kernel writes them."""
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            sockets.add(os.readlink(descriptor))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *rest = line.split()
            if state == "0A" and f"socket:[{rest[5]}]" in sockets:
                found.add(local.partition(":")[0])
    return found


def latents(store: Path, name: str) -> Tensor:
    """Final latents of the take behind the video ``name``."""
    kept = Store(str(store))
    record = kept.record(name)
    assert record is not None
    found = kept.latents(record.request.take_name)
    assert found is not None
    return unpack(found[1])


def frames(store: Path, name: str) -> np.ndarray:
    """Every picture of a stored video."""
    with av.open(str(store / name / "video.mp4")) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


async def gone(pids: list[int], seconds: float = 20.0) -> bool:
    async with asyncio.timeout(seconds):
        while any(alive(pid) for pid in pids):  # noqa: ASYNC110 - another process's end is no event of ours
            await asyncio.sleep(0.1)
    return True


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


async def test_steps_over_two_processes_are_those_of_one(tmp_path: Path, model_folder: Path) -> None:
    """Sharing the two passes of a step changes no bit; with guidance off there is one pass. Sharing the tokens of a pass is equal up
    to rounding: a product of half the rows is another kernel's on some processors, and a ring adds in another order on all. What
    cannot be shared is refused with a size that can. A process that dies while nothing is made is noticed too."""
    tiers = tier_file(tmp_path / "tiers", model_folder, pair=PAIR, halves=HALVES, ring=RING)
    async with served(tmp_path / "store", tiers, model_folder) as (app, stub):
        followers = children(os.getpid())
        assert len(followers) == 1
        assert all(address in LOOPBACK for pid in (os.getpid(), *followers) for address in listening(pid))
        found = {}
        for guidance in (4.0, 1.0):
            for tier in ("embedded", "pair", "halves", "ring"):
                video = (await made(stub, ask(tier=tier, guidance_scale=guidance, steps=6)))[-1].video
                assert video.state == pb.VIDEO_STATE_DONE
                found[tier, guidance] = latents(tmp_path / "store", video.name)
            assert found["halves", guidance].equal(found["embedded", guidance])
            for tier in ("pair", "ring"):
                torch.testing.assert_close(
                    found[tier, guidance], found["embedded", guidance], rtol=ROUNDING, atol=ROUNDING
                )
            assert not found["ring", guidance].equal(found["embedded", guidance])
        assert not found["pair", 4.0].equal(found["pair", 1.0])
        # Wide enough that a process decodes a part of the picture only. Two at once take turns.
        wide = [ask(tier=tier, width=256, seed=seed) for seed in (1, 2) for tier in ("embedded", "pair", "halves")]
        videos = [answers[-1].video for answers in await asyncio.gather(*(made(stub, each) for each in wide))]
        for one in (0, 3):
            alone, *shared = [frames(tmp_path / "store", each.name) for each in videos[one : one + 3]]
            for found in shared:
                apart = np.abs(found.astype(int) - alone)
                # A level may round the other way, and H.264 makes a little more of it.
                assert apart.mean() < 0.1
                assert apart.max() <= 8
            assert alone.std() > 5
        # 3 latent frames of 1 x 1 tokens.
        error = await refused(stub, ask(tier="pair", width=16, height=16, frames=9))
        assert isinstance(error, errors.InvalidFieldError)
        assert "13 frames are" in str(error)
        # What a terminal or a supervisor tells all processes of a service is the leader's to heed.
        for told in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(followers[0], told)
        assert (await made(stub, ask(tier="pair", seed=3, steps=2)))[-1].video.state == pb.VIDEO_STATE_DONE
        assert not app.broken.is_set()
        os.kill(followers[0], signal.SIGKILL)
        async with asyncio.timeout(10):
            await app.broken.wait()
    assert await gone(followers)


async def test_who_is_killed_in_the_middle_of_a_step_loses_no_video(tmp_path: Path, model_folder: Path) -> None:
    """A follower, whereupon the leader ends, and then the leader: the next process goes on from the snapshot, to the same bits, and
    nobody is left behind."""
    tiers = tier_file(tmp_path / "tiers", model_folder, pair=PAIR)
    wanted = ask(tier="pair", steps=40)
    store, log = tmp_path / "store", tmp_path / "log"

    async def until(stub: GeneratorServiceStub, step: int) -> str:
        """The video's name, once so many steps are made."""
        call = stub.GenerateVideo(wanted)
        name = ""
        async for message in call:
            name = message.accepted.name or name
            if message.progress.step >= step and message.progress.stage == pb.STAGE_DENOISE:
                break
        call.cancel()
        return name

    async with begun(store, tiers, model_folder, log) as (first, stub):
        name = await until(stub, 8)
        followers = children(first.pid)
        os.kill(followers[0], signal.SIGKILL)
        assert await asyncio.wait_for(first.ended(), 60) == 3
    assert b"a new process goes on from the snapshots" in log.read_bytes()
    async with begun(store, tiers, model_folder, log) as (second, stub):
        await until(stub, 20)
        followers = children(second.pid)
        os.kill(second.pid, signal.SIGKILL)
        await second.ended()
        assert await gone(followers)
    async with served(store, tiers, model_folder) as (_, stub):
        again = (await made(stub, wanted))[-1].video
        # Another tenant's take of the same: nobody disturbs it.
        wanted.tenant = "other"
        undisturbed = (await made(stub, wanted))[-1].video
    assert again.name == name != undisturbed.name
    assert again.report.steps_resumed > 0
    assert latents(store, name).equal(latents(store, undisturbed.name))


async def test_torchrun_starts_all_processes_and_the_first_one_serves(tmp_path: Path, model_folder: Path) -> None:
    """Two halves of two, so that both ways of sharing are on at once."""
    tiers = tier_file(tmp_path / "tiers", model_folder, quarters=QUARTERS)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "ADDRESS": f"127.0.0.1:{port}",
        "STORE": str(tmp_path / "store"),
        "TIERS": str(tiers),
        "EMBEDDED_MODEL": str(model_folder),
    }
    environment = {**os.environ, **{f"REELGATE_GENERATOR_{name}": value for name, value in settings.items()}}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "4"]
    with (tmp_path / "log").open("wb") as log:
        started = await asyncio.create_subprocess_exec(
            *command, "-m", "generator_service", env={**environment, "OMP_NUM_THREADS": "1"}, stdout=log, stderr=log
        )
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = GeneratorServiceStub(channel)
            async with asyncio.timeout(120):
                while (failed := await not_ready(stub)) and started.returncode is None:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.3)
            assert not failed, (tmp_path / "log").read_text()
            shared = (await made(stub, ask(tier="quarters")))[-1].video
            alone = (await made(stub, ask(tier="embedded")))[-1].video
    finally:
        started.terminate()
        await asyncio.wait_for(started.wait(), 30)
    found, right = latents(tmp_path / "store", shared.name), latents(tmp_path / "store", alone.name)
    torch.testing.assert_close(found, right, rtol=ROUNDING, atol=ROUNDING)


async def not_ready(stub: GeneratorServiceStub) -> str:
    try:
        await stub.GetModel(pb.GetModelRequest())
    except grpc.aio.AioRpcError as error:
        return str(error.code())
    return ""


async def test_heads_that_cannot_be_shared_end_the_start_with_their_reason(tmp_path: Path, model_folder: Path) -> None:
    """Nobody waits for what will never come, and the followers go too."""
    tiers = tier_file(tmp_path / "tiers", model_folder, thirds={"processes": 3, "method": "ulysses"})
    with pytest.raises(NotDivisibleError, match="4 heads cannot be shared by 3"):
        async with served(tmp_path / "store", tiers, model_folder):
            pass
    assert not distributed.is_initialized(), "another start in this process may have its own"
    assert await gone(children(os.getpid()))


@given(st.lists(st.lists(st.integers(0, 2 * TEXTS), min_size=1, max_size=2), max_size=150))
def test_followers_know_every_text_of_a_step_that_the_leader_names(steps: list[list[int]]) -> None:
    """Both texts of a guided step are told together, so that the second must not have the first forgotten."""
    known, told = dict[int, int](), Texts()
    for prompts in steps:
        numbers = []
        for prompt in prompts:
            number, new, forgotten = told.number(states(prompt))
            known.pop(forgotten or 0, None)
            if new:
                assert number not in known
                known[number] = prompt
            numbers.append(number)
        assert [known.get(number) for number in numbers] == prompts
        assert len(known) <= TEXTS


def test_a_text_that_is_used_again_is_not_forgotten_for_newer_ones() -> None:
    told = Texts()
    first = told.number(states(0))[0]
    for other in range(1, 3 * TEXTS):
        told.number(states(other))
        assert told.number(states(0)) == (first, False, None)


def states(prompt: int) -> PromptStates:
    key = StatesKey(encoder="", text=str(prompt), window=8, dtype=float32, device=device("cpu"))
    return PromptStates(key=key, real=full((1, 1, 1), float(prompt)) + zeros(1))
