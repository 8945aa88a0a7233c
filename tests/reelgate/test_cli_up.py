"""`reelgate up` and `reelgate demo`: both services, real ones, as children of the command.

Children write to the command's standard error: its end is the end of the last of them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from reelgate.cli_health import serving

COMMAND = Path(sys.executable).with_name("reelgate")
SECONDS = 200  # the first import of torch takes long on a busy machine
pytestmark = pytest.mark.timeout(SECONDS)
Start = Callable[..., Awaitable[Process]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts the command; kills what a test leaves, children first."""
    started: list[Process] = []

    async def begin(*arguments: object) -> Process:
        # One thread: a second would be waited for at each operation while the machine is busy.
        environment = {**os.environ, "REELGATE_GENERATOR_THREADS": "1"}
        process = await asyncio.create_subprocess_exec(
            COMMAND, *map(str, arguments), stdout=PIPE, stderr=PIPE, env=environment
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.returncode is None:
            for child in await children(process):
                os.kill(child, signal.SIGKILL)
            process.kill()
        await process.communicate()


async def children(process: Process) -> dict[int, str]:
    """Process id -> command line."""
    ps = await asyncio.create_subprocess_exec("ps", "-A", "-o", "pid=,ppid=,args=", stdout=PIPE)
    rows = [line.split(None, 2) for line in (await ps.communicate())[0].decode().splitlines()]
    return {int(pid): args for pid, parent, args in rows if int(parent) == process.pid}


async def end(process: Process) -> tuple[int | None, str, str]:
    """How the command ended, once no process of it is left."""
    out, said = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, out.decode(), said.decode()


async def until_listening(process: Process) -> None:
    assert process.stderr is not None
    async for line in process.stderr:
        if b'"listening"' in line:
            return


async def test_up_serves_until_ctrl_c(start: Start, tmp_path: Path) -> None:
    process = await start("up", "--port", 0, "--generator-port", 0, "--data", tmp_path)
    assert process.stdout is not None
    ready = (await process.stdout.readline()).decode()
    assert ready.startswith("ready: clients on 127.0.0.1:")
    clients, generator = (part.split()[-1] for part in ready.partition(";")[0].split(","))
    assert [await serving(address, 10) for address in (clients, generator)] == ["SERVING", "SERVING"]
    assert len(await children(process)) == 2
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)  # an impatient one changes nothing
    code, _, said = await end(process)
    assert code == 0
    assert "\nstopping\n" in f"\n{said}"
    assert "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_up_stops_while_it_still_starts(number: signal.Signals, start: Start, tmp_path: Path) -> None:
    process = await start("up", "--port", 0, "--generator-port", 0, "--data", tmp_path)
    await until_listening(process)
    process.send_signal(number)
    code, out, said = await end(process)
    assert (code, out) == (0, "")
    assert "Traceback" not in said


async def test_what_is_killed_itself_leaves_no_service_either(start: Start, tmp_path: Path) -> None:
    process = await start("up", "--port", 0, "--generator-port", 0, "--data", tmp_path)
    await until_listening(process)
    process.kill()
    code, _, said = await end(process)
    assert code == -signal.SIGKILL
    assert "Traceback" not in said


async def test_up_says_which_service_died_and_stops_the_other(start: Start, tmp_path: Path) -> None:
    process = await start("up", "--port", 0, "--generator-port", 0, "--data", tmp_path)
    await until_listening(process)
    (generator,) = [pid for pid, args in (await children(process)).items() if "generator_service" in args]
    os.kill(generator, signal.SIGKILL)
    code, out, said = await end(process)
    assert (code, out) == (1, "")
    assert "SERVICE_DIED: generator_service ended with exit code -9 before it was ready\n" in said
    assert "Traceback" not in said


async def test_up_on_a_port_that_is_taken_says_so(start: Start, tmp_path: Path) -> None:
    taken = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    async with taken:
        port = taken.sockets[0].getsockname()[1]
        process = await start("up", "--port", port, "--generator-port", 0, "--data", tmp_path)
        code, out, said = await end(process)
    assert (code, out) == (1, "")
    assert f"Failed to bind to address 127.0.0.1:{port}" in said
    assert "SERVICE_DIED: preprocess_service ended with exit code 2 before it was ready\n" in said
    assert "Traceback" not in said


async def test_demo_writes_a_video_and_leaves_nothing_running(start: Start, tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "demo.mp4"
    process = await start("demo", "-o", target)
    out, said = await asyncio.wait_for(process.communicate(), SECONDS)
    assert process.returncode == 0, said
    assert target.read_bytes()[4:8] == b"ftyp"
    lines = out.decode().splitlines()
    assert lines[0].startswith("as it came: The video opens")
    assert lines[-1] == f"video: {target}"
    assert [line for line in lines if line.startswith("bill: ") and line.endswith(" device ms (done)")]
    assert sorted(os.listdir(target.parent)) == ["demo.log", "demo.mp4"]
    assert "Traceback" not in (target.parent / "demo.log").read_text()


async def test_demo_stops_its_services_when_it_is_told_to_stop(start: Start, tmp_path: Path) -> None:
    process = await start("demo", "-o", tmp_path / "demo.mp4")
    while not (begun := await children(process)):
        pass
    process.send_signal(signal.SIGTERM)
    code, out, said = await end(process)
    assert (code, out) == (1, "")
    assert "\nCALL_CANCELLED: stopped before the services were ready\n" in said
    for pid in begun:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
