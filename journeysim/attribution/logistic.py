"""Bagged logistic regression of conversion on the channels that a journey met."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from journeysim.attribution.base import Attribution, require_conversions
from journeysim.attribution.coalitions import Coalitions, Meetings
from journeysim.attribution.regression import check_ridge, fit_logistic, require_both_outcomes
from journeysim.attribution.sharing import credited, note_of_equal_split, note_of_negatives, shares_within
from journeysim.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.journeys import Journeys

    FloatArray = NDArray[np.float64]
    BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class BaggedLogistic:
    """Logistic regression on random halves of the channels, coefficients averaged over the bags.

    Channels that come together split one effect at random in a single regression; leaving some out of each bag makes
    the average stable. Each converting journey is split among its channels in proportion to the positive averages; a
    channel with a negative average gets nothing, and a note names it.

    Shao and Li draw half of the journeys for each bag, too. Here all journeys are in all bags: weights may be
    fractions, and doubling them must change nothing. On their scale (many journeys per path) it makes no difference.
    Draws belong to what the data say of a channel, not to its name or number, so renaming changes nothing; channels
    whose data are exactly alike are drawn together.

    Attributes
    ----------
    n_bags : how many regressions, >= 1
    channel_share : probability of a channel to be in a bag, in (0, 1]; 1 is one plain regression
    ridge : penalty on squared coefficients, > 0: see `regression.fit_logistic`
    seed : of the bags

    Source: Shao & Li 2011, KDD, "Data-driven multi-touch attribution models", section 3.1; the split of each journey
    by coefficients is ours, for theirs does not add up to conversions.
    """

    n_bags: int = 100
    channel_share: float = 0.5
    ridge: float = 1e-4
    seed: int = 1

    def __post_init__(self) -> None:
        check_ridge(self.ridge, "BaggedLogistic")
        if self.n_bags < 1:
            raise InputError(f"BaggedLogistic: n_bags must be 1 or more, got {self.n_bags!r}.")
        if not 0 < self.channel_share <= 1:
            raise InputError(f"BaggedLogistic: channel_share must be in (0, 1], got {self.channel_share!r}.")
        if self.seed < 0:
            raise InputError(f"BaggedLogistic: seed must be a whole number >= 0, got {self.seed!r}.")

    def coefficients(self, journeys: Journeys) -> FloatArray:
        """(C,) log odds of conversion that each channel adds, averaged over its bags; 0 for a channel nobody met.

        Raises
        ------
        InputError : if nothing or everything converts, or if a channel is in no bag
        """
        require_conversions(journeys)
        require_both_outcomes(journeys, "BaggedLogistic")
        coalitions = Coalitions.of(journeys)
        members = coalitions.members.astype(np.float64)
        met: BoolArray = np.asarray(coalitions.members[coalitions.weight > 0].any(axis=0))
        bags: BoolArray = self._bags(coalitions) & met
        missing = np.flatnonzero(met & ~bags.any(axis=0))
        if missing.size:
            raise InputError(
                f"BaggedLogistic: channel {journeys.channels[missing[0]]!r} is in none of the {self.n_bags} bags. "
                "Raise n_bags or channel_share."
            )
        total = np.zeros(len(met))
        for bag in np.unique(bags, axis=0):
            times = int((bags == bag).all(axis=1).sum())  # small sets of channels come up again and again
            fit = fit_logistic(members[:, bag], coalitions.conversions, coalitions.nulls, ridge=self.ridge)
            total[bag] += times * fit.coefficients
        return np.asarray(total / np.maximum(bags.sum(axis=0), 1))

    def _bags(self, coalitions: Coalitions) -> BoolArray:
        """(n_bags, C) which channel is in which bag."""
        draws = []
        for signature in coalitions.signatures():
            key = int.from_bytes(blake2b(repr(signature).encode(), digest_size=8).digest())
            draws.append(np.random.default_rng([self.seed, key]).random(self.n_bags))
        return np.asarray(np.array(draws).T.reshape(self.n_bags, -1) < self.channel_share)

    def attribute(self, journeys: Journeys) -> Attribution:
        """Fit the bags and split each converting journey by the coefficients of its channels.

        Raises
        ------
        InputError : if nothing or everything converts, or if a channel is in no bag
        """
        coefficients = self.coefficients(journeys)
        meetings = Meetings.of(journeys)
        share, nothing = shares_within(meetings, np.maximum(coefficients, 0)[meetings.channel])
        by_name = dict(zip(journeys.channels, coefficients.tolist(), strict=True))
        notes = (
            *note_of_negatives(by_name, "The coefficient"),
            *note_of_equal_split(nothing, journeys, "none of their channels has a positive coefficient"),
        )
        return credited("logistic", self, journeys, meetings, share, notes)
