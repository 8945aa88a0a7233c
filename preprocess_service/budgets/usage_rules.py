"""The field rules of QueryUsage and who may ask for what; every broken rule of a request is named at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from reelgate.preprocess.v1 import preprocess_pb2 as pb
from reelgate.rpc.errors import InvalidFieldError, Violation
from reelgate.rpc.identity import ROLE_ADMIN, Identity

from . import calendar
from .core import ANYBODY, Window

HOUR, DAY, MONTH = BUCKETS = ("hour", "day", "month")
ALL: Final = "all"
"""One bucket; not for clients."""
GROUPS: Final = ("tenant", "tier", "policy")
HOUR_MS: Final = 3_600_000
PAGE: Final = 100
PAGE_MAX: Final = 1000
RANGE_MAX_MS: Final = 3660 * calendar.DAY_MS
NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """What is asked for: [start_ms, end_ms), both at the beginning of an hour, since the books are kept by the hour.

    ``tenant``: "*" is all. ``group_by`` in the order of `GROUPS`. ``tier`` and ``policy``: "" is all.
    """

    tenant: str
    start_ms: int
    end_ms: int
    bucket: str = DAY
    group_by: tuple[str, ...] = GROUPS
    tier: str = ""
    policy: str = ""

    @property
    def filters(self) -> tuple[tuple[str, str], ...]:
        """Column and value."""
        given = (
            ("tenant", "" if self.tenant == ANYBODY else self.tenant),
            ("tier", self.tier),
            ("policy", self.policy),
        )
        return tuple((name, value) for name, value in given if value)

    def whole(self) -> Query:
        """The same, all in one bucket."""
        return replace(self, bucket=ALL, group_by=())


def query_of(request: pb.QueryUsageRequest, identity: Identity, now_ms: int) -> Query:
    """Raises ``RoleRequiredError`` for another tenant's usage, ``InvalidFieldError`` with all violations."""
    tenant = request.tenant or identity.tenant
    if tenant != identity.tenant:
        identity.require(ROLE_ADMIN)
    if broken := list(_broken(request, tenant, now_ms)):
        raise InvalidFieldError("; ".join(f"{v.subject} {v.description}" for v in broken), violations=broken)
    start, end = _range(request, now_ms)
    return Query(
        tenant=tenant,
        start_ms=start - start % HOUR_MS,
        end_ms=end + -end % HOUR_MS,
        bucket=request.bucket or DAY,
        group_by=tuple(name for name in GROUPS if name in request.group_by) or GROUPS,
        tier=request.tier,
        policy=request.policy,
    )


def _range(request: pb.QueryUsageRequest, now_ms: int) -> tuple[int, int]:
    """As asked, in Unix milliseconds; where an end is given and no start, the month of that end."""
    end = request.end_time.ToMilliseconds() if request.HasField("end_time") else now_ms
    if request.HasField("start_time"):
        return request.start_time.ToMilliseconds(), end
    return calendar.start(Window.MONTH, max(0, min(end - 1, now_ms))), end


def _broken(request: pb.QueryUsageRequest, tenant: str, now_ms: int) -> Iterator[Violation]:
    if tenant != ANYBODY and not NAME.fullmatch(tenant):
        yield _violation("tenant", 'must be 1 to 64 letters, digits, dots, dashes or underscores, or "*"')
    if request.bucket and request.bucket not in BUCKETS:
        yield _violation("bucket", f"is {request.bucket!r}, must be one of {', '.join(BUCKETS)}")
    if request.page_size > PAGE_MAX:
        yield _violation("page_size", f"is {request.page_size}, at most {PAGE_MAX}")
    for name in ("tier", "policy"):
        if (given := getattr(request, name)) and not NAME.fullmatch(given):
            yield _violation(name, "must be 1 to 64 letters, digits, dots, dashes or underscores")
    for name in sorted(set(request.group_by) - set(GROUPS)):
        yield _violation("group_by", f"has {name!r}, must be any of {', '.join(GROUPS)}")
    if len(set(request.group_by)) < len(request.group_by):
        yield _violation("group_by", "names one twice")
    yield from _time(request, now_ms)


def _time(request: pb.QueryUsageRequest, now_ms: int) -> Iterator[Violation]:
    wrong = False
    for name in ("start_time", "end_time"):
        if request.HasField(name) and not _sensible(getattr(request, name).seconds):
            yield _violation(name, "must be between the years 1970 and 9999")
            wrong = True
    if wrong:
        return
    start, end = _range(request, now_ms)
    if start >= end:
        yield _violation("start_time", "must be before end_time (unset: the first of this month, and now)")
    elif end - start > RANGE_MAX_MS:
        yield _violation("end_time", "must be at most ten years after start_time")


def _sensible(seconds: int) -> bool:
    return 0 <= seconds < 253_370_764_800  # the year 9999, which the calendar can still leave by a month


def _violation(field: str, description: str) -> Violation:
    return Violation(subject=field, description=description)
