"""What to know before reading the figures of a posterior, said wherever one is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from journeysim.bayes.diagnostics import Diagnostics

MOST_SHOWN: Final = 5


class Drawn(Protocol):
    """What every posterior has."""

    @property
    def warmup(self) -> int:
        """Of the sampler; 0 for draws from the prior, which needs none."""
        ...

    @property
    def diagnostics(self) -> Diagnostics:
        """Whether the draws may be trusted."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before reading the figures."""
        ...


def state(posterior: Drawn) -> str:
    """Whether it converged, and how many notes it has: "converged, 2 notes"."""
    n = len(posterior.notes)
    if not posterior.warmup:
        found = "drawn from the prior"
    else:
        found = "converged" if posterior.diagnostics.ok else "not converged"
    return found + (f", {n} note{'s' if n > 1 else ''}" if n else "")


def with_notes(posterior: Drawn) -> str:
    """What it is in a line, and below it the notes, the first few if there are many."""
    notes = posterior.notes
    more = (f"... and {len(notes) - MOST_SHOWN} more in .notes",) if len(notes) > MOST_SHOWN else ()
    return "\n".join((repr(posterior), *(f"- {note}" for note in (*notes[:MOST_SHOWN], *more))))
