"""``reelgate demo``: a real prompt, both services, one video."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from reelgate import cli_show as show
from reelgate.cli_generate import Job
from reelgate.processes import Services
from reelgate.rpc.errors import CallCancelledError
from reelgate.rpc.server import stop_event

# As prompts arrive: an extender's filler, HTML, mojibake, invisible characters, emoji. All that the video needs is one sentence of it.
PROMPT = (
    "The video opens with a breathtaking, ultra&#8209;detailed establishing shot 😍✨ &amp; a gentle sense of wonder\u200b. "
    "In this captivating, award-winning scene, a beautiful,  stunning red ball moves from left to right on the grass. "
    "The lighting is soft and even, giving the whole composition a calm and peaceful mood; itâ€™s almost meditative. "
    "The camera holds steady, inviting the viewer to study every detail. Every frame is rendered with exquisite care and "
    "breathtaking clarity. The overall atmosphere is serene, timeless, and deeply evocative. "
    "Shot on 35mm film, masterpiece, best quality, ultra HD, 8k!!!"
)


def register(app: typer.Typer) -> None:
    """Add this file's verb."""
    app.command(name="demo")(demo)


def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="The MP4 to write.")] = Path("out/demo.mp4"),
) -> None:
    """Start both services, turn one long, dirty prompt into an MP4, and stop them."""
    output.parent.mkdir(parents=True, exist_ok=True)
    asyncio.run(_demo(output))


async def _demo(output: Path) -> None:
    """Until it is done, or a signal says to stop: the services are stopped either way."""
    work, asking = asyncio.create_task(_make(output)), asyncio.create_task(stop_event().wait())
    await asyncio.wait({work, asking}, return_when=asyncio.FIRST_COMPLETED)
    if not work.done():
        work.cancel()
    asking.cancel()
    try:
        await work
    except asyncio.CancelledError:
        raise CallCancelledError("stopped before the services were ready") from None


async def _make(output: Path) -> None:
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="reelgate-demo-") as folder, (output.parent / "demo.log").open("wb") as log:
        show.line("starting preprocess_service and generator_service on the embedded model", to=show.errors)
        store, ledger = Path(folder) / "store", Path(folder) / "ledger.db"
        async with Services(store=store, log=log, ledger=ledger) as services:
            show.line(f"ready after {time.monotonic() - begun:.1f} s", to=show.errors)
            show.line(f"as it came: {escape(PROMPT)}")
            job = Job(prompt=PROMPT, output=output, server=services.address, quiet=False, options={"policy": "economy"})
            await job.run()
    show.line(f"both services stopped; their log is {escape(log.name)}", to=show.errors)
