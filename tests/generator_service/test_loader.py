"""A tier is served only once its canary has sung."""

from __future__ import annotations

import shutil
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from safetensors.torch import load_file, save_file

from generator_service.app import SERVICE, running
from generator_service.canary import CanaryError
from generator_service.loader import Loader
from generator_service.settings import Settings
from reelgate.generator.v1 import generator_pb2 as pb
from reelgate.generator.v1.generator_pb2_grpc import GeneratorServiceStub
from reelgate.rpc.status import from_rpc_error

WHY = r"tier embedded .* canary: NotFiniteError"


@pytest.fixture
def damaged(model_folder: Path, tmp_path: Path) -> Settings:
    """Of a model that can be loaded, with one weight that is not a number."""
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    file = next((folder / "transformer").glob("*.safetensors"))
    weights = load_file(file)
    weights["proj_out.weight"][0, 0] = float("nan")
    save_file(weights, file, {"format": "pt"})
    return Settings(address="127.0.0.1:0", store=str(tmp_path / "store"), embedded_model=str(folder))


def test_a_model_that_loads_and_makes_no_video_is_not_given_out(damaged: Settings) -> None:
    with pytest.raises(CanaryError, match=WHY):
        Loader(damaged, damaged.tiers(), lambda: None)()


async def test_a_service_whose_canary_fails_never_serves_and_says_why(damaged: Settings) -> None:
    asked = health_pb2.HealthCheckRequest(service=SERVICE)
    async with running(damaged) as app, grpc.aio.insecure_channel(f"127.0.0.1:{app.server.port}") as channel:
        told = health_pb2_grpc.HealthStub(channel).Watch(asked)
        assert (await told.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(CanaryError, match=WHY):
            await app.ready
        now = await health_pb2_grpc.HealthStub(channel).Check(asked)
        assert now.status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await GeneratorServiceStub(channel).GenerateVideo(pb.GenerateVideoRequest(prompt="a ring")).read()
        assert from_rpc_error(refused.value).reason == "GENERATOR_UNAVAILABLE"
        told.cancel()
