"""The converter: by itself, once, whole or not at all, for whatever lies in the folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from preprocess_service.summarise.checkpoint import converted, digest, facts, find

# The first import of torch and transformers can take minutes on a busy machine.
pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("checkpoint")]


def visible(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")]


def test_a_checkpoint_is_converted_once(checkpoint: Path, cache: Path) -> None:
    made = converted(checkpoint, "int8", cache)
    before = (made / "model.bin").stat().st_mtime_ns
    assert converted(checkpoint, "int8", cache) == made
    assert (made / "model.bin").stat().st_mtime_ns == before
    assert facts(made).start == facts(made).end == 2


def test_keys_that_a_config_may_lack_are_filled_in(checkpoint: Path, cache: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_text("utf-8"))
    assert not {"normalize_before", "normalize_embedding"} & set(config)
    assert (converted(checkpoint, "float32", cache) / "model.bin").is_file()


def test_other_content_under_the_same_name_has_another_digest(checkpoint: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(checkpoint, tmp_path / "copy"))
    assert digest(copy) == digest(checkpoint)
    weights = copy / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    assert digest(copy) != digest(checkpoint)


def test_the_first_mark_is_read_from_the_generation_config(opening_checkpoint: Path, cache: Path) -> None:
    assert facts(converted(opening_checkpoint, "float32", cache)).first == 0


def test_two_processes_at_once_make_one(checkpoint: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from preprocess_service.summarise.checkpoint import converted;"
        "made = converted(Path(sys.argv[1]), 'int8', Path(sys.argv[2])); assert 'torch' not in sys.modules; print(made)"
    )
    command = [sys.executable, "-c", code, str(checkpoint), str(tmp_path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = {process.communicate()[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    assert len(answers) == 1
    assert visible(tmp_path) == [Path(answers.pop()).name]


def test_what_a_killed_converter_left_is_replaced(checkpoint: Path, cache: Path, tmp_path: Path) -> None:
    made = tmp_path / converted(checkpoint, "int8", cache).name
    made.mkdir()
    (made / "model.bin").write_bytes(b"half")
    assert (converted(checkpoint, "int8", tmp_path) / "model.bin").stat().st_size > 4


def test_a_folder_that_cannot_be_converted_says_why_and_leaves_nothing(checkpoint: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(checkpoint, tmp_path / "broken"))
    (broken / "model.safetensors").write_bytes(b"no weights")
    cache = tmp_path / "cache"
    with pytest.raises(ValueError, match="could not be converted"):
        converted(broken, "int8", cache)
    assert visible(cache) == []
    assert not [entry for entry in cache.iterdir() if entry.is_dir()]


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", "utf-8")
    with pytest.raises(ValueError, match="no weights"):
        digest(tmp_path)


def test_a_name_that_is_nowhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match="neither a folder nor on the hub"):
        find("reelgate-tests/there-is-no-such-checkpoint")
