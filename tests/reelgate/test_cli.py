"""The `reelgate` command against the real service: what it prints, and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from reelgate.cli import main
from reelgate.cli_show import WAITS_FOR_STORE
from reelgate.generator.v1 import generator_pb2 as gpb
from tests.preprocess_service.generator_twin import BYTES
from tests.reelgate.gate import NAME, PROMPT, Gate

COMMAND = Path(sys.executable).with_name("reelgate")
NOBODY = "127.0.0.1:1"
Run = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command in a thread of its own: its exit code, standard output and standard error."""

    async def _run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            await asyncio.to_thread(main, [str(each) for each in arguments])
        out, said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out, said

    return _run


async def start(*arguments: object, **environment: str) -> Process:
    """The command as a process."""
    return await asyncio.create_subprocess_exec(
        COMMAND, *map(str, arguments), stdin=PIPE, stdout=PIPE, stderr=PIPE, env={**os.environ, **environment}
    )


async def test_generate_shows_the_receipt_and_the_bill_and_writes_the_file(
    run: Run, gate: Gate, tmp_path: Path
) -> None:
    target = tmp_path / "[1] :cat: ball.mp4"  # to rich, brackets are markup and :cat: is a picture
    arguments = ["--size", "32x48", "--frames", 9, "--seed", 7, "--fps", 12, "--keyword", "red ball"]
    code, out, said = await run("generate", PROMPT, "-o", target, "--server", gate.address, *arguments)
    assert (code, said) == (0, f"accepted: {NAME}\n")
    assert target.read_bytes() == BYTES
    lines = out.splitlines()
    assert lines[0] == f"prompt: {PROMPT}"
    assert lines[-1] == f"video: {target}"
    assert "token receipt" in out
    assert "1 of 1 protected terms kept" in out
    assert re.search(r"^bill: \d+ tokens, 320 device ms \(done\)$", out, re.MULTILINE)
    (asked,) = gate.twin.asked
    assert (asked.settings.width, asked.settings.height, asked.settings.frames, asked.settings.seed) == (32, 48, 9, 7)
    assert asked.post_processing.fps == 12


async def test_json_alone_is_on_standard_output(run: Run, gate: Gate, tmp_path: Path) -> None:
    code, out, said = await run("generate", PROMPT, "-o", tmp_path / "x.mp4", "--server", gate.address, "--json")
    assert (code, said) == (0, f"accepted: {NAME}\n")
    assert json.loads(out)["name"] == NAME


async def test_generate_says_once_that_a_video_waits_for_the_store(run: Run, gate: Gate, tmp_path: Path) -> None:
    gate.twin.after = 3 * [gpb.Progress(stage=gpb.STAGE_ENCODE, steps=1, waits_for_store=True)]
    code, _, said = await run("generate", PROMPT, "-o", tmp_path / "x.mp4", "--server", gate.address)
    assert (code, said) == (0, f"accepted: {NAME}\nnote: {WAITS_FOR_STORE}\n")


async def test_get_cancel_and_download(run: Run, gate: Gate, tmp_path: Path) -> None:
    server = ("--server", gate.address)
    code, out, _ = await run("get", NAME, *server)
    assert (code, out.splitlines()[0]) == (0, f"{NAME}: done")
    assert json.loads((await run("get", NAME, "--json", *server))[1])["state"] == "done"
    assert await run("download", NAME, "-o", tmp_path / "x.mp4", *server) == (0, f"video: {tmp_path / 'x.mp4'}\n", "")
    assert (tmp_path / "x.mp4").read_bytes() == BYTES
    code, out, _ = await run("cancel", NAME, *server)
    assert (code, out.splitlines()[0]) == (0, f"{NAME}: cancelled")
    assert gate.twin.cancelled == [NAME]


async def test_list_shows_the_newest_and_says_that_there_are_more(run: Run, gate: Gate, tmp_path: Path) -> None:
    server = ("--server", gate.address)
    assert await run("list", *server) == (0, "no videos\n", "")
    for prompt in ("a cat", PROMPT):
        await run("generate", prompt, "-o", tmp_path / "x.mp4", *server)
    code, out, said = await run("list", "--limit", 1, *server)
    assert (code, said) == (0, "note: there are more than 1: --limit says how many are shown\n")
    assert NAME in out.splitlines()[-1]
    code, out, said = await run("list", "--json", *server)
    newest, older = json.loads(out)
    assert (code, said, newest["name"], older["state"]) == (0, "", NAME, "done")


async def test_an_address_without_a_port_is_refused_with_what_one_looks_like(run: Run) -> None:
    for arguments in (("get", NAME, "--server", "localhost"), ("get", NAME, "--server", ":"), ("health", "127.0.0.1")):
        code, out, said = await run(*arguments)
        assert (code, out) == (2, "")
        assert "no port" in said


async def test_health_of_a_part_that_there_is_not_is_no_health(run: Run, gate: Gate) -> None:
    code, out, said = await run("health", gate.address, "--part", "tier/none")
    assert code == 1
    assert "NOT_FOUND" in out + said


async def test_health_is_an_exit_code(run: Run, gate: Gate) -> None:
    assert await run("health", gate.address) == (0, "SERVING\n", "")
    code, out, said = await run("health", NOBODY)
    assert (code, said) == (1, "")
    assert out.startswith("UNAVAILABLE: ")


async def test_prepare_asks_a_running_service(run: Run, gate: Gate) -> None:
    code, out, said = await run("prepare", PROMPT, "--server", gate.address, "--policy", "balanced")
    assert (code, out) == (0, f"{PROMPT}\n")
    assert "at most 128" in said


async def test_a_prompt_comes_from_standard_input_too(gate: Gate, tmp_path: Path) -> None:
    process = await start("generate", "-", "-o", tmp_path / "x.mp4", REELGATE_SERVER=gate.address)
    assert await process.communicate(PROMPT.encode()) != (b"", b"")
    assert process.returncode == 0
    assert gate.twin.asked[0].prompt == PROMPT


USAGE: dict[str, tuple[list[str], str]] = {
    "size": (["generate", PROMPT, "--size", "wide"], "832x480"),
    "size without a height": (["generate", PROMPT, "--size", "32x"], "832x480"),
    "frames below one": (["generate", PROMPT, "--frames", "0"], "--frames"),
    "seconds that are none": (["generate", PROMPT, "--duration", "long"], "--duration"),
    "no folder": (["generate", PROMPT, "-o", "no/such/folder/x.mp4"], "no/such/folder"),
    "a folder": (["generate", PROMPT, "-o", "."], "folder"),
    "no folder to download to": (["download", NAME, "-o", "no/such/folder/x.mp4"], "no/such/folder"),
    "no prompt": (["generate"], "prompt"),
    "an unknown verb": (["paint"], "paint"),
    "a policy of the line": (["prepare", PROMPT, "--policy", "cheap"], "economy"),
    "a port": (["up", "--port", "99999"], "--port"),
}


@pytest.mark.parametrize("name", USAGE)
async def test_wrong_usage_is_said_and_ends_with_2(name: str, run: Run) -> None:
    arguments, named = USAGE[name]
    code, out, said = await run(*arguments)
    assert (code, out) == (2, "")
    assert named in said
    assert "Traceback" not in said


REFUSED: dict[str, tuple[list[str], str, str]] = {
    "empty prompt": (["generate", " "], "INVALID_FIELD", "input.text"),
    "control characters": (["generate", "\x01\u200b"], "INVALID_FIELD", "input.text"),
    "frames": (["generate", PROMPT, "--frames", "16"], "INVALID_FIELD", "16"),
    "size": (["generate", PROMPT, "--size", "100x100"], "INVALID_FIELD", "multiple of 16"),
    "policy": (["generate", PROMPT, "--policy", "[/cheap]"], "INVALID_FIELD", "[/cheap]"),
    "tier": (["generate", PROMPT, "--tier", "[/imax]"], "RESOURCE_NOT_FOUND", "[/imax]"),
    "a seed that no field holds": (["generate", PROMPT, "--seed", str(2**64)], "INVALID_FIELD", str(2**64)),
    "steps that no field holds": (["generate", PROMPT, "--steps", str(2**40)], "INVALID_FIELD", str(2**40)),
    "for ever": (["generate", PROMPT, "--duration", "inf"], "INVALID_FIELD", "infinity"),
    "bytes that are no text": (["generate", "\udcff"], "INVALID_FIELD", "UTF-8"),
    "an unknown video": (["get", "videos/none"], "RESOURCE_NOT_FOUND", "videos/none"),
    "an unknown video's bytes": (["download", "videos/none"], "RESOURCE_NOT_FOUND", "videos/none"),
    "empty prompt to prepare": (["prepare", " "], "INVALID_FIELD", "input.text"),
    "prepare with bytes that are no text": (["prepare", "\udcff"], "INVALID_FIELD", "UTF-8"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_refusal_is_one_line_with_its_reason_then_what_to_do(
    name: str, run: Run, gate: Gate, tmp_path: Path
) -> None:
    (verb, *arguments), reason, fact = REFUSED[name]
    target = ["-o", str(tmp_path / "x.mp4")] if verb in ("generate", "download") else []
    code, out, said = await run(verb, *arguments, *target, "--server", gate.address)
    first, second, *more = said.splitlines()
    assert (code, out) == (1, "")
    assert first.startswith(f"{reason}: ")
    assert fact in first
    assert second.startswith("  ")
    assert all(line.startswith("  request ") for line in more)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("server", [NOBODY, "no such host:80"])
@pytest.mark.parametrize("verb", ["get", "generate", "prepare"])
async def test_no_server_is_one_line_and_how_to_start_one(verb: str, server: str, run: Run, tmp_path: Path) -> None:
    target = ["-o", str(tmp_path / "x.mp4")] if verb == "generate" else []
    code, out, said = await run(verb, NAME, *target, "--server", server)
    first, second = said.splitlines()
    assert (code, out) == (1, "")
    assert first.startswith("UNAVAILABLE: ")
    assert "reelgate up" in second


async def test_bytes_on_standard_input_that_are_no_text_are_refused(gate: Gate, tmp_path: Path) -> None:
    for arguments in (["generate", "-", "-o", tmp_path / "x.mp4", "--server", gate.address], ["prepare", "-"]):
        process = await start(*arguments)
        out, said = await process.communicate(b"a ball \xff\xfe")
        assert (process.returncode, out) == (1, b"")
        assert said.startswith(b"INVALID_FIELD: ")


async def test_a_token_that_no_header_holds_is_wrong_usage(gate: Gate) -> None:
    process = await start("get", NAME, "--server", gate.address, REELGATE_TOKEN="a\nb")
    _, said = await process.communicate()
    assert process.returncode == 2
    assert b"REELGATE_TOKEN" in said
    assert b"Traceback" not in said


async def test_ctrl_c_cancels_the_video(gate: Gate, tmp_path: Path) -> None:
    gate.twin.hold.clear()
    gate.twin.warnings = ["[/this] tier draws shapes only"]
    process = await start("generate", PROMPT, "-o", tmp_path / "x.mp4", "--server", gate.address)
    assert process.stderr is not None
    assert await process.stderr.readline() == f"accepted: {NAME}\n".encode()
    assert await process.stderr.readline() == b"note: [/this] tier draws shapes only\n"  # it has come with the name
    process.send_signal(signal.SIGINT)
    _, said = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    assert said.decode().splitlines()[:2] == [f"{NAME}: cancelled", "CALL_CANCELLED: stopped by ctrl-C"]
    assert gate.twin.cancelled == [NAME]
    assert os.listdir(tmp_path) == []
