"""Rules that split each conversion among the touches of its journey: first, last, linear, position, time decay."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from journeysim.attribution.base import Attribution, require_conversions
from journeysim.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.journeys import Journeys

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FirstTouch:
    """All credit to the first touch."""

    def attribute(self, journeys: Journeys) -> Attribution:
        """Credit each conversion to the channel that opened its journey."""
        share = np.zeros(len(journeys.codes))
        share[journeys.offsets[:-1]] = 1.0
        return _credit("first_touch", self, journeys, share)


@dataclass(frozen=True, slots=True)
class LastTouch:
    """All credit to the last touch."""

    def attribute(self, journeys: Journeys) -> Attribution:
        """Credit each conversion to the channel that closed its journey."""
        share = np.zeros(len(journeys.codes))
        share[journeys.offsets[1:] - 1] = 1.0
        return _credit("last_touch", self, journeys, share)


@dataclass(frozen=True, slots=True)
class Linear:
    """The same credit to every touch."""

    def attribute(self, journeys: Journeys) -> Attribution:
        """Split each conversion equally among the touches of its journey."""
        lengths = _lengths(journeys)
        return _credit("linear", self, journeys, np.repeat(1.0 / lengths, lengths))


@dataclass(frozen=True, slots=True)
class PositionBased:
    """Fixed shares to the first and the last touch, the rest split equally among those between ("U-shaped").

    One touch gets all; two split it first : last. The defaults, .4, .4 and .2, are those of the position-based model
    of Google Analytics (its help pages, "About the default MCF attribution models").

    Attributes
    ----------
    first, last : shares of the credit, each >= 0, their sum in (0, 1]
    """

    first: float = 0.4
    last: float = 0.4

    def __post_init__(self) -> None:
        if not (self.first >= 0 and self.last >= 0 and 0 < self.first + self.last <= 1):
            raise InputError(
                f"PositionBased: first={self.first!r} and last={self.last!r} must be shares >= 0 with a sum in (0, 1]."
            )

    def attribute(self, journeys: Journeys) -> Attribution:
        """Split each conversion by the positions of its touches."""
        lengths = _lengths(journeys)
        middle = (1.0 - self.first - self.last) / np.maximum(lengths - 2, 1)
        share = np.repeat(middle, lengths)
        # With nothing between them, first and last share all.
        scale = np.where(lengths == 2, 1.0 / (self.first + self.last), 1.0)
        share[journeys.offsets[:-1]] = self.first * scale
        share[journeys.offsets[1:] - 1] = self.last * scale
        share[journeys.offsets[:-1][lengths == 1]] = 1.0
        return _credit("position_based", self, journeys, share)


@dataclass(frozen=True, slots=True)
class TimeDecay:
    """Credit halves for each `half_life_days` between a touch and the conversion.

    The default of 7 days is that of the time-decay model of Google Analytics (its help pages, as above).

    Attributes
    ----------
    half_life_days : > 0
    """

    half_life_days: float = 7.0

    def __post_init__(self) -> None:
        if not 0 < self.half_life_days < np.inf:
            raise InputError(f"TimeDecay: half_life_days must be a positive number, got {self.half_life_days!r}.")

    def attribute(self, journeys: Journeys) -> Attribution:
        """Split each conversion in proportion to 2 ** (-age / half_life_days).

        Raises
        ------
        InputError : if the journeys have no times, or a touch comes after the end of its journey
        """
        ages = journeys.ages_days
        if ages is None:
            raise InputError(
                "TimeDecay needs the days from each touch to the conversion, and these journeys have no times "
                "(aggregated paths never do). Build them from an event log, or use position_based."
            )
        if not (np.isfinite(ages) & (ages >= 0)).all():
            touch = int(np.flatnonzero(~(np.isfinite(ages) & (ages >= 0)))[0])
            journey = int(np.searchsorted(journeys.offsets, touch, side="right")) - 1
            raise InputError(
                f"TimeDecay: a touch of journey {journey} has age {ages[touch]} days; ages must be finite and >= 0 "
                "(cut touches after the conversion)."
            )
        starts, lengths = journeys.offsets[:-1], _lengths(journeys)
        # Counted from the newest touch of the journey, so that a year-old journey does not underflow to 0 / 0.
        newest = np.minimum.reduceat(ages, starts) if len(starts) else np.zeros(0)
        share = np.exp2((np.repeat(newest, lengths) - ages) / self.half_life_days)
        total = np.add.reduceat(share, starts) if len(starts) else np.zeros(0)
        return _credit("time_decay", self, journeys, share / np.repeat(total, lengths))


def _lengths(journeys: Journeys) -> IntArray:
    return np.diff(journeys.offsets)


def _credit(method: str, settings: Any, journeys: Journeys, share: FloatArray) -> Attribution:
    """Add up (T,) shares of each touch in its journey's conversions and value."""
    require_conversions(journeys)
    lengths = _lengths(journeys)

    def total(of_journey: FloatArray) -> FloatArray:
        credit = np.bincount(journeys.codes, share * np.repeat(of_journey, lengths), len(journeys.channels))
        return credit.astype(np.float64)

    return Attribution(
        method=method,
        settings=asdict(settings),
        channels=journeys.channels,
        conversions=total(journeys.conversions),
        value=total(journeys.value),
        untouched_conversions=journeys.untouched_conversions,
        untouched_value=journeys.untouched_value,
        notes=journeys.notes,
    )
