"""Journeys: paths of touches and what each led to, all that an attribution method needs of a log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from journeysim.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

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

    @property
    def n_journeys(self) -> int:
        """Number of rows (distinct rows, not customers)."""
        return len(self.offsets) - 1

    @property
    def n_conversions(self) -> float:
        """Total weight of conversions that had at least one touch: what credit must add up to."""
        return float(self.conversions.sum())

    @property
    def total_value(self) -> float:
        """Total value of the conversions that had at least one touch."""
        return float(self.value.sum())
