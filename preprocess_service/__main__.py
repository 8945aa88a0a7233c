"""``python -m preprocess_service``: the service, set up from the environment (settings.py)."""

import sys

from pydantic import ValidationError

from reelgate.rpc import logs
from reelgate.rpc.environment import warn_of_unknown
from reelgate.rpc.errors import BudgetStoreUnavailableError
from reelgate.rpc.server import run

from .app import main
from .settings import Settings


def start() -> int:
    """Serve until told to stop; 2 for settings that cannot work."""
    logs.configure()
    warn_of_unknown(Settings)
    try:
        run(main(Settings()))
    except (ValidationError, ValueError, OSError, RuntimeError, BudgetStoreUnavailableError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - the operator's own settings
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(start())
