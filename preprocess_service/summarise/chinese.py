"""What the loss of a Chinese clause would cost: Chinese is weighed and dropped clause by clause, never inside a word."""

import re
from collections.abc import Sequence

from .units import IS_CJK, Chunk, Word

HOLLOW_ZH = re.compile(
    "营造|氛围|仿佛|令人|让人|给人|充满|感觉|气息|意境|美感|展现出|彰显|体现|散发|质感|和谐|宁静|温馨|唯美|梦幻|整体|感受|细节|沉浸"
)
CAMERA_ZH = re.compile(
    "特写|近景|中景|远景|全景|俯拍|仰拍|航拍|跟拍|推近|拉远|摇摄|镜头(?:环绕|推|拉|摇|移|向|跟)|风格|慢动作|延时"
)
DECAY, DECAYED = 0.85, 0.3
"""Factor for each clause of Chinese after the first, and where it stops to fall."""
FIRST_ZH, PINNED_ZH = 8.0, 20.0
"""Factors for the clause that names the subject, and for one with a number, a quotation or a negation in it."""
SUBJECT, TAG_ZH, TAG_LENGTH = 6.0, 0.5, 7
"""Factors for the first clause that counts something (who), and for a tag: a clause of less than so many characters."""
SUBJECT_ZH = re.compile("[一两三四五六七八九十几][只个位名条头匹辆艘架座棵朵群对双片支株]|[男女]人|[男女]子|[男女]孩")


def weigh(text: str, words: Sequence[Word], chunks: Sequence[Chunk]) -> None:
    """The first clause counts most, later ones less and less; mood for little, the camera for more, a pin for all of it."""
    named = False
    for n, chunk in enumerate(chunks):
        inside = words[chunk.first : chunk.last]
        if not any(IS_CJK.match(word.lower) for word in inside):
            continue
        clause = text[inside[0].start : inside[-1].end]
        factor = max(DECAY**n, DECAYED) * (FIRST_ZH if n == 0 else TAG_ZH if len(clause) < TAG_LENGTH else 1.0)
        if not named and SUBJECT_ZH.search(clause):
            factor, named = max(factor, SUBJECT), True
        factor *= (0.4 if HOLLOW_ZH.search(clause) else 1.0) * (2.0 if CAMERA_ZH.search(clause) else 1.0)
        factor *= PINNED_ZH if any(word.pinned for word in inside) else 1.0
        for word in inside:
            word.value *= factor
