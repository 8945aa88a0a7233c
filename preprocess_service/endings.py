"""Common style endings in one spelling and one order, so that equal prompts become equal strings.

``..., 4k, Cinematic`` and ``... Cinematic, 4K.`` say the same. Only clauses at the very end that are an ending of the list, whole
and in any spelling of it, are touched; no word is replaced by another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from .core import Change, Prompt
from .protect import fold
from .realign import rewrite

STAGE: Final = "template"
ENDINGS: Final = (
    *(
        "photorealistic",
        "hyperrealistic",
        "ultra-realistic",
        "realistic",
        "cinematic",
        "cinematic lighting",
        "cinematic style",
    ),
    *(
        "natural lighting",
        "soft lighting",
        "warm lighting",
        "indoor lighting",
        "studio lighting",
        "dramatic lighting",
        "volumetric lighting",
    ),
    *(
        "highly detailed",
        "ultra-detailed",
        "intricate details",
        "sharp focus",
        "shallow depth of field",
        "film grain",
        "bokeh",
    ),
    *(
        "black and white",
        "oil painting",
        "watercolor painting",
        "pixel art",
        "animated style",
        "slow motion",
        "masterpiece",
    ),
    *(
        "best quality",
        "high quality",
        "high-definition",
        "high resolution",
        "ultra HD",
        "HD",
        "UHD",
        "4K",
        "8K",
        "60fps",
        "24fps",
    ),
    *("写实", "电影感", "电影质感", "高清", "超高清", "高质量", "细节丰富"),
)
"""In the order in which they are written."""
_CLAUSE: Final = re.compile(r"\s*[,，;；]\s*|(?<=\w)\.\s+|。\s*")


def _key(clause: str) -> str:
    return re.sub(r"[\s-]+", "", clause.lower())


_RANK: Final = {_key(ending): rank for rank, ending in enumerate(ENDINGS)}


def settle(prompt: Prompt, *, keywords: Iterable[str] = ()) -> tuple[Prompt, tuple[Change, ...]]:
    """The prompt with its endings settled; left alone where one of them is a keyword, which survives as it was written."""
    text = prompt.text
    body, ranks = _split(text)
    if not ranks or not body or any(fold(word) in fold(text[len(body) :]) for word in keywords if word.strip()):
        return prompt, ()
    chinese = ord(body[-1]) >= 0x2E80
    joined = ("，" if chinese else ", ").join(ENDINGS[rank] for rank in sorted(set(ranks)))
    return rewrite(prompt, f"{body}{'，' if chinese else ', '}{joined}", stage=STAGE, reason="style ending")


def _split(text: str) -> tuple[str, list[int]]:
    """What stands before the endings, without its last separator, and the endings' ranks."""
    end = len(text.rstrip(" .。,，;；"))
    ranks: list[int] = []
    for mark in [*_CLAUSE.finditer(text[:end])][::-1]:
        rank = _RANK.get(_key(text[mark.end() : end]))
        if rank is None:
            break
        ranks.append(rank)
        end = mark.start()
    return text[:end], ranks
