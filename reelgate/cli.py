"""The ``reelgate`` command. Verbs that need a service's code come from the services, through entry points."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points

import typer

from reelgate import cli_demo, cli_generate, cli_up, cli_video
from reelgate.cli_show import errors
from reelgate.rpc.errors import ReelgateError

GROUP = "reelgate.commands"
# Verbs that a service brings, and what to install where it is not there.
BROUGHT = {"prepare": "preprocess", "tiers": "generator"}


def build() -> typer.Typer:
    """The command with every verb that is installed here."""
    app = typer.Typer(
        name="reelgate",
        help="From any prompt to a short one, and from that to a video.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for module in (cli_demo, cli_up, cli_generate, cli_video):
        module.register(app)
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name):
        try:
            entry.load()(app)
        except ImportError as missing:
            errors.print(f"[dim]without {entry.name}: {missing}[/dim]", highlight=False)
    return app


def main() -> None:
    """Run the command; every failure is one line with its reason and the next step, and exit code 1."""
    try:
        build()()
    except ReelgateError as error:
        errors.print(f"[red]{error.reason}[/red]: {error}", highlight=False)
        if error.next_step:
            errors.print(f"  {error.next_step}", highlight=False)
        if error.request_id:
            errors.print(f"  [dim]request {error.request_id}[/dim]", highlight=False)
        sys.exit(1)
    except OSError as error:
        errors.print(f"[red]{error.strerror or type(error).__name__}[/red]: {error.filename or error}", highlight=False)
        sys.exit(1)
