"""What the tests of the line share."""

from pathlib import Path

import pytest

from preprocess_service import tokens
from preprocess_service.pipeline import Line
from preprocess_service.settings import embedded_tokenizer

DATA = Path(__file__).parents[3] / "shared" / "data"
LONG = (
    "A vibrant red clock with a classic round face and bold white numerals hangs on a rustic brick wall, "
    "its sleek black hands ticking steadily. The camera zooms in to reveal the intricate details of the clock's design, "
    "highlighting the smooth, glossy finish of its frame. There are no people in the room. "
    'A sign reads "OPEN LATE" above 3 lamps. As the seconds pass, the clock\'s rhythmic ticking becomes more pronounced, '
    "creating a sense of anticipation. The video concludes with a wide shot of the clock, now bathed in the warm glow of "
    "the setting sun, casting long shadows."
)


@pytest.fixture(scope="session")
def tokenizer() -> tokens.Tokenizer:
    return tokens.load(embedded_tokenizer())


@pytest.fixture(scope="session")
def line(tokenizer: tokens.Tokenizer) -> Line:
    return Line(tokenizer=tokenizer)


@pytest.fixture(scope="session")
def data() -> Path:
    if not DATA.is_dir():
        pytest.skip("the shared data is not at ../shared/data")
    return DATA


@pytest.fixture
def long_prompt() -> str:
    return LONG
