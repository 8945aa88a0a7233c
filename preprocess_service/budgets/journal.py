"""What a replica granted while the ledger was down, on disk before anybody is told: so that a replica that is killed books it later.

A file of JSON lines for each process, locked as long as it lives. Files of the folder that nobody has locked are those of processes
that are gone: whoever starts next takes them over.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .core import Amount, Ask

log = logging.getLogger(__name__)
Key = tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A grant out of ``piece``, the key of a slice."""

    piece: Key
    ask: Ask


class Journal:
    """``folder`` is made where there is none. ``left`` has the grants of processes that are gone, to be booked, then `forget` them.

    Raises ``OSError`` where it cannot be written.
    """

    def __init__(self, folder: Path, replica: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._old: list[tuple[Path, int]] = []
        self.left: dict[Key, Line] = {}
        for path in sorted(folder.glob("*.jsonl")):
            self._adopt(path)
        self._path = folder / f"{replica.replace('/', '_')}-{secrets.token_hex(4)}.jsonl"
        self._file = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        _sync_folder(folder)

    def granted(self, line: Line) -> None:
        """On disk when this returns. From any thread."""
        self._append({"piece": line.piece, "ask": asdict(line.ask)})

    def ended(self, key: Key) -> None:
        """It is in the ledger, or nothing came of it. Not waited for: to book it twice does nothing."""
        os.write(self._file, _line({"ended": key}))

    def empty(self) -> None:
        """Nothing is left to be booked, of this process and of those before it."""
        os.ftruncate(self._file, 0)
        for path, file in self._old:
            path.unlink(missing_ok=True)
            os.close(file)
        self._old = []

    def close(self, *, keep: bool) -> None:
        """``keep``: for the next process, since something could not be booked."""
        if not keep:
            self.empty()
            self._path.unlink(missing_ok=True)
        for _, file in self._old:
            os.close(file)
        os.close(self._file)

    def _append(self, value: dict[str, Any]) -> None:
        os.write(self._file, _line(value))
        os.fsync(self._file)

    def _adopt(self, path: Path) -> None:
        file = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # its process lives
            os.close(file)
            return
        self._old.append((path, file))
        self.left |= read(path)


def read(path: Path) -> dict[Key, Line]:
    """Grants of a file that did not end, by (name, run). A line that a crash cut was told to nobody."""
    lines: dict[Key, Line] = {}
    ended: set[Key] = set()
    for text in path.read_text("utf-8", "replace").splitlines():
        try:
            value = json.loads(text)
            if "ended" in value:
                ended.add(_key(value["ended"]))
            else:
                line = Line(piece=_key(value["piece"]), ask=_ask(value["ask"]))
                lines[line.ask.name, line.ask.run] = line
        except (ValueError, KeyError, TypeError):
            log.warning("a line of the journal cannot be read", extra={"file": path.name})
    return {key: line for key, line in lines.items() if key not in ended}


def _ask(value: dict[str, Any]) -> Ask:
    ask = Ask(**value)
    return replace(ask, amount=Amount(**value["amount"]), flags=tuple(value["flags"]))


def _key(value: Any) -> Key:
    name, run = value
    return str(name), str(run)


def _line(value: dict[str, Any]) -> bytes:
    """On a line of its own, whatever a crash or a full disk left before it."""
    return b"\n" + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _sync_folder(folder: Path) -> None:
    at = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(at)
    finally:
        os.close(at)
