"""Services as child processes: started, watched, stopped."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from reelgate.processes import Service, ServiceDiedError

ROOT = Path(__file__).resolve().parents[2]
Make = Callable[[str], Service]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Makes tiny services; kills what a test leaves."""
    made: list[Service] = []

    def one(manner: str) -> Service:
        made.append(Service("tests.reelgate.tiny_service", {"TINY": manner, "PYTHONPATH": str(ROOT)}, None))
        return made[-1]

    yield one
    for service in made:
        service.kill()
        await service.ended()


async def up(service: Service) -> None:
    await service.start()
    await service.ready()


def pid(service: Service) -> int:
    """The tiny service says it as its port."""
    return int(service.address.rpartition(":")[2])


async def test_a_service_listens_then_serves_then_stops_when_told(make: Make) -> None:
    service = make("good")
    await up(service)
    assert os.getpgid(pid(service)) == pid(service)  # ctrl-C in the terminal does not reach it past us
    await service.stop()
    assert await service.ended() == 0
    await service.stop()


async def test_a_service_that_ends_before_it_is_ready_is_named_with_its_exit_code(make: Make) -> None:
    service = make("dies")
    with pytest.raises(ServiceDiedError, match=r"tiny_service ended with exit code 3 before it was ready") as caught:
        await up(service)
    assert (caught.value.reason, bool(caught.value.next_step)) == ("SERVICE_DIED", True)


@pytest.mark.parametrize(("code", "hint"), [(-9, "memory"), (2, "setting"), (3, "log"), (None, "log")])
def test_what_to_look_for_follows_from_the_exit_code(code: int | None, hint: str) -> None:
    error = ServiceDiedError("one", "ended", code)
    assert hint in error.next_step
    assert ("port is taken" in error.next_step) == (code == 2)
    assert error.next_step in error.__notes__


async def test_a_service_that_dies_later_is_noticed(make: Make) -> None:
    service = make("good")
    await up(service)
    watching = asyncio.create_task(service.ended())
    os.kill(pid(service), signal.SIGKILL)
    assert await asyncio.wait_for(watching, 10) == -signal.SIGKILL


async def test_stopping_that_is_cancelled_kills_a_service_that_does_not_listen(make: Make) -> None:
    service = make("deaf")
    await up(service)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(service.stop(), 0.2)
    assert await asyncio.wait_for(service.ended(), 10) == -signal.SIGKILL


async def test_a_program_that_is_not_there_is_a_service_that_died() -> None:
    service = Service("tests.reelgate.no_such_service", {}, None)
    with pytest.raises(ServiceDiedError, match="exit code 1"):
        await service.start()
