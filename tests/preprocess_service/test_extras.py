"""A setting that needs an extra which is not installed stops the start with what to install."""

import os
import subprocess
import sys

import pytest

START = """
import sys
sys.modules["ctranslate2"] = None  # what a process without the distribution meets
from preprocess_service.__main__ import start
sys.exit(start())
"""


@pytest.mark.parametrize(("name", "value"), [("bart", "embedded"), ("semantic", "all-MiniLM-L6-v2")])
def test_a_missing_extra_is_named(name: str, value: str) -> None:
    settings = {f"REELGATE_PREPROCESS_{name.upper()}": value, "REELGATE_PREPROCESS_ADDRESS": "127.0.0.1:0"}
    done = subprocess.run(
        [sys.executable, "-c", START],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert f"REELGATE_PREPROCESS_{name.upper()} needs ctranslate2: pip install 'reelgate[{name}]'" in done.stderr
    assert "Traceback" not in done.stderr
