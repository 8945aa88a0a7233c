"""Where events go: a webhook, or a file."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import os
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

from .events import CONTENT_TYPE

AT_ONCE: Final = 4
"""Tenants that are told of at the same time."""
MOST_SECONDS: Final = 3600.0


class DeliveryError(Exception):
    """It was not taken. ``after_s``: when the receiver wants to be asked again, where it said so."""

    def __init__(self, why: str, after_s: float = 0.0) -> None:
        super().__init__(why)
        self.after_s = after_s


class Sink(Protocol):
    """Takes one event, for good, or raises ``DeliveryError``. ``timeout_s``: the longest that it takes over one."""

    @property
    def timeout_s(self) -> float: ...

    async def send(self, key: str, body: bytes) -> None: ...

    def close(self) -> None: ...


def sink_of(target: str, *, secret: str = "", timeout_s: float = 10.0) -> Sink:
    """``https://...`` or ``http://...`` (with ``secret``, signed) or ``file:///path``. Raises ``ValueError`` for what is neither."""
    url = urlsplit(target)
    if url.scheme == "file" and not url.netloc and url.path:
        return FileSink(Path(unquote(url.path)))
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError("events go to https://host/path, http://host/path or file:///path")
    if url.username is not None or url.fragment:
        raise ValueError("the URL of events has no user, no password and no fragment: a secret signs them")
    _ = url.port  # Raises ValueError for one that cannot be.
    return Webhook(target, key=key_of(secret), timeout_s=timeout_s)


def key_of(secret: str) -> bytes:
    """The key that signs: what "whsec_" precedes is base64, as Standard Webhooks has it; anything else is taken as it is."""
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ValueError("the secret of events begins with whsec_, but no base64 follows") from None


def signature(key: bytes, identifier: str, at_s: int, body: bytes) -> str:
    """HMAC-SHA256 over id, time and body (Standard Webhooks 1.0.0, "Symmetric"): who knows the secret can tell forgeries and replays."""
    signed = hmac.digest(key, f"{identifier}.{at_s}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed).decode()}"


class Webhook:
    """HTTP POST, one event a request. Only a 2xx takes it; a redirect is none: what we say goes to nobody else than the operator chose."""

    def __init__(self, url: str, *, key: bytes = b"", timeout_s: float = 10.0) -> None:
        self._url, self._key, self._timeout_s = urlsplit(url), key, timeout_s
        # Threads of our own: a receiver that hangs takes none from the line of prompts.
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook")
        self._tls = ssl.create_default_context() if self._url.scheme == "https" else None

    async def send(self, key: str, body: bytes) -> None:
        connection = self._connection()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout_s):
                status, after = await loop.run_in_executor(self._threads, self._post, connection, key, body)
        except TimeoutError:
            raise DeliveryError(f"no answer within {self._timeout_s:g} s") from None
        except (OSError, HTTPException, ValueError) as error:
            raise DeliveryError(f"{type(error).__name__}: {error}") from error
        finally:
            _cut(connection)
        if not 200 <= status < 300:
            raise DeliveryError(f"HTTP {status}", after)

    @property
    def timeout_s(self) -> float:
        return self._timeout_s

    def close(self) -> None:
        """Waits for nobody."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _connection(self) -> HTTPConnection:
        host = self._url.hostname or ""
        if self._tls is not None:
            return HTTPSConnection(host, self._url.port, timeout=self._timeout_s, context=self._tls)
        return HTTPConnection(host, self._url.port, timeout=self._timeout_s)

    def _post(self, connection: HTTPConnection, key: str, body: bytes) -> tuple[int, float]:
        at = int(time.time())
        headers = {"Content-Type": CONTENT_TYPE, "Connection": "close", "webhook-id": key, "webhook-timestamp": str(at)}
        if self._key:
            headers["webhook-signature"] = signature(self._key, key, at, body)
        path = self._url.path or "/"
        connection.request("POST", f"{path}?{self._url.query}" if self._url.query else path, body, headers)
        answer = connection.getresponse()
        return answer.status, _seconds(answer.getheader("Retry-After"))


def _cut(connection: HTTPConnection) -> None:
    """End it, also under a thread that waits for it: its call fails, and the thread is free."""
    if connection.sock is not None:
        with suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)
    connection.close()


def _seconds(retry_after: str | None) -> float:
    """A date there is as good as nothing: our own pause stands."""
    return (
        min(float(retry_after), MOST_SECONDS)
        if retry_after and retry_after.isascii() and retry_after.isdigit()
        else 0.0
    )


@dataclass(frozen=True)
class FileSink:
    """JSON lines, each on the disk before it counts as told."""

    path: Path
    timeout_s: float = 10.0

    async def send(self, key: str, body: bytes) -> None:
        try:
            await asyncio.to_thread(self._append, body)
        except OSError as error:
            raise DeliveryError(f"{type(error).__name__}: {error.strerror}") from error

    def close(self) -> None:
        """Nothing is kept open."""

    def _append(self, body: bytes) -> None:
        file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            size = os.fstat(file).st_size
            # A line that a crash or a full disk cut in two stays alone on its line.
            whole = size == 0 or os.pread(file, 1, size - 1) == b"\n"
            line = (b"" if whole else b"\n") + body + b"\n"
            if os.write(file, line) < len(line):
                raise OSError(28, "not all of the line could be written")
            os.fsync(file)
        finally:
            os.close(file)
