"""What the settings of models mean: each prior by its median and the factor within which it puts 90% of its mass."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from journeysim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

SDS_OF_90_PERCENT: Final = 1.6448536269514722
"""A normal variable is within so many standard deviations of its mean with probability 0.9."""

HALF_A_CONTACT: Final = 0.5
"""Weight of the gamma prior of a segment's rate of contacts, whose mean is the rate in all segments."""


class LogNormal(NamedTuple):
    """A log-normal prior by the mean and standard deviation of its logarithm; compiled code takes it as it is."""

    mean: float
    sd: float


def sd_within(factor: float) -> float:
    """Standard deviation of a normal logarithm that is within log `factor` of its mean 90% of the time."""
    return math.log(factor) / SDS_OF_90_PERCENT


def log_normal(median: float, within: float) -> LogNormal:
    """The prior with that median, and 90% of its mass within that factor of it."""
    return LogNormal(math.log(median), sd_within(within))


def is_number(value: object) -> bool:
    """Whether a setting is a finite number, and not text that looks like one."""
    return isinstance(value, Real) and math.isfinite(value)


def check_settings(owner: str, settings: Mapping[str, float]) -> None:
    """Raise InputError unless every setting is a number above 0, or above 1 where it is a factor ("..._within")."""
    for name, value in settings.items():
        least = 1 if name.endswith("within") else 0
        if not (is_number(value) and value > least):
            raise InputError(f"{owner}: {name} must be a number above {least}, got {value!r}.")


def hazards_in_words(days: float, days_within: float, spread: float, spread_within: float) -> tuple[str, str]:
    """The priors of hazards and of their spread between segments, whose medians and factors are given."""
    factor, low, high = (math.exp(s) for s in (spread, spread / spread_within, spread * spread_within))
    return (
        f"A move, were it the only one, typically takes {days:g} days, 90% of moves between {days / days_within:.3g} "
        f"and {days * days_within:,.4g}.",
        f"Segments typically differ by a factor of {factor:.2f}, probably between {low:.2f} and {high:.2f}.",
    )


def contacts_prior(contacts: FloatArray, days: FloatArray) -> tuple[NDArray[np.bool_], FloatArray]:
    """(G, S, C) each, of contacts (G, S, C) and days at risk (G, S): where contacts may come at all, those of some
    segment, and the days in which half of one is expected at the rate in all segments.
    """
    seen, at_risk = contacts.sum(axis=0), days.sum(axis=0)[:, None]
    pooled = np.divide(seen, at_risk, out=np.zeros_like(seen), where=at_risk > 0)
    expected_days = HALF_A_CONTACT / np.where(pooled > 0, pooled, 1.0)
    return np.broadcast_to(pooled > 0, contacts.shape), np.broadcast_to(expected_days, contacts.shape)
