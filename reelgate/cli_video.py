"""``reelgate get``, ``list``, ``cancel``, ``download`` and ``health``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.markup import escape

from reelgate import cli_show as show
from reelgate import values as v
from reelgate.cli_generate import Server, check_address, check_output, token
from reelgate.cli_health import serving
from reelgate.client import DEFAULT_ADDRESS, Client

T = TypeVar("T")
Name = Annotated[str, typer.Argument(help="videos/<sha256>, as generate --json prints it.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def register(app: typer.Typer) -> None:
    """Add this file's verbs."""
    for verb in (get, cancel, download, health):
        app.command(name=verb.__name__)(verb)
    app.command(name="list")(list_)


def get(name: Name, as_json: Json = False, server: Server = DEFAULT_ADDRESS) -> None:
    """Say how a video is doing."""
    _print(_with(server, lambda client: client.get(name)), as_json)


def list_(
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
    server: Server = DEFAULT_ADDRESS,
) -> None:
    """List your videos, newest first."""

    async def newest(client: Client) -> list[v.Video]:
        found: list[v.Video] = []
        async with aclosing(client.videos(page_size=min(limit + 1, 1000))) as videos:
            async for video in videos:
                found.append(video)
                if len(found) > limit:
                    break
        return found

    found = _with(server, newest)
    if as_json:
        print(show.as_json(found[:limit]))
    else:
        show.videos(found[:limit])
    if len(found) > limit:
        show.note(f"there are more than {limit}: --limit says how many are shown")


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
    address: Annotated[str, typer.Argument(metavar="HOST:PORT", callback=check_address)],
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds.")] = 3.0,
    part: Annotated[str, typer.Option(help="store, liveness, tier/NAME and the like; all of it by default.")] = "",
) -> None:
    """Exit with 0 when the service at HOST:PORT serves, with 1 when it does not."""
    answer = asyncio.run(serving(address, timeout, part))
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
