"""The BART that lies in the package: it loads as it is shipped, copies words that nobody has seen, and serves."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Iterator
from importlib.resources import files

import pytest

from preprocess_service.app import load_lines, load_rewriter, running
from preprocess_service.core import Request
from preprocess_service.pipeline import Line
from preprocess_service.run import Rewriter
from preprocess_service.settings import Settings, embedded_bart
from reelgate.preprocess.v1 import preprocess_pb2 as pb
from reelgate.preprocess.v1.preprocess_pb2_grpc import PreprocessServiceStub
from reelgate.rpc.channel import connect
from reelgate.rpc.config import ChannelConfig
from reelgate.rpc.status import typed_errors

from .generator_twin import Twin, serve

# The first import of torch and transformers can take minutes on a busy machine.
pytestmark = pytest.mark.timeout(300)

FLOWERY = (
    "In a breathtaking display of serenity and wonder, two green foxes walk towards the old lighthouse, creating a sense of "
    "mystery and joy. The scene captures the essence of tranquility. The sky is violet. The camera pans left, capturing every "
    "detail. The whole scene evokes a feeling of nostalgia and peace, inviting the viewer to pause and reflect."
)

PLAIN = (
    "In a breathtaking display of wonder, two green foxes walk towards the old lighthouse. The sky is violet. The camera pans left "
    "over a stone wall. Nearby, a small boat drifts past 7 red buoys. There is no captain on the boat, creating a sense of mystery "
    "and joy that invites the viewer to pause and reflect on the beauty of nature."
)
"""What the line takes of it needs little mending."""


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    settings = Settings(bart="embedded", bart_cache=tmp_path_factory.mktemp("converted"))
    bart = load_rewriter(settings)
    assert bart is not None
    yield load_lines(settings, bart)["embedded"]
    bart.close()


@pytest.fixture(scope="module")
def bart(line: Line) -> Rewriter:
    assert line.rewriter is not None
    return line.rewriter


def test_the_folder_is_small_and_lies_in_the_package() -> None:
    folder = embedded_bart()
    assert folder.is_relative_to(str(files("preprocess_service")))
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 8_000_000
    assert json.loads((folder / "config.json").read_text("utf-8"))["model_type"] == "bart"


def test_it_is_off_unless_it_is_asked_for() -> None:
    assert Settings().bart == ""
    assert Settings(bart="embedded").bart == str(embedded_bart())
    assert Settings(bart="facebook/bart-large-cnn").bart == "facebook/bart-large-cnn"


def test_it_copies_words_that_nobody_has_seen(bart: Rewriter) -> None:
    rng = random.Random(11)
    right = total = 0
    for _ in range(12):
        made = ["".join(rng.choice(string.ascii_lowercase) for _ in range(7)) for _ in range(3)]
        text = (
            f"In a breathtaking display of serenity, a {made[0]} walks towards the {made[1]}, creating a sense of wonder. "
            f"The camera follows the {made[2]}. The scene captures the essence of tranquility and joy."
        )
        short = bart.shorten(text, 0.7)
        right += sum(word in short for word in made)
        total += len(made)
    assert right / total >= 0.8


def test_it_drops_an_opening_and_comment_and_keeps_who_does_what_where(bart: Rewriter) -> None:
    short = bart.shorten(FLOWERY, 0.7).lower()
    assert "breathtaking" not in short
    assert "essence" not in short
    for kept in ("two green foxes", "lighthouse", "violet", "camera pans left"):
        assert kept in short


def test_equal_prompts_get_equal_answers(bart: Rewriter) -> None:
    assert bart.shorten(FLOWERY, 0.7) == bart.shorten(FLOWERY, 0.7)


def test_a_long_prompt_is_rewritten_and_then_fitted(line: Line) -> None:
    receipt = line.prepare(Request(text=PLAIN)).receipt
    assert "bart" in receipt.method
    assert receipt.tokens_after <= receipt.target
    assert not [reason for reason in receipt.fidelity.reasons if reason.startswith("invented")]


async def test_the_service_answers_with_it() -> None:
    twin = Twin({})
    twin_server = await serve(twin)
    settings = Settings(
        address="127.0.0.1:0", generator=f"127.0.0.1:{twin_server.port}", bart="embedded", drain_seconds=0.2
    )
    async with running(settings) as app:
        channel = connect(ChannelConfig(target=f"127.0.0.1:{app.server.port}", attempts=1))
        with typed_errors():
            request = pb.PreparePromptRequest(input=pb.PromptInput(text=PLAIN))
            answer = await PreprocessServiceStub(channel).PreparePrompt(request, timeout=60)
        await channel.close()
    await twin_server.stop()
    assert answer.receipt.tokens_before > 64 >= answer.receipt.tokens_after
    assert answer.receipt.compressor == pb.COMPRESSOR_BART
    assert answer.receipt.fidelity.passed
    assert "lighthouse" in answer.prompt
