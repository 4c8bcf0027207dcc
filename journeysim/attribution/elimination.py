"""Backwards elimination: each touch is credited with what a model loses when the path is cut just before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from journeysim.attribution.base import Attribution, require_conversions
from journeysim.attribution.coalitions import Coalitions, Meetings
from journeysim.attribution.regression import LogisticFit, check_ridge, fit_logistic, require_both_outcomes, sigmoid
from journeysim.attribution.shapley import ConversionModel, modelled_worth
from journeysim.attribution.sharing import credited, listed, note_of_equal_split, shares_within

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.journeys import Journeys

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BackwardsElimination:
    """Take the last channel off a path, then the one before: each is credited with what the model loses by it.

    With f the modelled probability to convert, and c(1), ..., c(n) the channels of a journey in the order of their
    first touch, the score of c(i) is f{c(1..i)} - f{c(1..i-1)}: its gain given what came before it. A converting
    journey is split in proportion to the scores above zero; what f expects without any touch is left out. Where adding
    a channel lowers f it gets nothing from that journey, and a note says for how many conversions that was so.

    Shender et al. eliminate touch by touch in a Poisson process with effects that change in time. Here f is a ridge
    logistic regression on the set of channels met, or your own model of sets; times are not used, and a second touch of
    a channel adds nothing.

    Attributes
    ----------
    model : from a frozenset of channel names to the probability to convert; None: ridge logistic regression
    ridge : penalty on squared coefficients, > 0: see `regression.fit_logistic`

    Source: Shender, Nasiri Amini, Bao, Dikmen, Richardson & Wang 2023, Journal of Data Science, "A Time To Event
    Framework For Multi-touch Attribution" (arXiv 2009.08432), the credit assignment.
    """

    model: ConversionModel | None = None
    ridge: float = 1e-4

    def __post_init__(self) -> None:
        check_ridge(self.ridge, "BackwardsElimination")

    def attribute(self, journeys: Journeys) -> Attribution:
        """Split each converting journey by what its channels add, in the order of their first touch.

        Raises
        ------
        InputError : if nothing converts; without a model of your own, also if everything does
        """
        require_conversions(journeys)
        meetings = Meetings.of(journeys)
        gains = self._fitted(journeys, meetings) if self.model is None else self._given(self.model, journeys, meetings)
        share, nothing = shares_within(meetings, np.maximum(gains, 0))
        settings: dict[str, object] = {"ridge": self.ridge}
        if self.model is not None:
            settings = {"model": getattr(self.model, "__qualname__", repr(self.model))}
        notes = (
            *_note_of_losses(gains, journeys, meetings),
            *note_of_equal_split(nothing, journeys, "none of their channels adds to the modelled conversion"),
        )
        return credited("backwards_elimination", settings, journeys, meetings, share, notes)

    def _fitted(self, journeys: Journeys, meetings: Meetings) -> FloatArray:
        """(P,) gains of the logistic regression."""
        require_both_outcomes(journeys, "BackwardsElimination")
        coalitions = Coalitions.of(journeys)
        members = coalitions.members.astype(np.float64)
        fit: LogisticFit = fit_logistic(members, coalitions.conversions, coalitions.nulls, ridge=self.ridge)
        added = fit.coefficients[meetings.channel]
        running = np.cumsum(added)
        begins = np.concatenate([[0], np.cumsum(meetings.n_distinct)[:-1]])
        after = fit.intercept + running - (running - added)[begins][meetings.journey]
        return sigmoid(after) - sigmoid(after - added)

    def _given(self, model: ConversionModel, journeys: Journeys, meetings: Meetings) -> FloatArray:
        """(P,) gains of a model that the user gave; each set is asked for once."""
        names, known = journeys.channels, dict[frozenset[str], float]()

        def worth(channels: frozenset[str]) -> float:
            if channels not in known:
                known[channels] = modelled_worth(model, channels, "BackwardsElimination")
            return known[channels]

        gains = np.zeros(len(meetings.channel))
        journey, so_far, before = -1, frozenset[str](), 0.0
        for i, (j, code) in enumerate(zip(meetings.journey.tolist(), meetings.channel.tolist(), strict=True)):
            if j != journey:
                journey, so_far = j, frozenset()
                before = worth(so_far)
            so_far |= {names[code]}
            after = worth(so_far)
            gains[i], before = after - before, after
        return gains


def _note_of_losses(gains: FloatArray, journeys: Journeys, meetings: Meetings) -> tuple[str, ...]:
    lost = (gains < 0) & (journeys.conversions[meetings.journey] > 0)
    if not lost.any():
        return ()
    conversions = float(journeys.conversions[np.unique(meetings.journey[lost])].sum())
    names = sorted({journeys.channels[code] for code in meetings.channel[lost].tolist()})
    return (
        f"In the journeys of {conversions:,.6g} conversions adding {listed(names)} lowers the modelled conversion; it "
        "gets nothing there, and the others share all.",
    )
