"""A BART checkpoint on disk: where it lies, what it is, and its CTranslate2 form, made once and kept in the user's cache.

The converted folder is named by the checkpoint's content, so another checkpoint under the same name is converted anew. It
appears whole or not at all (a temporary folder, then a rename), and of several processes that start at once one converts
while the others wait. Converting needs torch and transformers; it runs in a process of its own, so this one never has them.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import importlib.metadata
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)
FACTS = "reelgate.json"
"""What the runtime must know beside CTranslate2's own files; see ``Facts``."""
SUFFIXES = (".json", ".txt", ".safetensors", ".bin", ".model")
FORM = 2
"""Changes when what the converter writes does."""
DIGITS = 16
CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Of one checkpoint: ids of marks, and ``window``, the tokens that it reads. ``first`` opens every output, where not None.
    ``no_repeat``: tokens in a row that may not come twice, 0 for no such rule."""

    window: int
    start: int
    end: int
    pad: int
    first: int | None
    no_repeat: int

    @classmethod
    def of(cls, config: Any, generation: Any) -> Facts:
        """From transformers' model and generation configuration."""
        first = getattr(generation, "forced_bos_token_id", None)
        if first is None:
            first = getattr(config, "forced_bos_token_id", None)
        start = getattr(generation, "decoder_start_token_id", None)
        return cls(
            window=int(config.max_position_embeddings),
            start=int(config.decoder_start_token_id if start is None else start),
            end=int(config.eos_token_id),
            pad=int(config.pad_token_id),
            first=None if first is None else int(first),
            # bart-large-cnn says 3, and loops otherwise; a model that copies says more, since it must repeat a name.
            no_repeat=int(getattr(generation, "no_repeat_ngram_size", None) or 0),
        )


def cache_folder() -> Path:
    """``reelgate/bart`` in the user's cache folder; made when something is put there."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reelgate" / "bart"


def find(name_or_path: str) -> Path:
    """The folder of a checkpoint; a name that is no folder is fetched from the hub. Raises ``ValueError`` where there is none."""
    folder = Path(name_or_path).expanduser()
    if folder.is_dir():
        return folder
    hub: Any = importlib.import_module("huggingface_hub")
    try:
        patterns = ["*.json", "*.txt", "*.safetensors", "pytorch_model*.bin"]
        return Path(hub.snapshot_download(name_or_path, allow_patterns=patterns))
    except Exception as error:  # the hub's client fails in many ways; each means that there is no checkpoint
        raise ValueError(f"no BART checkpoint: {name_or_path!r} is neither a folder nor on the hub") from error


def digest(folder: Path) -> str:
    """Hex sha256 over the names and contents of the checkpoint's files. Raises ``ValueError`` where there are no weights."""
    files = sorted(file for file in folder.iterdir() if file.is_file() and file.suffix in SUFFIXES)
    if any(file.suffix == ".safetensors" for file in files):
        files = [file for file in files if file.suffix != ".bin"]
    if not any(file.suffix in (".safetensors", ".bin") for file in files):
        raise ValueError(f"{folder} holds no weights (*.safetensors or *.bin)")
    whole = hashlib.sha256()
    for file in files:
        whole.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as handle:
            while chunk := handle.read(CHUNK):
                whole.update(chunk)
    return whole.hexdigest()


def converted(source: Path, compute: str, cache: Path) -> Path:
    """The CTranslate2 form of ``source`` in ``cache``, converted now where it is not there yet.

    Raises ``ValueError`` for a checkpoint that cannot be converted, and where torch and transformers are not installed.
    """
    runtime = importlib.metadata.version("ctranslate2")
    target = cache / f"{digest(source)[:DIGITS]}-{compute}-ct2-{runtime}-{FORM}"
    if not (target / FACTS).is_file():
        cache.mkdir(parents=True, exist_ok=True)
        with _alone(cache / f".{target.name}.lock"):
            if not (target / FACTS).is_file():
                _convert(source, target, compute)
    return target


def facts(folder: Path) -> Facts:
    """What the converter noted."""
    return Facts(**json.loads((folder / FACTS).read_text("utf-8")))


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time; the system lets go of the lock of a process that dies."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _convert(source: Path, target: Path, compute: str) -> None:
    log.info("converting the checkpoint in %s for CTranslate2 (%s), once", source, compute)
    made = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part)
        command = [sys.executable, "-m", "preprocess_service.summarise.converting", str(source), str(made), compute]
        done = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise ValueError(f"the checkpoint in {source} could not be converted: {last}")
        shutil.rmtree(target, ignore_errors=True)
        made.replace(target)
    finally:
        shutil.rmtree(made, ignore_errors=True)
