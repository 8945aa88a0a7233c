"""The ``reelgate`` command. Verbs that need a service's code come from the services, through entry points."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points

import typer

from reelgate import cli_budget, cli_demo, cli_generate, cli_up, cli_usage, cli_video
from reelgate import cli_show as show
from reelgate.rpc import telemetry
from reelgate.rpc.errors import ReelgateError

GROUP = "reelgate.commands"
# Verbs that a service brings, and what to install where it is not there.
BROUGHT = {"prepare": "preprocess", "ledger": "preprocess", "tiers": "generator"}


def build() -> typer.Typer:
    """The command with every verb that is installed here."""
    app = typer.Typer(
        name="reelgate",
        help="From any prompt to a short one, and from that to a video.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for module in (cli_demo, cli_up, cli_generate, cli_video, cli_budget, cli_usage):
        module.register(app)
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name):
        try:
            entry.load()(app)
        except ImportError as missing:
            show.note(f"without {entry.name}: {missing}")
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command (``arguments``: the process's own); every failure is one line with its reason and the next step, and exit code 1."""
    try:
        with telemetry.exporting("reelgate-client", telemetry.Traces(endpoint=os.environ.get("REELGATE_TRACES", ""))):
            build()(arguments)
    except ReelgateError as error:
        show.refusal(error)
        sys.exit(1)
    except OSError as error:
        show.failure(error.strerror or type(error).__name__, str(error.filename or error))
        sys.exit(1)
