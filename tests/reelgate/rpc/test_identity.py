"""Tokens, roles, tenants, and where a server without tokens may listen."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from reelgate.generator.v1 import generator_pb2 as pb
from reelgate.rpc import errors
from reelgate.rpc.channel import connect
from reelgate.rpc.config import ChannelConfig, ServerConfig
from reelgate.rpc.identity import Authenticator
from reelgate.rpc.status import typed_errors
from tests.reelgate.rpc.scripted import Scripted, connected, served


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    def entry(token: str, tenant: str, *roles: str) -> dict[str, Any]:
        return {"sha256": hashlib.sha256(token.encode()).hexdigest(), "tenant": tenant, "roles": list(roles)}

    path = tmp_path / "tokens.yaml"
    path.write_text(json.dumps({"tokens": [entry("user", "acme", "user"), entry("gate", "gate", "gate")]}))
    return path


async def tenant_seen(port: int, token: str | None, asked: str = "") -> str:
    async with connected(port, token=token) as stub:
        with typed_errors():
            return (await stub.GetVideo(pb.GetVideoRequest(tenant=asked))).video.take


async def test_a_token_decides_the_tenant_and_only_the_gate_speaks_for_others(tokens: Path) -> None:
    async with served(Scripted(), tokens=tokens) as server:
        assert await tenant_seen(server.port, "user") == "acme"
        assert await tenant_seen(server.port, "user", "acme") == "acme"
        assert await tenant_seen(server.port, "gate", "globex") == "globex"
        with pytest.raises(errors.RoleRequiredError, match="gate"):
            await tenant_seen(server.port, "user", "globex")


@pytest.mark.parametrize("token", [None, "wrong"])
async def test_no_or_a_wrong_token_is_unauthenticated(token: str | None, tokens: Path) -> None:
    async with served(Scripted(), tokens=tokens) as server:
        with pytest.raises(errors.UnauthenticatedError):
            await tenant_seen(server.port, token)


async def test_without_tokens_everybody_is_local(server: Any) -> None:
    assert await tenant_seen(server.port, None) == "local"


async def test_health_needs_no_token(tokens: Path) -> None:
    async with served(Scripted(), tokens=tokens) as server:
        channel = connect(ChannelConfig(target=f"127.0.0.1:{server.port}"))
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        await channel.close()


@pytest.mark.parametrize("bind", ["0.0.0.0:0", "[::]:0", "10.0.0.1:80", "example.org:80"])
def test_without_tokens_only_loopback(bind: str, tokens: Path) -> None:
    with pytest.raises(ValueError, match="loopback"):
        ServerConfig(bind=bind)
    ServerConfig(bind=bind, tokens=tokens)


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "[::1]:0", "localhost:80", "unix:/run/reelgate.sock"])
def test_loopback_needs_no_tokens(bind: str) -> None:
    assert ServerConfig(bind=bind).tokens is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "list called tokens"),
        ("tokens: {", "neither YAML"),
        ("tokens: [1]", "needs sha256"),
        ("tokens: [{sha256: abc, tenant: a}]", "64 hex"),
        (f"tokens: [{{sha256: {'a' * 64}, tenant: 'a b'}}]", "tenant must"),
        (f"tokens: [{{sha256: {'a' * 64}, tenant: a, roles: [king]}}]", "roles must"),
        (f"tokens: [{{sha256: {'a' * 64}, tenant: a, rolles: []}}]", "rolles"),
    ],
)
def test_a_bad_token_file_names_its_fault(text: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "tokens.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=complaint):
        Authenticator.load(path)
