"""What cannot be shared by several processes is refused with its reason; `test_group.py` shares what can."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from generator_service import parallel
from generator_service import tier as tiers
from generator_service.engine import Engine
from generator_service.group import take_card
from generator_service.tier import Parallel
from tests.generator_service.test_tier import GOOD

ULYSSES, GUIDANCE = "parallel: {processes: 2}", "parallel: {processes: 2, method: guidance}"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (f"{ULYSSES}\noffload: expert", "so do offload and step_cache"),
        (f"{ULYSSES}\nstep_cache: {{kind: first_block}}", "so do offload and step_cache"),
        (f"{ULYSSES}\ncompile: true", "breaks it"),
        (f"{ULYSSES}\nbatch: true", "several videos' on one"),
        (f"{ULYSSES}\nattention: auto", "name native or cudnn"),
        (f"{ULYSSES}\ncross_attention: auto", "in each process: name one"),
        (f"{GUIDANCE}\nguidance_every: 2", "leaves one out"),
        (f"{GUIDANCE}\nguidance_interval: [0.1, 0.9]", "leaves one out"),
        ("parallel: {processes: 3, method: guidance}", "3 processes have none"),
        ("parallel: {processes: 1}", "greater than or equal to 2"),
        ("parallel: {processes: 2, method: stripes}", "'ulysses', 'ring' or 'guidance'"),
    ],
)
def test_a_tier_that_cannot_be_shared_says_why(tmp_path: Path, changes: str, reason: str) -> None:
    (tmp_path / "small.yaml").write_text(GOOD.replace("fps: 8", f"fps: 8\n{changes}"))
    with pytest.raises(ValueError, match=r"small\.yaml") as refused:
        tiers.load(tmp_path / "small.yaml")
    assert reason in str(refused.value)


def test_two_passes_cannot_be_made_at_once_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "off.yaml").write_text(GOOD.replace("guidance: 4.0", "guidance: 1.0") + f"{GUIDANCE}\n")
    with pytest.raises(ValueError, match="without guidance there is one"):
        tiers.load(tmp_path / "off.yaml")


def test_heads_fall_into_equal_shares_or_are_refused(engine: Engine) -> None:
    for processes, method in ((2, "ulysses"), (4, "ulysses"), (6, "guidance"), (3, "ring")):
        how = Parallel(processes=processes, method=method)  # type: ignore[arg-type]
        if (how.shares, method) == (3, "guidance"):
            with pytest.raises(parallel.NotDivisibleError, match="4 heads cannot be shared by 3"):
                parallel.check_heads(engine.experts[0], how)
        else:
            parallel.check_heads(engine.experts[0], how)


def test_a_default_video_that_cannot_be_shared_is_refused(engine: Engine) -> None:
    """By the tokens of a pass: each half of the processes makes its own."""
    tokens = engine.latent_tokens(48, 16, 9)
    assert tokens == 9
    parallel.check_tokens(tokens, Parallel(processes=3, method="ring"))
    parallel.check_tokens(tokens, Parallel(processes=6, method="guidance"))
    for method in ("ulysses", "ring"):
        with pytest.raises(
            parallel.NotDivisibleError, match="9 latent tokens of the default video cannot be shared by 2"
        ):
            parallel.check_tokens(tokens, Parallel(processes=2, method=method))  # type: ignore[arg-type]


def test_a_pass_belongs_to_the_branch_of_its_process() -> None:
    four = Parallel(processes=4, method="guidance")
    assert [parallel.branch_of(rank, four) for rank in range(4)] == [0, 0, 1, 1]
    assert (four.branches, four.shares) == (2, 2)
    all_in_one = Parallel(processes=4)
    assert [parallel.branch_of(rank, all_in_one) for rank in range(4)] == [0, 0, 0, 0]


def test_the_leaders_card_has_a_number_though_settings_name_none() -> None:
    """``device: auto`` is the first GPU; torch refuses to make a card without a number the current one."""
    taken: list[torch.device] = []
    for named in ("cuda", "cuda:3"):
        take_card(torch.device(named), taken.append)
    assert [each.index for each in taken] == [0, 3]
