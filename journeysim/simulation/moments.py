"""Sums over independent units and of their products: all that means, ratios and their Monte Carlo errors need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """First and second moments of k quantities of each of I items, over independent units.

    Attributes
    ----------
    n_units : how many independent units (customers or markets) were added up
    totals : (I, k)
    products : (I, k, k) sums over units of products of two quantities
    """

    n_units: int
    totals: FloatArray
    products: FloatArray

    @classmethod
    def of(cls, values: FloatArray) -> Moments:
        """Of values (units, I, k)."""
        by_item = np.ascontiguousarray(values.transpose(1, 2, 0))
        return cls(len(values), by_item.sum(axis=2), by_item @ by_item.transpose(0, 2, 1))

    def __add__(self, other: Moments) -> Moments:
        """The moments of the units of both."""
        return Moments(self.n_units + other.n_units, self.totals + other.totals, self.products + other.products)

    def ratio(self, part: int, whole: int) -> tuple[FloatArray, FloatArray]:
        """(I,) totals of one quantity divided by those of another, and (I,) standard errors; NaN where unknown.

        With units i = 1..m and R = Σ part_i / Σ whole_i, the variance is m/(m-1) Σ (part_i - R whole_i)² / (Σ whole_i)²
        (ratio estimator; Cochran 1977, Sampling Techniques, 3rd ed., section 6.4; units are clusters in section 9A.1).
        """
        m = self.n_units
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = self.totals[:, part] / self.totals[:, whole]
            squares = self.products[:, part, part] - 2 * ratio * self.products[:, part, whole]
            squares += ratio**2 * self.products[:, whole, whole]
            error = np.sqrt(np.maximum(squares, 0.0) * m / (m - 1)) / np.abs(self.totals[:, whole])
        unknown = (self.totals[:, whole] == 0) | (m < 2)
        return np.where(self.totals[:, whole] == 0, np.nan, ratio), np.where(unknown, np.nan, error)
