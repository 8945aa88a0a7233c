"""What writes BART's tokens: CTranslate2, or transformers, which is also the oracle that CTranslate2 is tested against.

Both follow the same rules: no sampling, no repeats that the checkpoint forbids, scores normalised by length and after the rules struck
tokens out, an output of ``shortest..longest`` tokens without marks. In fp32 their outputs are equal.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import tokenizers

from . import checkpoint
from .checkpoint import Facts

Ids = list[int]


class Runtime(Protocol):
    """One loaded checkpoint. ``generate`` is called by one thread at a time."""

    version: str
    """Names the library, its version, the precision, the beams and the checkpoint: equal versions write equal texts."""
    facts: Facts
    tokenizer: tokenizers.Tokenizer

    def generate(self, rows: Sequence[Ids], shortest: int, longest: int) -> list[Ids]:
        """For each row of input ids the output's ids without marks, ``shortest..longest`` of them."""


class CTranslate2:
    """The resident runtime; imports no torch."""

    def __init__(self, source: Path, *, compute: str, beams: int, threads: int, cache: Path) -> None:
        """Convert if that was never done, and load. Raises ``ValueError`` for a checkpoint that cannot be converted."""
        library: Any = importlib.import_module("ctranslate2")
        folder = checkpoint.converted(source, compute, cache)
        self.facts = checkpoint.facts(folder)
        self.tokenizer = plain(tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")))
        self.version = f"ct2-{library.__version__}-{compute}-b{beams}-{folder.name[: checkpoint.DIGITS]}"
        self._words = vocabulary(folder)
        self._ids = {word: i for i, word in enumerate(self._words)}
        self._beams = beams
        self._translator = library.Translator(
            str(folder), device="cpu", compute_type=compute, inter_threads=1, intra_threads=threads
        )

    def generate(self, rows: Sequence[Ids], shortest: int, longest: int) -> list[Ids]:
        first = self.facts.first
        lead = 0 if first is None else 1  # CTranslate2 counts the prefix
        results = self._translator.translate_batch(
            [[self._words[token] for token in row] for row in rows],
            target_prefix=None if first is None else [[self._words[first]]] * len(rows),
            beam_size=self._beams,
            length_penalty=1.0,
            no_repeat_ngram_size=self.facts.no_repeat,
            min_decoding_length=shortest + lead,
            max_decoding_length=longest + lead,
            max_input_length=0,
        )
        return [[self._ids[word] for word in result.hypotheses[0][lead:]] for result in results]


class Transformers:
    """BartForConditionalGeneration in fp32: the oracle, and the runtime where a setting asks for it."""

    def __init__(self, source: Path, *, beams: int, threads: int) -> None:
        """Load. Raises what transformers raises for a folder that is no checkpoint."""
        self._torch: Any = importlib.import_module("torch")
        library: Any = importlib.import_module("transformers")
        self._torch.set_num_threads(threads)
        self.tokenizer = plain(library.AutoTokenizer.from_pretrained(str(source)).backend_tokenizer)
        self._model = library.BartForConditionalGeneration.from_pretrained(str(source), dtype="float32").eval()
        self.facts = Facts.of(self._model.config, self._model.generation_config)
        # CTranslate2 cuts an output at its longest without an end mark; a forced one would count in the score's length here.
        self._model.generation_config.forced_eos_token_id = self._model.config.forced_eos_token_id = None
        digest = checkpoint.digest(source)[: checkpoint.DIGITS]
        self.version = f"transformers-{library.__version__}-float32-b{beams}-{digest}"
        self._beams = beams

    def generate(self, rows: Sequence[Ids], shortest: int, longest: int) -> list[Ids]:
        return [self._one(row, shortest, longest) for row in rows]

    def _one(self, row: Ids, shortest: int, longest: int) -> Ids:
        facts = self.facts
        lead = 1 if facts.first is None else 2
        ids = self._torch.tensor([row])
        with self._torch.inference_mode():
            made = self._model.generate(
                input_ids=ids,
                attention_mask=self._torch.ones_like(ids),
                num_beams=self._beams,
                do_sample=False,
                min_length=shortest + lead,
                max_length=longest + lead,
                length_penalty=1.0,
                no_repeat_ngram_size=self.facts.no_repeat,
                early_stopping=self._beams > 1,
                renormalize_logits=True,
                forced_bos_token_id=facts.first,
                decoder_start_token_id=facts.start,
            )[0].tolist()
        return [int(token) for token in made[lead:] if token not in (facts.end, facts.pad)]


def plain(tokenizer: tokenizers.Tokenizer) -> tokenizers.Tokenizer:
    """Without the truncation and padding that a file may ask for."""
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def vocabulary(folder: Path) -> list[str]:
    """CTranslate2's words in the order of their ids."""
    file = next(folder.glob("*vocabulary.json"))
    words: list[str] = json.loads(file.read_text("utf-8"))
    return words
