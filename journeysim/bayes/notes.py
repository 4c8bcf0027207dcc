"""What to know before reading the figures of a posterior, said wherever one is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_SHOWN: Final = 5


def number_of(notes: Sequence[str]) -> str:
    """For the end of a line that says what a posterior is: ", 2 notes", or nothing."""
    return f", {len(notes)} note{'s' if len(notes) > 1 else ''}" if notes else ""


def with_notes(line: str, notes: Sequence[str]) -> str:
    """The line, and below it the notes, the first few if there are many."""
    more = (f"... and {len(notes) - MOST_SHOWN} more in .notes",) if len(notes) > MOST_SHOWN else ()
    return "\n".join((line, *(f"- {note}" for note in (*notes[:MOST_SHOWN], *more))))
