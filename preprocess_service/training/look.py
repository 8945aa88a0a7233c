"""How it is seen: rules for what stands around, light, camera and style."""

from __future__ import annotations

from .grammar import Rule

LOOK_RULES: dict[str, Rule] = {
    "around": (
        *("the background shows a <look> <place> with <things>", "in the background, <things> and <things> <where>"),
        *(
            "the <place> is filled with <look> <things>[ and <colour> <things>]",
            "<colour> <things> line the <place>{, <praising>}",
        ),
        *(
            "behind the <ref>, a <look> <place> stretches <way>",
            "the sky is <colour>[ with <colour> clouds]{, <praising>}",
        ),
        *("the walls are <material>[, with <things> on the <side>]", "the ground is covered with <colour> <things>"),
        *("[in the distance, ]a <look> <thing> <act>", "the {surrounding }<place> has <number> <things>{, <praising>}"),
        *(
            "rain falls on the <place>[, and the <thing> is <material>]",
            "the <place> is <look> and <look>{, <praising>}",
        ),
    ),
    "light": (
        *(
            "<lit> light from the <side>",
            "the sun sets behind the <place>{, <praising>}",
            "<lit> light {gently }falls on the <thing>",
        ),
        *(
            "<colour> neon signs light the <place>",
            "the scene is lit by a <material> <thing>",
            "{bathed in the <praise> glow of }<lit> light",
        ),
        *(
            "candles light the <place>{, <praising>}",
            "moonlight shines through the <thing>",
            "backlit by a <colour> <thing>",
        ),
        *("the lighting is <lit>{ and <praise>, <praising>}", "sunlight filters through the <things>{, <praising>}"),
    ),
    "lit": (
        "soft",
        "warm",
        "harsh",
        "golden",
        "dim",
        "natural",
        "low",
        "bright",
        "cold blue",
        "studio",
        "<colour>",
        "morning",
    ),
    "shot": (
        *(
            "close-up",
            "wide shot",
            "medium shot",
            "aerial view",
            "low-angle shot",
            "high-angle shot",
            "tracking shot",
            "drone shot",
        ),
        *(
            "front view",
            "side view",
            "extreme close-up",
            "bird's-eye view",
            "static shot",
            "handheld shot",
            "time-lapse",
            "macro shot",
        ),
        *(
            "over-the-shoulder shot",
            "point-of-view shot",
            "long shot",
            "slow-motion shot",
            "full-body shot",
            "top-down view",
        ),
    ),
    "camera": (
        *(
            "the camera pans <pan>{, <capturing>}",
            "the camera {slowly }zooms <zoom>{, <capturing>}",
            "the camera follows the <ref>",
        ),
        *(
            "the camera orbits the <ref>{, <capturing>}",
            "the camera tilts <tilt>{ to reveal the <praise> <place>}",
            "the camera is static",
        ),
        *(
            "<shot>, <shot>",
            "<shot>{, <capturing>}",
            "shot from a low angle[ with a shallow depth of field]",
            "the camera does not move",
        ),
        *(
            "the camera tracks the <ref> <way>",
            "{the shot ends as }the camera pulls back from the <ref>",
            "<shot> on the <ref>'s <thing>",
        ),
        *(
            "{the video is captured in a }<shot>{ that <emphasizes>}",
            "<shot> with a {gentle }pan <pan>",
            "slow motion, <shot>",
        ),
    ),
    "pan": ("left", "right", "left to right", "across the <place>", "around the <thing>", "up", "down"),
    "zoom": ("in", "out", "in on the <ref>", "out to show the <place>", "in on the <thing>"),
    "tilt": ("up", "down", "up to the <thing>", "down to the <place>"),
    "style": (
        *(
            "watercolor painting",
            "anime style",
            "pixel art",
            "oil painting",
            "black and white film",
            "3D render",
            "claymation",
        ),
        *(
            "documentary style",
            "pencil sketch",
            "cyberpunk style",
            "CG animation",
            "film noir",
            "stop motion",
            "<name> style",
            "vintage film",
        ),
    ),
}
