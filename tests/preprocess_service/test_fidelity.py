"""What is judged: the mandatory is named in full, the weighed counts."""

import pytest

from preprocess_service.core import Verdict
from preprocess_service.fidelity import assess
from preprocess_service.protect import Protector


@pytest.mark.parametrize(
    ("before", "after", "loss"),
    [
        ("a red ball and a box", "a ball and a box", "colour: red"),
        ("two dogs run", "dogs run", "count: two"),
        ("a dog runs towards the camera", "a dog runs, the camera", "direction: towards"),
        ("a car turns left", "a car turns", "direction: left"),
        ("the man visits Paris", "the man visits", "name: paris"),
        ("a cat, zoom in", "a cat", "camera: zoom"),
        ("一只猫向左走", "一只猫走", "direction: 向左"),
        ("一只猫，特写", "一只猫", "camera: 特写"),
        ("三只猫和红色的灯", "猫和灯", "count: 三只"),
        ("红色的灯", "灯", "colour: 红色"),
    ],
)
def test_what_is_weighed_is_named(before: str, after: str, loss: str) -> None:
    verdict, _ = assess(before, after, Protector())
    assert loss in verdict.reasons


@pytest.mark.parametrize(
    ("before", "after", "loss"),
    [
        ("a room with 3 lamps", "a room with lamps", "number: 3"),
        ("3 cats and 30 dogs", "30 dogs", "number: 3"),
        ("a street without people", "a street", "negation: without people"),
        ("a dog runs", "a dog runs and jumps", "invented: jumps"),
        ("画面中没有人", "画面中", "negation: 没有人"),
        ('a sign "OPEN"', "a sign", 'quote: "OPEN"'),
    ],
)
def test_what_is_mandatory_is_below_the_floor(before: str, after: str, loss: str) -> None:
    verdict, _ = assess(before, after, Protector())
    assert verdict.verdict is Verdict.BELOW_FLOOR
    assert loss in verdict.reasons


def test_every_mandatory_loss_is_named() -> None:
    before = "boxes " + " ".join(str(n) for n in range(100, 200))
    verdict, _ = assess(before, "boxes", Protector())
    assert len(verdict.reasons) == 100
