"""`reelgate usage`, `budget` and `ledger` against the real service on a real ledger: what they print, and how they end."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import update

from preprocess_service import tokens
from preprocess_service.app import load_lines, serving
from preprocess_service.budgets import opening, prices, schema
from preprocess_service.budgets.bills import bill
from preprocess_service.budgets.core import Amount, Ask, Cause, Filed
from preprocess_service.budgets.database import Database
from preprocess_service.budgets.seals import seal_all
from preprocess_service.budgets.sql import SqlLedger
from preprocess_service.settings import Settings, embedded_tokenizer
from preprocess_service.worker import Worker
from reelgate import exports, focus
from reelgate.cli import main
from tests.preprocess_service.budgets.stores import HOUR, JANUARY, add, hour
from tests.preprocess_service.generator_twin import Twin, serve

Run = Callable[..., Awaitable[tuple[int, str, str]]]
RANGE = ("--from", "2026-01-01", "--to", "2026-03-01")
TOKENS = {"boss": ("ops", ["user", "admin"]), "user": ("acme", ["user"])}


@dataclass(frozen=True, kw_only=True)
class Books:
    """Where the service is, and its ledger."""

    address: str
    url: str
    database: Database
    ledger: SqlLedger

    async def spend(self, tenant: str, name: str, at_ms: int, *, given: int, ms: int, saved: int = 0) -> None:
        """A run of that many tokens and milliseconds, from its reservation to its bill."""
        amount = Amount(tokens=given, device_ms=ms)
        ask = Ask(
            tenant=tenant,
            name=name,
            run="r",
            amount=amount,
            at_ms=at_ms,
            tier="full",
            policy="economy",
            tokens_saved=saved,
        )
        await self.ledger.reserve(ask, Filed())
        price = prices.load(Path(__file__).parents[2] / "deploy" / "prices.example.yaml").at("full", at_ms)
        ended = bill(Cause.DONE, tokens=given, device_ms=ms)
        assert await self.ledger.settle(name, "r", ended, price, Filed(), at_ms + 1)


@pytest.fixture
async def books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Books]:
    entries = [
        {"sha256": hashlib.sha256(token.encode()).hexdigest(), "tenant": tenant, "roles": roles}
        for token, (tenant, roles) in TOKENS.items()
    ]
    (tmp_path / "tokens.yaml").write_text(json.dumps({"tokens": entries}))
    monkeypatch.setenv("REELGATE_TOKEN", "boss")
    monkeypatch.setenv("COLUMNS", "250")
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    monkeypatch.setenv("REELGATE_PREPROCESS_LEDGER", url)
    twin = Twin({"embedded": tokens.fingerprint_of(embedded_tokenizer())})
    server = await serve(twin)
    settings = Settings(
        address="127.0.0.1:0",
        generator=f"127.0.0.1:{server.port}",
        token_file=tmp_path / "tokens.yaml",
        drain_seconds=0.2,
        ledger=url,
    )
    kept = await opening.keeping(settings)
    assert kept is not None
    assert isinstance(kept.ledger, SqlLedger)
    database = Database(url, wait_s=20)
    async with serving(settings, load_lines(settings, None), Worker(queue=4, threads=1), kept) as app:
        await asyncio.wait_for(app.ready.wait(), 30)
        yield Books(address=f"127.0.0.1:{app.server.port}", url=url, database=database, ledger=kept.ledger)
    await server.stop()
    await database.close()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], books: Books, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in a thread of its own: its exit code, standard output and standard error."""
    monkeypatch.setenv("REELGATE_SERVER", books.address)

    async def _run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            await asyncio.to_thread(main, [str(each) for each in arguments])
        out, said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out, said

    return _run


async def test_usage_is_a_table_with_sums_and_a_negative_saving_as_it_is(run: Run, books: Books) -> None:
    await books.spend("acme", "videos/1", JANUARY, given=100, ms=2000, saved=-7)
    await books.spend("zeta", "videos/2", JANUARY, given=50, ms=1000, saved=20)
    code, out, said = await run("usage", "--tenant", "*", "--by", "tenant", *RANGE)
    assert (code, said) == (0, "")
    lines = [line.split() for line in out.splitlines()]
    assert lines[0][:3] == ["day", "tenant", "requests"]
    rows = {line[1]: line for line in lines if line and line[0] == "2026-01-01"}
    assert rows["acme"][2:6] == ["1", "100", "-7", "2.000"]
    assert rows["zeta"][2:6] == ["1", "50", "20", "1.000"]
    assert next(line for line in lines if line and line[0] == "all")[1:5] == ["2", "150", "13", "3.000"]
    assert "0.002000" in rows["acme"]  # 100 tokens at 0.02 a thousand
    assert "0.002400" in rows["acme"]  # 2 s at 0.0012
    assert "-0.000140" in rows["acme"]
    assert "failed" not in out


async def test_usage_as_files_has_all_pages_and_exact_figures(run: Run, books: Books, tmp_path: Path) -> None:
    await add(books.database, schema.usage, *(hour(at, tokens=at) for at in range(250)))
    target = tmp_path / "usage.csv"
    asked = ("usage", "--tenant", "acme", "--bucket", "hour", *RANGE)
    assert await run(*asked, "--format", "csv", "-o", target) == (0, "", "")
    rows = list(csv.DictReader(io.StringIO(target.read_text(), newline="")))
    assert [int(row["tokens"]) for row in rows] == list(range(250))
    assert tuple(rows[0]) == exports.COLUMNS
    code, out, _ = await run(*asked, "--format", "json")
    assert (code, [json.loads(line)["tokens"] for line in out.splitlines()]) == (0, list(range(250)))
    code, out, _ = await run(*asked, "--format", "focus", "--provider", "Studio")
    charges = list(csv.DictReader(io.StringIO(out, newline="")))
    assert (code, len(charges), tuple(charges[0])) == (0, 500, focus.COLUMNS)
    assert {charge["ProviderName"] for charge in charges} == {"Studio"}


async def test_nothing_spent_is_said(run: Run, books: Books) -> None:
    code, out, _ = await run("usage", *RANGE)
    assert (code, out.strip()) == (0, "nothing was spent: no request has ended in that time")


async def test_one_sees_ones_own_usage_and_needs_a_role_for_anothers(
    run: Run, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    await books.spend("acme", "videos/1", JANUARY, given=100, ms=2000)
    monkeypatch.setenv("REELGATE_TOKEN", "user")
    code, out, _ = await run("usage", *RANGE, "--format", "json")
    assert (code, json.loads(out)["tenant"]) == (0, "acme")
    for arguments in (
        ("usage", "--tenant", "zeta"),
        ("budget", "zeta"),
        ("budget", "set", "acme", "--concurrent", "9"),
    ):
        code, out, said = await run(*arguments)
        assert (code, out) == (1, "")
        assert "ROLE_REQUIRED" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--by", "colour"), "any of tenant, tier, policy"),
        (("--from", "yesterday"), "is no time"),
        (("--bucket", "week"), "week"),
        (("-o", "x.csv"), "a table is for people"),
    ],
)
async def test_usage_refuses_what_makes_no_sense(run: Run, arguments: tuple[str, ...], says: str) -> None:
    code, _, said = await run("usage", *arguments)
    assert code == 2
    assert says in said


async def test_a_field_that_the_service_refuses_is_named(run: Run) -> None:
    code, _, said = await run("usage", "--from", "2026-02-01", "--to", "2026-01-01")
    assert code == 1
    assert "INVALID_FIELD: start_time must be before end_time" in said


async def test_a_budget_is_set_shown_raised_and_removed(run: Run, books: Books) -> None:
    code, out, _ = await run(
        "budget", "set", "acme", "--limit", "day:tokens=10_000,device_seconds=1.5,carry_over", "--limit", "month:tokens=7,soft",
        "--shadow", "--concurrent", 3, "--throttle",
    )  # fmt: skip
    assert code == 0
    # The day before was empty, so that the whole of its limit is carried over.
    for text in ("set by call; version 1", "day, carries over", "20000", "3.000", "month, soft", "open runs: 0 of 3"):
        assert text in out
    for text in ("shadow: refusals are recorded", "throttle: refused while use is abnormal"):
        assert text in out
    until = datetime.now(UTC).year + 1
    code, out, _ = await run(
        "budget",
        "raise",
        "acme",
        "day:tokens=+5000",
        "--until",
        f"{datetime.now(UTC):%Y-%m-%d}T23:59:59.9Z",
        "--note",
        "[fair]",
    )
    assert code == 0
    assert "25000" in out
    assert "raised: day by 5000 tokens until" in out
    assert "([fair])" in out
    code, out, _ = await run("budget", "acme", "--json")
    shown = json.loads(out)
    assert (code, shown["version"], shown["source"]) == (0, 2, "set")
    assert shown["budget"]["limits"][0] == {
        "window": "day",
        "tokens": 10000,
        "device_ms": 1500,
        "soft": False,
        "carry_over": True,
    }
    code, _, said = await run("budget", "set", "acme", "--concurrent", 1, "--expect", 1)
    assert (code, "BUDGET_CHANGED" in said) == (1, True)
    code, out, _ = await run("budget", "remove", "acme", "--yes")
    assert code == 0
    assert "none: nothing is limited" in out
    code, _, said = await run("budget", "raise", "acme", "day:tokens=1", "--until", f"{until + 1}-12-31")
    assert (code, "at most 366 days away" in said) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("set", "acme"), "nothing is limited"),
        (("set", "acme", "--limit", "week:tokens=1"), "begins with a window"),
        (("set", "acme", "--limit", "day"), "begins with a window"),
        (("set", "acme", "--limit", "day:"), "limits nothing"),
        (("set", "acme", "--limit", "day:tokens=1.5"), "not a whole number"),
        (("set", "acme", "--limit", "day:tokens=-1"), "not a whole number"),
        (("set", "acme", "--limit", "day:device_seconds=0.0005"), "to the millisecond"),
        (("set", "acme", "--limit", "day:device_seconds=1,device_ms=2"), "twice"),
        (("set", "acme", "--limit", "day:gpus=1"), "tokens, device_seconds or device_ms"),
        (("set", "acme", "--limit", "day:tokens=1,hard"), "soft or carry_over"),
        (("set", "acme", "--limit", "day:tokens=1", "--limit", "day:device_ms=1"), "limited twice"),
        (("raise", "acme", "day:soft", "--until", "1h"), "e.g. day:tokens=+5000"),
        (("raise", "acme", "day:tokens=1", "--until", "soon"), "is no time"),
    ],
)
async def test_a_budget_that_makes_no_sense_is_explained(run: Run, arguments: tuple[str, ...], says: str) -> None:
    code, _, said = await run("budget", *arguments)
    assert code == 2
    assert says in said


async def test_the_books_are_proved_and_a_changed_entry_is_found(run: Run, books: Books) -> None:
    await books.spend("acme", "videos/1", JANUARY, given=100, ms=2000)
    code, out, said = await run("ledger", "verify")
    assert (code, said) == (0, "")
    assert out.splitlines() == [
        "acme: 2 entries, not sealed yet",
        "1 tenants, 2 entries: the books are right",
    ]
    spoiled = update(schema.entries).where(schema.entries.c.seq == 2).values(charged_tokens=90)
    await books.database.write(lambda connection: connection.execute(spoiled) and None)
    code, out, said = await run("ledger", "verify", books.url)
    assert code == 1
    assert "acme" in said
    assert "not right" in out
    code, out, _ = await run("ledger", "verify", "--json")
    assert (code, json.loads(out)["findings"][0]["tenant"]) == (1, "acme")


async def test_the_heads_that_were_kept_must_still_be_in_the_chains(run: Run, books: Books, tmp_path: Path) -> None:
    heads = tmp_path / "heads"
    await books.spend("acme", "videos/1", JANUARY, given=100, ms=2000)
    await seal_all(books.database)
    code, _, said = await run("ledger", "verify", "--heads", heads)
    assert (code, "add --begin" in said, heads.exists()) == (2, True, False)
    assert (await run("ledger", "verify", "--heads", heads, "--begin"))[0] == 0
    code, _, said = await run("ledger", "verify", "--heads", heads, "--begin")
    assert (code, "there already" in said) == (2, True)
    assert (await run("ledger", "verify", "--begin"))[0] == 2
    tenant, number, kept = heads.read_text().split()
    assert (tenant, number) == ("acme", "2")
    await books.spend("acme", "videos/2", JANUARY, given=100, ms=2000)
    await seal_all(books.database)
    assert (await run("ledger", "verify", "--heads", heads))[0] == 0
    assert heads.read_text().split()[1] == "4"
    heads.write_text(f"acme 2 {kept[::-1]}\n")
    code, _, said = await run("ledger", "verify", "--heads", heads)
    assert (code, "acme, entry 2" in said) == (1, True)
    assert heads.read_text() == f"acme 2 {kept[::-1]}\n", "what was kept is not lost to a chain that is wrong"
    heads.write_text("acme\n")
    code, _, said = await run("ledger", "verify", "--heads", heads)
    assert (code, "line 1" in said) == (2, True)


async def test_entries_are_exported_in_order(run: Run, books: Books, tmp_path: Path) -> None:
    for k in range(3):
        await books.spend("acme", f"videos/{k}", JANUARY + k * HOUR, given=10, ms=10)
    await books.spend("-zeta", "videos/9", JANUARY, given=10, ms=10)
    code, out, _ = await run("ledger", "export", "--tenant", "acme", "--from", "2026-01-01T01:00")
    rows = [json.loads(line) for line in out.splitlines()]
    assert (code, [(row["seq"], row["kind"]) for row in rows]) == (
        0,
        [(3, "reserve"), (4, "settle"), (5, "reserve"), (6, "settle")],
    )
    target = tmp_path / "entries.csv"
    assert (await run("ledger", "export", books.url, "--format", "csv", "-o", target))[0] == 0
    table = list(csv.DictReader(io.StringIO(target.read_text(), newline="")))
    assert {row["tenant"] for row in table} == {"acme", "'-zeta"}
    assert [row["held_tokens"] for row in table if row["tenant"] == "acme"] == ["10", "-10"] * 3


async def test_a_policy_is_tried_out_on_what_was(run: Run, books: Books, tmp_path: Path) -> None:
    for k in range(3):
        await books.spend("acme", f"videos/{k}", JANUARY + k * HOUR, given=40, ms=500)
    await books.spend("zeta", "videos/9", JANUARY, given=10, ms=10)
    policy = tmp_path / "policy.yaml"
    policy.write_text("budget: {limits: [{window: day, tokens: 100}]}")
    code, out, said = await run("budget", "simulate", policy, *RANGE)
    assert code == 0
    assert "acme: 1 of 3 reservations would have been refused" in out
    assert "first 2026-01-01T02:00:00.000Z; 40 tokens, 0.500 device s in all" in out
    assert "zeta: 0 of 1 reservations would have been refused" in out
    assert "1 of 2 tenants would have been refused something" in out
    assert "Clients would have behaved otherwise" in said
    policy.write_text("limits: [{window: day, tokens: 100}]\nshadow: true")
    code, out, _ = await run("budget", "simulate", policy, *RANGE, "--tenant", "acme", "--json", "--ledger", books.url)
    told = json.loads(out)
    assert (code, told["refused"], told["refused_by"]) == (0, 1, {"day.tokens": 1})
    assert told["windows"]["day.tokens"] == {"count": 1, "peak": 120, "worst_headroom": -20, "mean_headroom": -20}


async def test_offline_verbs_say_what_is_wrong_with_their_arguments(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("limits: [{window: week, tokens: 1}]")
    for arguments, says in (
        (("ledger", "verify", tmp_path / "none.db"), "there is no file"),
        (("ledger", "verify", "mysql://x/y"), "no ledger in mysql"),
        (("ledger", "export", "://"), "URL"),
        (("budget", "simulate", policy), "window"),
        (("budget", "simulate", tmp_path / "none.yaml"), "No such file"),
    ):
        code, _, said = await run(*arguments)
        assert (code, says in " ".join(said.split())) == (2, True), said
    monkeypatch.setenv("REELGATE_PREPROCESS_LEDGER", "memory")
    code, _, said = await run("ledger", "verify")
    assert (code, "nothing to read" in said) == (2, True)
    assert (await run("ledger", "verify", "postgresql://reelgate@127.0.0.1:1/none"))[0] == 1
