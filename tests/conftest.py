"""What every test needs."""

from __future__ import annotations

import os
import signal

# A shell without job control starts what runs in its background with ctrl-C ignored, nohup starts it with hang-ups ignored, and every
# child inherits that: tests that send these to a child would wait for ever. A handler of Python's own makes them the default again in
# children.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

# No test writes to the user's own ledger: every service that a test starts, child processes too, keeps its books in memory, unless the
# test gives it others.
os.environ["REELGATE_PREPROCESS_LEDGER"] = "memory"
