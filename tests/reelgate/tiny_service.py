"""A service as a process is one, with nothing in it: `python -m tests.reelgate.tiny_service`, its manner from ``TINY``."""

from __future__ import annotations

import json
import os
import signal
import sys


def say(event: str, **fields: str) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)


def live(manner: str) -> None:
    signals = {signal.SIGTERM, signal.SIGUSR1}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    print("no JSON at all", 7, "null", "[]", '{"event": 1}', sep="\n", flush=True)
    say("listening", address=f"127.0.0.1:{os.getpid()}")
    if manner == "dies":
        sys.exit(3)
    say("ready")
    while signal.sigwait(signals) is not signal.SIGTERM or manner == "deaf":
        pass


if __name__ == "__main__":
    live(os.environ["TINY"])
