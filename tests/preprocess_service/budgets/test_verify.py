"""What was changed behind the ledger's back is named."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, delete, insert, select, update

from preprocess_service.budgets.core import Amount, Cause, Raise, Window
from preprocess_service.budgets.database import Database
from preprocess_service.budgets.schema import accounts, budgets, entries, holds, raises, seals, usage, windows
from preprocess_service.budgets.seals import seal, seal_all
from preprocess_service.budgets.sql import SqlLedger
from preprocess_service.budgets.verify import Verification, verify

from .values import FILED, NOON, PRICE, ask, bill, limited


@pytest.fixture
async def used(books: SqlLedger) -> Database:
    """Two tenants, of the first 10 of 24 entries are sealed."""
    await books.set_budget("a", limited(10_000), by="t", at_ms=NOON)
    for number in range(12):
        await books.reserve(ask(f"n{number}", at_ms=NOON + number), FILED)
        if number:
            await books.settle(f"n{number}", "r", bill(), PRICE, FILED, NOON + number)
    await books.reserve(ask("other", tenant="b"), FILED)
    await books.extend("other", "r", Amount(tokens=11, device_ms=120), FILED, NOON)
    await seal(books.database, "a", most=6)
    await seal(books.database, "a", most=4)
    return books.database


async def _after(database: Database, *changes: object) -> list[tuple[str, int, str]]:
    def change(conn: Connection) -> None:
        for statement in changes:
            assert conn.execute(statement).rowcount != 0  # type: ignore[call-overload]

    await database.write(change)
    proof: Verification = await verify(database)
    assert not proof.ok
    return [(finding.tenant, finding.seq, finding.what) for finding in proof.findings]


def _entry(seq: int) -> object:
    return (entries.c.tenant == "a") & (entries.c.seq == seq)


async def test_books_that_nobody_touched_are_proved(used: Database) -> None:
    proof = await verify(used)
    assert proof.findings == ()
    assert (proof.tenants, proof.entries, proof.sealed) == (2, 26, 10)
    assert [(head.tenant, head.sealed_seq, head.last_seq) for head in proof.heads] == [("a", 10, 24), ("b", 0, 2)]


async def test_all_is_sealed_in_the_end_by_replicas_together(used: Database) -> None:
    assert await seal_all(used, 5) == 5
    assert await seal_all(used) == 11
    assert await seal_all(used) == 0
    proof = await verify(used)
    assert (proof.ok, proof.sealed) == (True, 26)


async def test_a_sealed_entry_that_was_changed_is_named_by_its_seal(used: Database) -> None:
    found = await _after(used, update(entries).where(_entry(3)).values(details="x"))
    assert found == [("a", 6, "entries 1 to 6 are not what was sealed")]


async def test_an_unsealed_charge_that_was_changed_does_not_add_up(used: Database) -> None:
    found = await _after(used, update(entries).where(_entry(24)).values(charged_tokens=9))
    assert any("the hold n11 r" in what for _, _, what in found)
    assert any("day" in what for _, _, what in found)
    assert any("usage" in what for _, _, what in found)


async def test_a_charge_above_its_hold_is_named(used: Database) -> None:
    found = await _after(used, update(entries).where(_entry(24)).values(charged_tokens=11))
    assert ("a", 24, "charged more than was held for n11 r") in found


@pytest.mark.parametrize("seq", [2, 6, 8, 10, 15])
async def test_an_entry_that_was_removed_is_missed(used: Database, seq: int) -> None:
    found = await _after(used, delete(entries).where(_entry(seq)))
    assert ("a", seq, f"entries {seq} to {seq} are missing") in found


async def test_the_last_entry_that_was_removed_is_missed(used: Database) -> None:
    found = await _after(used, delete(entries).where(_entry(24)))
    assert ("a", 0, "the account says last_seq 24, the entries say 23") in found


async def test_an_entry_that_was_put_in_is_found(used: Database) -> None:
    forged = {"tenant": "a", "seq": 25, "at_ms": NOON, "kind": "settle", "cause": Cause.DONE.value}
    found = await _after(used, insert(entries).values(forged | {"name": "n9", "run": "r", "reserved_ms": NOON}))
    assert ("a", 0, "the account says last_seq 24, the entries say 25") in found
    assert any("the hold n9 r" in what for _, _, what in found)


async def test_a_window_that_was_changed_is_named(used: Database) -> None:
    chosen = (windows.c.tenant == "a") & (windows.c.window == "month")
    found = await _after(used, update(windows).where(chosen).values(charged_tokens=1))
    assert len(found) == 1
    assert found[0][2].startswith("the month that began at 1761955200000 says")


async def test_a_hold_that_was_changed_or_removed_is_named(used: Database) -> None:
    assert (await _after(used, update(holds).where(holds.c.name == "n3").values(charged_tokens=1)))[-1] == (
        "a",
        0,
        "the hold n3 r is not what its entries say",
    )
    found = await _after(used, delete(holds).where(holds.c.name == "other"))
    assert ("b", 0, "the hold other r is not what its entries say") in found


async def test_a_summary_of_usage_that_was_changed_is_named(used: Database) -> None:
    found = await _after(used, update(usage).values(tokens_micros=0))
    assert [what for _, _, what in found] == [f"usage of the hour {NOON} is not what the entries say in tokens_micros"]


async def test_a_count_of_open_holds_that_was_changed_is_named(used: Database) -> None:
    found = await _after(used, update(accounts).where(accounts.c.tenant == "a").values(open_holds=0))
    assert found == [("a", 0, "the account says open_holds 0, the entries say 1")]


async def test_an_account_that_was_removed_is_missed(used: Database) -> None:
    found = await _after(used, delete(accounts).where(accounts.c.tenant == "b"))
    assert found == [("b", 0, "there is no account")]


async def test_budgets_and_raises_are_what_was_set(used: Database) -> None:
    ledger = SqlLedger(used)
    more = Raise(window=Window.DAY, amount=Amount(tokens=5), expires_ms=NOON + 1, note="n")
    await ledger.add_raise("a", more, by="t", at_ms=NOON)
    await ledger.add_raise("b", more, by="t", at_ms=NOON)
    await ledger.set_budget("b", None, by="t", at_ms=NOON)
    assert (await verify(used)).ok
    found = await _after(used, update(raises).values(tokens=6))
    assert found == [("a", 0, "the raises are not those that were given")]
    found = await _after(used, delete(raises))
    assert found == [("a", 0, "the raises are not those that were given")]


@pytest.mark.parametrize("change", [delete(budgets), update(budgets).values(budget='{"limits": []}')])
async def test_a_budget_that_nobody_set_is_named(used: Database, change: object) -> None:
    assert await _after(used, change) == [("a", 0, "the budget is not the one that was set last")]


async def test_an_open_hold_of_another_tier_is_named(used: Database) -> None:
    found = await _after(used, update(holds).where(holds.c.name == "other").values(tier="cheap"))
    assert found == [("b", 0, "the hold other r is not what its entries say")]


@pytest.mark.parametrize("changed", [{"request_id": "another's"}, {"state": "released"}])
async def test_a_hold_that_ended_otherwise_or_is_of_another_request_is_named(
    used: Database, changed: dict[str, str]
) -> None:
    found = await _after(used, update(holds).where(holds.c.name == "n3").values(**changed))
    assert found == [("a", 0, "the hold n3 r is not what its entries say")]


@pytest.mark.parametrize(
    "change",
    [
        update(budgets).values(budget="{"),
        update(entries).where(_entry(24)).values(cause="gift"),
        update(windows).where(windows.c.tenant == "a", windows.c.window == "day").values(window="decade"),
    ],
)
async def test_words_that_no_ledger_wrote_are_named_and_hide_nothing_of_others(used: Database, change: object) -> None:
    other = update(holds).where(holds.c.name == "other").values(tokens=12)
    found = await _after(used, change, other)
    assert ("b", 0, "the hold other r is not what its entries say") in found
    assert any(tenant == "a" and "cannot be read" in what for tenant, _, what in found)


async def test_usage_of_a_tenant_without_an_account_is_named(used: Database) -> None:
    row = {"tenant": "ghost", "hour_ms": NOON, "tier": "", "policy": "", "currency": "USD"}
    assert await _after(used, insert(usage).values(row)) == [("ghost", 0, "there is no account")]


async def test_a_chain_that_was_made_anew_is_not_the_one_that_was_known(used: Database) -> None:
    known = (await verify(used)).heads
    await seal_all(used)
    assert (await verify(used, heads=known)).ok

    def forge(conn: Connection) -> None:
        conn.execute(update(entries).where(_entry(2)).values(at_ms=NOON + 1))
        conn.execute(delete(seals).where(seals.c.tenant == "a"))
        conn.execute(update(accounts).where(accounts.c.tenant == "a").values(sealed_seq=0))

    await used.write(forge)
    await seal(used, "a", most=10)
    await seal_all(used)
    assert (await verify(used)).ok, "nothing in the books tells"
    proof = await verify(used, heads=known)
    assert [(each.tenant, each.seq) for each in proof.findings] == [("a", 10)]


async def test_numbers_are_dense_where_requests_were_refused(books: SqlLedger) -> None:
    await books.set_budget("a", limited(25), by="t", at_ms=NOON)
    for number in range(6):
        await books.reserve(ask(f"n{number}", request_id=f"q{number % 2}") if number > 3 else ask(f"n{number}"), FILED)
    read = select(entries.c.seq).order_by(entries.c.seq)
    assert await books.database.read(lambda conn: conn.execute(read).scalars().all()) == [1, 2, 3]
    assert (await verify(books.database)).ok
