"""Settings of one server and of one channel; each service fills them from its own."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """``bind``: host:port, port 0 for a free one. Without ``tokens`` every caller is tenant "local", so only loopback is allowed."""

    bind: str = "127.0.0.1:0"
    tokens: Path | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    max_message_bytes: int = MAX_MESSAGE_BYTES
    # Seconds that calls in flight get to finish once the server has begun to stop.
    grace_s: float = 10.0
    # Several processes on one port, one a core; off, so that a second server on a taken port fails instead of sharing it.
    reuse_port: bool = False

    def __post_init__(self) -> None:
        if self.tokens is None and not is_loopback(self.bind):
            raise ValueError(f"without a token file the server listens on loopback only, not on {self.bind}")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("TLS needs both a certificate and a key")
        if self.grace_s < 0 or self.max_message_bytes <= 0:
            raise ValueError("grace_s must not be negative, and max_message_bytes must be positive")


@dataclass(frozen=True, kw_only=True)
class ChannelConfig:
    """``target``: host:port. ``attempts``: how often a call is tried while the answer is UNAVAILABLE; 1 between services, so that
    retries do not multiply. ``tls``: use it, with ``tls_ca`` instead of the system's authorities when given."""

    target: str
    token: str | None = None
    attempts: int = 3
    tls: bool = False
    tls_ca: Path | None = None
    max_message_bytes: int = MAX_MESSAGE_BYTES
    # Whether a call that belongs to no trace begins one: a client's does, a service's own look at another does not.
    begins_traces: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.attempts <= 5:  # gRPC itself allows no more
            raise ValueError("attempts must be between 1 and 5")
        if self.token and not all("!" <= c <= "~" for c in self.token):
            raise ValueError("a token has printable ASCII characters only, and no spaces")


def is_loopback(bind: str) -> bool:
    """Whether only this machine can connect: loopback addresses, "localhost" and Unix sockets."""
    if bind.startswith("unix:"):
        return True
    host = bind.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
