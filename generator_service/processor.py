"""Which processor computes: libraries choose their kernels by it, and kernels add in other orders."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path

TOLD = ("vendor_id", "cpu family", "model", "flags", "CPU implementer", "CPU architecture", "CPU part", "Features")
CPUINFO = Path("/proc/cpuinfo")


def identity(threads: int, cpuinfo: Path = CPUINFO) -> str:
    """Equal where sums are made in the same order, as far as can be known: make and model, what it can do (as a hash, the list is
    long), and over how many threads of torch a sum is split."""
    try:
        lines = [line.partition(":") for line in cpuinfo.read_text().partition("\n\n")[0].splitlines()]
    except OSError:  # not Linux
        return f"{platform.machine()} {platform.processor()}, {threads} threads"
    first = {key.strip(): value.strip() for key, _, value in lines}
    make = "-".join(first[key] for key in TOLD if key in first and key not in ("flags", "Features"))
    can = sorted(first.get("flags", first.get("Features", "")).split())
    return f"{make} {hashlib.sha256(' '.join(can).encode()).hexdigest()[:8]}, {threads} threads"
