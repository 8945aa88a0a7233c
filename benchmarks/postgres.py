"""A real PostgreSQL on a port of its own, in a folder of its own, for tests and benchmarks, gone with them."""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator

FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
"""For tests that kill no machine: only the speed differs."""


def programs() -> pathlib.Path | None:
    """The folder of the newest installed server; None: there is none."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    on_path = shutil.which("postgres")
    return found[-1].parent if found else pathlib.Path(on_path).parent if on_path else None


def _free_port() -> int:
    """Below those that the system gives to clients: such a one may be another's by the time that a stopped server comes back."""
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no port is free")


def _as_postgres() -> list[str]:
    """What goes before a command that refuses to run as root. Not subprocess's ``user``: that forks a process with gRPC's threads, whose
    child sometimes crashes in gRPC's own handlers before it executes anything; without it the child is made by vfork."""
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"] if os.geteuid() == 0 else []


class PostgresServer:
    """Started and stopped by hand; ``url()`` names a new, empty database each time."""

    def __init__(self, folder: pathlib.Path, bin_: pathlib.Path, options: tuple[str, ...] = FAST) -> None:
        self.data = folder / "data"
        self._bin, self._options = bin_, options
        self._made = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        made = subprocess.run(
            [
                *_as_postgres(),
                bin_ / "initdb",
                "-D",
                self.data,
                "-A",
                "trust",
                "-N",
                "-U",
                "postgres",
                "-E",
                "UTF8",
                "--locale=C",
            ],
            check=False,
            capture_output=True,
            cwd="/",
        )
        if made.returncode:
            raise RuntimeError(f"initdb: {made.stderr.decode(errors='replace')}")

    def start(self) -> None:
        for _ in range(300):
            # After a crash it refuses to start as long as a child of the one before lives.
            if self._process is None or self._process.poll() is not None:
                self._process = self._spawned()
            ready = subprocess.run(
                [self._bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)], check=False
            )
            if ready.returncode == 0:
                return
            time.sleep(0.1)
        raise RuntimeError("PostgreSQL did not start")

    def _spawned(self) -> subprocess.Popen[bytes]:
        options = [part for option in self._options for part in ("-c", option)]
        where = ["-D", self.data, "-p", str(self.port), "-h", "127.0.0.1", "-k", self.data, "-c", "max_connections=200"]
        return subprocess.Popen(
            [*_as_postgres(), self._bin / "postgres", *where, *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
        )

    def stop(self) -> None:
        """At once: connections are cut, what was committed is on disk."""
        if self._process is not None:
            self.thaw()
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(20)
            self._process = None

    def freeze(self) -> None:
        """Every process of it, as if the machine hung: nothing answers, nothing is refused."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def url(self) -> str:
        self._made += 1
        name = f"books{self._made}"
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"]
        subprocess.run([self._bin / "createdb", *where, name], check=True, capture_output=True)
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def _signal(self, what: signal.Signals) -> None:
        if self._process is None:
            return
        main = self._process.pid
        children = pathlib.Path(f"/proc/{main}/task/{main}/children").read_text().split()
        for pid in (main, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, what)


@contextlib.contextmanager
def running(options: tuple[str, ...] = FAST) -> Iterator[PostgresServer]:
    """Raises ``RuntimeError`` where no PostgreSQL is installed."""
    found = programs()
    if found is None:
        raise RuntimeError("no PostgreSQL is installed here")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ledger-", dir="/tmp"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        server = PostgresServer(folder, found, options)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
