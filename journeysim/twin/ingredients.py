"""What a world needs of a log beside moves and pulls: values, costs, the window, who bought."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from journeysim.errors import InputError
from journeysim.event_columns import KINDS
from journeysim.kpis.observed import US_PER_DAY, observe
from journeysim.stage_history import segment_codes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.events import EventLog
    from journeysim.stays import Stays

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

N_WATCHED = 8  # times that stand for all those for which customers were seen
ALL_OF_IT = 0.99  # of the window


@dataclass(frozen=True, slots=True, eq=False)
class Ingredients:
    """Sums over the G segments of a log, and its C channels.

    Attributes
    ----------
    days : length of the window
    currency : of values and costs
    n_values, log_mean : (G,) purchases with a value above 0, and the mean logarithm of these values; 0 where none
    log_squares : sum over all segments of squared deviations of log values from the mean of their segment
    cost_per_contact : (C,) mean
    n_converted : customers with a purchase
    watched_days : (G, K) equally likely lengths of time for which customers of each segment were seen, from their first
        event to the end of the window; K is 1 where all were seen for all of it
    """

    days: float
    currency: str
    n_values: FloatArray
    log_mean: FloatArray
    log_squares: float
    cost_per_contact: FloatArray
    n_converted: int
    watched_days: FloatArray


def to_ingredients(log: EventLog, stays: Stays, *, by: str | None = None) -> Ingredients:
    """The ingredients of a log, whose `stays` were made with the same `by`.

    Raises
    ------
    InputError : there is no purchase, or a cost below 0
    """
    kinds, who = log.codes("kind", KINDS), log.customer_codes()
    bought, touch = kinds == KINDS.index("purchase"), kinds == KINDS.index("touch")
    if not bought.any():
        raise InputError("The log has no purchases, so its twin could not tell what brings them; use a longer window.")
    n_segments = len(stays.counts.segments)
    segment = np.zeros(log.n_customers, np.int64) if by is None else segment_codes(log, by, unknown="(unknown)")[0]
    value, cost = (np.asarray(log.events[name].to_numpy(), dtype=np.float64) for name in ("value", "cost"))
    paid = bought & (value > 0)  # null is NaN here, and not above 0
    of, logs = segment[who[paid]], np.log(value[paid])
    n = np.bincount(of, minlength=n_segments).astype(np.float64)
    mean = np.bincount(of, logs, minlength=n_segments) / np.maximum(n, 1.0)
    channel = log.codes("channel", stays.channels)[touch]
    spent = np.nan_to_num(cost[touch])
    if (spent < 0).any():
        raise InputError("A contact has a cost below 0; correct the cost column of the log.")
    contacts = np.bincount(channel, minlength=len(stays.channels))
    return Ingredients(
        days=log.days,
        currency=log.currency or "EUR",
        n_values=n,
        log_mean=mean,
        log_squares=float(((logs - mean[of]) ** 2).sum()),
        cost_per_contact=np.bincount(channel, spent, minlength=len(stays.channels)) / contacts,
        n_converted=len(np.unique(who[bought])),
        watched_days=_watched(log, segment, n_segments),
    )


def _watched(log: EventLog, segment: IntArray, n_segments: int) -> FloatArray:
    """(G, K) middles of K equal parts of the customers of each segment; of all customers where a segment has none."""
    watched = log.days - observe(log).first_event / US_PER_DAY
    seen = ~np.isnan(watched)
    if (watched[seen] >= ALL_OF_IT * log.days).all():
        return np.full((n_segments, 1), log.days)
    middles = (np.arange(N_WATCHED) + 0.5) / N_WATCHED
    own = [watched[seen & (segment == g)] for g in range(n_segments)]
    # who came in the last moment is still a journey, of some length
    return np.maximum([np.quantile(x if len(x) else watched[seen], middles) for x in own], 1e-6 * log.days)
