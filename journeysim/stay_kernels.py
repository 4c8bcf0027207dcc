"""Loops over contacts, compiled; imported when they are first needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]


@njit(cache=True, nogil=True)
def earlier_contacts(who: IntArray, channel: IntArray, n_channels: int) -> IntArray:
    """(T,) number of earlier rows with the same customer and channel; rows are sorted by customer."""
    earlier = np.empty(len(who), np.int64)
    seen = np.zeros(n_channels, np.int64)
    for i in range(len(who)):
        if i > 0 and who[i] != who[i - 1]:
            seen[:] = 0
        earlier[i] = seen[channel[i]]
        seen[channel[i]] += 1
    return earlier


@njit(cache=True, nogil=True)
def spread_over_ages(
    cell: IntArray, age: FloatArray, ages: FloatArray, n_cells: int, first_age: float, step: float
) -> FloatArray:
    """(K, Q) weights such that the sum over q of weight * f(ages[q]) is that of f(age) over the contacts of a cell.

    Cubic (Lagrange) interpolation in log age; linear between 0 and `first_age`, where exp(-d a) is a straight line.
    """
    weights = np.zeros((n_cells, len(ages)))
    for i in range(len(cell)):
        if age[i] < first_age:
            weights[cell[i], 0] += 1.0 - age[i] / first_age
            weights[cell[i], 2] += age[i] / first_age
            continue
        x = np.log(age[i] / first_age) / step
        j = min(int(x), len(ages) - 5)
        t = x - j  # ages[j + 2] stands at 0, ages[j + 3] at 1
        weights[cell[i], j + 1] += -t * (t - 1.0) * (t - 2.0) / 6.0
        weights[cell[i], j + 2] += (t + 1.0) * (t - 1.0) * (t - 2.0) / 2.0
        weights[cell[i], j + 3] += -(t + 1.0) * t * (t - 2.0) / 2.0
        weights[cell[i], j + 4] += (t + 1.0) * t * (t - 1.0) / 6.0
    return weights
