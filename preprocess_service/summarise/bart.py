"""Shorten by rewriting with BART (transformers' BartForConditionalGeneration). English only.
Its output is not trusted: the caller checks it.

torch is imported when a model is loaded and not before: a service without a model never has it in its process.
"""

import importlib
import math
import threading
from typing import Any

RATIO_MIN, RATIO_MAX = 0.6, 0.8
"""Bounds of the length that is asked for, as a share of the input's tokens; below them BART starts to invent."""
SLACK = 0.1
"""How far below the ratio the text may end, as a share of the input."""
WINDOW = 1024
"""Tokens that BART reads."""


class Bart:
    """One checkpoint, in evaluation mode. ``shorten`` may be called from any thread; calls take turns."""

    def __init__(self, name_or_path: str, *, beams: int = 4, threads: int | None = None) -> None:
        """Load from a folder or, by name, from the hub. Raises what transformers raises when there is no such model."""
        torch: Any = importlib.import_module("torch")
        transformers: Any = importlib.import_module("transformers")
        if threads:
            torch.set_num_threads(threads)
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(name_or_path)
        self._model = transformers.BartForConditionalGeneration.from_pretrained(name_or_path).eval()
        self._inference = torch.inference_mode
        self._beams = beams
        # Of the checkpoint: 3 for bart-large-cnn, which loops otherwise; more for one that copies, and must repeat a name.
        self._ngram = int(self._model.generation_config.no_repeat_ngram_size or 0)
        self._turn = threading.Lock()

    def shorten(self, text: str, ratio: float) -> str:
        """``text`` in about ``ratio`` (bounded to 0.6..0.8) of its tokens. Raises ``ValueError`` past the window."""
        return str(self._tokenizer.decode(self.ids(text, ratio), skip_special_tokens=True)).strip()

    def ids(self, text: str, ratio: float) -> list[int]:
        """The token ids that ``shorten`` decodes, marks included."""
        with self._turn, self._inference():
            inputs = self._tokenizer(text, return_tensors="pt")
            size = int(inputs["input_ids"].shape[1])
            if size > min(WINDOW, int(self._model.config.max_position_embeddings)):
                raise ValueError(f"{size} tokens do not fit BART's window")
            shortest, longest = lengths(size, ratio)
            made = self._model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                num_beams=self._beams,
                do_sample=False,
                min_length=shortest,
                max_length=longest,
                length_penalty=1.0,
                no_repeat_ngram_size=self._ngram,
                early_stopping=True,
            )
            return [int(token) for token in made[0]]


def lengths(size: int, ratio: float) -> tuple[int, int]:
    """The shortest and longest output, in BART's tokens, marks included, for an input of ``size``."""
    bounded = min(RATIO_MAX, max(RATIO_MIN, ratio))
    longest = max(4, math.floor(size * bounded))
    return max(2, math.floor(size * (bounded - SLACK))), longest
