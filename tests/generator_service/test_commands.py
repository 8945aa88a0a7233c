"""The generator's verb, by the real command line."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from generator_service.commands import register


def run(**environment: str) -> tuple[int, str]:
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    settings = {f"REELGATE_GENERATOR_{key}": value for key, value in environment.items()}
    result = CliRunner().invoke(app, ["tiers"], env=settings)
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
