"""Intervals of quantities that may be exactly zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]


def shortest_from_zero(draws: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    """Shortest interval with `level` of the draws, for quantities >= 0 whose density may be highest at 0.

    Draws are positive, so an interval of draws never holds 0; here 0 itself is a bound that an interval may have. It is
    [0, q] (read: "at most q") where that is as short as the shortest between draws, give or take 5% for the noise of
    draws: the data cannot tell it from 0.
    The true value 0 is then held more often than `level`: about 95% of the time at 90%, as the estimate must be 1.6
    standard errors above 0 for the density at 0 to fall below that at the upper bound.

    Parameters
    ----------
    draws : (D, ...), >= 0

    Returns
    -------
    low, high : (...)
    """
    ordered = np.concatenate([np.zeros((1, *draws.shape[1:])), np.sort(draws, axis=0)])
    inside = int(np.ceil(level * len(draws)))
    widths = ordered[inside:] - ordered[:-inside]
    first = np.where(widths[0] <= 1.05 * widths.min(axis=0), 0, widths.argmin(axis=0))[None]
    return (
        np.take_along_axis(ordered, first, axis=0)[0],
        np.take_along_axis(ordered, first + inside, axis=0)[0],
    )
