"""From a prompt to what cross-attention reads. The prompt is final: nothing is cleaned here.

The ids are sentencepiece's own where the tokenizer folder has a `spiece.model`, so that what preprocess_service counted
is exactly what the encoder reads (attention mask less the end mark), whatever a converted `tokenizer.json` would make
of odd text.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Protocol

import sentencepiece
import tokenizers
import torch
from torch import Tensor
from transformers import UMT5EncoderModel


class PromptTooLongError(ValueError):
    """A text of ``tokens`` tokens, end mark included, does not fit a window of ``window``. Nothing is ever cut here."""

    def __init__(self, tokens: int, window: int) -> None:
        super().__init__(f"{tokens} tokens do not fit the text encoder's window of {window}")
        self.tokens = tokens
        self.window = window


class TextTokenizer(Protocol):
    """Safe to call from several threads."""

    pad_id: int

    def ids(self, text: str) -> list[int]:
        """Token ids of ``text`` with the end mark."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class StatesKey:
    """All that decides the states of a text: ``encoder`` names the encoder's and the tokenizer's files (`wan.py`)."""

    encoder: str
    text: str
    window: int
    dtype: torch.dtype
    device: torch.device


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class PromptStates:
    """What the encoder made of a text: ``real`` is (1, tokens, text_dim), end mark included. The padding is not kept."""

    key: StatesKey
    real: Tensor

    @property
    def nbytes(self) -> int:
        return self.real.nbytes

    def padded(self) -> Tensor:
        """(1, window, text_dim), zeros past the last token, as ``WanPipeline`` makes them."""
        zeros = self.real.new_zeros(1, self.key.window - self.real.shape[1], self.real.shape[2])
        return torch.cat([self.real, zeros], dim=1)


class PieceTokenizer:
    """A sentencepiece model."""

    def __init__(self, path: Path) -> None:
        self._pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))
        self._end: int = self._pieces.eos_id()
        self.pad_id: int = max(0, self._pieces.pad_id())

    def ids(self, text: str) -> list[int]:
        return [*self._pieces.encode(text), self._end]


class JsonTokenizer:
    """A Hugging Face `tokenizer.json`, whose post-processor appends the end mark."""

    def __init__(self, path: Path) -> None:
        self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.pad_id: int = self._tokenizer.token_to_id("<pad>") or 0

    def ids(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text).ids)


def tokenizer_file(folder: Path) -> Path:
    """The file of a `tokenizer/` folder that decides: `spiece.model`, else `tokenizer.json`. ``FileNotFoundError``
    without both.
    """
    for name in ("spiece.model", "tokenizer.json"):
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"no spiece.model and no tokenizer.json in {folder.name}/")


def load_tokenizer(folder: Path) -> TextTokenizer:
    """The tokenizer of a `tokenizer/` folder."""
    path = tokenizer_file(folder)
    return JsonTokenizer(path) if path.suffix == ".json" else PieceTokenizer(path)


def fingerprint(folder: Path) -> str:
    """Hex sha256 that preprocess_service computes from its own copy of the same file, so that a stranger is noticed.

    Of a `spiece.model` the bytes; of a `tokenizer.json` (only where there is no `spiece.model`) its values: the
    canonical JSON with sorted keys and no spaces, so that layout does not count.
    """
    path = tokenizer_file(folder)
    raw = path.read_bytes()
    if path.suffix == ".json":
        raw = json.dumps(json.loads(raw), sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    return hashlib.sha256(raw).hexdigest()


def prompt_states(key: StatesKey, tokenizer: TextTokenizer, encoder: UMT5EncoderModel) -> PromptStates:
    """States of the text in ``key``. Its ``encoder`` must be the name of this encoder and tokenizer.

    The encoder runs on the padded, masked window, because a shorter one gives other bits. Raises `PromptTooLongError`.
    """
    ids = tokenizer.ids(key.text)
    if len(ids) > key.window:
        raise PromptTooLongError(len(ids), key.window)
    padded = torch.full((1, key.window), tokenizer.pad_id, dtype=torch.long)
    padded[0, : len(ids)] = torch.tensor(ids)
    mask = torch.zeros((1, key.window), dtype=torch.long)
    mask[0, : len(ids)] = 1
    # It may be on the host while its states go to the device.
    at = encoder.device
    states: Tensor = encoder(padded.to(at), mask.to(at)).last_hidden_state.to(dtype=encoder.dtype)
    # A copy, so that the rows behind the last token are not kept with it.
    return PromptStates(key=key, real=states[:, : len(ids)].to(key.device, key.dtype).clone())


def encode_prompt(
    text: str,
    tokenizer: TextTokenizer,
    encoder: UMT5EncoderModel,
    *,
    window: int,
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor:
    """States of ``text``, (1, window, text_dim) in ``dtype``, zeros past its last token, as ``WanPipeline`` makes them.

    Raises `PromptTooLongError`.
    """
    key = StatesKey(encoder="", text=text, window=window, dtype=dtype, device=device)
    return prompt_states(key, tokenizer, encoder).padded()
