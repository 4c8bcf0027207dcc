"""Kaplan-Meier: the probability of lasting longer than t days, from observations of which some were cut short."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from journeysim.kpis.intervals import Z95, Estimate, Estimates

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]
    BoolArray = NDArray[np.bool_]

_ROUNDING = 1e-12  # of a product of many factors: a survival this close to a half is a half


@dataclass(frozen=True, slots=True, eq=False)
class KaplanMeier:
    """The product-limit estimate of the survival function of n independent durations.

    Attributes
    ----------
    days : (n,) in ascending order; at the same time, ends come before censorings
    ended : (n,) whether it ended then; otherwise it was censored
    product, variance : (n + 1,) survival after the first k of them, and Greenwood's variance of its logarithm
    units : (n,) what is taken as independent of each other, or None for each by itself

    Sources: Kaplan & Meier (1958), JASA 53:457; Kalbfleisch & Prentice (2002), The Statistical Analysis of Failure
    Time Data, 2nd ed., section 1.4. For clusters: Ying & Wei (1994), The Kaplan-Meier estimate for dependent failure
    time observations. Journal of Multivariate Analysis 50:17.
    """

    days: FloatArray
    ended: BoolArray
    product: FloatArray
    variance: FloatArray
    units: IntArray | None

    @classmethod
    def fit(cls, days: FloatArray, ended: BoolArray, units: IntArray | None = None) -> KaplanMeier:
        """From how long each was observed (n,) and whether it ended then (n,)."""
        order = np.lexsort((~ended, days))
        days, ended = days[order], ended[order]
        at_risk = np.arange(len(days), 0, -1.0)
        # one by one: ends at the same time give the same product and the same variance
        steps = np.where(ended, 1 - 1 / at_risk, 1.0)
        with np.errstate(divide="ignore"):
            errors = np.where(ended, 1 / (at_risk * (at_risk - 1)), 0.0)
        if units is not None:
            _, units = np.unique(units[order], return_inverse=True)
        return cls(days, ended, np.append(1.0, np.cumprod(steps)), np.append(0.0, np.cumsum(errors)), units)

    def at_risk(self, days: FloatArray) -> IntArray:
        """(T,) how many were observed for at least so long."""
        return np.asarray(len(self.days) - np.searchsorted(self.days, days, side="left"))

    def survival(self, days: FloatArray) -> Estimates:
        """(T,) probability of lasting longer than each of `days`, with pointwise 95% log-log intervals.

        NaN beyond what anybody was observed; bounds NaN where the value is 0 or 1, or where there is one cluster only.
        """
        k = np.searchsorted(self.days, days, side="right")
        value = self.product[k]
        known = (k < len(self.days)) | ((self.ended[-1] or days <= self.days[-1]) if len(self.days) else False)
        value = np.where(known, value, np.nan)
        variance, quantile = (self.variance[k], Z95) if self.units is None else self._robust(k)
        inner = np.isfinite(value) & (value > 0) & (value < 1)
        base, error = value[inner], np.sqrt(variance[inner])
        width = np.exp(quantile * error / -np.log(base))
        low, high = np.full(len(days), np.nan), np.full(len(days), np.nan)
        low[inner], high[inner] = base**width, base ** (1 / width)
        return Estimates(value, low, high)

    def quantile(self, share: float) -> Estimate:
        """The first day on which at least a share has ended; the bounds are where the bounds of the survival get there.

        Nulls where they do not. Source: Brookmeyer & Crowley (1982), Biometrics 38:29.
        """
        days = np.unique(self.days[self.ended])
        found = self.survival(days)
        reached = [np.flatnonzero(bound <= 1 - share + _ROUNDING) for bound in found]
        value, low, high = (float(days[k[0]]) if len(k) else None for k in reached)
        return value, low, high

    def _robust(self, k: IntArray) -> tuple[FloatArray, float]:
        """(T,) variance of the log survival after the first k (T,), from sums of influences over clusters."""
        assert self.units is not None  # noqa: S101  # the caller asked
        m = int(self.units.max(initial=-1)) + 1
        if m < 2:
            return np.full(len(k), np.nan), np.nan
        n, place = len(self.days), np.arange(len(self.days))
        at_risk = np.arange(n, 0, -1.0)
        ends = self.ended / at_risk
        spent = np.append(0.0, np.cumsum(ends / at_risk))
        variance = np.empty(len(k))
        for t, first in enumerate(k):
            influence = spent[np.minimum(place + 1, first)] - np.where(place < first, ends, 0.0)
            sums = np.bincount(self.units, influence, m)
            variance[t] = m / (m - 1) * float(sums @ sums)
        return variance, float(stdtrit(m - 1, 0.975))


def survival(day: float, days: FloatArray, ended: BoolArray) -> Estimate:
    """Probability of lasting longer than `day`: Kaplan-Meier, with a 95% log-log interval from Greenwood's variance.

    Parameters
    ----------
    days : (n,) how long each was observed
    ended : (n,) whether it ended then; otherwise it was censored

    Returns
    -------
    value, low, high; all null if nobody was observed for so long, the bounds null if the value is 0 or 1
    """
    return KaplanMeier.fit(days, ended).survival(np.array([float(day)])).at(0)
