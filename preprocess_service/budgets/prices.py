"""What tokens and device time cost, by version: a YAML file, read again when it changes.

versions:
  - version: "2026-01"
    from: 2026-01-01T00:00:00Z       without a time zone: UTC
    currency: USD
    per_1000_tokens: "0.02"
    per_device_second: {full: "0.0012", draft: "0.0004", default: "0.001"}
    per_prepare_second: "0.00002"    of the gate's own CPU

A version holds from its time until the next one's. A hold is priced when it is settled, and keeps the version of that time.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Final

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from .core import Price

log = logging.getLogger(__name__)
DEFAULT: Final = "default"
NONE: Final = Price(version="none")
"""Where no price is set: everything is free, and says so."""
DIGITS = 6
MOST = 10**9
"""Of any price, in units of its currency."""
NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
Stamp = tuple[int, int, int] | None


def micros(value: object) -> int:
    """A decimal as integer millionths, exactly. Raises ``ValueError`` for more than six digits behind the point, or no number."""
    text = str(value).strip()
    try:
        number = Decimal(text) if NUMBER.fullmatch(text) else None
    except InvalidOperation:
        number = None
    if number is None or number > MOST:
        raise ValueError(f"{text!r} is no price: a plain decimal from 0 to {MOST}, e.g. 0.0012")
    if number != round(number, DIGITS):
        raise ValueError(f"{text} has more than {DIGITS} digits behind the point")
    return int(number.scaleb(DIGITS))


def moment(value: object) -> int:
    """An ISO 8601 time as Unix milliseconds; without a time zone it is UTC. Raises ``ValueError``."""
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError(f"{value!r} is no time: e.g. 2026-01-01T00:00:00Z") from None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _defaulted(tiers: dict[str, int]) -> dict[str, int]:
    if DEFAULT not in tiers:
        raise ValueError(f"needs {DEFAULT!r}, for tiers that have no price of their own: else they would be free")
    return tiers


Micros = Annotated[int, BeforeValidator(micros)]


class _Version(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    from_ms: Annotated[int, BeforeValidator(moment), Field(alias="from")]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    per_1000_tokens: Micros
    per_device_second: Annotated[dict[str, Micros], AfterValidator(_defaulted)]
    per_prepare_second: Micros = 0

    def price(self, tier: str) -> Price:
        device = self.per_device_second
        return Price(
            version=self.version,
            currency=self.currency,
            tokens_micros=self.per_1000_tokens,
            device_micros=device.get(tier, device[DEFAULT]),
            prepare_micros=self.per_prepare_second,
        )


def _told_apart(versions: Sequence[_Version]) -> tuple[_Version, ...]:
    names, times = [v.version for v in versions], [v.from_ms for v in versions]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"more than one version is called {', '.join(twice)}")
    if len(set(times)) < len(times):
        raise ValueError("two versions begin at the same time")
    if NONE.version in names:
        raise ValueError(f"{NONE.version!r} is what says that no price is set: choose another name")
    return tuple(sorted(versions, key=lambda v: v.from_ms))


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    versions: Annotated[tuple[_Version, ...], Field(min_length=1), AfterValidator(_told_apart)]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Read:
    stamp: Stamp
    versions: tuple[_Version, ...]


class Prices:
    """Looks at the file's stamp at every question. A change that cannot be read is logged, and the last good table stays."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._read = _Read(stamp=_stamp(path), versions=_versions(path) if path else ())

    def at(self, tier: str, at_ms: int) -> Price:
        """The price of ``tier`` at that moment; `NONE` before the first version, and without a file."""
        if self._path is not None and (stamp := _stamp(self._path)) != self._read.stamp:
            self._reread(self._path, stamp)
        for version in reversed(self._read.versions):
            if version.from_ms <= at_ms:
                return version.price(tier)
        return NONE

    def _reread(self, path: Path, stamp: Stamp) -> None:
        versions = self._read.versions
        try:
            versions = _versions(path)
        except (OSError, ValueError) as error:
            log.error("the price table is wrong, the last good one stays", extra={"detail": str(error)})
        self._read = _Read(stamp=stamp, versions=versions)


def load(path: Path | None) -> Prices:
    """The table of the file; None: nothing has a price. Raises ``ValueError`` that names the file and what is wrong, ``OSError``."""
    return Prices(path)


def _stamp(path: Path | None) -> Stamp:
    try:
        stat = path.stat() if path else None
    except OSError:
        return None
    return (stat.st_mtime_ns, stat.st_size, stat.st_ino) if stat else None


def _versions(path: Path) -> tuple[_Version, ...]:
    try:
        # BaseLoader leaves every value the text that it is: no price goes through a float, no version becomes a number.
        document: Any = yaml.load(path.read_bytes(), Loader=yaml.BaseLoader)  # noqa: S506  it makes strings, lists and dicts only
        return _File.model_validate(document or {}).versions
    except (yaml.YAMLError, ValidationError) as error:
        raise ValueError(f"{path.name}: {error}") from error
