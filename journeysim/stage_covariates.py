"""What a customer has met so far, in classes: the covariates by which a stage history can split its cells.

A class may depend only on what happened *before* the moment at which the hazard is taken, so a change at time u counts
from just after u on: the move that a contact made at once is a move of those who had not been contacted yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from numbers import Real
from typing import TYPE_CHECKING, Protocol

import numpy as np

from journeysim.errors import InputError
from journeysim.event_columns import KINDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.events import EventLog

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """When a covariate changes its class: one entry per change, in any order.

    Attributes
    ----------
    rows : (n,) the row of the log that made the change: ties with moves are resolved in the order of the log
    times_us : (n,) when, in microseconds, at or after the time of that row
    classes : (n,) the class from then on
    by_stay : classes add up, from 0 at the beginning of each stay and up to the last class; otherwise they stand until
        the next change, whatever stage the customer is in
    """

    rows: IntArray
    times_us: IntArray
    classes: IntArray
    by_stay: bool


class Covariate(Protocol):
    """Something about a customer that changes in time; the first class is the one that others are compared with."""

    @property
    def name(self) -> str:
        """The covariate in one word."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, the reference first."""
        ...

    def changes(self, log: EventLog) -> Changes:
        """When each customer's class changes.

        Raises
        ------
        InputError : if the log has no such events
        """
        ...


@dataclass(frozen=True, slots=True)
class ContactCount:
    """How many contacts the customer has had in this stay: 0, 1, ..., `most` or more.

    Attributes
    ----------
    channel : count contacts on this channel only; None for all
    most : contacts from which on they are one class, >= 1
    """

    channel: str | None = None
    most: int = 2

    def __post_init__(self) -> None:
        _check_name("ContactCount", "channel", self.channel)
        if not (isinstance(self.most, int) and self.most >= 1):
            raise InputError(f"ContactCount: most must be a whole number of at least 1, got {self.most!r}.")

    @property
    def name(self) -> str:
        """The covariate in one word."""
        return f"contacts {self.channel}" if self.channel else "contacts"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, the reference first."""
        return (*map(str, range(self.most)), f"{self.most}+")

    def changes(self, log: EventLog) -> Changes:
        """One per contact."""
        rows = _contacts(log, self.channel)
        return Changes(rows, log.times_us()[rows], np.ones(len(rows), dtype=np.int64), by_stay=True)


@dataclass(frozen=True, slots=True)
class ContactRecency:
    """How long ago the last contact was, in whatever stage: long ago or never; then from old to fresh.

    Attributes
    ----------
    channel : contacts on this channel only; None for all
    days : edges of the classes, ascending, > 0
    """

    channel: str | None = None
    days: tuple[float, ...] = (1.0, 7.0)

    def __post_init__(self) -> None:
        _check_name("ContactRecency", "channel", self.channel)
        numbers = isinstance(self.days, tuple | list) and all(isinstance(days, Real) for days in self.days)
        if not (numbers and self.days) or not all(a < b < np.inf for a, b in pairwise((0.0, *self.days))):
            raise InputError(f"ContactRecency: days must be ascending numbers above 0, got {self.days!r}.")

    @property
    def name(self) -> str:
        """The covariate in one word."""
        return f"recency {self.channel}" if self.channel else "recency"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, the reference first."""
        edges = (0.0, *self.days)
        fresh = tuple(f"{a:g}-{b:g} days" for a, b in reversed(list(pairwise(edges))))
        return (f"{edges[-1]:g}+ days or never", *fresh)

    def changes(self, log: EventLog) -> Changes:
        """Each contact makes the class fresh, and it ages until the next contact."""
        rows = _contacts(log, self.channel)
        who, when = log.customer_codes()[rows], log.times_us()[rows]
        until = np.append(np.where(who[1:] == who[:-1], when[1:], np.iinfo(np.int64).max), np.iinfo(np.int64).max)
        parts = [(rows, when, np.full(len(rows), len(self.days), dtype=np.int64))]
        for i, days in enumerate(self.days):
            ages = when + round(days * DAY_US)
            kept = ages < until[: len(rows)]
            parts.append((rows[kept], ages[kept], np.full(kept.sum(), len(self.days) - 1 - i, dtype=np.int64)))
        changed, times, classes = (np.concatenate(column) for column in zip(*parts, strict=True))
        return Changes(changed, times, classes, by_stay=False)


@dataclass(frozen=True, slots=True)
class PainMet:
    """Whether the customer has met a pain point in this stay.

    Attributes
    ----------
    pain_point : this one only; None for any
    """

    pain_point: str | None = None

    def __post_init__(self) -> None:
        _check_name("PainMet", "pain_point", self.pain_point)

    @property
    def name(self) -> str:
        """The covariate in one word."""
        return f"pain {self.pain_point}" if self.pain_point else "pain"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, the reference first."""
        return ("not met", "met")

    def changes(self, log: EventLog) -> Changes:
        """One per pain point met."""
        rows = _rows(log, "pain", "pain_point", self.pain_point)
        return Changes(rows, log.times_us()[rows], np.ones(len(rows), dtype=np.int64), by_stay=True)


@dataclass(frozen=True, slots=True)
class Satisfaction:
    """The customer's last answer to a survey: not asked yet, low, middle or high.

    CSAT: 1-2 is low, 3 middle, 4-5 high. NPS: 0-6 (detractors) is low, 7-8 middle, 9-10 high.
    """

    @property
    def name(self) -> str:
        """The covariate in one word."""
        return "satisfaction"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, the reference first."""
        return ("not asked", "low", "middle", "high")

    def changes(self, log: EventLog) -> Changes:
        """One per answer."""
        kinds = log.codes("kind", KINDS)
        csat = kinds == KINDS.index("csat")
        rows = np.flatnonzero(csat | (kinds == KINDS.index("nps")))
        if not len(rows):
            raise InputError("The log has no answers to surveys (kinds csat, nps), so no satisfaction to split by.")
        score = log.events["value"].to_numpy()[rows]
        middle, high = np.where(csat[rows], 3, 7), np.where(csat[rows], 4, 9)
        classes = np.where(score >= high, 3, np.where(score >= middle, 2, 1))
        return Changes(rows, log.times_us()[rows], classes.astype(np.int64), by_stay=False)


def _check_name(owner: str, what: str, name: object) -> None:
    if not (name is None or isinstance(name, str)):
        raise InputError(f"{owner}: {what} is the name of one, or None for all, got {name!r}.")


def _contacts(log: EventLog, channel: str | None) -> IntArray:
    return _rows(log, "touch", "channel", channel)


def _rows(log: EventLog, kind: str, column: str, name: str | None) -> IntArray:
    """The rows of a kind, with a name in a column; refuses what the log does not have."""
    chosen = log.codes("kind", KINDS) == KINDS.index(kind)
    if name is not None:
        known = log.names_in(column)
        if name not in known:
            raise InputError(f"The log has no {column} {name!r} to split by; it has: {', '.join(known) or 'none'}.")
        chosen &= log.codes(column, known) == known.index(name)
    if not chosen.any():
        raise InputError(f"The log has no events of kind {kind!r}, so there is nothing to split by.")
    return np.flatnonzero(chosen)
