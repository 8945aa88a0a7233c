"""The only place that counts. A count is what the text encoder reads of exactly this text, less the end mark.

The text is counted as it is: whatever cleans a prompt must have done so before, here and on the engine's side.
"""

import hashlib
import json
from functools import lru_cache, partial
from pathlib import Path
from typing import Protocol

import sentencepiece
import tokenizers

MEMO = 128
"""Texts whose counts are remembered: the stages ask for the same few again."""
RECENT = 8
"""Texts whose whole encoding is: a prompt's offsets are asked for soon after its count."""


class Tokenizer(Protocol):
    """Safe to call from several threads."""

    @property
    def fingerprint(self) -> str:
        """Hex sha256 over the canonical content of the tokenizer's file."""

    def count(self, text: str) -> int:
        """Tokens of ``text`` without special marks."""

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """For every token the half-open span of code points of ``text`` that it covers (empty for a lone marker)."""


class JsonTokenizer:
    """A Hugging Face ``tokenizer.json``; truncation and padding that the file may ask for are switched off."""

    def __init__(self, path: Path) -> None:
        raw = path.read_bytes()
        self._tokenizer = tokenizers.Tokenizer.from_str(raw.decode("utf-8"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.fingerprint = fingerprint_of(path)

        self._encode = lru_cache(maxsize=RECENT)(partial(self._tokenizer.encode, add_special_tokens=False))
        self.count = lru_cache(maxsize=MEMO)(self._count)

    def _count(self, text: str) -> int:
        return len(self._encode(text).ids)

    def offsets(self, text: str) -> list[tuple[int, int]]:
        return list(self._encode(text).offsets)


class PieceTokenizer:
    """A sentencepiece ``.model``."""

    def __init__(self, path: Path) -> None:
        self._pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))
        self.fingerprint = fingerprint_of(path)

        self.count = lru_cache(maxsize=MEMO)(self._count)

    def _count(self, text: str) -> int:
        return len(self._pieces.encode(text))

    def offsets(self, text: str) -> list[tuple[int, int]]:
        mapping = self._pieces.encode(text, out_type="offset_mapping")
        return [(int(start), int(end)) for start, end in mapping["offsets"]]


def fingerprint_of(path: Path) -> str:
    """Hex sha256 of a tokenizer file: a JSON by its values (layout does not count), a model by its bytes."""
    raw = path.read_bytes()
    if path.suffix == ".json":
        raw = json.dumps(json.loads(raw), sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    return hashlib.sha256(raw).hexdigest()


def load(path: Path) -> Tokenizer:
    """The tokenizer in ``path``: ``*.json`` or a sentencepiece model, or the folder of a model or of its tokenizer, of which the file is
    taken that the generator takes. Raises ``ValueError`` for anything else."""
    if path.is_dir():
        places = [path / folder / name for name in ("spiece.model", "tokenizer.json") for folder in ("", "tokenizer")]
        path = next((place for place in places if place.is_file()), path)
    try:
        return JsonTokenizer(path) if path.suffix == ".json" else PieceTokenizer(path)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"{path} is neither a tokenizer.json nor a sentencepiece model") from error
