"""Templates of each tenant, from a folder that is read again when it changes."""

import logging
import os
from pathlib import Path

import pytest

from preprocess_service.core import Template
from preprocess_service.tenants import Tenants
from reelgate.rpc.errors import NotFoundError

PRODUCT = 'templates: {product: {version: "3", order: [style, subject], join: " | ", defaults: {style: studio}}}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tenants").mkdir()
    (tmp_path / "default.yaml").write_text("templates: {shared: {order: [subject]}}")
    (tmp_path / "tenants" / "acme.yaml").write_text(PRODUCT)
    return tmp_path


def test_without_a_folder_everybody_has_the_built_in_template() -> None:
    assert Tenants(None).of("anyone").template("default") == Template()


def test_a_tenant_has_its_own_templates_and_everybodys(folder: Path) -> None:
    tenants = Tenants(folder)
    acme, other = tenants.of("acme"), tenants.of("other")
    assert acme.template("product") == Template(
        name="product", version="3", order=("style", "subject"), join=" | ", defaults=(("style", "studio"),)
    )
    assert acme.template("shared").order == other.template("shared").order == ("subject",)
    with pytest.raises(NotFoundError):
        other.template("product")
    assert acme.version != other.version


def test_a_change_counts_from_the_next_question_on(folder: Path) -> None:
    tenants = Tenants(folder)
    before = tenants.of("acme")
    assert tenants.of("acme") is before
    new = folder / "new"
    new.write_text(PRODUCT.replace('"3"', '"4"'))
    os.replace(new, folder / "tenants" / "acme.yaml")
    after = tenants.of("acme")
    assert (after.template("product").version, after.version != before.version) == ("4", True)
    (folder / "tenants" / "acme.yaml").unlink()
    with pytest.raises(NotFoundError):
        tenants.of("acme").template("product")


def test_a_change_that_cannot_be_read_leaves_the_last_good_state(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tenants = Tenants(folder)
    good = tenants.of("acme")
    (folder / "tenants" / "acme.yaml").write_text("templates: {product: {order: [nonsense]}}")
    with caplog.at_level(logging.ERROR):
        assert tenants.of("acme") == good
        assert tenants.of("acme") == good
    assert len(caplog.records) == 1


@pytest.mark.parametrize("wrong", ["templates: [", "templates: {x: {order: []}}", "typo: {}"])
def test_at_the_start_a_wrong_file_is_refused_by_name(folder: Path, wrong: str) -> None:
    (folder / "tenants" / "acme.yaml").write_text(wrong)
    with pytest.raises(ValueError, match=r"acme\.yaml"):
        Tenants(folder)
