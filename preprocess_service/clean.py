"""Take out what a person never sees, and write equal prompts as equal strings. Chinese is left as Chinese writes it.

Every rule is a pure function from a text to edits of it. The rules run in order, again and again until none has
anything left to do, so that cleaning what is clean changes nothing.
"""

import html
import re
import unicodedata
from collections.abc import Callable

import ftfy

from .core import Change, Edit, Prompt
from .realign import rewrite

STAGE = "clean"
ROUNDS = 12
CJK = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af\U00020000-\U0003ffff"

HTML_TAG = re.compile(
    r"<!--.{0,2000}?-->|<(script|style)\b[^<>]{0,500}>.{0,2000}?</\1\s*>"
    r"|</?(?:a|abbr|article|b|big|blockquote|body|br|button|center|code|div|em|font|footer|form|h[1-6]|head|header|hr|html|i|iframe"
    r"|img|input|label|li|link|main|mark|meta|nav|ol|option|p|pre|q|s|script|section|select|small|span|strike|strong|style|sub|sup"
    r"|svg|table|tbody|td|th|thead|title|tr|tt|u|ul|video)(?:\s[^<>]{0,500})?/?>",
    re.IGNORECASE | re.DOTALL,
)
TOKENIZER_MARK = re.compile(
    r"<(?:/?s|pad|unk|mask|bos|eos|cls|sep|extra_id_\d{1,4})>|<\|[a-z_]{1,40}\|>", re.IGNORECASE
)
ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\uffff"
    "\U000e0000-\U000e0fff\ue000-\uf8ff\U000f0000-\U0010ffff]+"
)
JOINER = re.compile("[\u200c\u200d]+")
SELECTOR = re.compile("[\ufe00-\ufe0f\u20e3]+")
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff]+")
SPACE = re.compile(r"\s+")
PICTOGRAPH = (
    "\U0001f000-\U0001faff\u2600-\u27bf\u2b05-\u2b07\u2b1b\u2b1c\u2b50\u2b55\u231a\u231b\u23e9-\u23fa"
    "\u2934\u2935\u3030\u303d\u3297\u3299"
)
EMOJI = re.compile(
    f"(?:[\U0001f1e6-\U0001f1ff]{{2}}|[{PICTOGRAPH}][\ufe0e\ufe0f\U0001f3fb-\U0001f3ff\u20e3]*[\U000e0020-\U000e007f]*"
    f"(?:\u200d[{PICTOGRAPH}][\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]*)*)+"
)
FULL_WIDTH = {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)} | {
    "。": ".",
    "、": ",",
    "「": '"',
    "」": '"',
    "『": '"',
    "』": '"',
    "【": "[",
    "】": "]",
    "《": '"',
    "》": '"',
}
SPACED_AFTER = frozenset(",.;:!?)]")
CURLED = {"‘": "'", "’": "'", "‚": "'", "“": '"', "”": '"', "„": '"', "′": "'", "″": '"'}
CURLED_RUN = re.compile("[‘’‚“”„′″]+")
LEVELS = re.compile(f"(?P<cjk>[{CJK}])|(?P<wide>[\uff01-\uff5e。、「」『』【】《》])|(?P<latin>[^\\W_])")

FTFY = ftfy.TextFixerConfig(
    unescape_html=False,
    uncurl_quotes=False,
    fix_character_width=False,
    fix_latin_ligatures=True,
    normalization="NFC",
    explain=False,
)


def clean(prompt: Prompt, *, emojis: str = "drop") -> tuple[Prompt, tuple[Change, ...]]:
    """The prompt without dirt. ``emojis`` is ``drop`` or ``keep``; kept anyway where nothing else is left."""
    cleaned, changes = _settle(prompt, keep_emojis=emojis == "keep")
    if emojis != "keep" and not any(c.isalnum() for c in cleaned.text) and EMOJI.search(prompt.text):
        return _settle(prompt, keep_emojis=True)
    return cleaned, changes


def _settle(prompt: Prompt, *, keep_emojis: bool) -> tuple[Prompt, tuple[Change, ...]]:
    changes: list[Change] = []
    for round_ in range(ROUNDS):
        before = prompt.text
        if round_ == ROUNDS - 1:
            prompt, found = prompt.edit(_brackets(prompt.text), stage=STAGE)
            changes += found
        for rule in (
            _markup,
            _entities,
            _repairs,
            _control,
            _invisible,
            _keep_joiners if keep_emojis else _emojis,
            _widths,
            _curls,
        ):
            prompt, found = rule(prompt)
            changes += found
        prompt, found = prompt.edit(_spaces(prompt.text), stage=STAGE)
        changes += found
        if prompt.text == before:
            break
    return prompt, tuple(changes)


def _each(
    pattern: re.Pattern[str], replacement: Callable[[re.Match[str]], str], reason: str
) -> Callable[[Prompt], tuple[Prompt, tuple[Change, ...]]]:
    def rule(prompt: Prompt) -> tuple[Prompt, tuple[Change, ...]]:
        edits = [
            Edit(start=m.start(), end=m.end(), replacement=replacement(m), reason=reason)
            for m in pattern.finditer(prompt.text)
        ]
        return prompt.edit(edits, stage=STAGE) if edits else (prompt, ())

    return rule


def _gap(match: re.Match[str]) -> str:
    """A space where taking the match out would join two words."""
    text, start, end = match.string, match.start(), match.end()
    joins = start > 0 and end < len(text) and text[start - 1].isalnum() and text[end].isalnum()
    return " " if joins and ord(text[start - 1]) < 0x2E80 and ord(text[end]) < 0x2E80 else ""


def _between_joining_letters(match: re.Match[str]) -> str:
    """Persian and Indic letters need their joiners; elsewhere (outside kept emojis) they hide things."""
    text, start, end = match.string, match.start(), match.end()
    inside = start > 0 and end < len(text) and all("\u0600" <= c <= "\u0dff" for c in (text[start - 1], text[end]))
    return match.group()[0] if inside else ""


def _between_pictographs(match: re.Match[str]) -> str:
    text, start, end = match.string, match.start(), match.end()
    return (
        match.group()
        if any(m.start() < start and end < m.end() for m in EMOJI.finditer(text, max(0, start - 8), end + 8))
        else _between_joining_letters(match)
    )


_markup_tags = _each(
    HTML_TAG,
    lambda m: _gap(m) or (" " if m.group().lower().startswith(("<br", "<p", "</p", "<li", "<div")) else ""),
    "HTML tag",
)
_markup_marks = _each(TOKENIZER_MARK, _gap, "tokenizer mark")
_entities = _each(
    ENTITY, lambda m: html.unescape(m.group()) if html.unescape(m.group()) != m.group() else m.group(), "HTML entity"
)
_control = _each(CONTROL, lambda m: "", "control character")
_invisible_marks = _each(INVISIBLE, lambda m: "", "invisible character")
_letters_joiners = _each(JOINER, _between_joining_letters, "invisible character")
_keep_joiners = _each(JOINER, _between_pictographs, "invisible character")
_selectors = _each(SELECTOR, lambda m: "", "invisible character")
_emoji_runs = _each(EMOJI, _gap, "emoji")
_curls = _each(
    CURLED_RUN, lambda m: m.group() if _touches_cjk(m) else "".join(map(CURLED.__getitem__, m.group())), "curled quote"
)


def _markup(prompt: Prompt) -> tuple[Prompt, tuple[Change, ...]]:
    if "<" not in prompt.text:
        return prompt, ()
    prompt, marks = _markup_marks(prompt)
    prompt, tags = _markup_tags(prompt)
    return prompt, marks + tags


def _invisible(prompt: Prompt) -> tuple[Prompt, tuple[Change, ...]]:
    return (prompt, ()) if prompt.text.isascii() else _invisible_marks(prompt)


def _emojis(prompt: Prompt) -> tuple[Prompt, tuple[Change, ...]]:
    if prompt.text.isascii():
        return prompt, ()
    changes: tuple[Change, ...] = ()
    for rule in (_emoji_runs, _letters_joiners, _selectors):
        prompt, found = rule(prompt)
        changes += found
    return prompt, changes


def _repairs(prompt: Prompt) -> tuple[Prompt, tuple[Change, ...]]:
    """Mojibake, decomposed letters, ligatures."""
    if prompt.text.isascii() and "\x1b" not in prompt.text:
        return prompt, ()
    fixed = unicodedata.normalize("NFC", ftfy.fix_text(prompt.text, FTFY))
    return rewrite(prompt, fixed, stage=STAGE, reason="broken or decomposed characters")


def _touches_cjk(match: re.Match[str]) -> bool:
    """Is a Chinese letter or mark next to it? Quotes there are Chinese punctuation."""
    text, start, end = match.string, match.start(), match.end()
    around = text[max(0, start - 1) : start] + text[end : end + 1]
    return any(ord(c) >= 0x2E80 for c in around) or (not around.strip() and any(ord(c) >= 0x2E80 for c in text))


def _widths(prompt: Prompt) -> tuple[Prompt, tuple[Change, ...]]:
    """Full-width marks become ASCII where the nearest letters on both sides are not Chinese."""
    text = prompt.text
    if text.isascii():
        return prompt, ()
    kinds = [(m.lastgroup, m.start()) for m in LEVELS.finditer(text)]
    if not any(kind == "wide" for kind, _ in kinds):
        return prompt, ()
    after: list[str] = []
    nearest = ""
    for kind, at in reversed(kinds):
        after.append(nearest)
        nearest = _script(kind, text[at]) or nearest
    edits, before = [], ""
    for (kind, at), following in zip(kinds, reversed(after), strict=True):
        if (
            kind == "wide"
            and "cjk" not in (before, following)
            and "latin" in (before, following, _script(kind, text[at]))
        ):
            edits.append(Edit(start=at, end=at + 1, replacement=_narrow(text, at), reason="full-width character"))
        before = _script(kind, text[at]) or before
    return prompt.edit(edits, stage=STAGE)


def _script(kind: str | None, char: str) -> str:
    """``cjk`` or ``latin`` for a letter or digit, full-width ones included; nothing for a mark."""
    return "latin" if kind == "latin" or (kind == "wide" and char.isalnum()) else "cjk" if kind == "cjk" else ""


def _narrow(text: str, at: int) -> str:
    narrow = FULL_WIDTH[text[at]]
    before, following = text[at - 1 : at], text[at + 1 : at + 2]
    if narrow in "([" and before.isalnum():
        return " " + narrow
    return narrow + " " if narrow in SPACED_AFTER and following.isalpha() else narrow


def _spaces(text: str) -> list[Edit]:
    runs = [m for m in SPACE.finditer(text) if m.group() != " " or m.start() == 0 or m.end() == len(text)]
    return [
        Edit(
            start=m.start(),
            end=m.end(),
            replacement="" if m.start() == 0 or m.end() == len(text) else " ",
            reason="whitespace",
        )
        for m in runs
    ]


def _brackets(text: str) -> list[Edit]:
    """The end of a text that hides markup in markup: its angle brackets and ampersands go."""
    return [Edit(start=m.start(), end=m.end(), reason="nested markup") for m in re.finditer("[<>&]", text)]
