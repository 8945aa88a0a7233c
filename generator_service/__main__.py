"""``python -m generator_service``: the service, set up from the environment (settings.py)."""

from __future__ import annotations

import logging
import os
import sys

from pydantic import ValidationError

from generator_service import heap
from generator_service.app import main
from generator_service.settings import Settings
from generator_service.store import StoreUnavailableError
from generator_service.watchdog import DeviceLostError
from reelgate.rpc import logs
from reelgate.rpc.environment import warn_of_unknown
from reelgate.rpc.server import run


def start() -> int:
    """Serve until told to stop; 2 for settings that cannot work, a model that cannot be loaded among them; 3 when the device is lost
    and only a new process can go on. Of the processes of `torchrun` the first one serves, and the others make passes with it."""
    # Before there are threads: the one that steps would have a heap of its own.
    heap.keep()
    heap.keep_on_device()
    logs.configure()
    warn_of_unknown(Settings)
    # Its progress bars and notices are not ours to show.
    logging.getLogger("diffusers").setLevel(logging.ERROR)
    try:
        if os.environ.get("RANK", "0") != "0":
            from generator_service.follower import by_torchrun

            by_torchrun(Settings())
            return 0
        run(main(Settings()))
    except DeviceLostError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the operator's own device
        return 3
    except (ValidationError, ValueError, OSError, RuntimeError, StoreUnavailableError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - the operator's own settings
        return 2
    return 0


if __name__ == "__main__":
    code = start()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: models that are still being loaded cannot be stopped, and torch aborts when the interpreter ends under it.
    os._exit(code)
