"""The one table from errors to gRPC status codes and reasons. By the names of their classes (`errors.py`), which find their rows here."""

from __future__ import annotations

from typing import Final, NamedTuple

from grpc import StatusCode


class Row(NamedTuple):
    """One row of the table: what goes on the wire."""

    code: StatusCode
    reason: str


TABLE: Final[dict[str, Row]] = {
    "InvalidFieldError": Row(StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
    "PromptTokensExceededError": Row(StatusCode.INVALID_ARGUMENT, "PROMPT_TOKENS_EXCEEDED"),
    "PromptRejectedError": Row(StatusCode.INVALID_ARGUMENT, "PROMPT_REJECTED"),
    "RequestTooLargeError": Row(StatusCode.INVALID_ARGUMENT, "REQUEST_TOO_LARGE"),
    "DeviceTimeExceededError": Row(StatusCode.INVALID_ARGUMENT, "GPU_SECONDS_EXCEEDED"),
    "RequestError": Row(StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
    "ProtectedTermsError": Row(StatusCode.FAILED_PRECONDITION, "PROTECTED_TERMS_EXCEED_BUDGET"),
    "FidelityError": Row(StatusCode.FAILED_PRECONDITION, "FIDELITY_BELOW_FLOOR"),
    "BudgetSetByFileError": Row(StatusCode.FAILED_PRECONDITION, "BUDGET_SET_BY_FILE"),
    "BudgetChangedError": Row(StatusCode.FAILED_PRECONDITION, "BUDGET_CHANGED"),
    "TokenizerMismatchError": Row(StatusCode.FAILED_PRECONDITION, "TOKENIZER_MISMATCH"),
    "NotFoundError": Row(StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND"),
    "UnauthenticatedError": Row(StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"),
    "RoleRequiredError": Row(StatusCode.PERMISSION_DENIED, "ROLE_REQUIRED"),
    "AccessError": Row(StatusCode.PERMISSION_DENIED, "ACCESS_DENIED"),
    "TokenBudgetExhaustedError": Row(StatusCode.RESOURCE_EXHAUSTED, "TOKEN_BUDGET_EXHAUSTED"),
    "GpuSecondsExhaustedError": Row(StatusCode.RESOURCE_EXHAUSTED, "GPU_SECONDS_EXHAUSTED"),
    "RateLimitedError": Row(StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED"),
    "QuotaError": Row(StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXHAUSTED"),
    "MessageTooLargeError": Row(StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE"),
    "BudgetStoreUnavailableError": Row(StatusCode.UNAVAILABLE, "BUDGET_STORE_UNAVAILABLE"),
    "GeneratorUnavailableError": Row(StatusCode.UNAVAILABLE, "GENERATOR_UNAVAILABLE"),
    "QueueFullError": Row(StatusCode.UNAVAILABLE, "QUEUE_FULL"),
    "StoreUnavailableError": Row(StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE"),
    "UnavailableError": Row(StatusCode.UNAVAILABLE, "UNAVAILABLE"),
    "DeadlineUnreachableError": Row(StatusCode.DEADLINE_EXCEEDED, "DEADLINE_UNREACHABLE"),
    "DeadlineExceededError": Row(StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
    "VideoCancelledError": Row(StatusCode.ABORTED, "VIDEO_CANCELLED"),
    "RunError": Row(StatusCode.ABORTED, "RUN_ENDED"),
    "CallCancelledError": Row(StatusCode.CANCELLED, "CALL_CANCELLED"),
    "GenerationFailedError": Row(StatusCode.INTERNAL, "GENERATION_FAILED"),
    "NotBuiltError": Row(StatusCode.UNIMPLEMENTED, "NOT_BUILT"),
    "InternalError": Row(StatusCode.INTERNAL, "INTERNAL"),
    "ReelgateError": Row(StatusCode.INTERNAL, "INTERNAL"),
}
