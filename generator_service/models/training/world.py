"""The world that the embedded model knows: one coloured shape, one motion, one background.

A clip is float32 of shape (frames, height, width, 3) in [0, 1]. Shapes are drawn by signed distance with a one-pixel
anti-aliased rim (alpha = clamp(0.5 - distance, 0, 1)), lengths as fractions of the picture's height.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

COLORS: dict[str, tuple[float, float, float]] = {
    "red": (0.90, 0.10, 0.10),
    "green": (0.10, 0.80, 0.20),
    "blue": (0.10, 0.25, 0.90),
    "yellow": (0.95, 0.85, 0.10),
    "white": (0.97, 0.97, 0.97),
    "purple": (0.60, 0.15, 0.75),
}
SHAPES = ("circle", "ring", "cross", "bar")
MOTIONS = ("left", "right", "up", "down", "still", "grow")
# Top and bottom colour of a vertical gradient.
BACKGROUNDS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "black": ((0.03, 0.03, 0.03), (0.03, 0.03, 0.03)),
    "white": ((0.97, 0.97, 0.97), (0.97, 0.97, 0.97)),
    "grey": ((0.50, 0.50, 0.50), (0.50, 0.50, 0.50)),
    "sky": ((0.35, 0.60, 0.95), (0.75, 0.88, 1.00)),
    "grass": ((0.22, 0.42, 0.12), (0.42, 0.62, 0.26)),
    "night": ((0.02, 0.03, 0.14), (0.09, 0.09, 0.30)),
}
FRAMES, SIZE = 9, 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scene:
    """What a caption can say of a clip."""

    color: str
    shape: str
    motion: str
    background: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clip:
    """A scene with the numbers that a caption does not say, as fractions of the picture's height."""

    scene: Scene
    radius: float
    start: tuple[float, float]
    end: tuple[float, float]
    start_radius: float


def scenes() -> Iterator[Scene]:
    """Every scene that can be seen: 840 of them (white on white cannot)."""
    for color in COLORS:
        for shape in SHAPES:
            for motion in MOTIONS:
                for background in BACKGROUNDS:
                    if (color, background) != ("white", "white"):
                        yield Scene(color=color, shape=shape, motion=motion, background=background)


def sample_clip(scene: Scene, rng: np.random.Generator) -> Clip:
    """Draw what the caption leaves open: radius 13 to 17 of 64 pixels, the path and its length."""
    radius = rng.uniform(13.0, 17.0) / SIZE
    travel = rng.uniform(24.0, 29.0) / SIZE / 2
    x, y = 0.5 + rng.uniform(-4.0, 4.0, 2) / SIZE
    dx, dy = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}.get(scene.motion, (0, 0))
    limit = 0.5 - radius * 0.92
    middle_x, middle_y = (0.5 if dx else x), (0.5 if dy else y)
    travel = min(travel, limit)
    start_radius = radius * rng.uniform(0.40, 0.50) if scene.motion == "grow" else radius
    return Clip(
        scene=scene,
        radius=radius,
        start_radius=start_radius,
        start=(middle_x - dx * travel, middle_y - dy * travel),
        end=(middle_x + dx * travel, middle_y + dy * travel),
    )


def distance(shape: str, x: Array, y: Array, radius: float) -> Array:
    """Signed distance in pixels to a shape centred on the origin, negative inside."""
    from_center: Array = np.hypot(x, y)
    if shape == "circle":
        return from_center - radius
    if shape == "ring":
        return np.abs(from_center - 0.74 * radius) - 0.26 * radius
    if shape == "cross":
        return np.minimum(_box(x, y, radius, 0.34 * radius), _box(x, y, 0.34 * radius, radius))
    if shape == "bar":
        return _box(x, y, 0.36 * radius, radius)
    raise ValueError(f"no such shape: {shape}")


def _box(x: Array, y: Array, half_width: float, half_height: float) -> Array:
    qx, qy = np.abs(x) - half_width, np.abs(y) - half_height
    outside = np.hypot(np.maximum(qx, 0), np.maximum(qy, 0))
    return outside + np.minimum(np.maximum(qx, qy), 0)


def coverage(shape: str, center: tuple[float, float], radius: float, height: int, width: int) -> Array:
    """How much of each pixel the shape covers, (height, width) in [0, 1]; ``center`` and ``radius`` in pixels."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) + 0.5
    inside = 0.5 - distance(shape, x - center[0], y - center[1], radius)
    return np.clip(inside, 0.0, 1.0).astype(np.float32)


def backdrop(name: str, height: int, width: int) -> Array:
    """A background alone, (height, width, 3)."""
    top, bottom = (np.asarray(c, np.float32) for c in BACKGROUNDS[name])
    ramp = ((np.arange(height, dtype=np.float32) + 0.5) / height)[:, None]
    column = top * (1 - ramp) + bottom * ramp
    return np.repeat(column[:, None, :], width, axis=1)


def render(clip: Clip, frames: int = FRAMES, height: int = SIZE, width: int = SIZE) -> Array:
    """Draw a clip: (frames, height, width, 3) in [0, 1]."""
    back = backdrop(clip.scene.background, height, width)
    color = np.asarray(COLORS[clip.scene.color], np.float32)
    out = np.empty((frames, height, width, 3), np.float32)
    for i in range(frames):
        t = i / max(frames - 1, 1)
        center = tuple((a + (b - a) * t) * s for a, b, s in zip(clip.start, clip.end, (width, height), strict=True))
        radius = (clip.start_radius + (clip.radius - clip.start_radius) * t) * height
        alpha = coverage(clip.scene.shape, (center[0], center[1]), radius, height, width)[..., None]
        out[i] = back * (1 - alpha) + color * alpha
    return out
