"""Who calls: a token file at first, the local user without one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from reelgate.rpc.errors import RoleRequiredError, UnauthenticatedError

ROLE_USER: Final = "user"
ROLE_GATE: Final = "gate"
ROLE_ADMIN: Final = "admin"
ROLES: Final = frozenset({ROLE_USER, ROLE_GATE, ROLE_ADMIN})

_HASH = re.compile(r"[0-9a-f]{64}")
_TENANT = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, kw_only=True)
class Identity:
    """One caller, as the identity layer found it."""

    tenant: str
    roles: frozenset[str]

    def require(self, role: str) -> None:
        """Raise RoleRequiredError unless the caller has ``role``."""
        if role not in self.roles:
            raise RoleRequiredError.of(role)

    def tenant_for(self, asked: str) -> str:
        """The tenant that a call is for. Naming another than one's own needs the role "gate"; an empty name is one's own."""
        if asked and asked != self.tenant:
            self.require(ROLE_GATE)
        return asked or self.tenant


LOCAL: Final = Identity(tenant="local", roles=ROLES)
_current: ContextVar[Identity | None] = ContextVar("identity", default=None)


def current_identity() -> Identity:
    """The caller of the RPC under way. Raises UnauthenticatedError outside of one."""
    identity = _current.get()
    if identity is None:
        raise UnauthenticatedError("the call has no identity")
    return identity


def enter(identity: Identity) -> None:
    """Make ``identity`` the current one for the rest of this task (an RPC is one task)."""
    _current.set(identity)


class Authenticator:
    """Maps bearer tokens to identities. Only hashes are held: the file is no secret worth stealing."""

    def __init__(self, by_hash: Mapping[str, Identity] | None) -> None:
        self._by_hash = by_hash

    @classmethod
    def load(cls, path: Path | None) -> Authenticator:
        """Read a token file (YAML or JSON); None: everybody is LOCAL. Raises ValueError with the entry that is wrong.

        tokens:
          - sha256: <hex of the token's SHA-256>
            tenant: acme
            roles: [user]
        """
        if path is None:
            return cls(None)
        try:
            document = yaml.safe_load(path.read_text("utf-8"))
        except yaml.YAMLError as error:
            raise ValueError(f"{path.name} is neither YAML nor JSON") from error
        entries = document.get("tokens") if isinstance(document, dict) else None
        if not isinstance(entries, list) or not entries:
            raise ValueError(f"{path.name} needs a list called tokens")
        return cls(dict(_entry(path.name, i, entry) for i, entry in enumerate(entries)))

    def identify(self, authorization: str | None) -> Identity:
        """The identity behind an ``authorization`` header. Raises UnauthenticatedError."""
        if self._by_hash is None:
            return LOCAL
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise UnauthenticatedError("the call carries no bearer token")
        identity = self._by_hash.get(hashlib.sha256(token.strip().encode()).hexdigest())
        if identity is None:
            raise UnauthenticatedError("the token is not known")
        return identity


def _entry(file: str, index: int, entry: Any) -> tuple[str, Identity]:
    where = f"{file}, tokens[{index}]"
    if not isinstance(entry, dict) or (unknown := set(entry) - {"sha256", "tenant", "roles"}):
        raise ValueError(
            f"{where}: needs sha256, tenant, roles" + (f", not {unknown}" if isinstance(entry, dict) else "")
        )
    digest, tenant, roles = (
        str(entry.get("sha256", "")).lower(),
        str(entry.get("tenant", "")),
        entry.get("roles", [ROLE_USER]),
    )
    if not _HASH.fullmatch(digest):
        raise ValueError(f"{where}: sha256 must be 64 hex digits")
    if not _TENANT.fullmatch(tenant):
        raise ValueError(f"{where}: tenant must be 1 to 64 letters, digits, dots, dashes or underscores")
    if not isinstance(roles, list) or not set(map(str, roles)) <= ROLES:
        raise ValueError(f"{where}: roles must be a list out of {sorted(ROLES)}")
    return digest, Identity(tenant=tenant, roles=frozenset(map(str, roles)))


def peek() -> str:
    """The current tenant for logs, or "" where nobody is known yet."""
    identity = _current.get()
    return identity.tenant if identity else ""
