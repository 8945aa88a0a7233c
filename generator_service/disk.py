"""Makes what was written in a folder outlive the machine's power."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

SYNCED_MOST = 10_000


class Disk:
    """Of the folder ``root``. ``write`` makes a file or a folder durable; raises ``OSError``."""

    def __init__(self, root: Path, write: Callable[[Path], None]) -> None:
        self._root, self.write = root, write
        self._synced: set[Path] = set()

    def write_place(self, file: Path, new: bool) -> None:
        """The file and its folder; where that is new, or was not seen synced yet, its parents too, up to one that was: that one's own
        name is safe, and with it the names above."""
        self.write(file)
        if len(self._synced) > SYNCED_MOST:
            self._synced.clear()
        below = []
        for folder in (self._root / folder for folder in file.relative_to(self._root).parents):
            self.write(folder)
            below.append(folder)
            if folder in self._synced and not new:
                break
            new = False  # the one above has had its place all along
        # Only now: nobody is to rely on a folder whose own name may yet be lost.
        self._synced.update(below)


def sync(path: Path) -> None:
    """By ``fsync``."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
