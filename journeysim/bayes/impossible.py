"""Points at which a log-density is no number: a trial step of the sampler may go anywhere before it is refused."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]


def or_impossible(value: float, gradient: FloatArray) -> tuple[float, FloatArray]:
    """Both as they are if all numbers are finite; else -inf and zeros, at which NUTS ends the step as a divergence."""
    if _all_finite(value, gradient):
        return value, gradient
    return -math.inf, np.zeros_like(gradient)


@njit(cache=True, nogil=True)
def _all_finite(value: float, gradient: FloatArray) -> bool:
    # compiled, because a whole step of the sampler takes but microseconds
    for number in gradient:
        if not math.isfinite(number):
            return False
    return math.isfinite(value)
