"""Two processors are told apart where their sums may differ, and one is itself at every start."""

from __future__ import annotations

from pathlib import Path

import pytest

from generator_service.processor import identity

INTEL = """processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 143
cpu MHz\t\t: 2000.000
flags\t\t: fpu avx2 avx512f

processor\t: 1
vendor_id\t: GenuineIntel
"""


@pytest.fixture
def cpuinfo(tmp_path: Path) -> Path:
    (tmp_path / "cpuinfo").write_text(INTEL)
    return tmp_path / "cpuinfo"


def test_a_clock_and_the_order_of_what_it_can_do_change_nothing(cpuinfo: Path) -> None:
    first = identity(1, cpuinfo)
    cpuinfo.write_text(INTEL.replace("2000.000", "2600.123").replace("avx2 avx512f", "avx512f avx2"))
    assert identity(1, cpuinfo) == first
    assert first.startswith("GenuineIntel-6-143 ")


@pytest.mark.parametrize(("was", "other"), [(": 143", ": 106"), ("Genuine", "Another"), (" avx512f", "")])
def test_another_make_model_or_set_of_instructions_is_another(cpuinfo: Path, was: str, other: str) -> None:
    first = identity(1, cpuinfo)
    cpuinfo.write_text(INTEL.replace(was, other))
    assert identity(1, cpuinfo) != first


def test_sums_over_more_threads_are_others(cpuinfo: Path) -> None:
    assert identity(1, cpuinfo) != identity(2, cpuinfo)


def test_an_arm_says_it_in_other_words_and_where_there_is_no_list_the_platform_is_asked(cpuinfo: Path) -> None:
    cpuinfo.write_text("processor\t: 0\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n\n")
    assert identity(1, cpuinfo).startswith("0x41-0xd40 ")
    assert identity(1, cpuinfo.with_name("none")).endswith("1 threads")
