"""``reelgate up``: both services in the foreground."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from reelgate import cli_show as show
from reelgate.processes import Services
from reelgate.rpc.server import stop_event


def register(app: typer.Typer) -> None:
    """Add this file's verb."""
    app.command(name="up")(up)


def up(
    port: Annotated[int, typer.Option(min=0, max=65535, help="preprocess_service; 0 takes a free one.")] = 50050,
    generator_port: Annotated[int, typer.Option(min=0, max=65535, help="generator_service.")] = 50051,
    data: Annotated[Path | None, typer.Option(help="Folder of takes and videos; default: your data folder.")] = None,
    ledger: Annotated[
        Path | None, typer.Option(help="SQLite file of budgets and bills; default: ledger.db in your data folder.")
    ] = None,
) -> None:
    """Run both services until ctrl-C. Settings come from REELGATE_PREPROCESS_* and REELGATE_GENERATOR_*."""
    raise typer.Exit(asyncio.run(_up(port, generator_port, data, ledger)))


async def _up(port: int, generator_port: int, data: Path | None, ledger: Path | None) -> int:
    stopped = stop_event()
    show.line("starting both services; clients can call once this says ready", to=show.errors)
    asking = asyncio.create_task(stopped.wait())
    starting = asyncio.create_task(
        Services(store=data, log=None, port=port, generator_port=generator_port, ledger=ledger).__aenter__()
    )
    await asyncio.wait({asking, starting}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return 0
    services = await starting
    try:
        generator = services.generator.address if services.generator else ""
        show.line(f"ready: clients on {services.address}, generator on {generator}; ctrl-C stops")
        ending = asyncio.create_task(services.ended())
        await asyncio.wait({asking, ending}, return_when=asyncio.FIRST_COMPLETED)
        if asking.done():
            ending.cancel()
            show.line("stopping", to=show.errors)
            return 0
        show.line(f"{ending.result().name} ended by itself; stopping the other", to=show.errors)
        return 1
    finally:
        asking.cancel()
        await services.stop()
