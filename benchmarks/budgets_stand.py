"""What the benchmarks of budgets stand on: the real generator on the embedded model, and replicas of the gate as processes that can be
killed."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import grpc

from reelgate.generator.v1 import generator_pb2
from reelgate.preprocess.v1 import preprocess_pb2 as pb
from reelgate.processes import Service
from reelgate.rpc.channel import connect
from reelgate.rpc.config import ChannelConfig

PROMPT = "A red ball rolls to the left."


@dataclass
class Stand:
    """One generator and ``replicas`` gates on one ledger; each gate keeps its place in the list when it is killed and started anew."""

    ledger: str
    folder: Path
    log: IO[bytes]
    count: int
    environment: dict[str, str] = field(default_factory=dict)
    gates: list[Service] = field(default_factory=list)
    channels: list[grpc.aio.Channel] = field(default_factory=list)
    generator: Service | None = None

    async def start(self) -> None:
        environment = {
            "REELGATE_GENERATOR_ADDRESS": "127.0.0.1:0",
            "REELGATE_GENERATOR_STORE": str(self.folder / "store"),
            "REELGATE_GENERATOR_QUEUE": "4000",
        }
        self.generator = Service("generator_service", environment, self.log)
        await self.generator.start()
        await self.generator.ready()
        for place in range(self.count):
            await self._open(place)

    async def kill(self, place: int) -> None:
        """SIGKILL: nothing is handed over."""
        self.gates[place].kill()
        await self.gates[place].ended()

    async def restart(self, place: int) -> None:
        await self.channels[place].close()
        await self._open(place)

    async def stop(self) -> None:
        for channel in self.channels:
            await channel.close()
        for service in (*self.gates, *([self.generator] if self.generator else [])):
            await service.stop()

    async def _open(self, place: int) -> None:
        if self.generator is None:
            raise RuntimeError("not started")
        environment = {
            "REELGATE_PREPROCESS_ADDRESS": "127.0.0.1:0",
            "REELGATE_PREPROCESS_GENERATOR": self.generator.address,
            "REELGATE_PREPROCESS_LEDGER": self.ledger,
            **self.environment,
        }
        gate = Service("preprocess_service", environment, self.log)
        await gate.start()
        await gate.ready()
        channel = connect(ChannelConfig(target=gate.address, attempts=1))
        if place < len(self.gates):
            self.gates[place], self.channels[place] = gate, channel
        else:
            self.gates.append(gate)
            self.channels.append(channel)


@asynccontextmanager
async def standing(ledger: str, count: int, **environment: str) -> AsyncIterator[Stand]:
    """The services, and a log that is shown when something goes wrong."""
    with tempfile.TemporaryDirectory(prefix="reelgate-budgets-") as name:
        path = Path(name) / "log"
        with path.open("wb") as log:
            stand = Stand(ledger=ledger, folder=Path(name), log=log, count=count, environment=environment)
            try:
                await stand.start()
                yield stand
            except BaseException:
                print(path.read_text("utf-8", "replace")[-8000:])
                raise
            finally:
                await asyncio.shield(stand.stop())


def request(seed: int, request_id: str = "") -> pb.GenerateVideoRequest:
    """The tiny shape; another seed is another video."""
    settings = generator_pb2.VideoSettings(width=32, height=32, frames=5, steps=2, seed=seed)
    return pb.GenerateVideoRequest(input=pb.PromptInput(text=PROMPT), settings=settings, request_id=request_id)
