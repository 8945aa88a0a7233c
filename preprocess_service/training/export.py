"""Writes the trained model and its tokenizer as one folder, weights in fp16, as any BART checkpoint is laid out.

python -m preprocess_service.training.export [--folder preprocess_service/models/bart]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from transformers import BartTokenizerFast, GenerationConfig

from . import state
from .model import END, PAD, POSITIONS, START, build
from .tokenizer import FOLDER as TOKENIZER
from .train import SAVED

FOLDER = Path(__file__).parents[1] / "models" / "bart"
MOST_BYTES = 8_000_000
REPEATED = 6
"""Tokens in a row that decoding does not write twice: a name of up to five pieces may come again, a whole clause may not."""


def export(folder: Path) -> int:
    """Write the folder; returns its bytes. Raises ``SystemExit`` where nothing is trained, or it is larger than 8 MB."""
    saved = state.load(SAVED)
    if saved is None:
        raise SystemExit("no trained model: run preprocess_service.training.train first")
    model = build()
    model.load_state_dict(saved["model"])
    model.generation_config = GenerationConfig(
        bos_token_id=START,
        pad_token_id=PAD,
        eos_token_id=END,
        decoder_start_token_id=END,
        forced_bos_token_id=START,
        forced_eos_token_id=END,
        no_repeat_ngram_size=REPEATED,
    )
    model.to(torch.float16).save_pretrained(folder)
    config = folder / "config.json"
    # Weights lie in fp16 and are computed with in fp32: a CPU has no fast fp16.
    config.write_text(config.read_text("utf-8").replace('"dtype": "float16"', '"dtype": "float32"'), "utf-8")
    tokenizer = BartTokenizerFast.from_pretrained(state.folder() / TOKENIZER, model_max_length=POSITIONS)
    tokenizer.save_pretrained(folder)
    for file in folder.iterdir():
        file.chmod(0o644)
    size = sum(file.stat().st_size for file in folder.iterdir())
    if size > MOST_BYTES:
        raise SystemExit(f"{size} bytes are more than {MOST_BYTES}")
    return size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    folder = parser.parse_args().folder
    print(f"{export(folder) / 1e6:.2f} MB in {folder}")


if __name__ == "__main__":
    main()
