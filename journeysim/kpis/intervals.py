"""Estimates with 95% intervals: shares, ratios and medians, of independent customers or of independent clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from scipy.special import stdtrit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.kpis.groups import Groups

    FloatArray = NDArray[np.float64]
    BoolArray = NDArray[np.bool_]
    IntArray = NDArray[np.int64]

Z95: Final = 1.959963984540054  # standard normal quantile at 0.975
Estimate = tuple[float | None, float | None, float | None]  # value, lower bound, upper bound


class Estimates(NamedTuple):
    """(G,) values with the bounds of their 95% intervals; NaN where something is not defined."""

    value: FloatArray
    low: FloatArray
    high: FloatArray

    def at(self, i: int) -> Estimate:
        """One of them, with nulls."""
        value, low, high = (None if np.isnan(bound[i]) else float(bound[i]) for bound in self)
        return value, low, high

    def times(self, factor: float) -> Estimates:
        """In another unit."""
        return Estimates(*(bound * factor for bound in self))

    def without(self, unknown: BoolArray) -> Estimates:
        """Undefined where it is unknown."""
        return Estimates(*(np.where(unknown, np.nan, bound) for bound in self))

    def complement(self) -> Estimates:
        """Of 1 minus the value."""
        return Estimates(1 - self.value, 1 - self.high, 1 - self.low)


def plain(value: FloatArray) -> Estimates:
    """Values that have no interval."""
    return Estimates(value, np.full(len(value), np.nan), np.full(len(value), np.nan))


def wilson(hits: int, n: int) -> Estimate:
    """A share with its 95% Wilson score interval; nulls if n is 0.

    Source: Wilson (1927), Probable inference, the law of succession, and statistical inference. JASA 22:158.
    """
    share = divide(np.array([float(hits)]), np.array([float(n)]))
    return wilson_intervals(share, np.array([float(n)]), np.array([Z95])).at(0)


def shares(groups: Groups, hits: NDArray[np.generic], of: NDArray[np.generic]) -> Estimates:
    """Share of `hits` in `of`, both (n,) counts per customer, with a Wilson interval.

    Where units are clusters or a customer counts several times, n in Wilson's formula is divided by the design effect,
    the variance of `ratio` over that of independent trials (at least 1), and the normal quantile gives way to
    Student's.

    Source: Korn & Graubard (1998), Confidence intervals for proportions with small expected number of positive counts
    estimated from survey data. Survey Methodology 24:193 (there for the exact interval).
    """
    n = groups.total(of)
    share = divide(groups.total(hits), n)
    if not groups.clustered and (not of.size or of.max() <= 1):
        return wilson_intervals(share, n, np.full(len(groups), Z95))
    variance, quantile = _ratio_variance(groups, hits, of)
    effect = np.maximum(divide(variance * n, share * (1 - share)), 1.0)
    return wilson_intervals(share, n / np.where(np.isnan(effect), 1.0, effect), quantile)


def ratio(
    groups: Groups,
    y: NDArray[np.generic],
    x: NDArray[np.generic],
    *,
    least: float = -np.inf,
    most: float = np.inf,
) -> Estimates:
    """Sum of y over sum of x, both (n,) per customer, with Student's interval from the linearised ratio.

    The variance is M/(M - 1) times the sum over the M units of (y - r x)^2, over the squared sum of x. No interval
    where fewer than two units count, or where they do not differ: then there is nothing to judge by. The interval is
    symmetrical, which few skewed amounts cannot bear: it ends at the `least` and at the `most` that the ratio can be.

    Source: Cochran (1977), Sampling Techniques, 3rd ed., section 6.3 (ratios) and 9A (clusters).
    """
    value = divide(groups.total(y), groups.total(x))
    variance, quantile = _ratio_variance(groups, y, x)
    half = quantile * np.sqrt(np.where(variance > 0, variance, np.nan))
    return Estimates(value, np.maximum(value - half, least), np.minimum(value + half, most))


def medians(groups: Groups, customers: IntArray, values: FloatArray) -> Estimates:
    """Median of the values (k,) of some customers (k,), of whom one may have several.

    The interval lies between the order statistics at 1/2 plus or minus the error of the share below the median, which
    is that of a ratio; no bound where that leaves the range of what was seen.

    Source: Woodruff (1952), Confidence intervals for medians and other position measures. JASA 47:635.
    """
    found = np.full((3, len(groups)), np.nan)
    for g, members in enumerate(groups.split(customers)):
        members = members[~np.isnan(values[members])]
        n = len(members)
        if n == 0:
            continue
        ordered = np.sort(values[members])
        middle = float(np.median(ordered))
        found[0, g] = middle
        below = values[members] <= middle
        _, units = np.unique(groups.units[customers[members]], return_inverse=True)
        m = int(units.max()) + 1
        if m < 2:
            continue
        off = np.bincount(units, below - below.mean())
        half = float(stdtrit(m - 1, 0.975)) * np.sqrt(m / (m - 1) * float(off @ off)) / n
        if half == 0:
            continue  # ties at the median: all lie on one side
        first, last = int(np.floor((0.5 - half) * n)) - 1, int(np.ceil((0.5 + half) * n))
        if first >= 0 and last < n:
            found[1:, g] = ordered[first], ordered[last]
    return Estimates(*found)


def divide(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """NaN where the denominator is 0."""
    return np.asarray(np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator != 0))


def wilson_intervals(share: FloatArray, n: FloatArray, z: FloatArray) -> Estimates:
    """Shares (G,) of n (G,) with Wilson score intervals at the quantiles z (G,); NaN where n is 0."""
    n = np.where(n > 0, n, np.nan)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n * n)) / (1 + z**2 / n)
    low, high = np.where(share == 0, 0.0, middle - half), np.where(share == 1, 1.0, middle + half)
    return Estimates(share, low, high)


def _ratio_variance(groups: Groups, y: NDArray[np.generic], x: NDArray[np.generic]) -> tuple[FloatArray, FloatArray]:
    """(G,) variance of the ratio of sums, and Student's quantile at 0.975; NaN where fewer than two units count."""
    value = divide(groups.total(y), groups.total(x))
    unit_y, unit_x = groups.per_unit(y), groups.per_unit(x)
    off = unit_y - value[groups.unit_group] * unit_x
    counts = (unit_y != 0) | (unit_x != 0)
    m = np.bincount(groups.unit_group[counts], minlength=len(groups)).astype(np.float64)
    m[m < 2] = np.nan
    squares = np.bincount(groups.unit_group, np.where(counts, off, 0.0) ** 2, len(groups)).astype(np.float64)
    variance: FloatArray = m / (m - 1) * divide(squares, groups.total(x) ** 2)
    return variance, np.asarray(stdtrit(m - 1, 0.975))
