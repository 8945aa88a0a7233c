"""Pictures to a container: the watermark, then H.264 in an MP4 that plays while it loads."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image, ImageDraw, ImageFont

from generator_service.core import Finish

Pictures = npt.NDArray[np.uint8]

SMALLEST_TYPE = 6
# mbtree makes a file 3 to 20 % smaller, and reads memory that x264 never wrote: equal pictures were then other bytes from call to call.
QUALITY = {"crf": "16", "preset": "medium", "x264-params": "mbtree=0"}


def finish(pieces: Sequence[Pictures], wanted: Finish) -> bytes:
    """An MP4 of ``pieces`` in their order, each uint8 (frames, height, width, 3) in sRGB, height and width even."""
    pictures = np.concatenate(pieces)
    if wanted.watermark:
        pictures = watermark(pictures, wanted.watermark)
    return encode(pictures, wanted.fps)


def watermark(pictures: Pictures, text: str) -> Pictures:
    """``text`` in half-transparent white with a dark shadow, in the lower right corner, as large as fits a line of the
    picture.
    """
    height, width = pictures.shape[1:3]
    shade, light = _layers(text, width, height)
    blended = pictures * (1.0 - shade) + 255.0 * light * shade
    return np.asarray(blended.round(), dtype=np.uint8)


def _layers(text: str, width: int, height: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """How opaque and how light the mark is, both (height, width, 1) in 0 to 1."""
    font, margin = _font(text, width, height), max(1, height // 48)
    size = max(1, round(font.size / 12))
    mask, mark = Image.new("L", (width, height)), Image.new("L", (width, height))
    corner = (width - margin, height - margin)
    for layer, strokes in ((mask, size), (mark, 0)):
        ImageDraw.Draw(layer).text(corner, text, fill=255, font=font, anchor="rb", stroke_width=strokes)
    shade, light = (np.asarray(layer, dtype=np.float32)[..., None] / 255.0 for layer in (mask, mark))
    return shade * 0.7, light


def _font(text: str, width: int, height: int) -> ImageFont.FreeTypeFont:
    size = max(SMALLEST_TYPE, height // 16)
    font = ImageFont.load_default(size)
    length = font.getlength(text)
    fitting = int(size * 0.9 * width / length) if length > 0.9 * width else size
    found = ImageFont.load_default(max(SMALLEST_TYPE, fitting))
    if not isinstance(found, ImageFont.FreeTypeFont):
        raise RuntimeError("Pillow was built without FreeType, so there is no font that scales")
    return found


def encode(pictures: Pictures, fps: int) -> bytes:
    """H.264, yuv420p, BT.601, the index before the data. x264 is given one thread, so equal pictures are equal bytes."""
    height, width = pictures.shape[1:3]
    # A real file: libav moves the index to the front by reading what it has written.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            stream = container.add_stream("libx264", rate=fps, options={**QUALITY, "threads": "1"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.codec_context.color_range = ColorRange.MPEG
            stream.codec_context.colorspace = Colorspace.SMPTE170M
            for picture in pictures:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                frame = frame.reformat(
                    format="yuv420p", dst_colorspace=Colorspace.SMPTE170M, dst_color_range=ColorRange.MPEG
                )
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path.read_bytes()
