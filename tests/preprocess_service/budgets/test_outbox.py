"""Events are told at least once, in order, by whoever lives: against a real server that fails in every way, and real kills."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import create_async_engine

from preprocess_service.budgets import schema
from preprocess_service.budgets.database import Database
from preprocess_service.budgets.outbox import RUN, Outbox
from preprocess_service.budgets.sinks import DeliveryError, key_of, signature, sink_of
from reelgate.rpc.errors import BudgetStoreUnavailableError

from .receiver import Receiver, receiver
from .replicas import until
from .stores import add, entry, postgres, tables, told_of

ROOT = Path(__file__).parents[3]


class Clock:
    def __init__(self) -> None:
        self.ms = 1_800_000_000_000

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with tables(f"sqlite:///{tmp_path / 'ledger.db'}") as made:
        yield made


def outbox(database: Database, target: str, now: Clock, *, tries: int = 20, timeout_s: float = 5.0) -> Outbox:
    return Outbox(database, sink_of(target, secret="s3cret", timeout_s=timeout_s), tries=tries, now=now)


async def test_each_event_is_told_once_in_order_and_forgotten(database: Database, hook: Receiver) -> None:
    await told_of(database, *(entry(seq=k, tenant=t) for k in range(1, 41) for t in ("acme", "zeta")))
    box = outbox(database, hook.url, Clock())
    assert await box.drain(1000) == 80
    assert [i for i in hook.ids if i.startswith("acme")] == [f"acme/{k}" for k in range(1, 41)]
    assert [i for i in hook.ids if i.startswith("zeta")] == [f"zeta/{k}" for k in range(1, 41)]
    assert await box.drain(1000) == 0
    assert await box.waiting() == (0, 0)
    await box.close()


async def test_a_drain_tells_no_more_than_it_is_told_to(database: Database, hook: Receiver) -> None:
    await told_of(database, *(entry(seq=k) for k in range(1, 31)))
    box = outbox(database, hook.url, Clock())
    assert [await box.drain(7), await box.drain(20), await box.drain(20)] == [7, 20, 3]
    await box.close()


async def test_the_request_is_a_structured_cloud_event_and_signed(database: Database, hook: Receiver) -> None:
    await told_of(database, entry(seq=3))
    box = outbox(database, hook.url, Clock())
    await box.drain()
    await box.close()
    path, headers, body = hook.got[0]
    assert path == "/events?from=gate"
    assert headers["content-type"].startswith("application/cloudevents+json")
    assert headers["webhook-id"] == json.loads(body)["id"] == "acme/3"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    signed = f"acme/3.{headers['webhook-timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac.new(b"s3cret", signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"


@pytest.mark.parametrize("bad", [500, 404, 302, 307, "drop", "hang", "drip"])
async def test_what_is_not_taken_is_told_again_after_a_pause(
    database: Database, hook: Receiver, bad: int | str
) -> None:
    await told_of(database, entry(seq=1), entry(seq=2))
    hook.script = [bad]
    now = Clock()
    box = outbox(database, hook.url, now, timeout_s=0.3)
    assert await box.drain() == 0
    assert await box.drain() == 0  # Not before its pause is over, nor the one behind it.
    assert hook.ids == ["acme/1"]
    now.ms += 1000
    assert await box.drain() == 2
    assert hook.ids == ["acme/1", "acme/1", "acme/2"]
    assert {path for path, _, _ in hook.got} == {"/events?from=gate"}  # A redirect was not followed.
    assert box.counts == {"sent": 2, "failed": 1, "given_up": 0}
    await box.close()


async def test_pauses_double_and_a_receiver_may_ask_for_a_longer_one(database: Database, hook: Receiver) -> None:
    await told_of(database, entry(seq=1))
    hook.script = [500, 500, 500, 429]
    now, pauses = Clock(), []
    box = outbox(database, hook.url, now)
    while (await box.waiting())[0]:
        await box.drain()
        due = await database.read(lambda connection: connection.execute(select(schema.outbox.c.next_ms)).scalar())
        if due is not None:
            pauses.append(due - now.ms)
            now.ms = due
    assert pauses == [1000, 2000, 4000, 90_000]
    await box.close()


async def test_a_receiver_that_is_down_loses_nothing(database: Database) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    await told_of(database, *(entry(seq=k) for k in range(1, 6)))
    now = Clock()
    box = outbox(database, f"http://127.0.0.1:{port}/events?from=gate", now)
    assert await box.drain() == 0
    now.ms += 2000
    with receiver(port) as hook:
        assert await box.drain() == 5
        assert hook.ids == [f"acme/{k}" for k in range(1, 6)]
    await box.close()


async def test_an_event_is_given_up_in_the_end_with_a_line_and_a_count_and_the_next_go_on(
    database: Database, hook: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    await told_of(database, entry(seq=1), entry(seq=2))
    hook.script = [500, 500, 500]
    now = Clock()
    box = outbox(database, hook.url, now, tries=3)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            await box.drain()
            now.ms += 10_000
    assert hook.ids == ["acme/1", "acme/1", "acme/1", "acme/2"]
    assert box.counts == {"sent": 1, "failed": 3, "given_up": 1}
    assert [record.message for record in caplog.records] == ["an event is given up"]
    assert await box.waiting() == (0, 1)
    await box.close()


async def test_one_tenants_trouble_is_not_anothers(database: Database, hook: Receiver) -> None:
    await told_of(database, entry(seq=1, tenant="a"), entry(seq=1, tenant="b"), entry(seq=2, tenant="b"))
    box = outbox(database, hook.url, Clock(), timeout_s=0.3)

    def by_whom() -> int:
        return 500 if hook.ids[-1].startswith("a/") else 200

    hook.script = [by_whom] * 5
    await box.drain()
    assert [i for i in hook.ids if i.startswith("b/")] == ["b/1", "b/2"]
    assert await box.waiting() == (1, 0)
    await box.close()


async def test_a_row_without_its_settlement_is_given_up_and_holds_up_nobody(database: Database, hook: Receiver) -> None:
    await add(database, schema.outbox, {"tenant": "acme", "seq": 1, "at_ms": 1})
    await told_of(database, entry(seq=2))
    box = outbox(database, hook.url, Clock())
    assert await box.drain() == 1
    assert await box.waiting() == (0, 1)
    await box.close()


CHILD = """
import asyncio, sys
from preprocess_service.budgets.database import Database
from preprocess_service.budgets.outbox import Outbox
from preprocess_service.budgets.sinks import sink_of

async def main():
    database = Database(sys.argv[1])
    await Outbox(database, sink_of(sys.argv[2]), now=lambda: int(sys.argv[3])).drain()

asyncio.run(main())
"""


async def test_who_is_killed_between_telling_and_forgetting_tells_twice_and_loses_nothing(
    database: Database, hook: Receiver
) -> None:
    await told_of(database, *(entry(seq=k) for k in range(1, 10)))
    now = Clock()
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        CHILD,
        database.url.render_as_string(),
        hook.url,
        str(now.ms),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "."},
    )

    def kill() -> int:
        os.kill(child.pid, signal.SIGKILL)
        return 200

    hook.script = [200, 200, 200, kill]
    assert await asyncio.wait_for(child.wait(), 60) == -signal.SIGKILL
    assert hook.ids == [f"acme/{k}" for k in range(1, 5)]
    box = outbox(database, hook.url, now)
    assert await box.drain() == 0  # It may still live: what it claimed is its own for a while.
    now.ms += (RUN + 1) * 10_000
    assert await box.drain() == 6
    assert hook.ids == [f"acme/{k}" for k in (1, 2, 3, 4, 4, 5, 6, 7, 8, 9)]
    await box.close()


async def test_a_replica_that_stops_leaves_what_it_had_claimed_to_the_next_at_once(
    database: Database, hook: Receiver
) -> None:
    await told_of(database, *(entry(seq=k) for k in range(1, 6)))
    hook.script = [200, "hang"]
    now = Clock()
    stopping = outbox(database, hook.url, now)
    draining = asyncio.create_task(stopping.drain())
    await until(lambda: len(hook.got) == 2)
    draining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await draining
    await stopping.close()
    box = outbox(database, hook.url, now)
    assert await box.drain() == 4
    assert hook.ids == [f"acme/{k}" for k in (1, 2, 2, 3, 4, 5)]
    await box.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_several_replicas_tell_each_event_once_and_in_order(kind: str, hook: Receiver, tmp_path: Path) -> None:
    tenants = [f"t{k}" for k in range(8)]
    rows = [entry(seq=k, tenant=t) for k in range(1, 26) for t in tenants]
    with postgres() if kind == "postgres" else nullcontext(f"sqlite:///{tmp_path / 'many.db'}") as url:
        async with tables(url) as database:
            await told_of(database, *rows)
            replicas = [Database(url, wait_s=20) for _ in range(3)]
            boxes = [outbox(each, hook.url, Clock()) for each in replicas]
            shares = await asyncio.gather(*(box.drain() for box in boxes))
            await asyncio.gather(*(box.drain() for box in boxes))
            for each, box in zip(replicas, boxes, strict=True):
                await box.close()
                await each.close()
    for tenant in tenants:
        assert [i for i in hook.ids if i.startswith(f"{tenant}/")] == [f"{tenant}/{k}" for k in range(1, 26)]
    assert sum(share > 0 for share in shares) >= 2


async def test_a_file_gets_a_line_each_also_behind_one_that_a_crash_cut_in_two(
    database: Database, tmp_path: Path
) -> None:
    await told_of(database, entry(seq=1), entry(seq=2))
    path = tmp_path / "a folder" / "events.jsonl"
    now = Clock()
    box = outbox(database, f"file://{tmp_path}/a%20folder/events.jsonl", now)
    assert await box.drain() == 0  # There is no such folder yet.
    path.parent.mkdir()
    path.write_text('{"id":"acm')
    now.ms += 2000
    assert await box.drain() == 2
    cut, *lines = path.read_text().splitlines()
    assert cut == '{"id":"acm'
    assert [json.loads(line)["id"] for line in lines] == ["acme/1", "acme/2"]
    await box.close()


@pytest.mark.parametrize(
    "target",
    [
        "",
        "events.jsonl",
        "ftp://a/b",
        "https://",
        "https://me:word@host/",
        "file://host/x",
        "http://a:port/",
        "http://a/#b",
    ],
)
def test_a_target_that_cannot_be_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match=r"events|[Pp]ort"):
        sink_of(target)


def test_a_secret_may_be_that_of_standard_webhooks() -> None:
    # The example of their reference implementations.
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    assert signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == (
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )
    with pytest.raises(ValueError, match="base64"):
        key_of("whsec_???")


async def test_a_database_that_is_away_is_unavailable(tmp_path: Path, hook: Receiver) -> None:
    database = Database(f"sqlite:///{tmp_path / 'none' / 'x.db'}")
    box = outbox(database, hook.url, Clock())
    with pytest.raises(BudgetStoreUnavailableError):
        await box.drain()
    with pytest.raises(BudgetStoreUnavailableError):
        await box.waiting()
    await box.close()
    await database.close()


async def test_a_failure_says_what_it_was() -> None:
    sink = sink_of("http://127.0.0.1:1/")
    with pytest.raises(DeliveryError, match="ConnectionRefusedError"):
        await sink.send("a/1", b"{}")
    sink.close()


async def test_a_webhook_behind_tls_is_told_only_where_its_certificate_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    name = ("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1")
    making = await asyncio.create_subprocess_exec(
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
        *("-keyout", key, "-out", certificate, *name),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await making.wait() == 0
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(certificate, key)
    with receiver(tls=served) as hook:
        target = hook.url.replace("http://", "https://")
        stranger = sink_of(target)
        with pytest.raises(DeliveryError, match="SSLCertVerificationError"):
            await stranger.send("a/1", b"{}")
        stranger.close()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        friend = sink_of(target)
        await friend.send("a/1", b"{}")
        friend.close()
        assert len(hook.got) == 1


class Held:
    """A sink that takes an event once ``go`` is set."""

    timeout_s = 1.0

    def __init__(self) -> None:
        self.got: list[str] = []
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def send(self, key: str, body: bytes) -> None:
        self.asked.set()
        await self.go.wait()
        self.got.append(key)

    def close(self) -> None: ...


async def test_who_slept_through_its_claim_leaves_the_next_ones_alone(database: Database) -> None:
    await told_of(database, *(entry(seq=k) for k in range(1, 4)))
    now, sleeper, awake = Clock(), Held(), Held()
    first = asyncio.create_task(Outbox(database, sleeper, now=now).drain())
    await sleeper.asked.wait()
    now.ms += 60_000
    second = asyncio.create_task(Outbox(database, awake, now=now).drain())
    await awake.asked.wait()
    sleeper.go.set()
    await asyncio.wait_for(first, 10)
    assert sleeper.got == ["acme/1"], "the others are told by who has them now, after the first"
    awake.go.set()
    assert await asyncio.wait_for(second, 10) == 3


async def test_tenants_that_somebody_has_locked_keep_nobody_busy_and_hold_up_no_others() -> None:
    with postgres() as url:
        async with tables(url) as database:
            await told_of(database, *(entry(tenant=f"t{k}", seq=k) for k in range(1, 9)))
            other = create_async_engine(database.url)
            sink = Held()
            sink.go.set()
            first = select(schema.outbox).where(schema.outbox.c.seq <= 6).with_for_update()
            async with other.connect() as stuck:
                await stuck.execute(first)
                assert await asyncio.wait_for(Outbox(database, sink, now=Clock()).drain(), 10) == 2
            await other.dispose()
            assert sorted(sink.got) == ["t7/7", "t8/8"]
