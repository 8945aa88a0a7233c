"""Names follow from values."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generator_service.core import VIDEO_NAME, Request, digest, round_frames

Tiny = Callable[..., Request]

CHANGES: list[dict[str, Any]] = [
    {"tenant": "other"},
    {"prompt": "a blue ring"},
    {"negative_prompt": ""},
    {"width": 48},
    {"height": 48},
    {"frames": 9},
    {"steps": 5},
    {"guidance": 4.5},
    {"guidance_2": 2.5},
    {"seed": 8},
    {"tier": "full"},
    {"execution": "1" * 64},
]


def test_equal_requests_have_equal_names(tiny: Tiny) -> None:
    assert tiny().name == tiny().name
    assert VIDEO_NAME.fullmatch(tiny().name)


def test_every_field_of_a_take_changes_both_names(tiny: Tiny) -> None:
    requests = [tiny(), *(tiny(**change) for change in CHANGES)]
    assert len({request.take_name for request in requests}) == len(requests)
    assert len({request.name for request in requests}) == len(requests)


def test_another_finish_is_another_video_of_the_same_take(tiny: Tiny) -> None:
    requests = [tiny(), tiny(fps=24), tiny(watermark="Acme")]
    assert len({request.take_name for request in requests}) == 1
    assert len({request.name for request in requests}) == 3


def test_a_name_does_not_move_between_versions(tiny: Tiny) -> None:
    """Stored videos are found by these names: whoever changes them loses them all."""
    assert tiny().take_name == "takes/f367a647c77226dbdf2f126eb65ff57f6cf2ad9a989cd16bbe96a723a3a416da"
    assert tiny().name == "videos/2c5beeb3929cc6f79ae1a65aa27c6d4c1382e1570449554091002dfbcdda041f"


def test_nan_has_no_name() -> None:
    with pytest.raises(ValueError, match="JSON"):
        digest({"guidance": math.nan})


@settings(max_examples=40, deadline=None)
@given(st.integers(-5, 10_000))
def test_frames_are_rounded_up_to_4k_plus_1(frames: int) -> None:
    rounded = round_frames(frames)
    assert rounded % 4 == 1
    assert rounded >= frames
    assert rounded - 4 < frames or rounded == 1
