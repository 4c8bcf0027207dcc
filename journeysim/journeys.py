"""Journeys: paths of touches and what each led to, all that an attribution method needs of a log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from journeysim.errors import InputError
from journeysim.event_columns import KINDS
from journeysim.events import microseconds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.events import EventLog

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Journeys:
    """Ordered touches of J journeys, flat, with what each journey led to.

    One row may stand for many customers with the same path: `conversions` and `nulls` are weights, and may be
    fractional. Journeys without any touch are not rows; what they led to is kept in the `untouched_*` totals.

    Attributes
    ----------
    channels : the C channel names; codes point into it
    codes : (T,) int32, channel of each touch, journey by journey, in the order of time
    offsets : (J + 1,) int64; journey j owns touches offsets[j]:offsets[j + 1], at least one
    conversions : (J,) how many times this path ended in a conversion, >= 0
    nulls : (J,) how many times it ended without one, >= 0
    value : (J,) value of the conversions, in the currency of the log
    ages_days : (T,) days from each touch to the end of its journey (conversion or end of window), or None if unknown
    untouched_conversions, untouched_value, untouched_nulls : what happened without a touch; no channel can be credited
    notes : what was done to the log on the way here, in sentences
    """

    channels: tuple[str, ...]
    codes: NDArray[np.int32]
    offsets: NDArray[np.int64]
    conversions: FloatArray
    nulls: FloatArray
    value: FloatArray
    ages_days: FloatArray | None = None
    untouched_conversions: float = 0.0
    untouched_value: float = 0.0
    untouched_nulls: float = 0.0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n_touches, n_journeys = len(self.codes), len(self.offsets) - 1
        if n_journeys < 0 or self.offsets[0] != 0 or self.offsets[-1] != n_touches or (np.diff(self.offsets) < 1).any():
            raise InputError(f"Journeys: offsets must rise from 0 to the {n_touches} touches, one or more each.")
        for name in ("conversions", "nulls", "value"):
            column = getattr(self, name)
            if column.shape != (n_journeys,):
                raise InputError(f"Journeys: {name} has shape {column.shape}, expected ({n_journeys},).")
            wrong = ~np.isfinite(column) if name == "value" else ~(np.isfinite(column) & (column >= 0))
            if wrong.any():
                j = int(np.flatnonzero(wrong)[0])
                bound = "" if name == "value" else " >= 0"
                raise InputError(f"Journeys: {name} of journey {j} is {column[j]}; it must be a finite number{bound}.")
        if self.ages_days is not None and self.ages_days.shape != self.codes.shape:
            raise InputError(f"Journeys: {len(self.ages_days)} ages_days for {n_touches} touches.")
        if n_touches and not (self.codes.min() >= 0 and self.codes.max() < len(self.channels)):
            raise InputError(f"Journeys: codes must be in 0..{len(self.channels) - 1}, one of the channels.")
        for column in (self.codes, self.offsets, self.conversions, self.nulls, self.value, self.ages_days):
            if column is not None:
                column.setflags(write=False)

    def __repr__(self) -> str:
        return (
            f"Journeys({self.n_journeys:,} journeys, {len(self.codes):,} touches on {len(self.channels)} channels, "
            f"{self.n_conversions:,.6g} conversions)"
        )

    @property
    def n_journeys(self) -> int:
        """Number of rows (distinct rows, not customers)."""
        return len(self.offsets) - 1

    @property
    def owner(self) -> NDArray[np.int64]:
        """(T,) the journey that each touch belongs to."""
        return np.repeat(np.arange(self.n_journeys), np.diff(self.offsets))

    @property
    def n_conversions(self) -> float:
        """Total weight of conversions that had at least one touch: what credit must add up to."""
        return float(self.conversions.sum())

    @property
    def total_value(self) -> float:
        """Total value of the conversions that had at least one touch."""
        return float(self.value.sum())


def to_journeys(
    log: EventLog, *, conversion: Literal["first", "every"] = "first", lookback_days: float | None = None
) -> Journeys:
    """The touch paths of a log: what each customer met on the way to a purchase, or until the window closed.

    Parameters
    ----------
    conversion : `first` looks at each customer up to the first purchase; `every` starts a new journey after each
    lookback_days : leave out touches that are older than this at the end of their journey

    Raises
    ------
    InputError : the log has no touch, or lookback_days is not positive
    """
    if conversion not in ("first", "every"):
        raise InputError(f"conversion is {conversion!r}; it must be 'first' or 'every'.")
    if lookback_days is not None and not lookback_days > 0:
        raise InputError(f"lookback_days is {lookback_days}; it must be positive.")
    who, when, kinds = log.customer_codes(), log.times_us(), log.codes("kind", KINDS)
    is_purchase = kinds == KINDS.index("purchase")
    starts = np.ones(len(who), dtype=bool)
    starts[1:] = (who[1:] != who[:-1]) | is_purchase[:-1]
    journey = np.cumsum(starts) - 1
    first_rows, last_rows = np.flatnonzero(starts), np.flatnonzero(np.append(starts[1:], True))

    converted = is_purchase[last_rows]
    paid = np.asarray(log.events["value"].take(last_rows), dtype=np.float64)
    value = np.where(converted, np.nan_to_num(paid), 0.0)
    end_us = np.where(converted, when[last_rows], microseconds(log.end))
    is_first = np.ones(len(first_rows), dtype=bool)
    is_first[1:] = who[first_rows[1:]] != who[first_rows[:-1]]

    touches = np.flatnonzero(kinds == KINDS.index("touch"))
    notes = []
    if conversion == "first":
        later = ~is_first[journey[touches]]
        touches = touches[~later]
        if later.any():
            notes.append(f"{later.sum():,} touches after a first purchase are left out.")
        if (again := converted & ~is_first).any():
            notes.append(f"{again.sum():,} repeat purchases (value {value[again].sum():,.2f}) are left out.")
    ages_days = (end_us[journey[touches]] - when[touches]) / 86_400e6
    if lookback_days is not None:
        old = ages_days > lookback_days
        touches, ages_days = touches[~old], ages_days[~old]
        if old.any():
            notes.append(f"{old.sum():,} touches older than {lookback_days:g} days are left out.")
    if not len(touches):
        raise InputError("The log has no touch before a conversion, so there is nothing to attribute to.")

    n_touches = np.bincount(journey[touches], minlength=len(first_rows))
    touched = n_touches > 0
    untouched = ~touched & (is_first | (converted & (conversion == "every")))
    without_value = int((converted & touched & np.isnan(paid)).sum())
    if without_value:
        notes.append(f"{without_value:,} conversions have no value and count as 0.")
    silent = log.n_customers - int(is_first.sum())
    channels = log.names_in("channel")
    return Journeys(
        channels=channels,
        codes=log.codes("channel", channels)[touches].astype(np.int32),
        offsets=np.append(0, np.cumsum(n_touches[touched])),
        conversions=converted[touched].astype(np.float64),
        nulls=(~converted[touched]).astype(np.float64),
        value=value[touched],
        ages_days=ages_days,
        untouched_conversions=float(converted[untouched].sum()),
        untouched_value=float(value[untouched].sum()),
        untouched_nulls=float((~converted[untouched]).sum() + silent),
        notes=tuple(notes),
    )
