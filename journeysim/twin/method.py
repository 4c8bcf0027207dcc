"""The digital twin as a method of attribution: a log with stages in, credit with its draws out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from journeysim.attribution.base import Attribution
from journeysim.attribution.uncertainty import UncertainAttribution
from journeysim.errors import InputError
from journeysim.journeys import to_journeys
from journeysim.twin.effects import twin_attribution
from journeysim.twin.fit import fit_world

if TYPE_CHECKING:
    from journeysim.events import EventLog


@dataclass(frozen=True, slots=True)
class DigitalTwin:
    """Credit in proportion to what is lost in the fitted world without each channel; effects below 0 count as 0.

    The value of conversions is shared out in the same proportion; which channel wins the dear ones is not looked at.

    Attributes
    ----------
    by : attribute of customers that splits them into segments; None for one segment
    hidden_personas : as in `fit_world`
    draws : of the sampler, per chain, as in `fit_world`
    n_worlds, n_customers, seed : as in `twin_attribution`
    """

    by: str | None = None
    hidden_personas: int | Literal["auto"] = "auto"
    draws: int = 1000
    n_worlds: int | None = None
    n_customers: int | None = None
    seed: int = 1

    def attribute_log(self, log: EventLog) -> UncertainAttribution:
        """Fit a twin of the log and credit its converting customers.

        Raises
        ------
        InputError : no channel has an effect above 0 in some world, or as `fit_world` and
            `twin_attribution`
        """
        twin = fit_world(log, seed=self.seed, by=self.by, hidden_personas=self.hidden_personas, draws=self.draws)
        found = twin_attribution(twin, seed=self.seed, n_worlds=self.n_worlds, n_customers=self.n_customers)
        positive = np.maximum(found.effect, 0.0)
        total = positive.sum(axis=1, keepdims=True)
        if not (total > 0).all():
            raise InputError(
                "DigitalTwin: in some fitted world no channel has an effect, so there is no credit to share."
            )
        journeys = to_journeys(log)
        at = [found.channels.index(name) for name in journeys.channels]
        credited, share = found.share[at], (positive / total)[:, at]
        point = Attribution(
            method="digital_twin",
            settings=asdict(self),
            channels=journeys.channels,
            conversions=credited * journeys.n_conversions,
            value=credited * journeys.total_value,
            untouched_conversions=journeys.untouched_conversions,
            untouched_value=journeys.untouched_value,
            notes=(*found.notes, f"Hidden personas in the twin: {twin.hidden_personas}."),
        )
        return UncertainAttribution(
            point=point,
            source="posterior",
            share=share,
            value=share * journeys.total_value,
            settings={"seed": self.seed},
        )
