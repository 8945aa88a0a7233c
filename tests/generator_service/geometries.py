"""The shape of a small model, for what only counts."""

from generator_service.geometry import Geometry

SMALL = Geometry(
    width=128,
    feed_forward=384,
    layers=4,
    channels=16,
    patch=(1, 2, 2),
    text_width=96,
    text_inner=96,
    text_heads=4,
    text_feed_forward=192,
    text_layers=2,
    window=512,
    decoder=(60, 60, 40, 20),
    decoder_blocks=1,
    decoder_temporal=(True, True),
    decoder_out=12,
    spatial=8,
    temporal=4,
)
