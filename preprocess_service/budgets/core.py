"""The values of budgets and of the bill. Pure data: no SQL, no protobuf, no I/O.

Two currencies, never mixed: budget tokens, and device time in milliseconds. All are integers; times are Unix milliseconds, UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

ANYBODY = "*"  # the tenant whose budget stands for all that have none of their own
DEGRADED = "degraded"  # the warning of a `Decision` that a replica made without the ledger


MOST = 2**53  # the largest figure of a limit: more than a century of a thousand devices, and exact in JSON


class Window(StrEnum):
    """What a limit is for: a request by itself, or all that were reserved in one UTC calendar window."""

    REQUEST = "request"
    MINUTE = "minute"
    DAY = "day"
    MONTH = "month"


COUNTED = (Window.MINUTE, Window.DAY, Window.MONTH)
"""Those with a running total, the shortest first."""


class State(StrEnum):
    """Of a hold."""

    OPEN = "open"
    SLICE = "slice"
    """No run's: set aside for a replica, to be spent while the ledger is down (slices.py)."""
    SETTLED = "settled"
    RELEASED = "released"


HELD = frozenset({State.OPEN, State.SLICE})
"""Holds that are part of what windows hold."""


class Cause(StrEnum):
    """Why a hold ended; what is charged follows from it (bills.py)."""

    DONE = "done"
    STORED = "stored"
    """The video was there already."""
    CANCELLED = "cancelled"
    """By the tenant."""
    CONTENT = "content"
    """What was made is refused for what it shows."""
    FAILED = "failed"
    """Our fault."""
    REFUSED = "refused"
    """The generator did not take the request: nothing ran."""
    JOINED = "joined"
    """Another request's run is under way and pays."""
    NEVER_BEGAN = "never_began"
    """The generator knows no such run."""


CHARGED = frozenset({Cause.DONE, Cause.STORED, Cause.CANCELLED, Cause.CONTENT})
"""Holds that end so are settled, the others released."""


class Kind(StrEnum):
    """Of an entry of the ledger."""

    RESERVE = "reserve"
    EXTEND = "extend"
    SETTLE = "settle"
    RELEASE = "release"
    LEASE = "lease"
    """Of a slice: it was set aside."""
    MOVE = "move"
    """Of a slice: so much less is in it, since it is held for a run from now on (the RESERVE that follows)."""
    RETURN = "return"
    """Of a slice: it ended, and its rest is free."""
    BUDGET = "budget"
    RAISE = "raise"


@dataclass(frozen=True, kw_only=True, slots=True)
class Amount:
    """Of both currencies."""

    tokens: int = 0
    device_ms: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(tokens=self.tokens + other.tokens, device_ms=self.device_ms + other.device_ms)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(tokens=self.tokens - other.tokens, device_ms=self.device_ms - other.device_ms)


NOTHING = Amount()


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """The most that one window may hold; None: no limit. ``carry_over`` adds what the window before left free, once."""

    window: Window
    tokens: int | None = None
    device_ms: int | None = None
    soft: bool = False
    carry_over: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """What a tenant may spend. ``shadow`` decides, records and refuses nothing; ``throttle`` refuses while use is abnormal."""

    limits: tuple[Limit, ...] = ()
    shadow: bool = False
    concurrent: int | None = None
    throttle: bool = False

    def of(self, window: Window) -> Limit | None:
        return next((limit for limit in self.limits if limit.window is window), None)


UNLIMITED = Budget()


@dataclass(frozen=True, kw_only=True, slots=True)
class Raise:
    """More for one window, until ``expires_ms``."""

    window: Window
    amount: Amount
    expires_ms: int
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Filed:
    """Budgets of the operator's files: the tenant's own and everybody's. Where there is one, it comes before what was set."""

    own: Budget | None = None
    default: Budget | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowance:
    """Whose budget counts for a tenant at this moment, and what was raised. ``version`` counts the changes of what was set."""

    budget: Budget = UNLIMITED
    raises: tuple[Raise, ...] = ()
    source: str = "none"
    version: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """Of one tenant in one counted window. What was measured is charged + overrun."""

    held: Amount = NOTHING
    charged: Amount = NOTHING
    overrun: Amount = NOTHING


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """A reservation that is asked for. The key is (``name``, ``run``); a tenant's ``request_id`` ("": none) leads to it.

    ``tier`` and ``policy`` (of the prompt) are for the books, as are ``tokens_saved`` (negative where the prompt grew) and
    ``prepare_us``, CPU time of preparing it. ``flags``: signals of abnormal use.
    """

    tenant: str
    name: str
    run: str
    amount: Amount
    at_ms: int
    request_id: str = ""
    tier: str = ""
    policy: str = ""
    tokens_saved: int = 0
    prepare_us: int = 0
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Hold:
    """What is set aside for one run. ``at_ms`` is when it was reserved: the windows in which it counts, whenever it ends."""

    tenant: str
    name: str
    run: str
    amount: Amount
    at_ms: int
    state: State = State.OPEN
    cause: Cause | None = None
    request_id: str = ""
    tier: str = ""
    policy: str = ""
    tokens_saved: int = 0
    prepare_us: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """Why there is no room: ``subject`` is "<window>.tokens", "<window>.device_ms" or "concurrent". ``never``: not in any window,
    also with all that may be carried over. ``free`` may be negative; ``reset_ms``: when it may fit; None where waiting does not help.
    """

    window: Window
    subject: str
    asked: int
    limit: int
    free: int
    never: bool = False
    reset_ms: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What became of an `Ask`.

    ``hold`` is the one that stands for it, None where it was refused. ``fresh``: it was made by this call; else a retry or an equal
    request found it, open or ended, and nothing more is held. ``refusals``: why it was refused, or, under shadow mode, would have
    been. ``warnings``: "soft:<subject>" for soft limits that it passes; "degraded" where a replica granted it without the ledger.
    """

    hold: Hold | None
    fresh: bool = False
    refusals: tuple[Refusal, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Bill:
    """How a hold ends: by which rule, what is to be charged at most, and what was measured.

    The ledger charges ``due`` up to the hold, which it extends while there is room; the rest of ``measured`` is overrun.
    ``saved_ms`` of device time were not needed, since stored work was there.
    """

    cause: Cause
    due: Amount = NOTHING
    measured: Amount = NOTHING
    saved_ms: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """A tenant's budget at one moment. ``totals`` has the counted windows, ``befores`` the ones before them."""

    tenant: str
    allowance: Allowance
    totals: dict[Window, Totals]
    befores: dict[Window, Totals]
    open_holds: int
    at_ms: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """Of the table that was in force when a hold was settled; money in millionths (micros) of ``currency``."""

    version: str = ""
    currency: str = "USD"
    tokens_micros: int = 0
    """Per 1,000 tokens."""
    device_micros: int = 0
    """Per second of device time of this tier."""
    prepare_micros: int = 0
    """Per second of the gate's CPU."""

    def tokens(self, tokens: int) -> int:
        return _share(tokens * self.tokens_micros, 1000)

    def device(self, ms: int) -> int:
        return _share(ms * self.device_micros, 1000)

    def prepare(self, us: int) -> int:
        return _share(us * self.prepare_micros, 1_000_000)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """How a hold ended. ``fresh``: by this call; else it had ended before, and this is how."""

    hold: Hold
    charged: Amount
    measured: Amount
    fresh: bool
    overrun: Amount = NOTHING
    price: Price = field(default_factory=Price)


def _share(product: int, by: int) -> int:
    """Rounded half away from zero, so that a saving and a cost of the same size are the same money."""
    size = (abs(product) + by // 2) // by
    return size if product >= 0 else -size
