"""Propensity weighting: what a channel's exposed journeys convert more than unexposed ones that look like them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from journeysim.attribution.base import Attribution, require_conversions
from journeysim.attribution.coalitions import Coalitions, Meetings
from journeysim.attribution.regression import check_ridge, fit_logistic, require_both_outcomes
from journeysim.attribution.sharing import credited, listed, note_of_equal_split, note_of_negatives, shares_within
from journeysim.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.journeys import Journeys

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PropensityWeighted:
    """Inverse-propensity effects of exposure to each channel, given the other channels that were met.

    For channel c, e(x) is the probability to meet c given the set x of the other channels (ridge logistic regression).
    Journeys that met c are compared with those that did not, weighted by e / (1 - e) so that both have the same other
    channels: effect(c) = rate of the exposed - weighted rate of the unexposed, the effect on the exposed. A converting
    journey is split in proportion to the positive effects of its channels; negative ones get nothing, with a note.

    A journey that met c only has no counterpart: without any touch it would not be here. Such journeys, and those with
    e outside trim..1 - trim, are left out of the comparison (not of the credit).

    Attributes
    ----------
    ridge : penalty on squared coefficients of the propensity model, > 0: see `regression.fit_logistic`
    trim : propensities below this or above 1 - trim have no overlap, in [0, .5)

    Source: Hirano, Imbens & Ridder 2003, Econometrica 71(4) (weights); Crump, Hotz, Imbens & Mitnik 2009, Biometrika
    96(1) (trimming); for attribution, doubly robust: Dalessandro et al. 2012, ADKDD. The split of journeys is ours.
    """

    ridge: float = 1e-4
    trim: float = 0.01

    def __post_init__(self) -> None:
        check_ridge(self.ridge, "PropensityWeighted")
        if not 0 <= self.trim < 0.5:
            raise InputError(f"PropensityWeighted: trim must be in [0, 0.5), got {self.trim!r}.")

    def effects(self, journeys: Journeys) -> FloatArray:
        """(C,) effect of exposure on the probability to convert, NaN for a channel that cannot be compared.

        Raises
        ------
        InputError : if nothing or everything converts
        """
        require_conversions(journeys)
        require_both_outcomes(journeys, "PropensityWeighted")
        coalitions = Coalitions.of(journeys)
        return np.array([self._effect(coalitions, code) for code in range(len(journeys.channels))])

    def _effect(self, coalitions: Coalitions, code: int) -> float:
        exposed = coalitions.members[:, code]
        others = np.delete(coalitions.members, code, axis=1)
        used = others.any(axis=1) & (coalitions.weight > 0)
        weight, rate = coalitions.weight[used], coalitions.rate[used]
        exposed, x = exposed[used], others[used].astype(np.float64)
        if not exposed.any() or exposed.all():
            return np.nan
        fit = fit_logistic(x, weight * exposed, weight * ~exposed, ridge=self.ridge)
        e = fit.probability(x)
        overlap = (e >= self.trim) & (e <= 1 - self.trim)
        treated, control = exposed & overlap, ~exposed & overlap
        if not treated.any() or not control.any():
            return np.nan
        like_treated = weight[control] * e[control] / (1 - e[control])
        return float(
            np.average(rate[treated], weights=weight[treated]) - np.average(rate[control], weights=like_treated)
        )

    def attribute(self, journeys: Journeys) -> Attribution:
        """Estimate the effects and split each converting journey by those of its channels.

        Raises
        ------
        InputError : if nothing or everything converts
        """
        effects = self.effects(journeys)
        meetings = Meetings.of(journeys)
        known = np.nan_to_num(effects, nan=0.0)
        share, nothing = shares_within(meetings, np.maximum(known, 0)[meetings.channel])
        met = np.bincount(meetings.channel, minlength=len(known)) > 0
        lost = sorted(journeys.channels[code] for code in np.flatnonzero(np.isnan(effects) & met))
        notes = (
            *([f"Without comparable journeys, and counted as no effect: {listed(lost)}."] if lost else ()),
            *note_of_negatives(dict(zip(journeys.channels, known.tolist(), strict=True)), "The effect"),
            *note_of_equal_split(nothing, journeys, "none of their channels has a positive effect"),
        )
        return credited("propensity", self, journeys, meetings, share, notes)
