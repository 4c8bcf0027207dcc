"""What the settings of models mean: each prior by its median and the factor within which it puts 90% of its mass."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from journeysim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

SDS_OF_90_PERCENT: Final = 1.6448536269514722
"""A normal variable is within so many standard deviations of its mean with probability 0.9."""


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


def check_settings(owner: str, settings: Mapping[str, float]) -> None:
    """Raise InputError unless every setting is a number above 0, or above 1 where it is a factor ("..._within")."""
    for name, value in settings.items():
        least = 1 if name.endswith("within") else 0
        if not (math.isfinite(value) and value > least):
            raise InputError(f"{owner}: {name} must be a number above {least}, got {value!r}.")
