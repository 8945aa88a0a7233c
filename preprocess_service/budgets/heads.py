"""Where the chains of the books ended, in a file that is kept elsewhere: a line for each tenant, its name, a number and a hash."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import typer

from .verify import Head

LINE: Final = re.compile(r"(\S{1,64}) (\d{1,18}) ([0-9a-f]{64})")


def read(path: Path, *, begin: bool = False) -> tuple[Head, ...]:
    """``begin``: there is no file yet, and nothing is known. Raises ``typer.BadParameter``: a path with a slip in it is no proof."""
    if begin and path.exists():
        raise typer.BadParameter(f"{path} is there already: --begin is for the first time", param_hint="--begin")
    if begin:
        return ()
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        raise typer.BadParameter(
            f"there is no {path}; the first time, add --begin to make it", param_hint="--heads"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"cannot be read: {error}", param_hint="--heads") from None
    found = [LINE.fullmatch(line) for line in lines]
    if wrong := [number for number, match in enumerate(found, 1) if match is None]:
        raise typer.BadParameter(f"line {wrong[0]} is not 'tenant number hash'", param_hint="--heads")
    return tuple(
        Head(tenant=match[1], sealed_seq=int(match[2]), last_seq=int(match[2]), hash=match[3])
        for match in found
        if match
    )


def write(path: Path, heads: Iterable[Head]) -> None:
    """All or nothing: a torn file would be no proof. Raises ``typer.BadParameter``."""
    text = "".join(f"{head.tenant} {head.sealed_seq} {head.hash}\n" for head in heads if head.hash)
    new = path.with_name(path.name + ".new")
    try:
        with new.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        raise typer.BadParameter(f"cannot be written: {error}", param_hint="--heads") from None
