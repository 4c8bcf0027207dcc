"""Intervals from draws: of quantities that may be exactly zero, and of draws that Monte Carlo noise is added to."""

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


def without_noise(draws: FloatArray, noise: FloatArray) -> FloatArray:
    """(N, ...) draws, each of which was simulated, without the spread that Monte Carlo noise adds to them.

    Deviations from the mean are scaled so that their variance V becomes V - noise + noise / N: the last is the error
    that noise leaves in the mean, that is, in where an interval sits. Where noise is more than half of V it is left in,
    as what remained would be a guess (`noise_rules`): intervals are then too wide, never too narrow.

    Parameters
    ----------
    draws : (N, ...), N >= 2, with independent noise
    noise : (...) mean variance of the noise of a draw
    """
    mean, spread = draws.mean(axis=0), draws.var(axis=0, ddof=1)
    known = (spread > 0) & ~noise_rules(draws, noise)
    taken = np.where(known, noise, 0.0) * (1 - 1 / len(draws)) / np.where(known, spread, 1.0)
    return np.asarray(mean + np.sqrt(1 - taken) * (draws - mean))


def noise_rules(draws: FloatArray, noise: FloatArray) -> NDArray[np.bool_]:
    """(...) whether Monte Carlo noise is more than half of the variance of (N, ...) draws."""
    return np.asarray(noise > draws.var(axis=0, ddof=1) / 2)


def central(draws: FloatArray, level: float) -> FloatArray:
    """(2, ...) central interval that one more draw is in with probability `level`, however few the (N, ...) draws are.

    One more draw is equally likely to fall between any two neighbours among N; the common quantile, by linear
    interpolation, leaves that out and holds 84% instead of 90% with 30 draws. With fewer than 2 / (1 - level) - 1 draws
    the interval is all of them, and holds (N - 1) / (N + 1). Source: Hyndman & Fan 1996, The American Statistician
    50:4, definition 6.
    """
    tail = (1 - level) / 2
    return np.asarray(np.quantile(draws, (tail, 1 - tail), axis=0, method="weibull"))
