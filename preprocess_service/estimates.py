"""What a video would cost the device, as the generator estimates it; asked once for equal shapes, since that changes slowly."""

from __future__ import annotations

import logging
import time

from reelgate.generator.v1 import generator_pb2
from reelgate.preprocess.v1 import preprocess_pb2 as pb
from reelgate.rpc.errors import ReelgateError

from .flight import Flights
from .generator import Generator

log = logging.getLogger(__name__)
KEPT = 1024
TTL_S = 10.0
Key = tuple[bytes, str, str]
"""Settings as bytes, tier, tenant."""
Known = tuple[float, generator_pb2.EstimateVideoResponse | None]
"""Until when it holds, on the monotonic clock, and the answer. Looked at by every call, so it is no more than this."""


class Estimates:
    """An estimate that cannot be had (no generator, a tier that was not measured yet, a shape it refuses) is left out: the
    prompt's own cost does not wait for it."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self._known: dict[Key, Known] = {}
        self._flights: Flights[generator_pb2.EstimateVideoResponse | None] = Flights()

    async def complete(
        self, cost: pb.CostEstimate, settings: generator_pb2.VideoSettings, tier: str, tenant: str
    ) -> None:
        """Fills the device time into ``cost``, where it can be had."""
        if tier not in self._generator.open_tiers:
            return
        key = (settings.SerializeToString(), tier, tenant)
        known = self._known.get(key)
        if known is None or known[0] < time.monotonic():
            known = await self._look(key, settings)
        # A tier that was not measured yet is answered without times.
        if (found := known[1]) is not None and found.HasField("device_ms_p50"):
            cost.device_ms_p50, cost.device_ms_p95 = found.device_ms_p50, found.device_ms_p95

    async def _look(self, key: Key, settings: generator_pb2.VideoSettings) -> Known:
        _, tier, tenant = key
        wanted = generator_pb2.EstimateVideoRequest(settings=settings, tenant=tenant)
        wanted.settings.tier = tier
        found = await self._flights.once(repr(key).encode(), lambda: self._ask(wanted))
        if len(self._known) >= KEPT:
            self._known.clear()  # they are stale in seconds anyway
        known = self._known[key] = (time.monotonic() + TTL_S, found)
        return known

    async def close(self) -> None:
        await self._flights.close()

    async def _ask(self, wanted: generator_pb2.EstimateVideoRequest) -> generator_pb2.EstimateVideoResponse | None:
        try:
            return await self._generator.estimate(wanted)
        except ReelgateError as error:
            log.info("no estimate", extra={"reason": error.reason})
            return None
