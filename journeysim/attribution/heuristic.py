"""Rules that split each conversion among the touches of its journey: first, last, linear, position, time decay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from journeysim.attribution.ages import required_ages_days
from journeysim.attribution.base import require_conversions
from journeysim.attribution.sharing import result
from journeysim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from journeysim.attribution.base import Attribution
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
class LastNonDirect:
    """All credit to the last touch that is not a direct visit.

    A journey of direct visits only credits its last one, as Google Analytics does (its help pages, "About the default
    MCF attribution models").

    Attributes
    ----------
    direct : names of the channels that count as direct; upper and lower case are alike
    """

    direct: tuple[str, ...] = ("direct", "(direct)", "(direct) / (none)")

    def __post_init__(self) -> None:
        direct: object = self.direct  # a caller may have passed one name instead of several
        if isinstance(direct, str) or not direct:
            raise InputError(f"LastNonDirect: direct must be a tuple of channel names, got {self.direct!r}.")

    def attribute(self, journeys: Journeys) -> Attribution:
        """Credit each conversion to the last channel of its journey that is not direct."""
        names = {name.casefold() for name in self.direct}
        is_direct = np.array([name.casefold() in names for name in journeys.channels], dtype=np.bool_)
        last = journeys.offsets[1:] - 1
        # The last touch that is not direct, looking back from each touch; before the journey begins there is none.
        seen = np.where(is_direct[journeys.codes], -1, np.arange(len(journeys.codes)))
        seen = np.maximum.accumulate(seen)[last] if len(seen) else seen
        share = np.zeros(len(journeys.codes))
        share[np.where(seen >= journeys.offsets[:-1], seen, last)] = 1.0
        notes: tuple[str, ...] = ()
        if not is_direct.any():
            notes = (
                f"No channel is called {' or '.join(map(repr, self.direct))}, so this is the last touch. Name yours: "
                "LastNonDirect(direct=(...)).",
            )
        return _credit("last_non_direct", self, journeys, share, notes)


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
class WShaped:
    """Fixed shares to the first, the middle and the last touch, the rest split equally among the others.

    Marketing teams use it where the touches that made a lead and an opportunity are known. Paths do not know them, so
    the middle touch stands in: of an even number of touches the two in the middle halve its share. With nothing
    between them, or no middle, the key touches split all in proportion to their shares; one touch gets all.

    Attributes
    ----------
    first, middle, last : shares of the credit, each >= 0, the sum of first and last above 0, of all at most 1
    """

    first: float = 0.3
    middle: float = 0.3
    last: float = 0.3

    def __post_init__(self) -> None:
        shares = (self.first, self.middle, self.last)
        if not (min(shares) >= 0 and self.first + self.last > 0 and sum(shares) <= 1 + 1e-12):
            raise InputError(
                f"WShaped: first={self.first!r}, middle={self.middle!r} and last={self.last!r} must be shares >= 0 "
                "with first + last > 0 and a sum of at most 1."
            )

    def attribute(self, journeys: Journeys) -> Attribution:
        """Split each conversion by the positions of its touches."""
        return _credit("w_shaped", self, journeys, _by_length(journeys, self._weights))

    def _weights(self, n: int) -> FloatArray:
        weights = np.zeros(n)
        keys = {0, n - 1, (n - 1) // 2, n // 2}
        if n > len(keys):
            others = [i for i in range(n) if i not in keys]
            weights[others] = max(0.0, 1 - self.first - self.middle - self.last) / len(others)
        if n >= 3:
            # Of four touches the two in the middle are neither first nor last.
            weights[(n - 1) // 2] += self.middle / 2
            weights[n // 2] += self.middle / 2
        weights[0] += self.first
        weights[-1] += self.last
        return weights


@dataclass(frozen=True, slots=True)
class CustomWeights:
    """Credit by position, by a function of your own.

    Attributes
    ----------
    weights : given the number of touches n, returns n weights >= 0 with a sum > 0, first touch first; they are scaled
        to sum to 1. For example `lambda n: [1] * (n - 1) + [2]`
    """

    weights: Callable[[int], Sequence[float]]

    def attribute(self, journeys: Journeys) -> Attribution:
        """Split each conversion by the weights of its touches' positions.

        Raises
        ------
        InputError : if the function returns another number of weights, or weights that are no shares
        """
        name = getattr(self.weights, "__qualname__", repr(self.weights))
        share = _by_length(journeys, self._weights)
        return _credit("custom_weights", {"weights": name}, journeys, share)

    def _weights(self, n: int) -> FloatArray:
        weights = np.asarray(self.weights(n), dtype=np.float64)
        if weights.shape != (n,) or not (np.isfinite(weights) & (weights >= 0)).all() or weights.sum() <= 0:
            raise InputError(
                f"CustomWeights: for {n} touches the function returned {weights.tolist()}; it must return {n} finite "
                "weights >= 0 with a sum above 0."
            )
        return weights


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
        ages = required_ages_days(journeys, "TimeDecay", "position_based")
        starts, lengths = journeys.offsets[:-1], _lengths(journeys)
        # Counted from the newest touch of the journey, so that a year-old journey does not underflow to 0 / 0.
        newest = np.minimum.reduceat(ages, starts) if len(starts) else np.zeros(0)
        share = np.exp2((np.repeat(newest, lengths) - ages) / self.half_life_days)
        total = np.add.reduceat(share, starts) if len(starts) else np.zeros(0)
        return _credit("time_decay", self, journeys, share / np.repeat(total, lengths))


def _lengths(journeys: Journeys) -> IntArray:
    return np.diff(journeys.offsets)


def _by_length(journeys: Journeys, weights: Callable[[int], FloatArray]) -> FloatArray:
    """(T,) shares of each touch, the same for all journeys of one length, scaled to sum to 1."""
    lengths = _lengths(journeys)
    longest = np.unique(lengths)
    tables = [weights(int(n)) for n in longest]
    table = np.concatenate([np.zeros(0), *(one / one.sum() for one in tables)])
    begins = np.append(0, np.cumsum(longest))[np.searchsorted(longest, lengths)]
    position = np.arange(len(journeys.codes)) - np.repeat(journeys.offsets[:-1], lengths)
    return np.asarray(table[np.repeat(begins, lengths) + position])


def _credit(
    method: str, settings: Any, journeys: Journeys, share: FloatArray, notes: Sequence[str] = ()
) -> Attribution:
    """Add up (T,) shares of each touch in its journey's conversions and value."""
    require_conversions(journeys)
    lengths = _lengths(journeys)

    def total(of_journey: FloatArray) -> FloatArray:
        credit = np.bincount(journeys.codes, share * np.repeat(of_journey, lengths), len(journeys.channels))
        return credit.astype(np.float64)

    return result(method, settings, journeys, total(journeys.conversions), total(journeys.value), notes)
