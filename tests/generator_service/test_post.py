"""The container, looked at with libav."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import av
import numpy as np
import pytest

from generator_service import post
from generator_service.core import Finish


def pictures(frames: int = 5, height: int = 32, width: int = 48) -> post.Pictures:
    """A square that moves over a gradient."""
    made = np.zeros((frames, height, width, 3), dtype=np.uint8)
    made[..., 1] = np.linspace(40, 200, width, dtype=np.uint8)
    for number in range(frames):
        made[number, 8:24, 4 * number : 4 * number + 16] = (220, 30, 30)
    return made


def decoded(data: bytes) -> np.ndarray:
    with av.open(io.BytesIO(data)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.mark.parametrize("fps", [1, 8, 16, 60])
def test_the_container_is_what_players_want(fps: int) -> None:
    data = post.finish([pictures()[:1], pictures()[1:]], Finish(fps=fps))
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert (stream.frames, stream.average_rate, stream.width, stream.height) == (5, fps, 48, 32)
    assert data.index(b"ftyp") < data.index(b"moov") < data.index(b"mdat")
    assert len(decoded(data)) == 5


def test_the_pictures_survive() -> None:
    """Chroma is halved, so edges may move; what is flat must keep its colour."""
    shown = decoded(post.finish([pictures()], Finish(fps=8)))
    assert np.abs(shown[2, 12:20, 12:20].astype(int) - (220, 30, 30)).max() <= 12


def test_equal_pictures_are_equal_bytes() -> None:
    assert post.finish([pictures()], Finish(fps=8)) == post.finish([pictures()], Finish(fps=8))


ENCODED = """
import hashlib, sys
import numpy as np
from generator_service import post
height, width = map(int, sys.argv[1:])
y, x, t = np.ogrid[:height, :width, :9]
ball = ((x - 8 - 5 * t) ** 2 + (y - height / 2) ** 2 < 90).transpose(2, 0, 1)
noise = np.random.default_rng(0).integers(0, 24, (9, height, width, 3))
print(hashlib.sha256(post.encode((noise + 200 * ball[..., None]).astype(np.uint8), 8)).hexdigest())
"""


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 144)])
def test_equal_pictures_are_equal_bytes_whatever_lay_in_memory_before(height: int, width: int) -> None:
    """The C library fills what it gives out with another byte each time, so that an encoder which reads before it writes is found out."""
    command = [sys.executable, "-c", ENCODED, str(height), str(width)]
    found = {
        subprocess.run(
            command, env={**os.environ, "MALLOC_PERTURB_": str(filled)}, check=True, capture_output=True
        ).stdout
        for filled in (1, 85, 254)
    }
    assert len(found) == 1


def test_one_picture_is_a_video_too() -> None:
    assert len(decoded(post.finish([pictures(1)], Finish(fps=8)))) == 1


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 64), (480, 832)])
@pytest.mark.parametrize("text", ["Acme", "~" * 64, "A long name of a studio, 2026 (c)"])
def test_a_watermark_is_seen_in_its_corner_and_nowhere_else(height: int, width: int, text: str) -> None:
    plain = np.full((2, height, width, 3), 120, dtype=np.uint8)
    marked = post.watermark(plain, text)
    changed = (marked != plain).any(axis=(0, 3))
    assert changed.any()
    assert not changed[: height // 2].any()
    assert changed[:, width // 2 :].sum() > 0
    assert plain.max() == 120


def test_a_watermark_is_seen_on_black_and_on_white() -> None:
    for level in (0, 255):
        plain = np.full((1, 64, 64, 3), level, dtype=np.uint8)
        assert np.abs(post.watermark(plain, "Acme").astype(int) - level).max() > 60
