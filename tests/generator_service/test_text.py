"""What is counted is what is fed."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from generator_service import text, wan

PROMPTS = [
    "a red circle moves left over grass",
    "A  BIG   Blue Ring!",
    "一个红色的圆形在草地上向左移动",
    "a 红色 circle, slowly",
    "café </s> <pad> <extra_id_0> 🙂",
    "",
]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_both_files_of_the_folder_give_the_ids_that_transformers_gives(model_folder: Path, prompt: str) -> None:
    folder = model_folder / "tokenizer"
    expected = AutoTokenizer.from_pretrained(folder)(prompt).input_ids
    assert text.PieceTokenizer(folder / "spiece.model").ids(prompt) == expected
    assert text.JsonTokenizer(folder / "tokenizer.json").ids(prompt) == expected


def test_the_fingerprint_is_of_the_file_that_decides(model_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(model_folder / "tokenizer", tmp_path / "tokenizer")
    assert text.fingerprint(folder) == hashlib.sha256((folder / "spiece.model").read_bytes()).hexdigest()
    (folder / "spiece.model").unlink()
    first = text.fingerprint(folder)
    file = folder / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")), indent=3), "utf-8")
    assert text.fingerprint(folder) == first
    assert isinstance(text.load_tokenizer(folder), text.JsonTokenizer)
    file.unlink()
    with pytest.raises(FileNotFoundError, match=r"spiece\.model"):
        text.fingerprint(folder)


def test_states_are_zero_past_the_last_token(components: wan.Components) -> None:
    with torch.no_grad():
        states = text.encode_prompt(
            PROMPTS[0],
            components.tokenizer,
            components.text_encoder,
            window=512,
            device=components.device,
            dtype=components.dtype,
        )
    count = len(components.tokenizer.ids(PROMPTS[0]))
    assert states.shape == (1, 512, components.transformer.config["text_dim"])
    assert states[0, :count].any(dim=1).all()
    assert not states[0, count:].any()
