"""Small random BARTs that the tests of this folder share."""

from __future__ import annotations

from pathlib import Path

import pytest

from .small_bart import save


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    return save(tmp_path_factory.mktemp("bart"))


@pytest.fixture(scope="session")
def opening_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whose outputs are opened by a forced mark, as bart-large-cnn's are."""
    pytest.importorskip("transformers")
    return save(tmp_path_factory.mktemp("bart_opening"), first=0, seed=1)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the converted forms lie, for all tests of one run."""
    return tmp_path_factory.mktemp("bart_cache")
