"""Equal journeys: which rows have the same path, and whether paths recur more often than independent journeys would."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.journeys import Journeys

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

RARE: Final = 0.01
"""A path is rare if a chain expects fewer than so many of the other journeys to take it."""


def distinct_paths(journeys: Journeys) -> tuple[IntArray, FloatArray]:
    """(J,) number of each row's path, equal paths having the same, and (P,) the weight of each path."""
    codes = journeys.codes
    numbers = dict[bytes, int]()
    path = np.array(
        [numbers.setdefault(codes[a:b].tobytes(), len(numbers)) for a, b in pairwise(journeys.offsets.tolist())],
        dtype=np.int64,
    )
    return path, np.bincount(path, journeys.conversions + journeys.nulls, minlength=len(numbers)).astype(np.float64)


def copies_of_rare_paths(journeys: Journeys, context: IntArray, cell: IntArray) -> float:
    """How many journeys there are of each path that should be one of a kind: 1 if journeys are independent.

    Of n independent journeys of a chain, n p(x) are expected to take path x. Where that is below `RARE`, a second one
    is no chance. The mean number of journeys on the path of a journey is sum w² / sum w over these paths. A chain of a
    wrong order is good enough to tell which paths are rare: independent journeys give 1.0, a log of which everything
    is there seven times gives 7.

    Parameters
    ----------
    context, cell : for each touch and for the end of each journey in turn, the state before it, and that with what
        came (a channel, or the end), as numbers
    """
    steps = np.diff(journeys.offsets) + 1
    weight = journeys.conversions + journeys.nulls
    of_step = np.repeat(weight, steps)
    seen, total = np.bincount(cell, of_step)[cell], np.bincount(context, of_step)[context]
    with np.errstate(divide="ignore", invalid="ignore"):  # rows without weight
        log_p = np.add.reduceat(np.log(seen / total), np.cumsum(steps) - steps)
    path, of_path = distinct_paths(journeys)
    rare = (weight.sum() * np.exp(log_p) < RARE) & (weight > 0)
    some = of_path[np.unique(path[rare])]
    return float((some**2).sum() / some.sum()) if some.size else 1.0
