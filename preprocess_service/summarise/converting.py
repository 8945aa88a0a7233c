"""The process that turns a checkpoint (BART, or BERT for semantic.py) into CTranslate2's form. The only place that converts, and
with torch.

python -m preprocess_service.summarise.converting SOURCE TARGET COMPUTE
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from pathlib import Path
from typing import Any

from .checkpoint import FACTS, Facts

ABSENT = {"normalize_before": False, "normalize_embedding": True}
"""Keys that a configuration made locally may lack, with what every BART has."""


def convert(source: Path, target: Path, compute: str) -> None:
    """Write the model, its tokenizer.json and its facts into ``target``, an empty folder. Raises what the libraries raise."""
    converters: Any = importlib.import_module("ctranslate2.converters")
    transformers: Any = importlib.import_module("transformers")
    if json.loads((source / "config.json").read_text("utf-8"))["model_type"] == "bert":
        _convert_bert(converters.TransformersConverter, source, target, compute)
        facts: dict[str, Any] = {}
    else:
        facts = dataclasses.asdict(_convert_bart(converters.TransformersConverter, source, target, compute))
    transformers.AutoTokenizer.from_pretrained(str(source)).backend_tokenizer.save(str(target / "tokenizer.json"))
    (target / FACTS).write_text(json.dumps(facts), "utf-8")


def _convert_bert(parent: Any, source: Path, target: Path, compute: str) -> None:
    class Converter(parent):  # type: ignore[misc]
        """As its parent, but for a key that newer configurations lack."""

        def load_model(self, model_class: Any, name: str, **options: Any) -> Any:
            model = super().load_model(model_class, name, **options)
            if not hasattr(model.config, "position_embedding_type"):
                model.config.position_embedding_type = "absolute"
            return model

    Converter(str(source)).convert(str(target), quantization=compute, force=True)


def _convert_bart(parent: Any, source: Path, target: Path, compute: str) -> Facts:
    noted: list[Facts] = []

    class Converter(parent):  # type: ignore[misc]
        """As its parent, but for keys that are absent, and for a tokenizer with fewer words than the model."""

        def load_model(self, model_class: Any, name: str, **options: Any) -> Any:
            model = super().load_model(model_class, name, **options)
            for key, value in ABSENT.items():
                if not hasattr(model.config, key):
                    setattr(model.config, key, value)
            noted.append(Facts.of(model.config, model.generation_config))
            self.size = int(model.config.vocab_size)
            return model

        def load_tokenizer(self, tokenizer_class: Any, name: str, **options: Any) -> Any:
            tokenizer = super().load_tokenizer(tokenizer_class, name, **options)
            tokenizer.add_tokens([f"<unused{i}>" for i in range(len(tokenizer), self.size)])
            return tokenizer

    Converter(str(source)).convert(str(target), quantization=compute, force=True)
    return noted[0]


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
