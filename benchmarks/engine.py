"""Jobs that cannot be lost: what survives a SIGKILL, how soon a cancel works, what the engine costs, what use and a
store in trouble leave behind.

    python benchmarks/engine.py [--quick] [--only kills,ablation,cancels,overhead,batch,trouble,mixed]

On the embedded model, torch on one thread. Each part is a function that takes the engine and gives its rows.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import (
    engine_ablation,
    engine_batch,
    engine_cancels,
    engine_crash,
    engine_kills,
    engine_load,
    engine_overhead,
    engine_trouble,
)
from benchmarks.report import Goal, close
from generator_service import tier as tiers
from generator_service import wan
from generator_service.engine import Engine

Part = Callable[[Engine, bool], list[Goal]]
PARTS: dict[str, Part] = {
    "ablation": lambda engine, quick: engine_ablation.rows(engine),
    "kills": lambda engine, quick: engine_kills.rows(engine, 6 if quick else 54),
    "cancels": lambda engine, quick: [
        *engine_load.cancel_rows(engine, 6 if quick else 51),
        *engine_cancels.rows(engine, 4 if quick else 25),
    ],
    "overhead": lambda engine, quick: engine_overhead.rows(engine, 4 if quick else 40),
    "batch": lambda engine, quick: engine_batch.rows(engine, 3 if quick else 16),
    "trouble": lambda engine, quick: engine_trouble.rows(engine, *((5.0, 2.0) if quick else (30.0, 15.0))),
    "mixed": lambda engine, quick: engine_load.mixed_rows(engine, 60 if quick else 1000),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few of everything: does it run?")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, comma-separated")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    tier = tiers.load(tiers.FOLDER / "embedded.yaml")
    engine_crash.prepare(tier.model)
    # The execution that the requests here name; the killed processes load the same.
    engine = Engine(dataclasses.replace(wan.load(tier, torch.device("cpu")), execution="0" * 64))
    goals: list[Goal] = []
    for name in args.only.split(","):
        begun = time.perf_counter()
        goals += PARTS[name](engine, args.quick)
        print(f"-- {name}: {time.perf_counter() - begun:.0f} s", flush=True)
    return 0 if close(goals) == 0 or args.quick else 1


if __name__ == "__main__":
    sys.exit(main())
