"""How the training captions say a background.

Most ways name a colour or a size too: the subject's colour is the one beside the shape, never the one beside the ground.
"""

from __future__ import annotations

_FLAT = (
    "<in> {a|the} {<plain> |}<hue> <wall>",
    "<in> {a|the} <plain> <hue> <wall>",
    "<in> {a|the} {<plain>, |}<plain> <hue> <wall>",
    "{with|and|before} a {<plain> |}<hue> <wall>",
    "{on|against|over|upon} {pure |plain |solid |}<hue>",
    "where the <wall> is {<plain> and |all |}<hue>",
    "with nothing but <hue> behind it",
    "surrounded by <hue>",
    "set <in> {a|the} {<plain> |}<hue> <wall>",
)
_FLAT_NOUN = (
    *(
        "{a|the} {<plain> |}<hue> <wall>",
        "a <plain> <hue> <wall>",
        "{<plain> |all |entirely |}<hue>",
        "a <wall> of <hue>",
    ),
)
_FLAT_TAG = (
    *("{<plain> |}<hue> <wall>", "<plain> <hue> <wall>", "<hue> <wall>", "on {<plain> |}<hue>", "<wall>: <hue>"),
    *("all <hue> behind", "<wall> in <hue>", "<hue> {bg|behind|scene|setting}", "against <hue>"),
)
_OPEN = ("<in> {the |a |}<scenery>", "<in> {the |a |}<scenery>", "{with|and} {the |a |}<scenery> behind{| it}")
_OPEN_MORE = (
    "<in> {a|the} <scenery> {background|backdrop|scene}",
    "where {we see|there is} {the |a |}<scenery>",
    "set <in> {the |a |}<scenery>",
)
_OPEN_NOUN = (
    "{the |a |}<scenery>",
    "{the |a |}<scenery>",
    "{the |a |}<scenery> and nothing else",
    "a {wide |vast |}<scenery> {backdrop|scene}",
)
_OPEN_TAG = (
    *(
        "<scenery>",
        "<scenery>",
        "<scenery> {background|backdrop|scene|setting}",
        "<in> {the |a |}<scenery>",
        "background: <scenery>",
    ),
    *(
        "{background|backdrop} of <scenery>",
        "<core>",
        "<core> background",
        "<scenery> behind",
        "<core> {scene|bg|backdrop}",
    ),
)
_PLAIN = (
    *("plain", "plain", "solid", "pure", "flat", "uniform", "simple", "empty", "clean", "seamless", "blank", "smooth"),
    *(
        "featureless",
        "matte",
        "minimalist",
        "even",
        "bare",
        "large",
        "wide",
        "endless",
        "undecorated",
        "single-colored",
    ),
    *("neutral", "stark", "infinite", "big", "huge", "quiet"),
)
_WALL = (
    *("background", "background", "background", "background", "backdrop", "backdrop", "wall", "surface", "screen"),
    *("canvas", "studio backdrop", "backcloth", "sheet", "floor and wall", "studio"),
)
_BEFORE = ("on", "against", "over", "in front of", "before", "against", "on", "upon", "across", "set against")


def _flat(hue: tuple[str, ...], *more: str) -> dict[str, tuple[str, ...]]:
    # The hue is written into the texts: what a caption must name can be read off them.
    def ways(texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(t.replace("<hue>", "{" + "|".join(hue) + "}") for t in texts)

    extra = tuple(f"{{in|against|amid}} {m}" for m in more)
    return {
        "place": (*ways(_FLAT), *extra),
        "ground": (*ways(_FLAT_NOUN), *more),
        "groundtag": (*ways(_FLAT_TAG), *more),
        "in": _BEFORE,
        "plain": _PLAIN,
        "wall": _WALL,
    }


def _open(
    within: tuple[str, ...], core: tuple[str, ...], scenery: tuple[str, ...], *place: str
) -> dict[str, tuple[str, ...]]:
    def ways(texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(t.replace("<core>", "{" + "|".join(core) + "}") for t in texts)

    return {
        "place": (*_OPEN, *_OPEN_MORE, *place),
        "ground": _OPEN_NOUN,
        "groundtag": ways(_OPEN_TAG),
        "in": within,
        "scenery": ways((*scenery, "<core>", "<core>")),
    }


GROUND_RULES: dict[str, dict[str, tuple[str, ...]]] = {
    "black": _flat(
        ("black", "black", "black", "pitch black", "pitch-black", "jet black", "deep black", "dark black", "ink black"),
        *(
            "{total |complete |}blackness",
            "a {deep |dark |}black void",
            "pitch-black {emptiness|space|darkness}",
            "an all-black scene",
        ),
    ),
    "white": _flat(
        (
            "white",
            "white",
            "white",
            "bright white",
            "snow white",
            "off-white",
            "clean white",
            "paper white",
            "milky white",
        ),
        *("a {bright |clean |}white studio", "white {emptiness|space}", "a {blank |clean |}white page", "a white void"),
    ),
    "grey": _flat(
        (
            "grey",
            "gray",
            "grey",
            "gray",
            "light grey",
            "light gray",
            "dark gray",
            "mid-grey",
            "neutral grey",
            "medium gray",
            "ash gray",
        ),
        *("a gray {concrete|cement} wall", "a grey studio", "a {dull|neutral|pale} {grey|gray} void"),
    ),
    "sky": _open(
        ("in", "against", "under", "across", "before", "in front of", "beneath", "against", "over"),
        ("sky", "blue sky", "daytime sky", "clear sky", "daylight sky"),
        (
            "{bright|clear|light|pale|deep|vivid|soft|sunny|open|wide|big} {blue |}sky",
            "{cloudless|cloudy|summer|spring|morning|midday|daytime|sunlit|azure|light blue} sky",
            "{blue |bright |}sky {with|full of} {small |soft |fluffy |}{white |grey |}clouds",
            "{bright|pale|light} {blue|azure} {daytime|daylight|noon} sky",
            "{wide|vast|endless}, {clear|bright|blue} sky",
            "{clear blue|bright blue|sky-blue|pale blue|blue and white|sunny yellow} {daytime |}sky",
            "{blue|bright|open|endless} {skies|heavens of a clear sky|sky by day|sky on a sunny day}",
        ),
        *(
            "high in the {bright |blue |clear |}sky",
            "in broad daylight, against the sky",
            "with the {blue |bright |clear |}sky {behind|above}",
        ),
    ),
    "grass": _open(
        ("on", "over", "above", "across", "in", "in front of", "against", "on", "upon", "along"),
        ("grass", "green grass", "lawn", "meadow", "grassy field", "green meadow", "field of grass"),
        (
            "{green|lush|fresh|short|tall|bright green|dark green|soft|thick|dewy|mown|vivid green|emerald} grass",
            "{green|lush|neat|mown|freshly cut|wide|large|small|well-kept|sunny|trimmed} {green |}lawn",
            "{green|lush|wide|quiet|sunny|spring|summer|rolling|open} {green |}{meadow|pasture|grassland}",
            "{meadow|lawn|grass|field of grass} with {tiny |small |}{white|yellow|red|purple|blue} flowers",
            "{green|grassy|wide green|lush green|large} {field|ground|turf|meadow}{ of grass| full of grass}",
            "{green|bright|yellow-green|deep green} grass field",
            "{grass-covered|grassy} {ground|hillside|plain|park}",
        ),
        *(
            "on a {soft |green |wide |}{carpet|patch|stretch|bed|sea} of {green |}grass",
            "outdoors on {the |a |}{grass|lawn|green grass}",
        ),
    ),
    "night": _open(
        ("in", "against", "under", "during", "before", "beneath", "in", "on"),
        ("night", "night sky", "dark night", "nighttime", "night scene"),
        (
            "{dark|deep|black|dark blue|navy blue|deep blue|midnight blue|purple|deep purple|blue-black} night",
            "{dark|black|starry|dark blue|navy|cloudless|deep blue|clear|indigo|inky} night sky",
            "{quiet|calm|silent|clear|cold|warm|moonlit|moonless|starless|starlit|winter|summer} night{| sky}",
            "{night|night sky|dark night} {with|full of} {small |bright |}{white |yellow |silver |}stars",
            "{dark|black|blue} {sky at night|sky by night|midnight sky|nighttime sky|nocturnal sky}",
            "{night-time|nocturnal|midnight} {darkness|blue|scene|sky}",
            "{wide|vast|big|endless}, {dark|blue|black} night sky",
        ),
        *(
            "at night",
            "at night",
            "at midnight",
            "by night",
            "{late |deep |}in the night",
            "in the {dead|dark|middle} of {the |}night",
        ),
        *(
            "in the middle of the {dark |}night",
            "after dark, in the night",
            "on a {dark|clear|starry|blue|black} night",
        ),
    ),
}
# For each background the texts of its places with their nouns written out.
BACKGROUND_PHRASES: dict[str, tuple[str, ...]] = {
    name: (*rules["place"], *rules["groundtag"], *rules["ground"], *rules.get("scenery", ()))
    for name, rules in GROUND_RULES.items()
}
