"""A real HTTP server that receives events, and misbehaves as it is told."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = int | str | Callable[[], int]
"""A status; "hang", "drip" (a header that never ends) or "drop" (the connection); or a call that gives a status."""


@dataclass(kw_only=True)
class Receiver:
    """``script`` has the next answers, 200 when it is empty. ``got``: path, headers (lower case) and body of every request."""

    port: int
    script: list[Answer] = field(default_factory=list)
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events?from=gate"

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, _, body in self.got]

    @property
    def ids(self) -> list[str]:
        return [event["id"] for event in self.events]


@contextmanager
def receiver(port: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.got.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            answer = made.script.pop(0) if made.script else 200
            answer = answer() if callable(answer) else answer
            if answer == "hang":
                made.over.wait(30)
            elif answer == "drip":
                self.send_response_only(200)
                self.flush_headers()
                while not made.over.wait(0.02):
                    try:
                        self.wfile.write(b"x")
                    except OSError:
                        return
            elif answer != "drop":
                assert isinstance(answer, int)
                self.send_response(answer)
                if answer in (301, 302, 307, 308):
                    self.send_header("Location", f"http://127.0.0.1:{made.port}/elsewhere")
                if answer == 429:
                    self.send_header("Retry-After", "90")
                self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    made = Receiver(port=server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        made.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
