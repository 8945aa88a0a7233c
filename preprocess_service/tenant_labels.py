"""Which tenants have figures of their own. All others are summed up, so that no figure grows with the number of callers."""

from __future__ import annotations

from typing import Final

OTHER: Final = "other"
EVERYBODY: Final = "*"
MOST: Final = 1000
"""Tenants that are told apart under ``*``; those that come later are summed up too."""


class TenantLabels:
    """``names``: the allow-list, tenants separated by commas; ``*``: everybody, up to `MOST`; empty: nobody."""

    def __init__(self, names: str = "") -> None:
        listed = [name for name in (part.strip() for part in names.split(",")) if name]
        self.everybody = EVERYBODY in listed
        self._known = {name: name for name in listed if name != EVERYBODY}

    def of(self, tenant: str) -> str:
        """The tenant, or "other"."""
        known = self._known.get(tenant)
        if known is not None:
            return known
        if not self.everybody or len(self._known) >= MOST:
            return OTHER
        return self._known.setdefault(tenant, tenant)

    def named(self) -> tuple[str, ...]:
        """Those that are told apart now."""
        return tuple(self._known)
