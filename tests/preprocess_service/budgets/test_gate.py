"""A video is paid for once, by what it took, whatever happens on the way."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from preprocess_service.budgets.core import Amount, Limit, Price, Window
from reelgate import Bill
from reelgate import values as v
from reelgate.rpc.errors import (
    BudgetStoreUnavailableError,
    GeneratorUnavailableError,
    InternalError,
    InvalidFieldError,
    QueueFullError,
    StoreUnavailableError,
    TokenBudgetExhaustedError,
    VideoCancelledError,
)
from tests.preprocess_service.generator_twin import name_of, serve

from .replicas import NEVER_S, OTHER, PROMPT, House, Replica, until

RUN_MS = 320
"""Of the generator's three steps, and its text."""


async def tokens_of(replica: Replica, prompt: str = PROMPT) -> int:
    return (await replica.client.prepare(prompt)).cost_tokens


async def test_a_video_is_held_for_while_it_runs_and_charged_what_it_took(house: House) -> None:
    house.twin.hold.clear()
    async with house.replica(every_s=NEVER_S) as replica:
        tokens = await tokens_of(replica)
        making = asyncio.create_task(replica.generate())
        await until(house.twin.arrived.is_set)
        assert (await house.books()).held == Amount(tokens=tokens, device_ms=2000)
        house.twin.hold.set()
        events = await making
        first, last = events[0], events[-1]
        assert isinstance(first, v.Prepared)
        assert isinstance(last, v.Video)
        assert first.budget is not None
        assert (first.budget.allowed, first.budget.held_tokens, first.budget.held_device_ms) == (True, tokens, 2000)
        assert last.bill == Bill(tokens=tokens, device_ms=RUN_MS, overrun_device_ms=0, cause="done")
        books = await house.books()
        assert (books.held, books.charged) == (Amount(), Amount(tokens=tokens, device_ms=RUN_MS))
        assert replica.books.calls.count("reserve") == replica.books.calls.count("settle") == 1
        assert {"renew", "find"}.isdisjoint(replica.books.calls)  # the common way asks the ledger twice, no more


async def test_the_stored_video_costs_its_tokens_and_no_device_time(house: House) -> None:
    async with house.replica(every_s=NEVER_S) as replica:
        tokens = await tokens_of(replica)
        await replica.generate()
        again = await replica.generate()
        assert isinstance(again[0], v.Prepared)
        assert again[0].budget is not None
        assert again[0].budget.held_device_ms == 0
        assert isinstance(again[-1], v.Video)
        assert again[-1].bill == Bill(tokens=tokens, device_ms=0, overrun_device_ms=0, cause="stored")
        assert (await house.books()).charged == Amount(tokens=2 * tokens, device_ms=RUN_MS)
        assert not await house.open_holds()


async def test_who_joins_a_run_under_way_pays_nothing(house: House) -> None:
    house.twin.hold.clear()
    async with house.replica(every_s=NEVER_S) as one, house.replica(every_s=NEVER_S) as two:
        tokens = await tokens_of(one)
        first = asyncio.create_task(one.video())
        await until(lambda: house.twin.runs)
        second = asyncio.create_task(two.video())
        await until(lambda: len(house.twin.asked) == 2)
        house.twin.hold.set()
        bills = [(await each).bill for each in (first, second)]
        assert [bill and bill.cause for bill in bills] == ["done", "joined"]
        assert (await house.books()).charged == Amount(tokens=tokens, device_ms=RUN_MS)
        assert not await house.open_holds()


async def test_of_two_that_reserve_before_either_runs_one_pays(house: House) -> None:
    house.twin.door.clear()
    async with house.replica(every_s=NEVER_S) as one, house.replica(every_s=NEVER_S) as two:
        both = [asyncio.create_task(each.video()) for each in (one, two)]
        await until(lambda: len(house.twin.asked) == 2)
        assert await house.open_holds() == 2
        house.twin.door.set()
        causes = sorted([bill.cause for each in both if (bill := (await each).bill)])
        assert causes == ["done", "joined"]
        assert (await house.books()).charged.device_ms == RUN_MS
        assert not await house.open_holds()


async def test_a_retry_with_its_request_id_is_charged_once_and_shown_the_same_bill(house: House) -> None:
    async with house.replica(every_s=NEVER_S) as replica:
        first = await replica.video(request_id="r1")
        again = await replica.video(request_id="r1")
        assert first.bill == again.bill
        assert first.bill is not None
        assert first.bill.cause == "done"
        assert (await house.books()).charged == Amount(tokens=first.bill.tokens, device_ms=RUN_MS)
        assert not await house.open_holds()
        other = await replica.video(request_id="r2")
        assert other.bill is not None
        assert other.bill.cause == "stored"


async def test_duplicates_at_the_same_time_are_charged_once(house: House) -> None:
    house.twin.hold.clear()
    async with house.replica(every_s=NEVER_S) as one, house.replica(every_s=NEVER_S) as two:
        all_ = [asyncio.create_task(each.video(request_id="same")) for each in (one, two) * 4]
        await until(lambda: len(house.twin.asked) == 8)
        house.twin.hold.set()
        bills = {(await each).bill for each in all_}
        (bill,) = bills
        assert bill is not None
        assert (await house.books()).charged == Amount(tokens=bill.tokens, device_ms=RUN_MS)
        assert len(house.twin.runs) == 1
        assert not await house.open_holds()


async def test_who_joined_a_run_and_asks_again_pays_nothing_either(house: House) -> None:
    house.twin.door.clear()
    async with house.replica(every_s=NEVER_S) as one, house.replica(every_s=NEVER_S) as two:
        tokens = await tokens_of(one)
        both = [asyncio.create_task(each.video(request_id=id_)) for each, id_ in ((one, "r1"), (two, "r2"))]
        await until(lambda: len(house.twin.asked) == 2)
        house.twin.door.set()
        made = [(await each).bill for each in both]
        again = [(await each.video(request_id=id_)).bill for each, id_ in ((two, "r1"), (one, "r2"))]
        assert sorted(bill.cause for bill in made if bill) == ["done", "joined"]
        assert again == made
        assert (await house.books()).charged == Amount(tokens=tokens, device_ms=RUN_MS)
        assert not await house.open_holds()


@pytest.mark.parametrize("request_id", ["", "r1"])
async def test_who_hangs_up_once_the_stored_video_is_named_pays_for_it(house: House, request_id: str) -> None:
    async with house.replica() as replica:
        tokens = await tokens_of(replica)
        await replica.video()
        house.twin.shelf.clear()
        async with aclosing(replica.client.generate(PROMPT, request_id=request_id)) as events:
            async for event in events:
                if isinstance(event, v.Accepted):
                    assert event.cached
                    break
        await until(lambda: none_open(house))
        assert (await house.books()).charged == Amount(tokens=2 * tokens, device_ms=RUN_MS)


async def test_who_hangs_up_then_pays_although_the_ledger_was_down_for_a_moment(house: House) -> None:
    async with house.replica(grace_s=2) as replica:
        tokens = await tokens_of(replica)
        await replica.video()
        house.twin.shelf.clear()
        async with aclosing(replica.client.generate(PROMPT)) as events:
            async for event in events:
                if isinstance(event, v.Accepted):
                    replica.books.down = True
                    break
        called = len(replica.books.calls)
        await until(lambda: "settle" in replica.books.calls[called:])
        replica.books.down = False
        await until(lambda: none_open(house))
        assert (await house.books()).charged == Amount(tokens=2 * tokens, device_ms=RUN_MS)


async def test_nobody_pays_for_a_stored_video_that_was_named_and_then_not_given(house: House) -> None:
    async with house.replica(grace_s=0.2) as replica:
        await replica.video()
        before = await house.books()
        house.twin.spoils = True
        with pytest.raises(StoreUnavailableError):
            await replica.video()
        await until(lambda: none_open(house))
        assert await house.books() == before


async def test_a_request_id_that_stands_for_another_open_request_is_refused(house: House) -> None:
    house.twin.hold.clear()
    async with house.replica(every_s=NEVER_S) as replica:
        first = asyncio.create_task(replica.video(request_id="mine"))
        await until(lambda: house.twin.runs)
        with pytest.raises(InvalidFieldError) as caught:
            await replica.video(OTHER, request_id="mine")
        assert caught.value.violations[0].subject == "request_id"
        house.twin.hold.set()
        await first


async def test_a_video_that_is_made_anew_is_paid_anew_even_by_a_retry(house: House) -> None:
    house.twin.loses = True
    async with house.replica(every_s=NEVER_S) as replica:
        await replica.video(request_id="r1")
        again = await replica.video(request_id="r1")
        assert len(house.twin.runs) == 2
        assert again.bill is not None
        assert again.bill.device_ms == RUN_MS
        assert (await house.books()).charged.device_ms == 2 * RUN_MS
        assert not await house.open_holds()


async def test_a_run_under_an_id_of_the_generators_own_is_held_for(house: House) -> None:
    house.twin.own_ids = True
    async with house.replica(every_s=NEVER_S) as replica:
        video = await replica.video()
        assert video.bill is not None
        assert video.bill.cause == "done"
        assert video.run not in {asked.run for asked in house.twin.asked}
        assert (await house.books()).charged.device_ms == RUN_MS
        assert not await house.open_holds()


async def test_a_run_that_nobody_holds_for_is_paid_by_who_joins_it(house: House) -> None:
    house.twin.hold.clear()
    async with house.replica(every_s=NEVER_S, free=True) as free, house.replica(every_s=NEVER_S) as replica:
        first = asyncio.create_task(free.video())
        await until(lambda: house.twin.runs)
        assert not await house.open_holds()
        second = asyncio.create_task(replica.video())
        await until(lambda: len(house.twin.asked) == 2)
        house.twin.hold.set()
        assert (await first).bill is None
        bill = (await second).bill
        assert bill is not None
        assert (bill.cause, bill.device_ms) == ("done", RUN_MS)
        assert (await house.books()).charged.device_ms == RUN_MS


async def test_a_hold_grows_with_a_run_that_outgrows_it(house: House) -> None:
    house.twin.step_ms = 1500
    async with house.replica(every_s=NEVER_S) as replica:
        bill = (await replica.video()).bill
        assert bill is not None
        assert (bill.device_ms, bill.overrun_device_ms) == (4520, 0)
        assert "extend" in replica.books.calls


async def test_what_a_hold_cannot_grow_by_is_the_operators(house: House) -> None:
    house.twin.step_ms = 1500
    await house.limit(Limit(window=Window.MONTH, device_ms=3000))
    async with house.replica(every_s=NEVER_S) as replica:
        bill = (await replica.video()).bill
        assert bill is not None
        assert (bill.device_ms, bill.overrun_device_ms) == (3000, 1520)
        books = await house.books()
        assert (books.charged.device_ms, books.overrun.device_ms) == (3000, 1520)


@pytest.mark.parametrize("request_id", ["", "mine"])
@pytest.mark.parametrize(
    "refusal", [QueueFullError("full"), GeneratorUnavailableError("the breaker is open")], ids=["queue", "breaker"]
)
async def test_what_the_generator_refuses_is_released_at_once(
    house: House, refusal: QueueFullError | GeneratorUnavailableError, request_id: str
) -> None:
    async with house.replica(every_s=NEVER_S) as replica:
        house.twin.refuses = [refusal]
        with pytest.raises(type(refusal)):
            await replica.video(request_id=request_id)
        assert not await house.open_holds()
        assert (await house.books()).charged == Amount()
        bill = (await replica.video(request_id=request_id)).bill
        assert bill is not None
        assert bill.cause == "done"


async def test_what_the_generator_would_refuse_is_never_held_for(house: House) -> None:
    async with house.replica(every_s=NEVER_S) as replica:
        with pytest.raises(InvalidFieldError):
            await replica.video(settings=v.Settings(steps=1000))
        assert "reserve" not in replica.books.calls


async def test_without_the_ledger_nothing_is_forwarded(house: House) -> None:
    async with house.replica() as replica:
        replica.books.down = True
        with pytest.raises(BudgetStoreUnavailableError) as caught:
            await replica.video()
        assert caught.value.reason == "BUDGET_STORE_UNAVAILABLE"
        assert caught.value.retry_after
        assert house.twin.asked == []
        assert (await replica.client.prepare(PROMPT)).prompt == PROMPT  # the plain dry run needs no ledger


async def test_a_ledger_that_is_lost_while_a_video_is_made_costs_the_client_nothing_and_the_books_nothing(
    house: House,
) -> None:
    house.twin.hold.clear()
    async with house.replica() as replica:
        making = asyncio.create_task(replica.video())
        await until(lambda: house.twin.runs)
        replica.books.down = True
        house.twin.hold.set()
        video = await making
        assert video.state is v.State.DONE
        assert video.bill is None
        assert (await house.books()).charged == Amount()
        replica.books.down = False
        await until(lambda: none_open(house))
        assert (await house.books()).charged.device_ms == RUN_MS


async def test_a_client_that_leaves_pays_for_what_it_began(house: House) -> None:
    house.twin.hold.clear()
    async with house.replica() as replica:
        async with aclosing(replica.client.generate(PROMPT)) as events:
            async for event in events:
                if isinstance(event, v.Progress):
                    break
        await asyncio.sleep(0.3)
        assert await house.open_holds() == 1
        house.twin.hold.set()
        await until(lambda: none_open(house))
        assert (await house.books()).charged.device_ms == RUN_MS


async def test_a_run_cancelled_in_the_queue_costs_nothing(house: House) -> None:
    house.twin.queue.clear()
    async with house.replica() as replica:
        making = asyncio.create_task(replica.video())
        await until(lambda: house.twin.runs)
        await replica.client.cancel(name_of(PROMPT))
        with pytest.raises(VideoCancelledError):
            await making
        await until(lambda: none_open(house))
        assert (await house.books()).charged == Amount()


async def test_a_run_cancelled_midway_costs_what_ran(house: House) -> None:
    house.twin.hold.clear()
    async with house.replica() as replica:
        tokens = await tokens_of(replica)
        making = asyncio.create_task(replica.video())
        await until(lambda: house.twin.runs and next(iter(house.twin.runs.values())).step)
        await replica.client.cancel(name_of(PROMPT))
        with pytest.raises(VideoCancelledError):
            await making
        await until(lambda: none_open(house))
        assert (await house.books()).charged == Amount(tokens=tokens, device_ms=120)


async def test_a_run_that_failed_costs_the_tenant_nothing_and_is_booked_to_the_operator(house: House) -> None:
    house.twin.fails = True
    async with house.replica() as replica:
        tokens = await tokens_of(replica)
        with pytest.raises(InternalError):
            await replica.video()
        await until(lambda: none_open(house))
        books = await house.books()
        assert (books.charged, books.overrun) == (Amount(), Amount(tokens=tokens, device_ms=120))


async def test_a_generator_that_is_gone_leaves_the_hold_until_it_is_back(house: House) -> None:
    house.twin.hold.clear()
    async with house.replica() as replica:
        making = asyncio.create_task(replica.video())
        await until(lambda: house.twin.runs)
        port = house.server.port
        await house.server.stop()
        with pytest.raises(GeneratorUnavailableError):
            await making
        await asyncio.sleep(0.5)
        assert await house.open_holds() == 1
        house.twin.hold.set()
        house.server = await serve(house.twin, f"127.0.0.1:{port}")
        await until(lambda: none_open(house), 20)
        assert (await house.books()).charged.device_ms == RUN_MS


async def test_a_connection_that_breaks_before_the_answer_proves_nothing(house: House) -> None:
    house.twin.door.clear()
    async with house.replica(grace_s=2) as replica:
        making = asyncio.create_task(replica.video())
        await until(house.twin.arrived.is_set)
        port = house.server.port
        await house.server.stop()
        with pytest.raises(GeneratorUnavailableError):
            await making
        assert await house.open_holds() == 1
        house.server = await serve(house.twin, f"127.0.0.1:{port}")
        await until(lambda: none_open(house), 20)  # it knows no such run, and the grace is over
        assert (await house.books()).charged == Amount()


async def test_a_request_that_is_not_taken_up_in_time_is_given_up(house: House) -> None:
    house.twin.door.clear()
    async with house.replica(grace_s=0.6) as replica:
        with pytest.raises(GeneratorUnavailableError, match="in time"):
            await replica.video()
        assert await house.open_holds() == 1
        await until(lambda: none_open(house))


@pytest.mark.parametrize("known", [False, True], ids=["an unknown video", "one that was asked for before"])
async def test_a_request_that_was_held_up_until_its_hold_was_released_is_held_for_anew(
    house: House, known: bool
) -> None:
    """Where the video is known, the generator even refuses the late run; where not, the run begins and is stopped."""
    async with house.replica(every_s=NEVER_S, grace_s=1) as slow, house.replica(grace_s=1) as other:
        if known:
            house.twin.fails = True
            with pytest.raises(InternalError):
                await other.video()
            await until(lambda: none_open(house))
            house.twin.fails = False
        slow.books.answers.clear()
        making = asyncio.create_task(slow.video())
        await until(lambda: some_open(house))
        await until(lambda: none_open(house))
        assert len(house.twin.asked) == int(known)
        house.twin.hold.clear()
        slow.books.answers.set()
        await until(lambda: len(house.twin.asked) == 2 + int(known))
        house.twin.hold.set()
        bill = (await making).bill
        assert bill is not None
        assert (bill.cause, bill.device_ms) == ("done", RUN_MS)
        assert (await house.books()).charged.device_ms == RUN_MS
        assert not await house.open_holds()


async def test_what_was_not_measured_is_refused_where_device_time_is_limited_and_charged_where_not(
    house: House,
) -> None:
    house.twin.measured = False
    async with house.replica(every_s=NEVER_S) as replica:
        bill = (await replica.video()).bill
        assert bill is not None
        assert bill.device_ms == RUN_MS
        await house.limit(Limit(window=Window.DAY, device_ms=10_000))
        with pytest.raises(GeneratorUnavailableError, match="measured"):
            await replica.video(OTHER)
    async with house.replica(every_s=NEVER_S, unknown_device_ms=700) as guessing:
        events = await guessing.generate(OTHER)
        assert isinstance(events[0], v.Prepared)
        assert events[0].budget is not None
        assert events[0].budget.held_device_ms == 700


async def test_a_price_is_on_the_estimate_and_on_the_bill(house: House) -> None:
    house.prices["embedded"] = Price(version="2026-11", currency="EUR", tokens_micros=2_000_000, device_micros=500_000)
    async with house.replica(every_s=NEVER_S) as replica:
        events = await replica.generate()
        first, last = events[0], events[-1]
        assert isinstance(first, v.Prepared)
        assert isinstance(last, v.Video)
        assert first.price is not None
        assert last.bill is not None
        assert last.bill.price is not None
        assert first.price.micros == first.cost_tokens * 2000 + 1_000_000
        assert last.bill.price.micros == last.bill.tokens * 2000 + 160_000
        assert (last.bill.price.currency, last.bill.price.price_version) == ("EUR", "2026-11")


async def test_what_is_spent_is_spent_whichever_replica_asks(house: House) -> None:
    async with house.replica(every_s=NEVER_S) as one, house.replica(every_s=NEVER_S) as two:
        tokens = await tokens_of(one)
        await house.limit(Limit(window=Window.MONTH, tokens=tokens))
        await one.video()
        with pytest.raises(TokenBudgetExhaustedError):
            await two.video(OTHER)


async def none_open(house: House) -> bool:
    return not await house.open_holds()


async def some_open(house: House) -> bool:
    return bool(await house.open_holds())
