"""Traces from the client to a step, by OpenTelemetry: off until `exporting` or `use` turns them on, and not imported before.

Off, a call costs one look at a variable and a step none. The interceptors of opentelemetry's contrib collection are not used: they
cost a third of the throughput. W3C ``traceparent`` goes along in the metadata of a call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import grpc

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer, TracerProvider

TRACE_HEADERS: Final = ("traceparent", "tracestate")
# For a call that is made for nobody, a look at the other service: whoever serves it keeps no trace of it.
NOT_KEPT: Final = f"00-{1:032x}-{1:016x}-00"
Attributes = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, kw_only=True)
class Traces:
    """``endpoint``: a collector's URL for OTLP over HTTP, e.g. ``http://127.0.0.1:4318/v1/traces``; empty: no traces. ``ratio`` of the
    traces that begin here are kept; who calls with a trace has decided already. Of the steps of a stage every ``steps``-th is told.
    """

    endpoint: str = ""
    ratio: float = 1.0
    steps: int = 8


@dataclass(frozen=True, kw_only=True)
class _On:
    tracer: Tracer
    steps: int


_state: _On | None = None


def on() -> bool:
    """Whether there are traces."""
    return _state is not None


def steps() -> int:
    """Every which step is told."""
    return _state.steps if _state else 0


def use(provider: TracerProvider | None, *, steps: int = Traces.steps) -> None:
    """Trace with ``provider``, for this process; None: no more. Before a server is made."""
    global _state
    _state = None if provider is None else _On(tracer=provider.get_tracer("reelgate"), steps=steps)


@contextmanager
def exporting(service: str, traces: Traces) -> Iterator[None]:
    """Traces of ``service`` go to the collector while the block lasts; what is left is sent when it ends. Raises ``ValueError`` where
    the extra ``otel`` is not installed."""
    if not traces.endpoint:
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
    except ImportError as error:
        raise ValueError("traces need opentelemetry: install reelgate[otel]") from error
    provider = TracerProvider(
        resource=Resource.create({"service.name": service}), sampler=ParentBased(TraceIdRatioBased(traces.ratio))
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=traces.endpoint)))
    use(provider, steps=traces.steps)
    try:
        yield
    finally:
        use(None)
        provider.shutdown()


def here() -> str:
    """The ``traceparent`` of the current span, for who goes on after this process; empty where there is none."""
    if _state is None:
        return ""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    headers: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(headers)
    return headers.get("traceparent", "")


def start(
    name: str, attributes: Attributes | None = None, *, parent: Span | str | None = None, at: int | None = None
) -> Span | None:
    """A span that somebody ends, of another thread perhaps: child of ``parent`` (one of ours, or what `here` said in another process),
    else of the current one, else a new trace. ``at``: Unix time in nanoseconds. None while there are no traces, and where this one is
    not kept."""
    if _state is None:
        return None
    from opentelemetry.trace import set_span_in_context

    if isinstance(parent, str):
        context = _extracted({"traceparent": parent}) if parent else None
    else:
        context = None if parent is None else set_span_in_context(parent)
    span = _state.tracer.start_span(name, context, attributes=attributes, start_time=at)
    return span if span.is_recording() else None


@contextmanager
def span(name: str) -> Iterator[Span | None]:
    """A span around a block of one task, current in it; None while there are no traces."""
    if _state is None:
        yield None
        return
    with _state.tracer.start_as_current_span(name) as current:
        yield current


def annotate(**attributes: str | int | float | bool) -> None:
    """Said of the call under way."""
    if _state is not None:
        from opentelemetry.trace import get_current_span

        get_current_span().set_attributes({f"reelgate.{name}": value for name, value in attributes.items()})


@contextmanager
def incoming(method: str, metadata: Mapping[str, str | bytes]) -> Iterator[Span]:
    """The span of a call that we serve, current in its task. Only while `on`."""
    from opentelemetry.trace import SpanKind

    if _state is None:
        raise RuntimeError("there are no traces")
    with _state.tracer.start_as_current_span(
        method.removeprefix("/"),
        _extracted(metadata),
        kind=SpanKind.SERVER,
        attributes=_rpc(method),
        record_exception=False,
        set_status_on_exception=False,
    ) as current:
        yield current


def outgoing(method: str, metadata: grpc.aio.Metadata, *, begins: bool) -> Span | None:
    """The span of a call that we make; its traceparent is added to ``metadata``. None while there are no traces, and, unless it
    ``begins`` one, for a call that belongs to none: that one is kept nowhere."""
    if _state is None:
        return None
    from opentelemetry.trace import SpanKind, get_current_span, set_span_in_context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    if not begins and not get_current_span().get_span_context().is_valid:
        metadata.add("traceparent", NOT_KEPT)
        return None
    found = _state.tracer.start_span(method.removeprefix("/"), kind=SpanKind.CLIENT, attributes=_rpc(method))
    headers: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(headers, set_span_in_context(found))
    for name, value in headers.items():
        metadata.add(name, value)
    return found


def answered(found: Span, code: str) -> None:
    """A call ended with the status ``code``, by its name."""
    found.set_attribute("rpc.response.status_code", code)
    if code != "OK":
        failed(found, code)


def failed(found: Span, why: str) -> None:
    """What ``found`` stands for failed."""
    from opentelemetry.trace import Status, StatusCode

    found.set_status(Status(StatusCode.ERROR, why))


def _rpc(method: str) -> dict[str, Any]:
    service, _, name = method.removeprefix("/").partition("/")
    return {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}


def _extracted(metadata: Mapping[str, str | bytes]) -> Context:
    """The caller's place in its trace; what cannot be read is no place."""
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    headers = {name: value for name in TRACE_HEADERS if isinstance(value := metadata.get(name), str)}
    return TraceContextTextMapPropagator().extract(headers, Context())
