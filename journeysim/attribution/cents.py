"""Whole cents: amounts of money rounded so that what is shown adds up to the total that is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

MOST: Final = 2.0**53
"""Cents that a float still counts one by one."""


def whole_cents(amounts: FloatArray, total: int | None = None) -> NDArray[np.int64]:
    """(C,) whole cents of amounts, rounded so that they add up to the rounded sum, or to `total` cents beside it.

    Every amount is rounded down; the cents that are missing go to those that lost most (the largest remainders).
    """
    exact = np.asarray(amounts) * 100
    cents = np.floor(exact).astype(np.int64)
    if total is None:
        total = round(float(amounts.sum()) * 100)
    # all get `each`, which is 0 unless floats ran out of digits
    each, rest = divmod(total - int(cents.sum()), max(len(cents), 1))
    cents += each
    cents[np.argsort(cents - exact, kind="stable")[:rest]] += 1
    return cents


def to_the_cent(amounts: FloatArray) -> FloatArray:
    """(C,) amounts in whole cents that add up to their sum; those too large to have cents stay as they are."""
    if abs(amounts).sum() * 100 >= MOST:
        return amounts
    return whole_cents(amounts) / 100
