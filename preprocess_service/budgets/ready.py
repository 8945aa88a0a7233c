"""Changes of the books as the text that the driver gets: made once for a dialect, and several sent in one round trip where it can.

Half of what a reservation took was SQLAlchemy preparing the same statements anew, and on PostgreSQL most of the rest was waiting for
the answers of statements that have nothing to say. What is read still goes by SQLAlchemy, which knows the columns of an answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from sqlalchemy import ClauseElement, Connection, Dialect

from .rows import Params

NUMBERED = re.compile(r"\$(\d+)")


class Ready:
    """A statement that changes something and answers nothing. Its parameters are integers and strings, which the drivers take as they
    are; ``ValueError`` for one that SQLAlchemy would convert."""

    __slots__ = ("_fixed", "_names", "text")

    def __init__(self, statement: ClauseElement, dialect: Dialect) -> None:
        made: Any = statement.compile(dialect=dialect)
        if converted := sorted(made._bind_processors):
            raise ValueError(f"{', '.join(converted)} would have to be converted")
        self.text = str(made)
        self._names: tuple[str, ...] = tuple(made.positiontup)
        # Of the statement itself; those that each call gives are None here.
        self._fixed = {name: value for name, value in made.params.items() if value is not None}

    def values(self, given: Params) -> tuple[Any, ...]:
        """Those of one call, in the order of the text. Raises ``KeyError`` where one is missing."""
        every = self._fixed | given if self._fixed else given
        return tuple([every[name] for name in self._names])


Step = tuple[Ready, Params]


class Sender:
    """Does all of some changes, in order on SQLite and as one statement on PostgreSQL.

    There the parts of one statement see nothing of each other, so no two of them may change the same row.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._at_once = dialect.name == "postgresql"
        self._texts: dict[tuple[Ready, ...], str] = {}

    def send(self, conn: Connection, steps: Sequence[Step]) -> None:
        if not self._at_once:
            for each, same in groupby(steps, key=itemgetter(0)):
                rows = [each.values(given) for _, given in same]
                conn.exec_driver_sql(each.text, rows if len(rows) > 1 else rows[0])
            return
        parts = tuple([each for each, _ in steps])
        text = self._texts.get(parts)
        if text is None:
            text = self._texts[parts] = joined(parts)
        conn.exec_driver_sql(text, tuple([value for each, given in steps for value in each.values(given)]))


def joined(parts: Sequence[Ready]) -> str:
    """One statement that does what ``parts`` do; its parameters are theirs, one after the other."""
    texts, behind = [], 0
    for part in parts:
        texts.append(NUMBERED.sub(lambda found, behind=behind: f"${int(found[1]) + behind}", part.text))  # type: ignore[misc]
        behind += max((int(number) for number in NUMBERED.findall(part.text)), default=0)
    *before, last = texts
    named = ", ".join(f"part{number} AS ({text})" for number, text in enumerate(before))
    return f"WITH {named} {last}" if before else last
