"""Budgets in files are read strictly."""

from __future__ import annotations

from pathlib import Path

import pytest

from preprocess_service.budgets.core import Budget, Filed, Limit, Window
from preprocess_service.tenants import Tenants


def folder(tmp_path: Path, default: str = "", **tenants: str) -> Tenants:
    (tmp_path / "tenants").mkdir()
    (tmp_path / "default.yaml").write_text(default)
    for name, text in tenants.items():
        (tmp_path / "tenants" / f"{name}.yaml").write_text(text)
    return Tenants(tmp_path)


async def test_a_tenants_own_budget_and_everybodys_stand_beside_each_other(tmp_path: Path) -> None:
    tenants = folder(
        tmp_path,
        "budget: {limits: [{window: day, tokens: 5, soft: true, carry_over: true}], abnormal: throttle}",
        acme="budget: {shadow: true}",
    )
    everybodys = Budget(limits=(Limit(window=Window.DAY, tokens=5, soft=True, carry_over=True),), throttle=True)
    assert await tenants.filed("acme") == Filed(own=Budget(shadow=True), default=everybodys)
    assert await tenants.filed("someone") == Filed(default=everybodys)


async def test_without_files_there_is_no_budget(tmp_path: Path) -> None:
    assert await folder(tmp_path, "screening: flag").filed("acme") == Filed()
    assert await Tenants(None).filed("acme") == Filed()


WRONG = {
    "an unknown key": ("{limit: []}", "limit"),
    "an unknown window": ("{limits: [{window: week, tokens: 1}]}", "window"),
    "no figure": ("{limits: [{window: day}]}", "limits nothing"),
    "two figures for one": ("{limits: [{window: day, device_ms: 1, device_seconds: 1}]}", "give one"),
    "one window twice": (
        "{limits: [{window: day, tokens: 1}, {window: day, tokens: 2}]}",
        "more than one limit for: day",
    ),
    "a request that carries over": ("{limits: [{window: request, tokens: 1, carry_over: true}]}", "carry_over"),
    "a negative figure": ("{limits: [{window: day, tokens: -1}]}", "tokens"),
    "a figure in words": ('{limits: [{window: day, tokens: "many"}]}', "tokens"),
    "half a token": ("{limits: [{window: day, tokens: 1.5}]}", "tokens"),
    "endless time": ("{limits: [{window: day, device_seconds: .inf}]}", "device_seconds"),
    "another word": ("{abnormal: shout}", "abnormal"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_budget_stops_the_start_and_names_the_file(tmp_path: Path, name: str) -> None:
    text, word = WRONG[name]
    with pytest.raises(ValueError, match=r"acme\.yaml") as caught:
        folder(tmp_path, acme=f"budget: {text}")
    assert word in str(caught.value)
