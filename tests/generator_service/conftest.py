"""A model of random weights in the embedded model's layout, made once, and the parts that most tests need."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from generator_service import tier as tiers
from generator_service.app import running
from generator_service.core import Finish, Request, Take
from generator_service.settings import Settings
from reelgate.generator.v1.generator_pb2_grpc import GeneratorServiceStub

if TYPE_CHECKING:  # torch is imported only by the tests that need it
    from generator_service import wan
    from generator_service.engine import Engine

TOKENIZER = tiers.FOLDER.parent / "models" / "embedded" / "tokenizer"


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in ``save_pretrained`` layout, the same on every run."""
    import sentencepiece
    import torch

    from generator_service.models import blueprint

    torch.set_num_threads(1)
    torch.manual_seed(1)
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(TOKENIZER / "spiece.model")).get_piece_size()
    folder = tmp_path_factory.mktemp("model")
    blueprint.build_vae([0.1] * 16, [1.5] * 16).save_pretrained(folder / "vae")
    blueprint.build_transformer().save_pretrained(folder / "transformer")
    blueprint.build_transformer().save_pretrained(folder / "transformer_2")
    blueprint.build_text_encoder(pieces).save_pretrained(folder / "text_encoder")
    blueprint.build_scheduler().save_pretrained(folder / "scheduler")
    shutil.copytree(TOKENIZER, folder / "tokenizer")
    (folder / "model_index.json").write_text(json.dumps({"boundary_ratio": blueprint.BOUNDARY_RATIO}))
    return folder


@pytest.fixture(scope="session")
def tier(model_folder: Path) -> tiers.Tier:
    return tiers.load(tiers.FOLDER / "embedded.yaml", str(model_folder))


@pytest.fixture(scope="session")
def components(tier: tiers.Tier) -> wan.Components:
    import torch

    from generator_service import wan

    return wan.load(tier, torch.device("cpu"))


@pytest.fixture(scope="session")
def engine(components: wan.Components) -> Engine:
    from generator_service.engine import Engine

    # The execution that the takes of `tiny` name.
    return Engine(dataclasses.replace(components, execution="0" * 64))


@pytest.fixture
async def channel(model_folder: Path, engine: Engine, tmp_path: Path) -> AsyncIterator[grpc.aio.Channel]:
    """To a server on loopback, with a store of its own and room for three requests."""
    settings = Settings(address="127.0.0.1:0", store=tmp_path / "store", embedded_model=str(model_folder), queue=2)
    async with running(settings, lambda: {"embedded": engine}) as app:
        await app.ready
        async with grpc.aio.insecure_channel(f"127.0.0.1:{app.server.port}") as channel:
            yield channel


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> GeneratorServiceStub:
    return GeneratorServiceStub(channel)


@pytest.fixture(scope="session")
def trained() -> Callable[..., Engine]:
    """Makes engines of the trained embedded model with changed settings; equal settings share one."""
    import functools

    import torch

    from generator_service import wan
    from generator_service.engine import Engine

    @functools.cache
    def made(**changes: Any) -> Engine:
        torch.set_num_threads(1)
        changed = tiers.load(tiers.FOLDER / "embedded.yaml").model_copy(update=changes)
        return Engine(wan.load(changed, torch.device("cpu")))

    return made


@pytest.fixture(scope="session")
def drawn() -> Callable[..., Request]:
    """Makes requests of the embedded tier's default shape and schedule: 9 frames of 64x64 in 16 steps, with changes."""

    def made(**changes: Any) -> Request:
        return _tiny(**{"width": 64, "height": 64, "frames": 9, "steps": 16, **changes})

    return made


@pytest.fixture(scope="session")
def tiny() -> Callable[..., Request]:
    """Makes requests of the tiny shape, 5 frames of 32x32 in 4 steps, with changes."""
    return _tiny


def _tiny(*, fps: int = 8, watermark: str = "", **changes: Any) -> Request:
    take = Take(
        tenant="local",
        prompt="a red circle moves left over grass",
        negative_prompt="blurred",
        width=32,
        height=32,
        frames=5,
        steps=4,
        guidance=4.0,
        guidance_2=3.0,
        seed=7,
        tier="embedded",
        execution="0" * 64,
    )
    return Request(take=dataclasses.replace(take, **changes), finish=Finish(fps=fps, watermark=watermark))
