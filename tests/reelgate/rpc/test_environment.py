"""Variables that no setting has are said, and every setting's own is known."""

from __future__ import annotations

import pytest

from generator_service.settings import Settings as Generator
from preprocess_service.settings import Settings as Preprocess
from reelgate.rpc.environment import warn_of_unknown


def test_a_mistyped_variable_is_said_with_the_one_that_was_meant(caplog: pytest.LogCaptureFixture) -> None:
    warn_of_unknown(Generator, {"REELGATE_GENERATOR_STROE": "x", "REELGATE_PREPROCESS_STROE": "x", "STROE": "x"})
    assert caplog.messages == [
        "REELGATE_GENERATOR_STROE is no setting and changes nothing; is REELGATE_GENERATOR_STORE meant?"
    ]


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (Generator, ["STORE", "TIERS", "store", "FULL_MODEL", "METRICS_ADDRESS"]),
        (Preprocess, ["LEDGER", "GENERATOR", "TOKENIZERS", "CACHE_REDIS"]),
    ],
)
def test_what_is_a_setting_is_not_warned_of(
    settings: type[Generator | Preprocess], names: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    warn_of_unknown(settings, {settings.model_config["env_prefix"] + name: "x" for name in names})
    assert caplog.messages == []
