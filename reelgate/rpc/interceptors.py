"""What happens around every call, in order, outermost first: span (where there are traces), request id, access log, errors,
parsing, identity.

Each layer is an async context manager over one `Call`; one gRPC interceptor wraps the handlers in all of them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

from reelgate.rpc import identity, logs, telemetry
from reelgate.rpc.errors import InternalError, InvalidFieldError, NotBuiltError, ReelgateError
from reelgate.rpc.outgoing import set_deadline
from reelgate.rpc.status import sentence, trailing_metadata

access = logging.getLogger("reelgate.access")
log = logging.getLogger(__name__)

# Answered to anyone: load balancers have no tokens, and the contract is no secret.
_OPEN: Final = ("/grpc.health.", "/grpc.reflection.")


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """Stands for a request that is no message of its type, so that a layer can refuse it: gRPC itself would answer INTERNAL."""

    problem: str


@dataclass(frozen=True, kw_only=True)
class Call:
    """One RPC under way."""

    method: str
    request: Any
    context: grpc.aio.ServicerContext[Any, Any]
    metadata: dict[str, str | bytes]

    @property
    def is_open(self) -> bool:
        return self.method.startswith(_OPEN)

    def header(self, name: str) -> str | None:
        value = self.metadata.get(name)
        return value if isinstance(value, str) else None


Layer = Callable[[Call], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def traced(call: Call) -> AsyncIterator[None]:
    """A span from the call's beginning to its end, below that of its caller; what the handler calls is below this one."""
    if call.is_open or not telemetry.on():
        yield
        return
    outcome = "CANCELLED"
    with telemetry.incoming(call.method, call.metadata) as span:
        try:
            yield
            outcome = "OK"
        except grpc.aio.AbortError:
            outcome = _code_name(call.context.code())
            raise
        finally:
            telemetry.annotate(request_id=logs.request_id.get(), tenant=identity.peek())
            telemetry.answered(span, outcome)


@asynccontextmanager
async def request_ids(call: Call) -> AsyncIterator[None]:
    """Takes or makes the request id; logs, errors and outgoing calls carry it."""
    current = logs.accept_request_id(call.header(logs.REQUEST_ID_HEADER))
    logs.request_id.set(current)
    set_deadline(call.context.time_remaining())
    call.context.set_trailing_metadata(((logs.REQUEST_ID_HEADER, current),))
    yield


@asynccontextmanager
async def access_log(call: Call) -> AsyncIterator[None]:
    """One line when the call ends, whatever ended it."""
    # The peer is read now: gRPC frees the call when it is over, and asking a freed one kills the process.
    start, outcome, peer = time.monotonic(), "CANCELLED", call.context.peer()
    try:
        yield
        outcome = "OK"
    except grpc.aio.AbortError:
        outcome = _code_name(call.context.code())
        raise
    finally:
        if not call.is_open:
            tenant = identity.peek()
            milliseconds = round((time.monotonic() - start) * 1000, 3)
            fields = {
                "method": call.method,
                "code": outcome,
                "ms": milliseconds,
                "peer": peer,
                "tenant": tenant,
            }
            access.info("call", extra=fields)


@asynccontextmanager
async def map_errors(call: Call) -> AsyncIterator[None]:
    """The table, and a fixed sentence for everything that is not in it."""
    try:
        yield
    except ReelgateError as error:
        await _abort(call, error)
    except NotImplementedError:
        if _code_name(call.context.code()) != "UNIMPLEMENTED":
            await _abort(call, _unforeseen(call))
        await _abort(call, NotBuiltError(f"{call.method} is in the contract and not built yet"))
    except (grpc.aio.AbortError, grpc.aio.InternalError):  # already answered; or the connection is gone
        raise
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise  # the caller left, or the server stops
        # Something that the handler waited for was cancelled. gRPC would answer nothing, and the caller wait for ever.
        await _abort(call, _unforeseen(call))
    except Exception:
        await _abort(call, _unforeseen(call))


@asynccontextmanager
async def parsed(call: Call) -> AsyncIterator[None]:
    """Refuses what is no message of its type: garbage, or a string that is not UTF-8."""
    if isinstance(call.request, Unreadable):
        raise InvalidFieldError.of("request", call.request.problem)
    yield


def identified(authenticator: identity.Authenticator) -> Layer:
    """Finds out who calls; health and reflection need nobody."""

    @asynccontextmanager
    async def layer(call: Call) -> AsyncIterator[None]:
        if not call.is_open:
            identity.enter(authenticator.identify(call.header("authorization")))
        yield

    return layer


class Layers(grpc.aio.ServerInterceptor):
    """The one gRPC interceptor: every unary and server-streaming handler inside all layers."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = tuple(layers)

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        if handler.request_streaming:
            # Reflection streams both ways and is open. No layer wraps such a call, so any other is refused as unknown.
            return handler if handler_call_details.method.startswith(_OPEN) else None
        wrap, behaviour = (
            (self._streamed, handler.unary_stream) if handler.response_streaming else (self._unary, handler.unary_unary)
        )
        make = (
            grpc.unary_stream_rpc_method_handler if handler.response_streaming else grpc.unary_unary_rpc_method_handler
        )
        method, metadata = handler_call_details.method, dict(handler_call_details.invocation_metadata or ())
        return make(
            wrap(behaviour, method, metadata),
            request_deserializer=_forgiving(handler.request_deserializer),
            response_serializer=handler.response_serializer,
        )

    async def _enter(self, stack: AsyncExitStack, call: Call) -> None:
        for layer in self._layers:
            await stack.enter_async_context(layer(call))

    def _unary(self, behaviour: Any, method: str, metadata: dict[str, str | bytes]) -> Any:
        async def handle(request: Any, context: Any) -> Any:
            async with AsyncExitStack() as stack:
                await self._enter(stack, Call(method=method, request=request, context=context, metadata=metadata))
                return await behaviour(request, context)

        return handle

    def _streamed(self, behaviour: Any, method: str, metadata: dict[str, str | bytes]) -> Any:
        # A coroutine that writes, not a generator: a generator whose caller leaves is closed some time later by the garbage
        # collector, in another task, when gRPC has freed the call.
        async def handle(request: Any, context: Any) -> None:
            async with AsyncExitStack() as stack:
                await self._enter(stack, Call(method=method, request=request, context=context, metadata=metadata))
                answer = behaviour(request, context)
                if not hasattr(answer, "__aiter__"):  # a coroutine that writes to the context itself
                    await answer
                    return
                async with aclosing(answer):
                    async for message in answer:
                        await context.write(message)

        return handle


def _forgiving(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def read(raw: bytes) -> Any:
        try:
            return deserialize(raw)
        except (DecodeError, UnicodeDecodeError):
            return Unreadable(
                problem="is not a valid message of this call (a string that is not UTF-8, or other bytes)"
            )

    return read


def _unforeseen(call: Call) -> ReelgateError:
    log.exception("unforeseen error", extra={"method": call.method})
    return InternalError("Something went wrong in the server; its log has the detail under the request id.")


async def _abort(call: Call, error: ReelgateError) -> None:
    error.request_id = error.request_id or logs.request_id.get()
    log.info("refused", extra={"method": call.method, "reason": error.reason, "detail": sentence(error)})
    await call.context.abort(error.code, sentence(error), trailing_metadata(error))


def _code_name(code: Any) -> str:
    """grpc.aio gives the number; a StatusCode where a handler set one."""
    if isinstance(code, grpc.StatusCode):
        return code.name
    return next((c.name for c in grpc.StatusCode if c.value[0] == code), "UNKNOWN")
