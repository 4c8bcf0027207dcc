"""Ages of touches: the days from each touch to the end of its journey, checked, for the methods that need them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from journeysim.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.journeys import Journeys


def required_ages_days(journeys: Journeys, method: str, instead: str) -> NDArray[np.float64]:
    """(T,) days from each touch to the end of its journey.

    Parameters
    ----------
    method : who asks
    instead : a method that does without

    Raises
    ------
    InputError : if the journeys have no times, or a touch comes after the end of its journey
    """
    ages = journeys.ages_days
    if ages is None:
        raise InputError(
            f"{method} needs the days from each touch to the conversion, and these journeys have no times "
            f"(aggregated paths never do). Build them from an event log, or use {instead}."
        )
    wrong = ~(np.isfinite(ages) & (ages >= 0))
    if wrong.any():
        touch = int(np.flatnonzero(wrong)[0])
        journey = int(np.searchsorted(journeys.offsets, touch, side="right")) - 1
        raise InputError(
            f"{method}: a touch of journey {journey} has age {ages[touch]} days; ages must be finite and >= 0 "
            "(cut touches after the conversion)."
        )
    return ages
