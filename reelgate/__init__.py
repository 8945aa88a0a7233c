"""Reelgate's client: from any text to an admitted request, and from that to a stored video.

    from reelgate import SyncClient

    with SyncClient("127.0.0.1:50050") as reelgate:
        video = reelgate.generate_to_file("A red ball rolls to the left on grass", "ball.mp4")

`Client` is the same for asyncio. Errors are in `reelgate.rpc.errors`, values in `reelgate.values`.
"""

from reelgate.budgets import Bill, Budget, Limit, Raise, Standing, UsageRow, Verdict
from reelgate.client import Client
from reelgate.sync import SyncClient
from reelgate.values import Accepted, Event, Fields, PostProcessing, Prepared, Progress, Receipt, Settings, Video

__all__ = [
    "Accepted",
    "Bill",
    "Budget",
    "Client",
    "Event",
    "Fields",
    "Limit",
    "PostProcessing",
    "Prepared",
    "Progress",
    "Raise",
    "Receipt",
    "Settings",
    "Standing",
    "SyncClient",
    "UsageRow",
    "Verdict",
    "Video",
]
