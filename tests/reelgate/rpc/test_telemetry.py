"""Traces turned on and off."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from reelgate.rpc import telemetry
from reelgate.rpc.telemetry import Traces


@contextmanager
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """A collector that speaks OTLP over HTTP: its URL, and what it was sent."""
    sent: list[ExportTraceServiceRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            sent.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/traces", sent
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_collector_gets_the_spans_with_the_name_of_the_service() -> None:
    with collector() as (url, sent):
        with telemetry.exporting("reelgate-test", Traces(endpoint=url)):
            assert telemetry.on()
            with telemetry.span("outer") as outer:
                assert outer is not None
                inner = telemetry.start("inner")
                assert inner is not None
                inner.end()
        assert not telemetry.on()
    (of,) = [each for request in sent for each in request.resource_spans]
    names = {each.key: each.value.string_value for each in of.resource.attributes}
    assert names["service.name"] == "reelgate-test"
    spans = {span.name: span for scope in of.scope_spans for span in scope.spans}
    assert set(spans) == {"outer", "inner"}
    assert spans["inner"].parent_span_id == spans["outer"].span_id


def test_of_no_traces_a_ratio_of_nought_keeps_none() -> None:
    with collector() as (url, sent):
        with telemetry.exporting("reelgate-test", Traces(endpoint=url, ratio=0.0)):
            assert telemetry.start("a") is None
            with telemetry.span("b"):
                pass
        assert not sent


def test_off_nothing_is_made_and_nothing_imported() -> None:
    with telemetry.exporting("reelgate-test", Traces()):
        assert not telemetry.on()
        assert telemetry.start("a") is None
        assert telemetry.outgoing("/a/b", grpc.aio.Metadata(), begins=True) is None
    # Not preprocess_service: redis-py imports what it finds of OpenTelemetry by itself.
    script = (
        "import sys, reelgate, reelgate.rpc.server, reelgate.cli, generator_service.app, generator_service.engine\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    made = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert made.stdout.strip() == "[]"


@pytest.mark.parametrize("header", ["", "garbage", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "ff" * 500])
def test_a_traceparent_that_is_none_begins_a_trace(header: str) -> None:
    with (
        collector() as (url, sent),
        telemetry.exporting("reelgate-test", Traces(endpoint=url)),
        telemetry.incoming("/a.B/C", {"traceparent": header}),
    ):
        pass
    (span,) = [span for request in sent for each in request.resource_spans for span in each.scope_spans[0].spans]
    assert span.parent_span_id == b""
    assert span.name == "a.B/C"
