"""``reelgate prepare --server``: the line of a running service."""

from __future__ import annotations

from reelgate.client import UnreachableError
from reelgate.convert import prompt_input
from reelgate.preprocess.v1 import preprocess_pb2 as pb
from reelgate.preprocess.v1.preprocess_pb2_grpc import PreprocessServiceStub
from reelgate.rpc.channel import connect
from reelgate.rpc.config import ChannelConfig
from reelgate.rpc.status import typed_errors

TIMEOUT = 60.0


async def ask(
    server: str,
    text: str,
    *,
    policy: str,
    keywords: tuple[str, ...],
    negative: str,
    strict: bool,
    ratio: float | None = None,
) -> pb.PreparedPrompt:
    """What PreparePrompt answers. Raises the errors of reelgate.rpc.errors."""
    message = prompt_input(
        text,
        policy=policy,
        keywords=keywords,
        negative_prompt=negative or None,
        template="",
        strict=strict,
        ratio=ratio,
    )
    async with connect(ChannelConfig(target=server)) as channel:
        with typed_errors(UnreachableError):
            stub = PreprocessServiceStub(channel)
            answer = await stub.PreparePrompt(pb.PreparePromptRequest(input=message), timeout=TIMEOUT)
    return pb.PreparedPrompt(prompt=answer.prompt, negative_prompt=answer.negative_prompt, receipt=answer.receipt)
