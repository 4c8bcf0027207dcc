"""The simple probabilistic model of Shao and Li: conversion rates of single channels and of pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from journeysim.attribution.base import Attribution, require_conversions
from journeysim.attribution.coalitions import Coalitions, Meetings
from journeysim.attribution.sharing import credited, listed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.journeys import Journeys

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SimpleProbabilistic:
    """Second-order rates: what a channel converts alone and more than its companions do.

    With p(i) the conversion rate of journeys that met i, and p(i, j) of those that met both, a converting journey with
    the n channels D scores

        C(i) = p(i) + sum over j in D, j != i of (p(i, j) - p(i) - p(j)) / (2 (n - 1)),

    and is split in proportion. The scores of a journey add up to the sum of p(i, j) over its pairs / (n - 1), which is
    above zero when it converts; a single score may be negative where a channel lowers its companions' rates. That is
    not clipped, and a note says so.

    Source: Shao & Li 2011, KDD, "Data-driven multi-touch attribution models", section 3.2; the division by the sum of
    scores is ours, so that each conversion counts once.
    """

    def attribute(self, journeys: Journeys) -> Attribution:
        """Split each conversion by the scores of its channels."""
        require_conversions(journeys)
        meetings, coalitions = Meetings.of(journeys), Coalitions.of(journeys)
        members = coalitions.members.astype(np.float64)

        def together(weight: FloatArray) -> FloatArray:
            return np.asarray((members * weight[:, None]).T @ members)

        met = together(coalitions.weight)
        rates = np.divide(together(coalitions.conversions), met, out=np.zeros_like(met), where=met > 0)
        alone = np.diagonal(rates)
        extra = rates - alone[:, None] - alone[None, :]
        np.fill_diagonal(extra, 0.0)
        size = members.sum(axis=1)
        scores = members * (alone + (members @ extra) / (2 * np.maximum(size - 1, 1))[:, None])  # (K, C)
        total = scores.sum(axis=1)
        converts = (coalitions.conversions > 0) & (total > 0)
        # Sets that never convert have no conversion to split; their shares are multiplied by zero.
        shares = np.where(converts[:, None], scores / np.where(converts, total, 1.0)[:, None], 0.0)
        share = shares[coalitions.of_journey[meetings.journey], meetings.channel]
        share = np.where(converts[coalitions.of_journey[meetings.journey]], share, _equal(meetings))
        below = np.flatnonzero((np.where(converts[:, None], shares, 0.0) < -1e-12).any(axis=0))
        notes = []
        if len(below):
            names = listed(sorted(journeys.channels[code] for code in below))
            notes.append(
                f"In some journeys the score of {names} is negative: it lowers the others' rates. Not clipped."
            )
        return credited("probabilistic", self, journeys, meetings, share, notes)


def _equal(meetings: Meetings) -> FloatArray:
    return np.asarray(1.0 / meetings.n_distinct[meetings.journey])
