"""The ``budget:`` section of a tenant's file (tenants.py), for those who keep budgets under version control.

budget:
  limits:
    - {window: day, tokens: 200000, device_seconds: 3600}
    - {window: month, device_ms: 40000000, soft: true, carry_over: true}
  shadow: false                      decide and record, refuse nothing
  concurrent: 4                      runs at once
  abnormal: flag                     or throttle
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .core import MOST, Budget, Limit, Window

Count = Annotated[int, Field(ge=0, le=MOST, strict=True)]


class LimitSection(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    window: Literal["request", "minute", "day", "month"]
    tokens: Count | None = None
    device_ms: Count | None = None
    device_seconds: Annotated[float, Field(ge=0, le=MOST / 1000, allow_inf_nan=False)] | None = None
    soft: bool = False
    carry_over: bool = False

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.device_ms is not None and self.device_seconds is not None:
            raise ValueError("device_ms and device_seconds are the same limit, give one")
        if self.tokens is None and self.device_ms is None and self.device_seconds is None:
            raise ValueError(f"the limit of a {self.window} limits nothing: give tokens, device_ms or device_seconds")
        if self.carry_over and self.window == "request":
            raise ValueError("a request has no window before it: carry_over is for minute, day and month")
        return self

    def limit(self) -> Limit:
        ms = round(self.device_seconds * 1000) if self.device_seconds is not None else self.device_ms
        window = Window(self.window)
        return Limit(window=window, tokens=self.tokens, device_ms=ms, soft=self.soft, carry_over=self.carry_over)


class BudgetSection(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    limits: tuple[LimitSection, ...] = ()
    shadow: bool = False
    concurrent: Annotated[int, Field(ge=0, lt=2**32, strict=True)] | None = None
    abnormal: Literal["flag", "throttle"] = "flag"

    @model_validator(mode="after")
    def _once(self) -> Self:
        windows = [limit.window for limit in self.limits]
        if twice := {window for window in windows if windows.count(window) > 1}:
            raise ValueError(f"more than one limit for: {', '.join(sorted(twice))}")
        return self

    def budget(self) -> Budget:
        """As the ledgers take it."""
        return Budget(
            limits=tuple(section.limit() for section in self.limits),
            shadow=self.shadow,
            concurrent=self.concurrent,
            throttle=self.abnormal == "throttle",
        )
