"""What health says of the generator, beside ready or not.

liveness        NOT_SERVING once a step has been under way for far too long, or the stepping thread is gone: only a new
                process helps
tier/<name>     NOT_SERVING while the tier's breaker is open
store           NOT_SERVING while the store does not take what this generator writes; what is stored is still served
"" and service  SERVING when warm, while not stuck and at least one tier is not resting
"""

from __future__ import annotations

import asyncio

from generator_service.runner import Runner
from reelgate.rpc.server import Server

LIVENESS = "liveness"
STORE = "store"
# A stuck step raises no event; this is how late it may be noticed.
LOOK_S = 1.0


async def tell_health(server: Server, runner: Runner) -> None:
    """For ever, from when the service is ready: what changes is told."""
    told: dict[str, bool] = {"": True}
    while True:
        for name, serving in status(runner).items():
            if told.get(name) is not serving:
                await (server.set_serving(serving) if not name else server.set_status(name, serving))
                told[name] = serving
        await asyncio.sleep(LOOK_S)


def status(runner: Runner) -> dict[str, bool]:
    """Serving or not, by name; "" is the service itself."""
    governor = runner.governor
    alive = not governor.stuck()
    tiers = governor.admission.breakers if governor.admission else {}
    resting = governor.admission.open_tiers() if governor.admission else frozenset()
    found = {
        LIVENESS: alive,
        STORE: runner.heart.sure and not runner.held_up_runs,
        "": alive and len(resting) < max(1, len(tiers)),
    }
    return {**found, **{f"tier/{tier}": alive and tier not in resting for tier in tiers}}
