"""Every error of Reelgate. Their status codes and reasons are in `table.py`.

    ReelgateError
    ├── RequestError                      the caller can change the request
    │   ├── InvalidFieldError             a field rule is broken; ``violations`` says which
    │   ├── PromptTokensExceededError     more tokens than the window or cap holds; both counts in ``metadata``
    │   ├── PromptRejectedError           stuffing or obfuscation that policy blocks; the signals in ``metadata``
    │   ├── DeviceTimeExceededError       more device time than the budget ever allows; both figures in ``metadata``
    │   ├── RequestTooLargeError          no setting of the device holds this shape; bytes in ``metadata``
    │   ├── MessageTooLargeError          the message itself is over the transport's limit
    │   ├── ProtectedTermsError           the protected terms alone exceed the target
    │   ├── FidelityError                 strict, and the prompt lost something that it had to keep
    │   ├── BudgetSetByFileError          the operator's files have this tenant's budget, SetBudget cannot change it
    │   ├── BudgetChangedError            another changed the budget since the version that the caller read
    │   ├── TokenizerMismatchError        the caller counts with another tokenizer than the tier
    │   └── NotFoundError                 no such video, tier or template for this tenant; ``resource`` says which
    ├── AccessError
    │   ├── UnauthenticatedError          no credentials, or unknown ones
    │   └── RoleRequiredError             known, but not allowed to do this
    ├── QuotaError                        spent, or too fast; ``retry_after`` says when it resets
    │   ├── TokenBudgetExhaustedError
    │   ├── GpuSecondsExhaustedError
    │   └── RateLimitedError
    ├── UnavailableError                  the same request may work later; ``retry_after`` says when
    │   ├── BudgetStoreUnavailableError
    │   ├── GeneratorUnavailableError
    │   ├── QueueFullError
    │   └── StoreUnavailableError
    ├── RunError                          what became of a run or of this call
    │   ├── DeadlineUnreachableError      refused: the estimate is longer than the deadline
    │   ├── DeadlineExceededError         the call's own deadline passed
    │   ├── VideoCancelledError           CancelVideo stopped the run
    │   ├── CallCancelledError            the caller went away
    │   └── GenerationFailedError         stage and cause in ``metadata``
    ├── NotBuiltError                     the contract has this RPC, the server has not
    └── InternalError                     unforeseen; the detail is in the server's log, under the request id

Servicers raise these; interceptors turn them into statuses, and the client turns statuses back into these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from grpc import StatusCode

from reelgate.rpc.table import TABLE, Row

DOMAIN: Final = "reelgate"


@dataclass(frozen=True, kw_only=True)
class Violation:
    """One broken rule: ``subject`` is a field path ("settings.frames"), or the subject of a quota or of a precondition."""

    subject: str
    description: str


@dataclass(frozen=True, kw_only=True)
class Resource:
    """What was not found: ``kind`` is "video", "tier" or "template"."""

    kind: str
    name: str


class ReelgateError(Exception):
    """Base of all. ``message`` is for people and never holds a detail of the server's insides.

    ``metadata``: facts as strings, for programs. ``next_step``: what the caller can do now. ``retry_after``: seconds.
    ``request_id``: the one in the server's log, set by the interceptor or read back by the client.
    ``answered``: the far side itself sent this error, with its reason; False for what was raised here or made up by the transport.
    """

    next_step: str = ""
    retry_after: float | None = None
    answered: bool = False
    quota: bool = False
    """The violations are limits that the caller's budget has, whatever the code."""

    def __init__(
        self,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        resource: Resource | None = None,
        retry_after: float | None = None,
        next_step: str | None = None,
        request_id: str = "",
        reason: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.resource = resource
        self.request_id = request_id
        self._reason = reason
        if retry_after is not None:
            self.retry_after = retry_after
        if next_step is not None:
            self.next_step = next_step
        if self.next_step:
            self.add_note(self.next_step)  # whoever only sees a traceback sees what to do

    @property
    def code(self) -> StatusCode:
        """The gRPC status code of the table."""
        return row(type(self)).code

    @property
    def reason(self) -> str:
        """Stable word for programs; never translated, never reworded."""
        return self._reason or row(type(self)).reason


class RequestError(ReelgateError):
    next_step = "Change the request and send it again."


class InvalidFieldError(RequestError):
    next_step = "Correct the named field and send the request again."

    @classmethod
    def of(cls, field: str, description: str) -> Self:
        """One broken rule of one field, e.g. ``of("settings.frames", "is 16, must be 4k+1")``."""
        return cls(f"{field}: {description}", violations=[Violation(subject=field, description=description)])


class PromptTokensExceededError(RequestError):
    next_step = "Shorten the prompt, or choose a policy that compresses (economy, balanced)."

    @classmethod
    def of(cls, *, count: int, limit: int, field: str = "prompt") -> Self:
        return cls(
            f"{field} has {count} tokens, at most {limit} fit",
            metadata={"tokens": str(count), "limit": str(limit)},
            violations=[Violation(subject=field, description=f"has {count} tokens, at most {limit} fit")],
        )


class PromptRejectedError(RequestError):
    next_step = "Write the prompt in plain words, without repetition or hidden characters."


class RequestTooLargeError(RequestError):
    next_step = "Ask for a smaller picture or fewer frames."

    @classmethod
    def of(cls, *, predicted_bytes: int, available_bytes: int) -> Self:
        return cls(
            f"this shape needs {predicted_bytes} bytes of device memory, {available_bytes} are there",
            metadata={"predicted_bytes": str(predicted_bytes), "available_bytes": str(available_bytes)},
        )


class DeviceTimeExceededError(RequestError):
    next_step = "Ask for a smaller picture, fewer frames or steps, or a higher limit."


class BudgetSetByFileError(RequestError):
    next_step = "Change the file, or add a raise, which expires."


class BudgetChangedError(RequestError):
    next_step = "Read the budget again, and send the change with its version."

    @classmethod
    def of(cls, version: int) -> Self:
        return cls(f"the budget is at version {version} by now", metadata={"version": str(version)})


class MessageTooLargeError(RequestError):
    next_step = "Send less: a message may have at most 4 MiB."


class ProtectedTermsError(RequestError):
    next_step = "Protect fewer terms, or choose a wider policy."


class FidelityError(RequestError):
    next_step = "Choose a wider policy, or leave strict off."


class TokenizerMismatchError(RequestError):
    next_step = "Count with the tokenizer whose fingerprint GetModel names for this tier."


class NotFoundError(RequestError):
    next_step = "Check the name; names are known only to the tenant that asked for them."

    @classmethod
    def of(cls, kind: str, name: str, *, known: Iterable[str] = (), more: str = "") -> Self:
        """``known``: names of that kind that there are, which are nobody's secret; ``more`` is said after them."""
        there = ", ".join(sorted(known))
        step = f"Name one of these: {there}. {more}".strip() if there else None
        return cls(f"no such {kind}: {name}", resource=Resource(kind=kind, name=name), next_step=step)


class AccessError(ReelgateError):
    next_step = "Ask the operator for access."


class UnauthenticatedError(AccessError):
    next_step = "Send a valid token as `authorization: Bearer <token>`."


class RoleRequiredError(AccessError):
    next_step = "Ask the operator for a token with the role that is named."

    @classmethod
    def of(cls, role: str) -> Self:
        return cls(f'this needs the role "{role}"', metadata={"role": role})


class QuotaError(ReelgateError):
    next_step = "Wait until the limit resets, or ask the operator for a higher one."
    retry_after = 1.0


class TokenBudgetExhaustedError(QuotaError): ...


class GpuSecondsExhaustedError(QuotaError): ...


class RateLimitedError(QuotaError):
    next_step = "Send fewer requests at once."


class UnavailableError(ReelgateError):
    next_step = "Try again in a moment."
    retry_after = 1.0


class BudgetStoreUnavailableError(UnavailableError): ...


class GeneratorUnavailableError(UnavailableError): ...


class QueueFullError(UnavailableError):
    retry_after = 5.0


class StoreUnavailableError(UnavailableError):
    next_step = (
        "Try again in a while. A store that is full stays so until its operator makes room: see docs/operating.md."
    )
    retry_after = 5.0


class RunError(ReelgateError):
    next_step = "Ask for the video again: a finished one is returned, a new run is opened otherwise."


class DeadlineUnreachableError(RunError):
    next_step = "Give the call a longer deadline than the estimate."


class DeadlineExceededError(RunError):
    next_step = "Ask again with a longer deadline: the run goes on, and the call attaches to it."


class VideoCancelledError(RunError): ...


class CallCancelledError(RunError): ...


class GenerationFailedError(RunError):
    @classmethod
    def of(cls, *, stage: str, cause: str) -> Self:
        return cls(f"generation failed in {stage}: {cause}", metadata={"stage": stage, "cause": cause})


class NotBuiltError(ReelgateError):
    next_step = "This address may be of another service (clients call preprocess_service), or of an older version."


class InternalError(ReelgateError):
    next_step = "Tell the operator the request id."


def row(kind: type[ReelgateError]) -> Row:
    """The row of an error class, or of its nearest base: a service may refine a class without a row of its own."""
    return next(TABLE[base.__name__] for base in kind.__mro__ if base.__name__ in TABLE)
