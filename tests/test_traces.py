"""One trace from the client to a step, over both real services."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler
from opentelemetry.trace import SpanKind, StatusCode

from generator_service.app import running as generator
from generator_service.settings import Settings as GeneratorSettings
from preprocess_service.app import running as preprocess
from preprocess_service.settings import Settings as PreprocessSettings
from reelgate import Client, Settings
from reelgate.rpc import telemetry
from reelgate.rpc.errors import InvalidFieldError

GATE, MAKER = "reelgate.preprocess.v1.PreprocessService", "reelgate.generator.v1.GeneratorService"
SMALL = Settings(width=32, height=32, frames=5, steps=9)


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    yield from kept(ParentBased(ALWAYS_ON))


@pytest.fixture
def none() -> Iterator[InMemorySpanExporter]:
    yield from kept(ParentBased(ALWAYS_OFF))


def kept(sampler: Sampler) -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider(sampler=sampler)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    telemetry.use(provider, steps=4)
    try:
        yield exporter
    finally:
        telemetry.use(None)
        provider.shutdown()


@asynccontextmanager
async def line(store: Path) -> AsyncIterator[Client]:
    async with generator(GeneratorSettings(address="127.0.0.1:0", store=store)) as maker:
        await maker.ready
        behind = f"127.0.0.1:{maker.server.port}"
        async with preprocess(PreprocessSettings(address="127.0.0.1:0", generator=behind)) as gate:
            await asyncio.wait_for(gate.ready.wait(), 30)
            async with Client(f"127.0.0.1:{gate.server.port}") as client:
                yield client


def named(spans: InMemorySpanExporter, name: str, kind: SpanKind = SpanKind.INTERNAL) -> ReadableSpan:
    (found,) = [span for span in spans.get_finished_spans() if (span.name, span.kind) == (name, kind)]
    return found


async def test_one_trace_leads_from_the_client_to_a_step(
    tmp_path: Path, spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    async with line(tmp_path / "store") as client:
        assert not spans.get_finished_spans()  # the gate's looks at the generator belong to nobody
        video = [event async for event in client.generate("a red ball rolls to the left", settings=SMALL)][-1]
    asked = named(spans, f"{GATE}/GenerateVideo", SpanKind.CLIENT)
    gate = named(spans, f"{GATE}/GenerateVideo", SpanKind.SERVER)
    passed = named(spans, f"{MAKER}/GenerateVideo", SpanKind.CLIENT)
    maker = named(spans, f"{MAKER}/GenerateVideo", SpanKind.SERVER)
    prepare, run = named(spans, "prepare"), named(spans, "run")
    assert asked.parent is None
    for above, below in ((asked, gate), (gate, prepare), (gate, passed), (passed, maker), (maker, run)):
        assert below.parent is not None
        assert (below.parent.span_id, below.parent.trace_id) == (above.context.span_id, asked.context.trace_id)
    stages = [named(spans, name) for name in ("queued", "text", "denoise", "decode", "encode", "store")]
    assert all(stage.parent and stage.parent.span_id == run.context.span_id for stage in stages)
    for before, after in itertools.pairwise(stages):
        assert before.end_time == after.start_time
    assert run.start_time <= stages[0].start_time
    assert stages[-1].end_time <= run.end_time
    assert [event.attributes["reelgate.step"] for event in stages[2].events] == [1, 4, 8, 9]
    assert {event.attributes["reelgate.expert"] for event in stages[2].events} == {"high", "low"}
    assert [event.attributes["reelgate.step"] for event in stages[3].events] == [1, 2]
    assert {event.name for event in prepare.events} >= {"clean", "template"}
    assert run.attributes["reelgate.video"] == maker.attributes["reelgate.video"] == video.name
    assert run.attributes["reelgate.outcome"] == "done"
    assert gate.attributes["reelgate.request_id"] == maker.attributes["reelgate.request_id"] != ""
    for call in (asked, gate, passed, maker):
        assert call.attributes["rpc.response.status_code"] == "OK"
    assert {span.context.trace_id for span in spans.get_finished_spans()} == {asked.context.trace_id}
    assert (
        "Context" not in caplog.text
    )  # OpenTelemetry only logs where a span was left in another task than it was entered in


async def test_a_run_that_is_taken_up_again_is_in_the_trace_of_who_began_it(
    tmp_path: Path, spans: InMemorySpanExporter
) -> None:
    asked = {"prompt": "a red ball rolls to the left", "settings": dataclasses.replace(SMALL, steps=100)}
    async with line(tmp_path / "store") as client:
        events = client.generate(**asked)
        for _ in range(4):
            await anext(events)
    left = named(spans, "run")
    assert left.attributes["reelgate.outcome"] == "left"
    spans.clear()
    async with line(tmp_path / "store") as client:
        assert [event async for event in client.generate(**asked)]  # a call of another trace, which joins it
    done = named(spans, "run")
    assert done.attributes["reelgate.outcome"] == "done"
    assert left.parent is not None
    assert done.parent is not None
    assert done.parent.span_id == left.parent.span_id
    assert done.context.trace_id == left.context.trace_id


async def test_a_refused_call_is_an_error_in_its_spans_and_begins_no_run(
    tmp_path: Path, spans: InMemorySpanExporter
) -> None:
    async with line(tmp_path / "store") as client:
        with pytest.raises(InvalidFieldError):
            await client.prepare("")
    for kind in (SpanKind.CLIENT, SpanKind.SERVER):
        call = named(spans, f"{GATE}/PreparePrompt", kind)
        assert call.attributes["rpc.response.status_code"] == "INVALID_ARGUMENT"
        assert call.status.status_code is StatusCode.ERROR
    assert [span.name for span in spans.get_finished_spans() if span.kind is SpanKind.INTERNAL] == ["prepare"]


async def test_a_trace_that_its_caller_does_not_keep_is_kept_nowhere(
    tmp_path: Path, none: InMemorySpanExporter
) -> None:
    async with line(tmp_path / "store") as client:
        assert [event async for event in client.generate("a red ball", settings=SMALL)]
    assert not none.get_finished_spans()
