"""What happened in each day, week or month of the calendar: flows, where cohorts follow customers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from journeysim.events import as_utc, microseconds
from journeysim.kpis.groups import LABELS, check_period, group_customers
from journeysim.kpis.intervals import divide
from journeysim.kpis.observed import US_PER_DAY, money, observe
from journeysim.kpis.surveys import balance
from journeysim.moves import LAPSED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.events import EventLog
    from journeysim.kpis.groups import Period

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

_LENGTH: Final[dict[Period, str]] = {"day": "1d", "week": "1w", "month": "1mo"}  # weeks begin on Monday, as in ISO 8601


def calendar(log: EventLog, period: Period, *, by: str | None = None) -> pl.DataFrame:
    """What happened in each period of the calendar (UTC), whoever did it.

    Returns
    -------
    One row per segment and period of the window, also those in which nothing happened: `segment`; `period`; `days` of
    it that the window covers, as the window may begin and end within one; `touches`, `cost`; `new_customers`, first
    events; `new_buyers`, first purchases; `purchases`, `revenue`; `lost`, `lapsed`, exits; `referrals`; `csat`, the
    mean answer; `nps`, in points; `cost_per_new_buyer`, the cost of the period over the first purchases in it, although
    many of these were paid for earlier; and `return_on_spend`, revenue / cost likewise. Null where not defined.

    Raises
    ------
    InputError : the period has no such name, or `by` is not a column of the customers
    """
    check_period(period)
    observed = observe(log)
    groups = group_customers(log, observed, by=by)
    ends = [as_utc(time).replace(tzinfo=None) for time in (log.start, log.end)]
    first, last = (pl.lit(time).dt.truncate(_LENGTH[period]) for time in ends)
    starts = pl.select(pl.datetime_range(first, last, _LENGTH[period], time_unit="us")).to_series()
    if len(starts) > 1 and starts[-1] == ends[1]:  # the last moment belongs to the period that it ends
        starts = starts.head(-1)
    n = len(starts)
    edges = (starts.cast(pl.Int64).to_numpy() - microseconds(log.start)).astype(np.float64)
    until = np.append(edges[1:], np.inf)
    days = (np.minimum(until, observed.end) - np.maximum(edges, 0.0)) / US_PER_DAY

    def total(who: IntArray, time: FloatArray, amounts: FloatArray | None = None) -> FloatArray:
        cell = groups.codes[who] * n + np.searchsorted(edges, time, side="right") - 1
        return np.bincount(cell, amounts, len(groups) * n).astype(np.float64)

    def of_rows(rows: IntArray, amounts: FloatArray | None = None) -> FloatArray:
        return total(observed.who[rows], observed.time[rows], amounts)

    def of_firsts(times: FloatArray) -> FloatArray:
        who = np.flatnonzero(~np.isnan(times))
        return total(who, times[who])

    touch, purchase, csat, nps = (observed.rows(kind) for kind in ("touch", "purchase", "csat", "nps"))
    value: FloatArray = log.events["value"].to_numpy()
    csat, nps = (rows[~np.isnan(value[rows])] for rows in (csat, nps))
    stays = observed.stays
    lapses = stays.row[stays.stage == log.stages.index(LAPSED)] if LAPSED in log.stages else stays.row[:0]
    cost, revenue = of_rows(touch, money(log, "cost", touch)), of_rows(purchase, money(log, "value", purchase))
    new_buyers = of_firsts(observed.first_purchase)
    counts = {
        "touches": of_rows(touch),
        "new_customers": of_firsts(observed.first_event),
        "new_buyers": new_buyers,
        "purchases": of_rows(purchase),
        "lost": of_rows(observed.rows("lost")),
        "lapsed": of_rows(lapses),
        "referrals": of_rows(observed.rows("referral")),
    }
    amounts = {
        "cost": cost,
        "revenue": revenue,
        "csat": divide(of_rows(csat, value[csat]), of_rows(csat)),
        "nps": 100 * divide(of_rows(nps, balance(value[nps])), of_rows(nps)),
        "cost_per_new_buyer": divide(cost, new_buyers),
        "return_on_spend": divide(revenue, cost),
    }
    return pl.DataFrame(
        {
            **groups.labels(n),
            "period": [*starts.dt.strftime(LABELS[period])] * len(groups),
            "days": np.tile(days, len(groups)),
            **{name: numbers.astype(np.int64) for name, numbers in counts.items()},
            **{name: pl.Series(numbers, nan_to_null=True) for name, numbers in amounts.items()},
        }
    )
