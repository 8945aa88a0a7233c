"""A sign of a process's life on one machine, and a note that outlives it."""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import threading
from pathlib import Path


class LifeLine:
    """A file that this process keeps locked. The kernel gives the lock back when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._page: mmap.mmap | None = None
        self._closed, self._writing = False, threading.Lock()
        path.parent.mkdir(exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def write(self, note: bytes) -> None:
        """No sync: this outlives the process, which is all that is asked of it. It is called after every step, so it writes to
        memory that is the file's, and asks the kernel for nothing."""
        # A full disk only costs the note; so does a life line that is let go at this moment.
        # Locked, since the number of a file that was let go is soon another file's.
        with self._writing, contextlib.suppress(OSError, ValueError):
            if self._closed:
                return
            text, page = note + b"\n", self._page
            if page is None or len(page) < len(text):
                page = self._page = self._room(len(text))
            page[: len(text)] = text

    def _room(self, size: int) -> mmap.mmap:
        """Its blocks are there: a disk that fills later kills nobody who writes to them."""
        size = -(-2 * size // mmap.PAGESIZE) * mmap.PAGESIZE
        os.posix_fallocate(self._file, 0, size)
        return mmap.mmap(self._file, size)

    def close(self) -> None:
        with self._writing:
            self._closed = True
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()
            if self._page is not None:
                self._page.close()
                self._page = None
            os.close(self._file)
