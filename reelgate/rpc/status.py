"""Errors to and from the wire: google.rpc.Status in the trailing metadata, by the table in table.py."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from reelgate.rpc import errors
from reelgate.rpc.errors import DOMAIN, ReelgateError, Resource, Violation
from reelgate.rpc.logs import REQUEST_ID_HEADER
from reelgate.rpc.table import TABLE

STATUS_KEY: Final = "grpc-status-details-bin"
PUSHBACK_KEY: Final = "grpc-retry-pushback-ms"
_NEXT_STEP: Final = "next_step"
# A client takes 8 KiB of metadata unless told otherwise, and gets another status when there is more: a long name in an
# error's sentence must not turn NOT_FOUND into RESOURCE_EXHAUSTED. The sentence counts five times: its bytes leave
# percent-encoded (three for one) beside the details, which hold it again.
_TEXT_BYTES: Final = 600
_FACT_BYTES: Final = 256
_FACTS: Final = 12
_STATUS_BYTES: Final = 5_000
_OMITTED: Final = "violations_omitted"
_LONGEST_WAIT: Final = 366 * 24 * 3600.0

# How gRPC words it, for messages and for headers.
_TOO_LARGE: Final = ("larger than max", "metadata size exceeds")
_BY_REASON: Final[dict[str, type[ReelgateError]]] = {
    row.reason: getattr(errors, name) for name, row in TABLE.items() if name != ReelgateError.__name__
}
# For a status without our ErrorInfo: the transport's own, or a newer server's.
_BY_CODE: Final[dict[grpc.StatusCode, type[ReelgateError]]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.RequestError,
    grpc.StatusCode.OUT_OF_RANGE: errors.RequestError,
    grpc.StatusCode.ALREADY_EXISTS: errors.RequestError,
    grpc.StatusCode.FAILED_PRECONDITION: errors.RequestError,
    grpc.StatusCode.NOT_FOUND: errors.NotFoundError,
    grpc.StatusCode.UNAUTHENTICATED: errors.UnauthenticatedError,
    grpc.StatusCode.PERMISSION_DENIED: errors.AccessError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.QuotaError,
    grpc.StatusCode.UNAVAILABLE: errors.UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceededError,
    grpc.StatusCode.ABORTED: errors.RunError,
    grpc.StatusCode.CANCELLED: errors.CallCancelledError,
    grpc.StatusCode.UNIMPLEMENTED: errors.NotBuiltError,
    grpc.StatusCode.INTERNAL: errors.InternalError,
    grpc.StatusCode.UNKNOWN: errors.InternalError,
    grpc.StatusCode.DATA_LOSS: errors.InternalError,
}


def sentence(error: ReelgateError) -> str:
    """The message as it goes on the wire: UTF-8, bounded."""
    return _clip(error.message, _TEXT_BYTES)


def trailing_metadata(error: ReelgateError) -> tuple[tuple[str, str | bytes], ...]:
    """What an aborted call sends beside its code and `sentence`; small enough for any client."""
    pairs: list[tuple[str, str | bytes]] = [
        (STATUS_KEY, _status(error).SerializeToString()),
        (REQUEST_ID_HEADER, error.request_id),
    ]
    if error.code is grpc.StatusCode.UNAVAILABLE and error.retry_after is not None:
        pairs.append((PUSHBACK_KEY, str(_ms(error.retry_after))))
    return tuple(pairs)


def _status(error: ReelgateError) -> Any:
    """google.rpc.Status with as many violations as there is room for."""
    number, shown = code_pb2.Code.Value(error.code.name), len(error.violations)
    while True:
        details = map(_pack, _details(error, shown))
        status = status_pb2.Status(code=number, message=sentence(error), details=details)
        if not shown or status.ByteSize() <= _STATUS_BYTES:
            return status
        shown = min(shown // 2, 64)


def _details(error: ReelgateError, shown: int) -> Iterator[Any]:
    metadata = {_clip(k, 64): _clip(str(v), _FACT_BYTES) for k, v in list(error.metadata.items())[:_FACTS]}
    if error.next_step:
        metadata[_NEXT_STEP] = _clip(error.next_step, _FACT_BYTES)
    if left_out := len(error.violations) - shown:
        metadata[_OMITTED] = str(left_out)
    yield error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)
    yield error_details_pb2.RequestInfo(request_id=error.request_id)
    if shown:
        yield _violations(error, shown)
    if error.resource:
        kind, name = _clip(error.resource.kind, 64), _clip(error.resource.name, _FACT_BYTES)
        yield error_details_pb2.ResourceInfo(resource_type=kind, resource_name=name)
    if error.retry_after is not None:
        ms = _ms(error.retry_after)
        yield error_details_pb2.RetryInfo(retry_delay=Duration(seconds=ms // 1000, nanos=ms % 1000 * 1_000_000))


def _violations(error: ReelgateError, shown: int) -> Any:
    """The detail whose violations fit the code."""
    pairs = [(_clip(v.subject, _FACT_BYTES), _clip(v.description, _FACT_BYTES)) for v in error.violations[:shown]]
    if error.quota or error.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        quota = error_details_pb2.QuotaFailure
        return quota(violations=[quota.Violation(subject=s, description=d) for s, d in pairs])
    if error.code is grpc.StatusCode.FAILED_PRECONDITION:
        failure = error_details_pb2.PreconditionFailure
        return failure(violations=[failure.Violation(type=error.reason, subject=s, description=d) for s, d in pairs])
    bad = error_details_pb2.BadRequest
    return bad(field_violations=[bad.FieldViolation(field=s, description=d) for s, d in pairs])


def from_rpc_error(error: grpc.RpcError, unavailable: type[ReelgateError] | None = None) -> ReelgateError:
    """The typed error behind a failed call.

    ``unavailable``: the class for an UNAVAILABLE that the transport made itself (nobody answered), e.g. GeneratorUnavailableError.
    """
    code, text, trailing = error.code(), error.details() or "", _pairs(error.trailing_metadata())
    request_id = _text(trailing.get(REQUEST_ID_HEADER, ""))
    details = _parse(trailing.get(STATUS_KEY))
    info = details.get("ErrorInfo")
    if info is None or info.domain != DOMAIN:
        return _foreign(code, text, request_id, unavailable)
    metadata = dict(info.metadata)
    kind = _BY_REASON.get(info.reason) or _BY_CODE.get(code, errors.InternalError)
    retry, resource = details.get("RetryInfo"), details.get("ResourceInfo")
    told = kind(
        text,
        next_step=metadata.pop(_NEXT_STEP, None),
        metadata=metadata,
        violations=_read_violations(details),
        resource=Resource(kind=resource.resource_type, name=resource.resource_name) if resource else None,
        retry_after=retry.retry_delay.ToTimedelta().total_seconds() if retry else None,
        request_id=details["RequestInfo"].request_id if "RequestInfo" in details else request_id,
        reason=info.reason,
    )
    told.answered, told.quota = True, "QuotaFailure" in details
    if retry is None:
        told.retry_after = None  # who answers says when waiting helps
    return told


@contextmanager
def typed_errors(unavailable: type[ReelgateError] | None = None) -> Iterator[None]:
    """Around calls of a stub: failures leave as the errors of errors.py. See `from_rpc_error`."""
    try:
        yield
    except grpc.RpcError as error:
        raise from_rpc_error(error, unavailable) from error


def _foreign(code: Any, text: str, request_id: str, unavailable: type[ReelgateError] | None) -> ReelgateError:
    kind = _BY_CODE.get(code, errors.InternalError)
    if code is grpc.StatusCode.UNAVAILABLE and unavailable:
        kind = unavailable
    elif code is grpc.StatusCode.RESOURCE_EXHAUSTED and any(words in text for words in _TOO_LARGE):
        kind = errors.MessageTooLargeError
    return kind(text or code.name, request_id=request_id)


def _read_violations(details: dict[str, Any]) -> Sequence[Violation]:
    found: list[Violation] = []
    if bad := details.get("BadRequest"):
        found += [Violation(subject=v.field, description=v.description) for v in bad.field_violations]
    for name in ("QuotaFailure", "PreconditionFailure"):
        if detail := details.get(name):
            found += [Violation(subject=v.subject, description=v.description) for v in detail.violations]
    return found


def _parse(raw: str | bytes | None) -> dict[str, Any]:
    """The details by short type name; none where there is no readable status."""
    if not isinstance(raw, bytes):
        return {}
    try:
        packed = status_pb2.Status.FromString(raw).details
        return dict(_unpacked(packed))
    except DecodeError:
        return {}


def _unpacked(packed: Iterable[AnyMessage]) -> Iterator[tuple[str, Message]]:
    for item in packed:
        name = item.TypeName().removeprefix("google.rpc.")
        kind = getattr(error_details_pb2, name, None)
        if kind is not None:
            message = kind()
            item.Unpack(message)
            yield name, message


def _pack(message: Message) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed


def _pairs(metadata: Any) -> dict[str, str | bytes]:
    return dict(metadata or ())


def _text(value: str | bytes) -> str:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else value


def _clip(text: str, limit: int) -> str:
    """At most ``limit`` bytes of valid UTF-8; what is shortened ends in an ellipsis."""
    raw = text[: limit + 1].encode("utf-8", "replace")  # a lone surrogate becomes "?"
    if len(raw) <= limit:
        return raw.decode()
    return raw[: limit - 3].decode("utf-8", "ignore") + "…"


def _ms(seconds: float) -> int:
    """Milliseconds of a wait; endless ones are cut to a year."""
    return round(max(min(seconds, _LONGEST_WAIT), 0.0) * 1000) if seconds == seconds else 0
