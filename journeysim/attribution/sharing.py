"""Sharing out: from scores of channels to credit that adds up, in each journey or over all of them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from journeysim.attribution.base import Attribution
from journeysim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from journeysim.attribution.coalitions import Meetings
    from journeysim.journeys import Journeys

    FloatArray = NDArray[np.float64]


def shares_within(meetings: Meetings, score: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Split each journey among its channels in proportion to non-negative scores, equally where all are zero.

    Parameters
    ----------
    score : (P,) score of each meeting of a journey with a channel, >= 0

    Returns
    -------
    (P,) shares that sum to 1 in each journey, and (J,) whether a journey had no score above zero
    """
    n_journeys = len(meetings.n_distinct)
    largest = np.zeros(n_journeys)
    np.maximum.at(largest, meetings.journey, score)
    nothing = largest <= 0
    scaled = score / np.where(nothing, 1.0, largest)[meetings.journey]  # tiny scores must not vanish in the sum
    scaled = np.where(nothing[meetings.journey], 1.0, scaled)
    total = np.bincount(meetings.journey, scaled, minlength=n_journeys)
    return np.asarray(scaled / total[meetings.journey]), nothing


def credited(
    method: str,
    settings: Any,
    journeys: Journeys,
    meetings: Meetings,
    share: FloatArray,
    notes: Sequence[str] = (),
) -> Attribution:
    """Credit each journey's conversions and value by (P,) shares of its meetings, which sum to 1 in each journey."""

    def total(of_journey: FloatArray) -> FloatArray:
        credit = np.bincount(meetings.channel, share * of_journey[meetings.journey], len(journeys.channels))
        return credit.astype(np.float64)

    return result(method, settings, journeys, total(journeys.conversions), total(journeys.value), notes)


def result(
    method: str,
    settings: Any,
    journeys: Journeys,
    conversions: FloatArray,
    value: FloatArray,
    notes: Sequence[str] = (),
) -> Attribution:
    """An Attribution with what all of them take from the journeys; `settings` is the method, a dataclass, or a dict."""
    return Attribution(
        method=method,
        settings=settings if isinstance(settings, dict) else asdict(settings),
        channels=journeys.channels,
        conversions=conversions,
        value=value,
        untouched_conversions=journeys.untouched_conversions,
        untouched_value=journeys.untouched_value,
        notes=(*journeys.notes, *notes),
    )


def in_proportion(total: float, scores: FloatArray, what: str) -> FloatArray:
    """(C,) a total shared out in proportion to scores, which may be negative but must not cancel.

    Raises
    ------
    InputError : if there is something to share out but the scores add up to zero, or to the other sign
    """
    size = abs(scores).sum()
    if total == 0 or abs(total) <= 1e-12 * size:
        return np.zeros(len(scores))
    if scores.sum() * np.sign(total) <= 1e-9 * size:
        raise InputError(
            f"{what} cancel out or have the wrong sign in total ({scores.sum():g}), so they are no basis for shares. "
            "Negative values, such as refunds, do this: attribute without them, or set the value column to zero."
        )
    return np.asarray(total * (scores / scores.sum()))


def note_of_equal_split(nothing: NDArray[np.bool_], journeys: Journeys, why: str) -> tuple[str, ...]:
    """Say how many conversions no score decided, or nothing."""
    conversions = float(journeys.conversions[nothing].sum())
    if conversions == 0:
        return ()
    return (f"{conversions:,.6g} conversions are split equally among the channels of their journeys: {why}.",)


def note_of_negatives(scores: Mapping[str, float], what: str) -> tuple[str, ...]:
    """Name the channels whose score is negative and counts as zero, or nothing."""
    negative = sorted((score, name) for name, score in scores.items() if score < 0)
    if not negative:
        return ()
    return (f"{what} is negative for {listed(f'{name} ({score:.3g})' for score, name in negative)}: no credit for it.",)


def listed(names: Iterable[str], most: int = 8) -> str:
    """Names with commas, the first few of many."""
    names = [*names]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
