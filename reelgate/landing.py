"""Where a download lands: whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


def target_of(path: str | Path) -> Path:
    """``path``, where a file can be. Raises ``OSError``."""
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "There is no such folder", str(target.parent))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "This is a folder, not a file", str(target))
    return target


@contextmanager
def landing(target: Path) -> Iterator[BinaryIO]:
    """A file to write to; what is in it when the block ends well becomes ``target``, and nothing does when it raises.

    A device or a pipe is written to and never replaced: whoever may would otherwise make a file of ``/dev/null``.
    """
    if target.exists() and not target.is_file():
        with tempfile.TemporaryFile() as out:
            yield out
            out.seek(0)
            with target.open("wb") as device:
                shutil.copyfileobj(out, device)
        return
    descriptor, partial = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "wb") as out:
            yield out
        Path(partial).chmod(0o644)
        Path(partial).replace(target)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(partial).unlink()
        raise
