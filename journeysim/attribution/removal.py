"""Markov attribution: credit in proportion to exact removal effects."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from journeysim.attribution.base import Attribution, require_conversions
from journeysim.errors import InputError
from journeysim.markov import AbsorbingChain, count_transitions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.journeys import Journeys

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RemovalEffect:
    """Share of conversions lost in the fitted Markov chain when a channel's states lead to nowhere.

    Credit is total conversions x removal effect / sum of removal effects, and likewise by value. A removal effect is a
    property of the fitted chain, not a causal effect, and a high order makes it "any touch", not more causal: see
    docs/attribution.md.

    Attributes
    ----------
    order : number of touches a state remembers, >= 1

    Source: Anderl, Becker, von Wangenheim & Schumann 2016, IJRM 33(3).
    """

    order: int = 1

    def __post_init__(self) -> None:
        if self.order < 1:
            raise InputError(f"RemovalEffect: order must be 1 or more, got {self.order!r}.")

    def attribute(self, journeys: Journeys) -> Attribution:
        """Fit the chain, remove each channel, and credit in proportion to what is lost.

        Raises
        ------
        InputError : if nothing converts, if refunds make the removal effects of value cancel, or if the chain's
            journeys are too long to bound the error (see `AbsorbingChain.removal_effects`)
        """
        require_conversions(journeys)
        effects = AbsorbingChain.from_counts(count_transitions(journeys, self.order)).removal_effects()
        notes = list(journeys.notes)
        if not journeys.nulls.any():
            notes.append(
                "There are no paths without a conversion, so the chain always converts (P = 1) and removal effects "
                "only say how often a channel is met. Include the paths that did not convert."
            )
        if effects.by_value is None:
            value = np.zeros(len(journeys.channels))
            if journeys.value.any():
                notes.append("The values add up to zero: there is no removal effect by value, and no value to credit.")
        else:
            value = journeys.total_value * _shares_of_value(effects.by_value)
        return Attribution(
            method="markov",
            settings=asdict(self),
            channels=journeys.channels,
            conversions=journeys.n_conversions * effects.by_conversions / effects.by_conversions.sum(),
            value=value,
            removal_effects=effects.by_conversions,
            removal_effects_value=effects.by_value,
            untouched_conversions=journeys.untouched_conversions,
            untouched_value=journeys.untouched_value,
            notes=tuple(notes),
        )


def _shares_of_value(effects: FloatArray) -> FloatArray:
    """(C,) shares that sum to 1; only refunds can make the effects cancel."""
    total = effects.sum()
    if abs(total) <= 1e-9 * abs(effects).sum():
        raise InputError(
            "Removal effects of value cancel out (negative values, such as refunds, on some channels' paths), so they "
            "are no basis for shares. Attribute without the refunds, or set the value column to zero."
        )
    return np.asarray(effects / total)
