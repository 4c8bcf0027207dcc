"""Any touch: credit in proportion to the conversions that a channel was part of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from journeysim.attribution.base import Attribution, require_conversions
from journeysim.attribution.coalitions import Meetings
from journeysim.attribution.sharing import in_proportion, result

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.journeys import Journeys

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AnyTouch:
    """Credit in proportion to the conversions whose journey met the channel at all.

    With A(c) the conversions of journeys that met c, credit is total conversions x A(c) / sum of A: the sums A count a
    journey with three channels three times, and this scales all of them by one factor. (`SimplifiedShapley` divides
    within each journey instead.) By value likewise. A(c) over all conversions is what the removal effect of a Markov
    chain becomes at a high order.
    """

    def attribute(self, journeys: Journeys) -> Attribution:
        """Credit in proportion to the conversions, and to the value, that each channel was part of.

        Raises
        ------
        InputError : if nothing converts, or if refunds make the values cancel
        """
        require_conversions(journeys)
        meetings = Meetings.of(journeys)

        def met(of_journey: FloatArray) -> FloatArray:
            credit = np.bincount(meetings.channel, of_journey[meetings.journey], len(journeys.channels))
            return credit.astype(np.float64)

        return result(
            "any_touch",
            self,
            journeys,
            in_proportion(journeys.n_conversions, met(journeys.conversions), "The conversions that channels met"),
            in_proportion(journeys.total_value, met(journeys.value), "The values that channels met"),
        )
