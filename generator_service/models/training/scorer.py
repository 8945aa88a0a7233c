"""Judges by pixels what a clip shows: background, colour, motion, shape. Knows the world, not the caption."""

from __future__ import annotations

import numpy as np

from generator_service.models.training.world import BACKGROUNDS, COLORS, SHAPES, Array, Scene, backdrop, coverage

# A pixel belongs to the object when it is this far from the background (Euclidean over RGB in [0, 1]).
OBJECT_DISTANCE = 0.22
MIN_OBJECT_PIXELS = 20
# Below this drift of the centroid (fraction of the height), the object stays where it is.
STILL_DRIFT = 0.12
GROWTH = 1.6
UNSEEN = "unseen"


def score(video: Array) -> Scene:
    """What a clip of shape (frames, height, width, 3) in [0, 1] shows; ``unseen`` where nothing can be told."""
    background = _background(video)
    back = backdrop(background, video.shape[1], video.shape[2])
    away = np.linalg.norm(video - back, axis=-1)
    masks = away > OBJECT_DISTANCE
    areas = masks.sum(axis=(1, 2))
    seen = areas >= MIN_OBJECT_PIXELS
    if seen.sum() < max(2, len(video) // 2):
        return Scene(color=UNSEEN, shape=UNSEEN, motion=UNSEEN, background=background)
    return Scene(
        color=_color(video, masks, away),
        shape=_shape(masks[seen], away[seen]),
        motion=_motion(masks, areas),
        background=background,
    )


def agreement(seen: Scene, wanted: Scene) -> dict[str, bool]:
    """Attribute by attribute, is the clip what was asked for?"""
    return {name: getattr(seen, name) == getattr(wanted, name) for name in ("color", "background", "motion", "shape")}


def _background(video: Array) -> str:
    """The template nearest to the rim of the picture, by the median over its pixels."""
    height, width = video.shape[1:3]
    rim = np.ones((height, width), bool)
    edge = max(2, height // 16)
    rim[edge:-edge, edge:-edge] = False
    errors = {
        name: float(np.median(np.abs(video[:, rim] - backdrop(name, height, width)[rim]).sum(-1)))
        for name in BACKGROUNDS
    }
    return min(errors, key=lambda name: errors[name])


def _color(video: Array, masks: np.ndarray, away: Array) -> str:
    """The palette colour nearest to the median of the object's core (the half of its pixels farthest from the background)."""
    pixels, weight = video[masks], away[masks]
    core = pixels[weight >= np.median(weight)]
    median = np.median(core, axis=0)
    return min(COLORS, key=lambda name: float(np.linalg.norm(median - np.asarray(COLORS[name]))))


def _motion(masks: np.ndarray, areas: np.ndarray) -> str:
    height, width = masks.shape[1:]
    y, x = np.mgrid[0:height, 0:width] + 0.5
    with np.errstate(invalid="ignore", divide="ignore"):
        path = np.stack([(masks * x).sum((1, 2)) / areas / height, (masks * y).sum((1, 2)) / areas / height], -1)
    time = np.arange(len(masks))
    good = areas >= MIN_OBJECT_PIXELS
    span = len(masks) - 1
    drift = np.array([np.polyfit(time[good], path[good, axis], 1)[0] * span for axis in (0, 1)])
    third = max(1, len(masks) // 3)
    if np.abs(drift).max() < STILL_DRIFT:
        return "grow" if areas[-third:].mean() > GROWTH * max(areas[:third].mean(), 1.0) else "still"
    if abs(drift[0]) >= abs(drift[1]):
        return "right" if drift[0] > 0 else "left"
    return "down" if drift[1] > 0 else "up"


def _shape(masks: np.ndarray, away: Array) -> str:
    """The ideal shape of the same area and centre that overlaps most (soft intersection over union, all frames)."""
    height, width = masks.shape[1:]
    y, x = np.mgrid[0:height, 0:width] + 0.5
    total = dict.fromkeys(SHAPES, 0.0)
    for mask, distance in zip(masks, away, strict=True):
        soft = np.clip(distance / max(float(np.quantile(distance[mask], 0.75)), 1e-6), 0, 1) * _near(mask)
        area = float(soft.sum())
        center = (float((soft * x).sum() / area), float((soft * y).sum() / area))
        for shape in SHAPES:
            ideal = coverage(shape, center, float(np.sqrt(area / UNIT_AREA[shape])), height, width)
            total[shape] += float(np.minimum(soft, ideal).sum() / np.maximum(soft, ideal).sum())
    return max(total, key=lambda shape: total[shape])


def _near(mask: np.ndarray) -> np.ndarray:
    """The mask grown by one pixel, so that the rim's partial coverage counts and far noise does not."""
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return grown


def _unit_area(shape: str) -> float:
    side = 400
    return float(coverage(shape, (side / 2, side / 2), side / 4, side, side).sum()) / (side / 4) ** 2


UNIT_AREA = {shape: _unit_area(shape) for shape in SHAPES}
