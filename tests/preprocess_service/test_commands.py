"""`reelgate prepare` as a person runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from preprocess_service import tokens
from preprocess_service.commands import register
from preprocess_service.settings import embedded_tokenizer


@pytest.fixture(scope="module")
def app() -> typer.Typer:
    made = typer.Typer()
    made.callback()(lambda: None)
    register(made)
    return made


def test_one_prompt_is_printed(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["prepare", "a red ball 🙂 rolls &amp; stops"])
    assert result.exit_code == 0
    assert result.stdout == "a red ball rolls & stops\n"


def test_json_has_prompt_and_receipt(app: typer.Typer, long_prompt: str) -> None:
    result = CliRunner().invoke(
        app, ["prepare", "--json", "--policy", "balanced", "--keyword", "brick wall", long_prompt]
    )
    answer = json.loads(result.stdout)
    assert answer["receipt"]["policy"] == "balanced"
    assert answer["tokens_after"] == tokens.load(embedded_tokenizer()).count(answer["prompt"]) <= 128
    assert "brick wall" in answer["prompt"]


def test_an_empty_prompt_is_an_error(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["prepare", " "])
    assert result.exit_code == 1
    assert "INVALID_FIELD" in result.stderr


def test_lines_that_fail_are_named_and_the_rest_goes_on(app: typer.Typer, tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = [
        b'{"id":"a","text":"A red ball"}',
        b'{"id":"b","text":""}',
        b"no json",
        b'{"id":"c","text":"\\ud800"}',
        b"\xff",
        b'{"id":"d"}',
        b"",
        '{"id":"e","text":"一只猫"}'.encode(),
    ]
    source.write_bytes(b"\n".join(rows))
    result = CliRunner().invoke(app, ["prepare", "--jsonl", str(source), str(target)])
    assert result.exit_code == 1
    out = [json.loads(raw) for raw in target.read_text(encoding="utf-8").splitlines()]
    assert [row.get("prompt") for row in out] == ["A red ball", None, None, None, None, None, "一只猫"]
    assert [row["error"]["reason"] for row in out if "error" in row] == [
        "INVALID_FIELD",
        "BAD_LINE",
        "INVALID_FIELD",
        "BAD_LINE",
        "BAD_LINE",
    ]
    assert set(out[0]) == {"id", "prompt", "tokens_before", "tokens_after", "receipt"}


def test_another_tokenizer_counts(app: typer.Typer, data: Path) -> None:
    path = data / "tokenizers" / "bart-large-cnn" / "tokenizer.json"
    result = CliRunner().invoke(app, ["prepare", "--json", "--tokenizer", str(path), "一只红色的小猫"])
    assert json.loads(result.stdout)["tokens_after"] == tokens.load(path).count("一只红色的小猫")


@pytest.mark.parametrize(
    "arguments", [[], ["a", "--policy", "cheap"], ["a", "--server", "x:1", "--tokenizer", __file__]]
)
def test_arguments_that_make_no_sense_are_refused(app: typer.Typer, arguments: list[str]) -> None:
    assert CliRunner().invoke(app, ["prepare", *arguments]).exit_code == 2


def test_the_receipt_shows_what_went_and_by_which_stage(app: typer.Typer, long_prompt: str) -> None:
    result = CliRunner().invoke(app, ["prepare", "--keep", "brick wall", long_prompt.replace("round", "round\u200b")])
    shown = " ".join(result.stderr.split())
    assert "[-" in shown
    assert "U+200B" in shown
    assert "changed by clean" in shown
    assert "summarise" in shown
    assert "protected: brick wall (keyword)" in shown


def test_a_ratio_lowers_the_ceiling(app: typer.Typer, long_prompt: str) -> None:
    result = CliRunner().invoke(app, ["prepare", "--json", "--ratio", "0.3", long_prompt])
    answer = json.loads(result.stdout)
    assert answer["tokens_after"] <= 0.3 * answer["tokens_before"]
    assert CliRunner().invoke(app, ["prepare", "--ratio", "2", "a"]).exit_code == 2
