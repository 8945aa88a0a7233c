"""The ledger's database, by URL: SQLite in a file, or PostgreSQL. What differs between the two is in this file and nowhere else.

A transaction is a plain function of a connection, run whole. For SQLite it runs on one writing thread (its writers take turns anyway,
and one hop for a transaction is cheaper than one for a statement); for PostgreSQL on asyncpg.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, PoolProxiedConnection, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from reelgate.rpc.errors import BudgetStoreUnavailableError

from .faults import CommitUnansweredError, is_conflict, is_down, is_stale

T = TypeVar("T")
Body = Callable[[Connection], T]
log = logging.getLogger(__name__)

READ = "BEGIN"
AGAIN_S = 0.01
"""Between two interruptions of a look that is not wanted any more."""
PAUSE_S = 0.5
"""After it was found down, nobody asks again for so long: those that wait in line are told at once. Not where another call was
answered meanwhile: that is a crowd and no outage."""


def address(url: str) -> URL:
    """``sqlite:///file``, a plain path, or ``postgresql://…``. Raises ``ValueError`` for any other."""
    made = make_url(url if "://" in url else f"sqlite:///{url}")
    kind = made.get_backend_name()
    if kind == "sqlite":
        if not made.database or made.database == ":memory:":
            raise ValueError("a ledger in SQLite needs a file")
        return made.set(drivername="sqlite")
    if kind in ("postgresql", "postgres"):
        return made.set(drivername="postgresql+asyncpg")
    raise ValueError(f"no ledger in {kind}: use sqlite:///file or postgresql://host/name")


class Database:
    """``wait_s``: what one transaction may take, the connection too. ``line_s``: how long a call may wait for its turn;
    ``connect_s``, where it is less than ``wait_s``: what connecting alone may take.

    ``synchronous`` is SQLite's: FULL loses nothing that was committed to a power cut, NORMAL may lose the last transactions.
    Every call raises ``BudgetStoreUnavailableError`` while the database is gone, full, or locked too long, and works again by itself
    when that is over.
    """

    def __init__(
        self,
        url: str,
        *,
        wait_s: float = 2.0,
        line_s: float = 10.0,
        size: int = 10,
        synchronous: str = "FULL",
        connect_s: float | None = None,
    ) -> None:
        self.url = address(url)
        self.kind = self.url.get_backend_name()
        self.wait_s = wait_s
        self._line_s = line_s
        self._down_until = 0.0
        self._worked = 0.0
        self._store: _Sqlite | _Postgres = (
            _Sqlite(self.url, wait_s, synchronous)
            if self.kind == "sqlite"
            else _Postgres(self.url, wait_s, connect_s or wait_s, size)
        )
        self._turn = asyncio.Semaphore(1 if self.kind == "sqlite" else size)
        self._look = asyncio.Semaphore(2) if self.kind == "sqlite" else self._turn
        self._left: set[asyncio.Task[Any]] = set()

    @property
    def engine(self) -> Engine:
        """The engine below, for those that listen to its events."""
        return self._store.engine

    async def write(self, body: Body[T]) -> T:
        """One transaction, committed at its end unless ``body`` rolled it back itself.

        Run again once where the database gave it up for another's sake, or the connection was dead before the commit was sent. A commit
        without an answer is not repeated: the caller may ask again, and every call of the ledger bears that.
        """
        return await self._in_turn(self._turn, lambda: self._store.run(body, reading=False))

    async def read(self, body: Body[T]) -> T:
        """One transaction that sees the books as they are at its beginning, all through."""
        return await self._in_turn(self._look, lambda: self._store.run(body, reading=True))

    async def close(self) -> None:
        await asyncio.gather(*self._left, return_exceptions=True)
        await self._store.close()

    async def _in_turn(self, turn: asyncio.Semaphore, run: Callable[[], Coroutine[Any, Any, T]]) -> T:
        loop = asyncio.get_running_loop()
        self._check(loop.time())
        try:
            if turn.locked():
                async with asyncio.timeout(self._line_s):
                    await turn.acquire()
            else:
                await turn.acquire()  # at once
        except TimeoutError:
            raise BudgetStoreUnavailableError("the ledger is too busy") from None
        try:
            self._check(loop.time())
            try:
                return await self._timely(run)
            except Exception as error:
                if not is_conflict(error) and not is_stale(error):
                    raise
            return await self._timely(run)
        except Exception as error:
            if is_conflict(error):
                raise BudgetStoreUnavailableError("the ledger is too busy") from error
            if not is_down(error):
                raise
            log.warning("the ledger cannot be reached", extra={"cause": type(error).__name__})
            if self.kind != "sqlite" and loop.time() - self._worked > self.wait_s:
                self._down_until = loop.time() + PAUSE_S
            raise BudgetStoreUnavailableError("the ledger cannot be reached") from error
        finally:
            turn.release()

    def _check(self, now: float) -> None:
        if now < self._down_until:
            raise BudgetStoreUnavailableError("the ledger cannot be reached")

    async def _timely(self, run: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Answers in time whatever the database does: a driver that cleans up a dead connection goes on behind our back."""
        if self._store.most_s is None:
            return await run()
        task = asyncio.create_task(run())
        try:
            done, _ = await asyncio.wait({task}, timeout=self._store.most_s)
        except asyncio.CancelledError:
            self._leave(task)
            raise
        if not done:
            self._leave(task)
            raise TimeoutError
        made = task.result()
        self._worked = asyncio.get_running_loop().time()
        return made

    def _leave(self, task: asyncio.Task[Any]) -> None:
        task.cancel()
        self._left.add(task)
        task.add_done_callback(self._gone)

    def _gone(self, task: asyncio.Task[Any]) -> None:
        self._left.discard(task)
        if not task.cancelled():
            task.exception()


class _Sqlite:
    def __init__(self, url: URL, wait_s: float, synchronous: str) -> None:
        self.most_s: float | None = None  # SQLite's own busy timeout answers; a thread cannot be stopped
        self.engine = create_engine(url, connect_args={"timeout": wait_s}, pool_size=3, max_overflow=0)
        # By the dialect and not by an event: where an engine has events, every statement pays for looking for them.
        self.engine.dialect.do_begin = _begin  # type: ignore[method-assign,assignment]
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._reading = ThreadPoolExecutor(2, thread_name_prefix="ledger-look")
        self._mine, self._open = threading.local(), set[Connection]()
        self._looking: dict[Connection, Any] = {}
        self._pragmas = ("journal_mode=WAL", f"synchronous={synchronous}", f"busy_timeout={round(wait_s * 1000)}")
        event.listen(self.engine, "connect", self._connected)

    async def run(self, body: Body[T], *, reading: bool) -> T:
        begin, threads = (READ, self._reading) if reading else ("BEGIN IMMEDIATE", self._writing)
        return await asyncio.get_running_loop().run_in_executor(threads, self._whole, body, begin)

    async def close(self) -> None:
        self._writing.shutdown()
        # What reads all of the books may take minutes; nobody waits for it any more. Between two of its statements there is nothing
        # to interrupt, so it is done until the threads have ended.
        ending = asyncio.create_task(asyncio.to_thread(self._reading.shutdown))
        while not ending.done():
            for raw in list(self._looking.values()):
                with suppress(sqlite3.ProgrammingError):  # it is closed in this moment
                    raw.interrupt()
            await asyncio.wait({ending}, timeout=AGAIN_S)
        await ending
        for conn in self._open:
            conn.close()
        self.engine.dispose()

    def _whole(self, body: Body[T], begin: str) -> T:
        """On the thread's own connection, which it keeps as long as nothing goes wrong."""
        conn: Connection | None = getattr(self._mine, "conn", None)
        if conn is None:
            conn = self._mine.conn = self.engine.connect()
            conn.connection.info["begin"] = begin
            self._open.add(conn)
            if begin == READ:
                self._looking[conn] = conn.connection.driver_connection
        try:
            made = body(conn)
            try:
                conn.commit()
            except BaseException:
                # A commit that failed (a full disk) may leave its transaction open: nobody is to find it on this connection.
                conn.invalidate()
                raise
        except BaseException:
            self._mine.conn = None
            self._open.discard(conn)
            self._looking.pop(conn, None)
            conn.close()
            raise
        return made

    def _connected(self, connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself: `_begin` does
        for pragma in self._pragmas:
            connection.execute(f"PRAGMA {pragma}")


def _begin(connection: PoolProxiedConnection) -> None:
    """A writer takes the lock at once: one that began by reading could not get it any more."""
    connection.driver_connection.execute(connection.info["begin"])  # type: ignore[union-attr]


class _Postgres:
    def __init__(self, url: URL, wait_s: float, connect_s: float, size: int) -> None:
        self.most_s: float | None = wait_s
        self._engine: AsyncEngine = create_async_engine(
            url,
            pool_size=size,
            max_overflow=0,
            pool_timeout=wait_s,
            isolation_level="READ COMMITTED",
            connect_args={"timeout": connect_s, "command_timeout": wait_s},
        )
        self._reader = self._engine.execution_options(isolation_level="REPEATABLE READ")
        self.engine = self._engine.sync_engine

    async def run(self, body: Body[T], *, reading: bool) -> T:
        async with (self._reader if reading else self._engine).connect() as conn:
            made = await conn.run_sync(body)
            try:
                await conn.commit()
            except DBAPIError as error:
                await conn.invalidate()
                raise CommitUnansweredError from error
            except BaseException:
                await conn.invalidate()
                raise
            return made

    async def close(self) -> None:
        await self._engine.dispose()
