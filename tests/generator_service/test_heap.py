"""Memory that is given back and asked for again."""

from __future__ import annotations

import subprocess
import sys

import pytest

from generator_service import heap

# Faults of a thread that makes and drops 40 MB ten times, after a first time.
CHILD = """
import resource, sys, threading
from generator_service import heap
if sys.argv[1] == "keep":
    heap.keep()

def fill():
    bytearray(40 << 20)

def main():
    fill()
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
    for _ in range(10):
        fill()
    print(resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before)

thread = threading.Thread(target=main)
thread.start()
thread.join()
"""


def faults(manner: str) -> int:
    return int(subprocess.run([sys.executable, "-c", CHILD, manner], capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not heap.keep(), reason="mallopt is glibc's own")
def test_what_was_given_back_is_had_again_without_a_fault() -> None:
    assert faults("keep") < 100
    assert faults("leave") > 10_000


def test_a_gpus_memory_grows_in_segments_that_have_no_holes_unless_an_operator_says_how() -> None:
    found: dict[str, str] = {}
    heap.keep_on_device(found)
    assert found == {"PYTORCH_ALLOC_CONF": "expandable_segments:True"}
    for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
        said = {name: "max_split_size_mb:512"}
        heap.keep_on_device(said)
        assert said == {name: "max_split_size_mb:512"}
