"""Trains the embedded model's vocabulary and writes it in both forms that the services read.

    python -m generator_service.models.training.tokenizer [FOLDER]

`spiece.model` (sentencepiece, unigram, byte fallback) is what preprocess_service counts with; `tokenizer.json` is the
same vocabulary for transformers. Both give the same ids on every text, and that decides three things here:

* The normaliser is our own and works one character at a time: lower case, every kind of white space to one space,
  invisible characters out. `nmt_nfkc_cf` would do for most texts, but tokenizers applies such a table by grapheme and
  drops what follows a mapped character there ("A" and a combining mark), where sentencepiece keeps it.
* Scores are multiples of 1/64, so sentencepiece's single-precision sums are exact and equal tokenizers' double ones (up
  to about 25,000 pieces).
* Special marks are never read from text: "</s>" in a prompt is four pieces in both, not the end of the sequence.

Ids 0 to 3 are those of UMT5: `<pad>`, `</s>`, `<s>` and `<unk>`; the last two are never produced, since bytes stand in
for what is unknown.
"""

from __future__ import annotations

import io
import json
import math
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import sentencepiece as spm
from sentencepiece import sentencepiece_model_pb2 as spm_proto
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from generator_service.models.training.corpus import compose

PIECES = 4800
ROUNDS = 4
SCORE_UNIT = 64.0
WORLD_SENTENCES = 6000
WINDOW = 512
SPECIALS = {"pad_token": "<pad>", "eos_token": "</s>", "bos_token": "<s>", "unk_token": "<unk>"}
REPOSITORY = Path(__file__).resolve().parents[3]
FOLDER = REPOSITORY / "generator_service/models/embedded/tokenizer"
COUNTING_COPY = REPOSITORY / "preprocess_service/data/embedded/spiece.model"

# Unicode's white space, and the character that both libraries write for a space.
SPACES = [*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F]
SPACES += [0x2581, 0x3000]
# Controls, soft hyphen, zero-width and bidirectional marks, variation selectors. NUL stays, sentencepiece cannot map it.
INVISIBLE = [*range(0x01, 0x09), *range(0x0E, 0x20), *range(0x7F, 0x85), *range(0x86, 0xA0), 0xAD, 0xFEFF]
INVISIBLE += [*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2065), *range(0xFE00, 0xFE10)]
# Full-width letters and digits; full-width punctuation keeps its own pieces, since Chinese is full of it.
FULL_WIDTH = {
    code: chr(code - 0xFEE0).lower()
    for code in (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B))
}
# Characters that are one piece even where the corpus has few of them. "<" must be one, and in no longer piece: see
# `_pre_tokenizer`.
REQUIRED = "".join(map(chr, range(0x21, 0x7F))).lower() + "，。！？、；：（）《》“”‘’【】…—·～「」°×–•é"


def normalization_rules() -> str:
    """sentencepiece's table, one rule a line: code points in hex, a tab, what they become."""
    lower = normalizers.Lowercase()
    rules = {code: lower.normalize_str(chr(code)) for code in range(0x80, 0x110000) if not 0xD800 <= code < 0xE000}
    rules |= {code: chr(code).lower() for code in range(0x41, 0x5B)} | FULL_WIDTH
    rules |= dict.fromkeys(SPACES, " ") | dict.fromkeys(INVISIBLE, "")
    changed = {code: text for code, text in rules.items() if text != chr(code)}
    return "".join(f"{code:X}\t{' '.join(f'{ord(c):X}' for c in text)}\n" for code, text in sorted(changed.items()))


def training_text() -> list[str]:
    """The committed corpus and the world's own sentences, which are repeated so that its words become single pieces."""
    files = [(compose.HERE / name).read_text("utf-8").splitlines() for name in ("en.txt", "zh.txt")]
    extra = (*compose.lexicon(), *compose.characters(), *compose.world(WORLD_SENTENCES))
    # "<" comes in as a required character only, so that no longer piece holds it.
    return [line.replace("<", " ") for line in (*files[0], *files[1], *extra)]


def train() -> bytes:
    """The serialised sentencepiece model; equal bytes for an equal corpus.

    The pieces are chosen by merges (BPE) and scored as a unigram model: on a corpus of this size sentencepiece's own
    choice of unigram pieces keeps rare whole words and hardly any stems or endings, which costs far more on new text.
    """
    written = io.BytesIO()
    text = training_text()
    with tempfile.NamedTemporaryFile("w", suffix=".tsv", encoding="utf-8") as table:
        table.write(normalization_rules())
        table.flush()
        spm.SentencePieceTrainer.train(
            sentence_iterator=iter(text), model_writer=written, model_type="bpe", vocab_size=PIECES,
            character_coverage=1.0, byte_fallback=True, split_digits=True, required_chars=REQUIRED,
            max_sentencepiece_length=16, normalization_rule_tsv=table.name, num_threads=1,
            pad_id=0, eos_id=1, bos_id=2, unk_id=3, pad_piece="<pad>", minloglevel=2,
        )  # fmt: skip
    return _scored(written.getvalue(), text)


def _scored(model: bytes, text: list[str]) -> bytes:
    """The same pieces as a unigram model: log of how often each is used, counted and used again a few times."""
    proto = spm_proto.ModelProto()
    proto.ParseFromString(model)
    for _ in range(ROUNDS):
        used = spm.SentencePieceProcessor(model_proto=proto.SerializeToString())
        counts = Counter(piece for line in used.encode(text, num_threads=1) for piece in line)
        total = sum(counts.values())
        for index, piece in enumerate(proto.pieces):
            if piece.type == piece.NORMAL:
                # Rounding makes the sums of scores exact in single precision.
                piece.score = round(math.log((counts[index] + 0.5) / total) * SCORE_UNIT) / SCORE_UNIT
        proto.trainer_spec.model_type = proto.trainer_spec.UNIGRAM
    proto.normalizer_spec.name = "reelgate_lower"
    proto.normalizer_spec.normalization_rule_tsv = ""
    proto.denormalizer_spec.Clear()
    return bytes(proto.SerializeToString(deterministic=True))


def convert(model: bytes) -> Tokenizer:
    """The same vocabulary as a `tokenizers.Tokenizer` that appends `</s>`."""
    proto = spm_proto.ModelProto()
    proto.ParseFromString(model)
    eos = proto.trainer_spec.eos_id
    vocabulary = [(piece.piece, piece.score) for piece in proto.pieces]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=proto.trainer_spec.unk_id, byte_fallback=True))
    tokenizer.normalizer = _normalizer()
    tokenizer.pre_tokenizer = _pre_tokenizer()
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Metaspace(replacement="▁", prepend_scheme="always", split=True)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", eos)]
    )
    return tokenizer


def _normalizer() -> normalizers.Normalizer:
    def any_of(codes: list[int]) -> str:
        return "[" + "".join(f"\\x{{{code:X}}}" for code in sorted(codes)) + "]"

    narrow = [normalizers.Replace(chr(code), text) for code, text in FULL_WIDTH.items()]
    return normalizers.Sequence(
        [
            normalizers.Replace(Regex(any_of(INVISIBLE)), ""),
            normalizers.Replace(Regex(any_of(SPACES) + "+"), " "),
            normalizers.Strip(),
            normalizers.Lowercase(),
            *narrow,
        ]
    )


def _pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    """Words by their leading mark, and "<" alone: no text can then spell the name of a special or a byte piece."""
    words = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    return pre_tokenizers.Sequence([words, pre_tokenizers.Split("<", "isolated")])


def configuration() -> dict[str, Any]:
    """tokenizer_config.json. Not T5Tokenizer, which transformers 5 rebuilds with its own normaliser and no byte fallback."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **SPECIALS,
        "model_max_length": WINDOW,
        "padding_side": "right",
        "truncation_side": "right",
        "split_special_tokens": True,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
    }


def write(folder: Path, model: bytes) -> None:
    """Writes the four files of a `tokenizer/` folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spiece.model").write_bytes(model)
    convert(model).save(str(folder / "tokenizer.json"), pretty=False)
    for name, value in (("tokenizer_config.json", configuration()), ("special_tokens_map.json", SPECIALS)):
        (folder / name).write_text(json.dumps(value, indent=2) + "\n", "utf-8")


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    write(folder, train())
    if folder == FOLDER:
        COUNTING_COPY.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(FOLDER / "spiece.model", COUNTING_COPY)


if __name__ == "__main__":
    main()
