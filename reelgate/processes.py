"""Both services as child processes of the command, on this machine."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from reelgate.rpc.errors import UnavailableError
from reelgate.rpc.server import FOLLOWS_PARENT

# The first import of torch and diffusers alone can take half a minute on two busy cores.
READY_SECONDS = 180.0
STOP_SECONDS = 20.0


class ServiceDiedError(UnavailableError):
    """A service ended by itself, with the exit code ``code``, or was not ready in time."""

    next_step = "Its log, above or in the file that was named, says why."
    OFTEN: Final = {
        -9: "Somebody killed it: the system, where its memory ran out (dmesg tells), or a person.",
        2: "A setting is wrong, or its port is taken; its log, above or in the file that was named, says which.",
    }

    def __init__(self, name: str, why: str, code: int | None = None) -> None:
        super().__init__(f"{name} {why}", reason="SERVICE_DIED", next_step=self.OFTEN.get(code or 0))


class Service:
    """One service as a process: ``address`` is known once it listens, ``ready`` is set once it serves."""

    def __init__(self, module: str, environment: dict[str, str], log: IO[bytes] | None) -> None:
        self.name = module
        self.address = ""
        self._environment, self._log = environment, log
        self._process: asyncio.subprocess.Process | None = None
        self._listening, self._ready = asyncio.Event(), asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Of the process. Raises ``RuntimeError`` before it was started."""
        if self._process is None:
            raise RuntimeError("not started")
        return self._process.pid

    async def start(self) -> None:
        """Start, and wait until it listens."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self.name,
            env={**os.environ, **self._environment, FOLLOWS_PARENT: "1"},
            stdin=asyncio.subprocess.PIPE,  # ends with us, even when we are killed
            stdout=asyncio.subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,  # ctrl-C is ours to pass on, once and in order
        )
        self._reader = asyncio.create_task(self._read())
        await self._until(self._listening)

    async def ready(self) -> None:
        """Wait until it serves. Raises `ServiceDiedError`."""
        await self._until(self._ready)

    async def ended(self) -> int:
        """Wait until the process has ended; its exit code."""
        if self._process is None:
            raise RuntimeError("not started")
        return await self._process.wait()

    async def stop(self) -> None:
        """Ask it to drain and stop; kill it when it takes too long, or when we are cancelled meanwhile."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
        finally:
            self.kill()
        await self._process.wait()

    def kill(self) -> None:
        """End it at once, where it still runs."""
        if self._process and self._process.returncode is None:
            self._process.kill()

    async def _read(self) -> None:
        """The service says on standard output, a JSON object a line, that it listens and that it serves."""
        if self._process is None or self._process.stdout is None:
            raise RuntimeError("not started")
        async for line in self._process.stdout:
            with suppress(ValueError, KeyError, TypeError):
                said = json.loads(line)
                if said["event"] == "listening":
                    self.address = said["address"]
                    self._listening.set()
                elif said["event"] == "ready":
                    self._ready.set()

    async def _until(self, event: asyncio.Event) -> None:
        waiting = asyncio.create_task(event.wait())
        ending = asyncio.create_task(self.ended())
        try:
            await asyncio.wait({waiting, ending}, timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if ending.done():
                code = ending.result()
                raise ServiceDiedError(self.name, f"ended with exit code {code} before it was ready", code)
            if not waiting.done():
                raise ServiceDiedError(self.name, f"was not ready after {READY_SECONDS:.0f} s")
        finally:
            waiting.cancel()
            ending.cancel()


class Services:
    """generator_service and preprocess_service, started together and stopped together."""

    def __init__(
        self,
        *,
        store: Path | None,
        log: IO[bytes] | None,
        port: int = 0,
        generator_port: int = 0,
        ledger: Path | None = None,
    ) -> None:
        """``ledger``: file of the books; None: as the environment says, else in the user's data folder."""
        self._store, self._log, self._port, self._generator_port = store, log, port, generator_port
        self._ledger = ledger
        self.generator: Service | None = None
        self.preprocess: Service | None = None

    async def __aenter__(self) -> Self:
        environment = {"REELGATE_GENERATOR_ADDRESS": f"127.0.0.1:{self._generator_port}"}
        if self._store:
            environment["REELGATE_GENERATOR_STORE"] = str(self._store)
        self.generator = Service("generator_service", environment, self._log)
        try:
            await self.generator.start()
            gate = {
                "REELGATE_PREPROCESS_ADDRESS": f"127.0.0.1:{self._port}",
                "REELGATE_PREPROCESS_GENERATOR": self.generator.address,
            }
            if self._ledger:
                gate["REELGATE_PREPROCESS_LEDGER"] = f"sqlite:///{self._ledger}"
            self.preprocess = Service("preprocess_service", gate, self._log)
            await self.preprocess.start()
            await self.generator.ready()
            await self.preprocess.ready()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def address(self) -> str:
        """Where clients connect."""
        return self.preprocess.address if self.preprocess else ""

    async def ended(self) -> Service:
        """Wait until one of the two has ended; that one."""
        both = {asyncio.create_task(s.ended()): s for s in (self.generator, self.preprocess) if s}
        done, waiting = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        return both[done.pop()]

    async def stop(self) -> None:
        """The gate first, so that nothing new arrives, then the generator."""
        both = [service for service in (self.preprocess, self.generator) if service]
        try:
            for service in both:
                await service.stop()
        finally:
            for service in both:
                service.kill()
