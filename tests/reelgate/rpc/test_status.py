"""The table, both ways, over a real connection."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from reelgate.generator.v1 import generator_pb2 as pb
from reelgate.rpc import errors
from reelgate.rpc.errors import ReelgateError, Resource, Violation, row
from reelgate.rpc.status import PUSHBACK_KEY, STATUS_KEY, typed_errors
from reelgate.rpc.table import TABLE
from tests.reelgate.rpc.scripted import connected


def every_error(kind: type[ReelgateError] = ReelgateError) -> set[type[ReelgateError]]:
    return {kind}.union(*(every_error(sub) for sub in kind.__subclasses__() if sub.__module__ == errors.__name__))


def test_every_error_has_a_row_of_its_own() -> None:
    assert {kind.__name__ for kind in every_error()} == set(TABLE)


def test_reasons_are_distinct() -> None:
    reasons = [row.reason for name, row in TABLE.items() if name != "ReelgateError"]
    assert len(reasons) == len(set(reasons))


def test_a_refinement_without_a_row_takes_its_base_row() -> None:
    class DiskFullError(errors.StoreUnavailableError):
        pass

    assert row(DiskFullError).reason == "STORE_UNAVAILABLE"


@pytest.mark.parametrize("kind", sorted(every_error() - {ReelgateError}, key=lambda k: k.__name__))
async def test_an_error_arrives_as_it_was_raised(kind: type[ReelgateError], servicer: Any, stub: Any) -> None:
    servicer.error = kind(
        "a sentence – ein Satz",
        metadata={"tokens": "70"},
        violations=[Violation(subject="settings.frames", description="is 16")],
        resource=Resource(kind="video", name="videos/1"),
        retry_after=2.5,
        next_step="do this",
    )
    with pytest.raises(ReelgateError) as caught, typed_errors():
        await stub.GetVideo(pb.GetVideoRequest())
    seen = caught.value
    assert type(seen) is kind
    assert (seen.message, seen.metadata, seen.next_step) == ("a sentence – ein Satz", {"tokens": "70"}, "do this")
    assert (seen.violations, seen.resource) == (servicer.error.violations, servicer.error.resource)
    assert (seen.retry_after, seen.reason, seen.code) == (2.5, servicer.error.reason, servicer.error.code)
    assert len(seen.request_id) == 32


async def test_unavailable_pushes_back_by_its_retry_info(servicer: Any, stub: Any) -> None:
    servicer.error = errors.QueueFullError("full", retry_after=7.5)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetVideo(pb.GetVideoRequest())
    trailing = dict(caught.value.trailing_metadata())
    assert trailing[PUSHBACK_KEY] == "7500"
    details = status_pb2.Status.FromString(trailing[STATUS_KEY])
    assert details.code == grpc.StatusCode.UNAVAILABLE.value[0]
    assert {d.TypeName() for d in details.details} == {
        f"google.rpc.{n}" for n in ("ErrorInfo", "RequestInfo", "RetryInfo")
    }


@pytest.mark.parametrize(
    ("kind", "detail"),
    [
        (errors.InvalidFieldError, error_details_pb2.BadRequest),
        (errors.TokenBudgetExhaustedError, error_details_pb2.QuotaFailure),
        (errors.ProtectedTermsError, error_details_pb2.PreconditionFailure),
    ],
)
async def test_violations_travel_in_the_detail_that_fits(kind: Any, detail: Any, servicer: Any, stub: Any) -> None:
    servicer.error = kind("no", violations=[Violation(subject="a", description="b")])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetVideo(pb.GetVideoRequest())
    details = status_pb2.Status.FromString(dict(caught.value.trailing_metadata())[STATUS_KEY])
    assert any(d.Is(detail.DESCRIPTOR) for d in details.details)


async def test_a_hundred_violations_arrive_as_their_own_error_and_what_has_no_room_is_counted(
    servicer: Any, stub: Any
) -> None:
    broken = [Violation(subject=f"input.keywords[{n}]", description="is too long: " + "k" * 200) for n in range(100)]
    servicer.error = errors.InvalidFieldError("100 fields are broken", violations=broken)
    with pytest.raises(errors.InvalidFieldError) as caught, typed_errors():
        await stub.GetVideo(pb.GetVideoRequest())
    seen = caught.value
    assert (seen.code, seen.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert seen.violations
    assert seen.violations == tuple(broken[: len(seen.violations)])
    assert len(seen.violations) + int(seen.metadata["violations_omitted"]) == 100


@pytest.mark.parametrize("letter", ["x", "水", "😀", "\n", "%"])
async def test_a_very_long_sentence_is_cut_and_keeps_its_status(letter: str, servicer: Any, stub: Any) -> None:
    servicer.error = errors.NotFoundError.of("tier", letter * 1_000_000)
    with pytest.raises(errors.NotFoundError) as caught, typed_errors():
        await stub.GetVideo(pb.GetVideoRequest())
    seen = caught.value
    assert seen.message.startswith(f"no such tier: {letter * 100}")
    assert seen.message.endswith("…")
    assert seen.resource
    assert (seen.reason, seen.resource.kind, seen.resource.name[:50]) == ("RESOURCE_NOT_FOUND", "tier", letter * 50)
    assert seen.next_step == errors.NotFoundError.next_step


async def test_an_error_that_is_long_in_every_part_fits_any_client(servicer: Any, stub: Any) -> None:
    long = "水" * 10_000
    for kind in (errors.InvalidFieldError, errors.QueueFullError, errors.TokenBudgetExhaustedError):
        servicer.error = kind(
            long,
            metadata={f"{n}{long}": long for n in range(100)},
            violations=[Violation(subject=long, description=long)] * 100,
            resource=Resource(kind=long, name=long),
            next_step=long,
            retry_after=0.01,
        )
        for _ in range(10):  # between its soft and its hard limit gRPC refuses by chance
            with pytest.raises(ReelgateError) as caught, typed_errors():
                await stub.GetVideo(pb.GetVideoRequest())
            assert (type(caught.value), caught.value.retry_after) == (kind, 0.01)


async def test_half_a_surrogate_pair_in_an_error_does_not_change_its_status(servicer: Any, stub: Any) -> None:
    half = "a \ud83d b"
    servicer.error = errors.InvalidFieldError(
        half,
        metadata={half: half},
        violations=[Violation(subject=half, description=half)],
        resource=Resource(kind=half, name=half),
        next_step=half,
    )
    with pytest.raises(errors.InvalidFieldError) as caught, typed_errors():
        await stub.GetVideo(pb.GetVideoRequest())
    seen = caught.value
    assert (seen.message, seen.metadata, seen.next_step) == ("a ? b", {"a ? b": "a ? b"}, "a ? b")
    assert seen.violations == (Violation(subject="a ? b", description="a ? b"),)


async def test_an_endless_wait_is_cut_to_a_year(servicer: Any, stub: Any) -> None:
    servicer.error = errors.RateLimitedError("slow down", retry_after=float("inf"))
    with pytest.raises(errors.RateLimitedError) as caught, typed_errors():
        await stub.GetVideo(pb.GetVideoRequest())
    assert caught.value.retry_after == 366 * 24 * 3600


async def test_the_unforeseen_is_a_fixed_sentence(servicer: Any, stub: Any) -> None:
    servicer.error = KeyError("password=hunter2")
    with pytest.raises(errors.InternalError) as caught, typed_errors():
        await stub.GetVideo(pb.GetVideoRequest())
    assert "hunter2" not in str(caught.value)
    assert caught.value.request_id


async def test_errors_of_a_stream_are_typed_too(servicer: Any, stub: Any) -> None:
    servicer.error = errors.GenerationFailedError.of(stage="decode", cause="NaN")
    with pytest.raises(errors.GenerationFailedError) as caught, typed_errors():
        async for _ in stub.GenerateVideo(pb.GenerateVideoRequest()):
            pass
    assert caught.value.metadata == {"stage": "decode", "cause": "NaN"}


async def test_what_is_not_built_says_so(stub: Any) -> None:
    with pytest.raises(errors.NotBuiltError), typed_errors():
        await stub.EstimateVideo(pb.EstimateVideoRequest())


async def test_nobody_there_takes_the_class_that_the_caller_names() -> None:
    async with connected(1) as stub:
        with pytest.raises(errors.GeneratorUnavailableError), typed_errors(errors.GeneratorUnavailableError):
            await stub.GetVideo(pb.GetVideoRequest(), timeout=5)
