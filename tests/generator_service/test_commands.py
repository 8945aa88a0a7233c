"""The generator's verbs, by the real command line."""

from __future__ import annotations

import pytest
import typer
import yaml
from typer.testing import CliRunner

from generator_service import tier as tiers
from generator_service.commands import register
from generator_service.tier import Tier


def run(*words: str, **environment: str) -> tuple[int, str]:
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    settings = {f"REELGATE_GENERATOR_{key}": value for key, value in environment.items()}
    result = CliRunner().invoke(app, [*(words or ("tiers",))], env=settings)
    return result.exit_code, result.output


def test_only_what_is_on_is_listed() -> None:
    code, said = run()
    assert code == 0
    assert "embedded (default)" in said
    assert "full" not in said
    assert "full: " in run(FULL_MODEL="Wan-AI/Wan2.2-T2V-A14B-Diffusers")[1]


@pytest.mark.parametrize("environment", [{"DEFAULT_TIER": "imax"}, {"EMBEDDED_MODEL": ""}], ids=str)
def test_a_default_that_is_off_is_refused(environment: dict[str, str]) -> None:
    assert run(**environment)[0] == 2


def test_what_fits_which_card_is_listed_without_weights() -> None:
    code, said = run("fits")
    assert code == 0
    lines = [line.split() for line in said.splitlines()]
    assert {(words[0], words[1]) for words in lines[1:]} == {
        (tier, card) for tier in ("full", "fast", "draft") for card in ("24", "48", "80", "141")
    }


def test_ratios_are_measured_and_the_lines_make_a_valid_tier() -> None:
    code, said = run("calibrate", "a red circle moves left over grass")
    assert code == 0
    lines = yaml.safe_load(said[said.index("step_cache:") :])
    cached = Tier.model_validate(tiers.load(tiers.FOLDER / "embedded.yaml").model_dump() | lines)
    assert cached.step_cache is not None
    assert (len(cached.step_cache.ratios), len(cached.step_cache.ratios_2)) == (5, 11)
    assert run("calibrate", "a", "--tier", "imax")[0] == 2
