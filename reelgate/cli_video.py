"""``reelgate get``, ``cancel``, ``download`` and ``health``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.markup import escape

from reelgate import cli_show as show
from reelgate import values as v
from reelgate.cli_generate import Server, check_output, token
from reelgate.cli_health import serving
from reelgate.client import DEFAULT_ADDRESS, Client

T = TypeVar("T")
Name = Annotated[str, typer.Argument(help="videos/<sha256>, as generate --json prints it.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def register(app: typer.Typer) -> None:
    """Add this file's verbs."""
    for verb in (get, cancel, download, health):
        app.command(name=verb.__name__)(verb)


def get(name: Name, as_json: Json = False, server: Server = DEFAULT_ADDRESS) -> None:
    """Say how a video is doing."""
    _print(_with(server, lambda client: client.get(name)), as_json)


def cancel(name: Name, as_json: Json = False, server: Server = DEFAULT_ADDRESS) -> None:
    """Stop a video between two steps; asking for it again starts it anew."""
    _print(_with(server, lambda client: client.cancel(name)), as_json)


def download(
    name: Name,
    output: Annotated[Path, typer.Option("-o", "--output", help="The MP4 to write.")] = Path("out.mp4"),
    server: Server = DEFAULT_ADDRESS,
) -> None:
    """Write a finished video to a file."""
    check_output(output)
    written = _with(server, lambda client: client.download(name, output))
    show.line(f"video: {escape(str(written))}")


def health(
    address: Annotated[str, typer.Argument(metavar="HOST:PORT")],
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds.")] = 3.0,
) -> None:
    """Exit with 0 when the service at HOST:PORT serves, with 1 when it does not."""
    answer = asyncio.run(serving(address, timeout))
    print(answer)
    raise typer.Exit(0 if answer == "SERVING" else 1)


def _with(server: str, call: Callable[[Client], Awaitable[T]]) -> T:
    async def run() -> T:
        async with Client(server, token=token()) as client:
            return await call(client)

    return asyncio.run(run())


def _print(video: v.Video, as_json: bool) -> None:
    if as_json:
        print(show.as_json(video))
    else:
        show.video(video)
