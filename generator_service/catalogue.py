"""Which videos a tenant has, newest first: one empty object for every accepted run, whose name is all that it says.

    tenants/<sha256 of the tenant>/<inverted time>-<sha256 of the video>

The time is 2^48 - 1 less the Unix milliseconds of acceptance, in hex of one width, so that the order of the names is the order that is
asked for, and a page is one listing from a place on.

An entry counts only where the video's own request names its time: what was accepted again stands at its newest place alone, and what
was never accepted, or was deleted, nowhere. It is written before the request, so that no accepted video goes unlisted, and without a
sync: a power cut may take the entries of the last seconds, and those videos are then found by their name alone. So are requests of
versions that wrote no entry.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re

from generator_service.objects import Objects

LATEST_MS = 2**48 - 1
KEY = re.compile(r"([0-9a-f]{12})-([0-9a-f]{64})")
TOKEN = re.compile(rf"({KEY.pattern})-([0-9a-f]{{16}})", re.ASCII)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """``videos/<sha256>`` and when its run was accepted, Unix time."""

    name: str
    accepted_ms: int

    @property
    def key(self) -> str:
        return f"{LATEST_MS - self.accepted_ms:012x}-{self.name.removeprefix('videos/')}"

    @classmethod
    def of(cls, key: str) -> Entry | None:
        """None for what is no entry's key."""
        found = KEY.fullmatch(key)
        if found is None:
            return None
        return cls(name=f"videos/{found[2]}", accepted_ms=LATEST_MS - int(found[1], 16))


class Catalogue:
    """Safe to call from several threads; every method blocks, and raises `StoreUnavailableError`."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def put(self, tenant: str, entry: Entry) -> None:
        self._objects.put(_folder(tenant) + entry.key, b"", sync=False)

    def drop(self, tenant: str, entry: Entry) -> None:
        self._objects.delete(_folder(tenant) + entry.key)

    def page(self, tenant: str, after: str, most: int) -> list[Entry]:
        """At most ``most`` entries, newest first, behind the key ``after`` ("": from the newest on). Fewer only where there are no more:
        what is none of ours in the folder is passed over."""
        folder, found = _folder(tenant), list[Entry]()
        while len(found) < most and (paths := self._objects.first(folder, most, after)):
            entries = (Entry.of(path.removeprefix(folder)) for path in paths)
            found += [entry for entry in entries if entry is not None]
            after = paths[-1].removeprefix(folder)
        return found[:most]


def token_of(tenant: str, entry: Entry) -> str:
    """For the page behind ``entry``; opaque to clients, and bound to the tenant."""
    return f"{entry.key}-{_digest(tenant, entry.key)}"


def place_of(tenant: str, token: str) -> str | None:
    """The key to go on behind; None for a token that `token_of` did not make for this tenant."""
    found = TOKEN.fullmatch(token)
    return found[1] if found is not None and token == f"{found[1]}-{_digest(tenant, found[1])}" else None


def _digest(tenant: str, key: str) -> str:
    return hashlib.sha256(f"{tenant}\0{key}".encode()).hexdigest()[:16]


def _folder(tenant: str) -> str:
    return f"tenants/{hashlib.sha256(tenant.encode()).hexdigest()}/"
