"""Priors in units a person can judge: each is the range that holds 90% of the mass, on the log or the odds scale."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from journeysim.bayes.priors import SDS_OF_90_PERCENT, is_number
from journeysim.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

Range = tuple[float, float]
Link = Literal["log", "logit", "log above 1"]
_BOUNDS: Final[dict[str, tuple[float, float]]] = {
    "log": (0.0, math.inf),
    "logit": (0.0, 1.0),
    "log above 1": (1.0, math.inf),
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a model: its name, the scale on which it is normal, and the 90% range of its prior."""

    name: str
    link: Link
    within: Range

    def normal(self) -> tuple[float, float]:
        """Mean and standard deviation on the scale of the link."""
        low, high = (float(to_line(np.float64(bound), self.link)) for bound in self.within)
        return (low + high) / 2, (high - low) / (2 * SDS_OF_90_PERCENT)


def to_line(value: FloatArray | np.float64, link: Link) -> FloatArray:
    """From a parameter to the whole line."""
    if link == "logit":
        return np.log(value) - np.log1p(-value)
    return np.log(value - 1.0) if link == "log above 1" else np.log(value)


def from_line(value: FloatArray, link: Link) -> FloatArray:
    """The inverse of `to_line`."""
    if link == "logit":
        return 1.0 / (1.0 + np.exp(-value))
    return 1.0 + np.exp(value) if link == "log above 1" else np.exp(value)


def check_range(owner: str, name: str, within: Range, link: Link) -> None:
    """Raise InputError unless the range is two growing numbers that the parameter can have."""
    least, most = _BOUNDS[link]
    pair = isinstance(within, tuple | list) and len(within) == 2 and all(map(is_number, within))
    if not (pair and least < within[0] < within[1] < most):
        raise InputError(
            f"{owner}: {name} is {within!r}; give the range (low, high) that holds 90% of your belief, "
            f"with {least:g} < low < high{'' if math.isinf(most) else f' < {most:g}'}."
        )
