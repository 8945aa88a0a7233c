"""``reelgate generate``: one prompt to one file."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from reelgate import cli_show as show
from reelgate import values as v
from reelgate.client import DEFAULT_ADDRESS, Client
from reelgate.rpc.errors import CallCancelledError, ReelgateError

SIZE = re.compile(r"(\d{1,5})[xX×](\d{1,5})")


def check_address(address: str) -> str:
    """Without a port gRPC would go to 443 and say that nobody is there."""
    if not (re.search(r":\d+$", address) or address.startswith("unix:")):
        raise typer.BadParameter(f"{address!r} has no port: HOST:PORT, as in {DEFAULT_ADDRESS}")
    return address


Server = Annotated[
    str,
    typer.Option(envvar="REELGATE_SERVER", metavar="HOST:PORT", help="preprocess_service.", callback=check_address),
]


def token() -> str | None:
    """The bearer token of ``REELGATE_TOKEN``; not an option, since other users can read a command line."""
    given = os.environ.get("REELGATE_TOKEN") or None
    if given and not (given.isascii() and given.isprintable() and " " not in given):
        raise typer.BadParameter("has characters that no token has", param_hint="REELGATE_TOKEN")
    return given


def register(app: typer.Typer) -> None:
    """Add this file's verb."""
    app.command(name="generate")(generate)


def generate(
    prompt: Annotated[str, typer.Argument(help="The prompt; - reads it from standard input.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The MP4 to write.")] = Path("out.mp4"),
    size: Annotated[str, typer.Option(metavar="WxH", help="Pixels, multiples of 16.")] = "",
    frames: Annotated[int | None, typer.Option(min=1, help="4k+1, e.g. 9 or 81.")] = None,
    duration: Annotated[float | None, typer.Option(min=0, help="Seconds, instead of frames.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Denoise steps.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Another seed is another take.")] = None,
    tier: Annotated[str, typer.Option(help="See reelgate tiers.")] = "",
    policy: Annotated[str, typer.Option(help="economy, balanced, full or passthrough.")] = "economy",
    fps: Annotated[int, typer.Option(min=0, max=60, help="Frames a second.")] = 0,
    watermark: Annotated[str, typer.Option(help="Text in the lower right corner.")] = "",
    keyword: Annotated[list[str] | None, typer.Option(help="A term that must survive; may be repeated.")] = None,
    negative: Annotated[str | None, typer.Option(help="Your own negative prompt.")] = None,
    strict: Annotated[bool, typer.Option(help="Refuse rather than lose something mandatory.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the video as one JSON object.")] = False,
    server: Server = DEFAULT_ADDRESS,
) -> None:
    """Turn one prompt into one MP4. Ctrl-C cancels the video, also for others who wait for the same."""
    check_output(output)
    width, height = parse_size(size)
    settings = v.Settings(
        tier=tier, width=width, height=height, frames=frames, seconds=duration, steps=steps, seed=seed
    )
    job = Job(
        prompt=typed(prompt),
        output=output,
        server=server,
        quiet=as_json,
        options={
            "policy": policy,
            "keywords": tuple(keyword or ()),
            "negative_prompt": negative,
            "strict": strict,
            "settings": settings,
            "post_processing": v.PostProcessing(fps=fps, watermark=watermark),
        },
    )
    video = asyncio.run(job.run())
    if as_json:
        print(show.as_json(video))


def typed(prompt: str) -> str:
    """The prompt as it was given; ``-`` is standard input. Bytes that are no UTF-8 stay recognisable, to be refused."""
    return sys.stdin.buffer.read().decode("utf-8", "surrogateescape") if prompt == "-" else prompt


def check_output(path: Path) -> None:
    """Raise unless ``path`` can be a file."""
    if not path.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}", param_hint="--output")
    if path.is_dir():
        raise typer.BadParameter(f"{path} is a folder", param_hint="--output")


def parse_size(size: str) -> tuple[int | None, int | None]:
    """``WxH`` in pixels; None twice when empty. Whether the numbers will do is the service's to say."""
    if not size:
        return None, None
    match = SIZE.fullmatch(size)
    if not match:
        raise typer.BadParameter("is width x height, e.g. 832x480", param_hint="--size")
    return int(match[1]), int(match[2])


class Job:
    """One run from the command line: shows what comes, cancels on ctrl-C."""

    def __init__(self, *, prompt: str, output: Path, server: str, quiet: bool, options: dict[str, object]) -> None:
        self._prompt, self._output, self._server, self._quiet = prompt, output, server, quiet
        self._options = options
        self._name: str | None = None
        self._cost_tokens = 0

    async def run(self) -> v.Video:
        async with Client(self._server, token=token()) as client:
            try:
                with show.Bar() as bar:
                    return self._show(await self._make(client, self._events(bar)))
            except ReelgateError:
                if self._name:  # get, cancel and download want it
                    show.line(f"name: {self._name}", to=show.errors)
                raise
            except (asyncio.CancelledError, KeyboardInterrupt):
                if self._name:
                    video = await client.cancel(self._name)
                    show.line(f"{video.name}: {video.state.value}", to=show.errors)
                raise CallCancelledError("stopped by ctrl-C") from None

    async def _make(self, client: Client, on_event: Callable[[v.Event], None]) -> v.Video:
        options: dict[str, object] = self._options
        return await client.generate_to_file(self._prompt, self._output, on_event=on_event, **options)  # type: ignore[arg-type]  # checked by generate()

    def _events(self, bar: show.Bar) -> Callable[[v.Event], None]:
        def on_event(event: v.Event) -> None:
            if isinstance(event, v.Prepared):
                self._cost_tokens = event.cost_tokens
                if not self._quiet:
                    show.prepared(event)
            elif isinstance(event, v.Accepted):
                self._name = event.name
                # For get and cancel in another shell; with --json too, whose object comes last.
                show.line(f"accepted: {event.name}", to=show.errors)
                for warning in event.warnings:
                    show.note(warning)
            elif isinstance(event, v.Progress):
                bar.update(event)
            else:
                bar.finish()

        return on_event

    def _show(self, video: v.Video) -> v.Video:
        if not self._quiet:
            show.cost(self._cost_tokens, video)
            show.bill(video)
            show.line(f"name: {video.name}")
            show.line(f"video: {escape(str(self._output))}")
        return video
