"""Curves over time: who has purchased, who is still a customer, and what a buyer has been worth so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from journeysim.errors import InputError
from journeysim.kpis.groups import Groups, group_customers
from journeysim.kpis.intervals import Estimate, Estimates
from journeysim.kpis.observed import observe
from journeysim.kpis.survival import KaplanMeier
from journeysim.kpis.value import buyers_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from journeysim.events import EventLog
    from journeysim.kpis.groups import Cohort, Period

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]
    BoolArray = NDArray[np.bool_]

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


def retention_curve(
    log: EventLog,
    days: ArrayLike | None = None,
    *,
    by: str | None = None,
    period: Period | None = None,
    cohort: Cohort = "first_purchase",
    cluster: str | None = None,
) -> pl.DataFrame:
    """Share of buyers who are still customers after each of some days since their first purchase: Kaplan-Meier.

    A buyer stops being an active customer on first entering `lost` or `lapsed` at or after the first purchase; who is
    won back later has not been retained. Buyers whom the window left earlier are censored.

    Parameters
    ----------
    days : (T,) each >= 0; by default every whole day of the window
    by, period, cohort, cluster : as in `kpis`

    Returns
    -------
    One row per group and day: `segment` (and `period`), `day`, `value`, `low` and `high` (pointwise 95% interval,
    log-log), `at_risk`, the buyers observed as active for so long. Nulls after the last day that anybody was observed.

    Raises
    ------
    InputError : a day is negative, or as `kpis`
    """
    observed = observe(log)
    groups = group_customers(log, observed, by=by, period=period, cohort=cohort, cluster=cluster)
    grid = _grid(log, days)
    fits = kaplan_meiers(groups, *observed.as_customer())
    return _curve_frame(groups, grid, [fit.survival(grid) for fit in fits], [fit.at_risk(grid) for fit in fits])


def conversion_curve(
    log: EventLog,
    days: ArrayLike | None = None,
    *,
    by: str | None = None,
    period: Period | None = None,
    cohort: Cohort = "first_event",
    cluster: str | None = None,
) -> pl.DataFrame:
    """Share of customers who have purchased within each of some days of their first event: 1 - Kaplan-Meier.

    Customers whom the window left earlier are censored. Those who are lost never purchase, and count as observed until
    the window ends: this is the cumulative incidence of a purchase. Customers without an event have no first day, and
    are left out.

    Parameters, returns and raises as `retention_curve`.
    """
    observed = observe(log)
    groups = group_customers(log, observed, by=by, period=period, cohort=cohort, cluster=cluster)
    grid = _grid(log, days)
    fits = kaplan_meiers(groups, *observed.to_purchase())
    found = [fit.survival(grid).complement() for fit in fits]
    return _curve_frame(groups, grid, found, [fit.at_risk(grid) for fit in fits])


def clv_curve(
    log: EventLog,
    days: ArrayLike | None = None,
    *,
    yearly_discount: float = 0.0,
    by: str | None = None,
    period: Period | None = None,
    cohort: Cohort = "first_purchase",
    cluster: str | None = None,
) -> pl.DataFrame:
    """Realised customer lifetime value: mean revenue of a buyer up to each of some days since the first purchase.

    The first purchase is included. It is the mean cumulative function, in which every day is averaged over the buyers
    who were observed for so long; buyers who left stay in it and are worth nothing more. It says nothing of the time
    after the longest observation, and does not extrapolate.

    Parameters
    ----------
    yearly_discount : r >= 0: a purchase u days after the first is divided by (1 + r)^(u/365)
    days, by, period, cohort, cluster : as in `retention_curve`

    Returns
    -------
    As `retention_curve`; the value is money per buyer, its interval that of `journeysim.kpis.value.mean_cumulative`.
    Nulls in a log that has no values of purchases.

    Raises
    ------
    InputError : the discount is negative, or as `retention_curve`
    """
    if not 0 <= yearly_discount < np.inf:
        raise InputError(f"clv_curve: yearly_discount is {yearly_discount}; it must be >= 0, such as 0.1 for 10%.")
    observed = observe(log)
    groups = group_customers(log, observed, by=by, period=period, cohort=cohort, cluster=cluster)
    grid = _grid(log, days)
    parts = buyers_value(log, observed, groups, yearly_discount)
    return _curve_frame(groups, grid, [b.mean_cumulative(grid) for b in parts], [b.at_risk(grid) for b in parts])


def time_to_purchase(
    log: EventLog,
    quantiles: Sequence[float] = QUANTILES,
    *,
    by: str | None = None,
    period: Period | None = None,
    cohort: Cohort = "first_event",
    cluster: str | None = None,
) -> pl.DataFrame:
    """Days from the first event to the first purchase: quantiles among all customers and among buyers.

    Among all customers the q-quantile is the day by which a share q of all has purchased, censoring taken into account;
    null if the share is not reached. Among buyers it describes those seen to buy: the longer the window, the longer
    their days.

    Returns
    -------
    One row per group and quantile: `segment` (and `period`), `quantile`, `days` with `low` and `high` (95%, by
    Brookmeyer and Crowley), and `days_of_buyers`.

    Raises
    ------
    InputError : a quantile is not between 0 and 1, or as `kpis`
    """
    if wrong := [q for q in quantiles if not 0 < q < 1]:
        raise InputError(f"time_to_purchase: quantile {wrong[0]} is not between 0 and 1.")
    observed = observe(log)
    groups = group_customers(log, observed, by=by, period=period, cohort=cohort, cluster=cluster)
    customers, days, bought = observed.to_purchase()
    rows: list[tuple[float | None, ...]] = []
    for fit, members in zip(kaplan_meiers(groups, customers, days, bought), groups.split(customers), strict=True):
        of_buyers = days[members][bought[members]]
        rows += [(q, *fit.quantile(q), float(np.quantile(of_buyers, q)) if len(of_buyers) else None) for q in quantiles]
    columns = ("quantile", "days", "low", "high", "days_of_buyers")
    frame = pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.Float64), orient="row")
    return pl.DataFrame(groups.labels(len(quantiles))).hstack(frame)


def converted_within(log: EventLog, days: float) -> Estimate:
    """Share of customers who purchase within some days of their first event, with a 95% interval.

    As `conversion_curve`. Nulls if nobody was observed for so long.
    """
    _, durations, bought = observe(log).to_purchase()
    return KaplanMeier.fit(durations, bought).survival(np.array([float(days)])).complement().at(0)


def retained_after(log: EventLog, days: float) -> Estimate:
    """Share of buyers still active some days after their first purchase, with a 95% interval.

    As `retention_curve`. Nulls if nobody was observed for so long.
    """
    _, durations, gone = observe(log).as_customer()
    return KaplanMeier.fit(durations, gone).survival(np.array([float(days)])).at(0)


def kaplan_meiers(groups: Groups, customers: IntArray, days: FloatArray, ended: BoolArray) -> list[KaplanMeier]:
    """One per group, of durations (k,) of some customers (k,)."""
    units = groups.units[customers] if groups.clustered else None
    return [
        KaplanMeier.fit(days[members], ended[members], None if units is None else units[members])
        for members in groups.split(customers)
    ]


def _grid(log: EventLog, days: ArrayLike | None) -> FloatArray:
    grid = np.arange(0.0, np.floor(log.days) + 1) if days is None else np.atleast_1d(np.asarray(days, dtype=float))
    if grid.ndim != 1 or not (np.isfinite(grid) & (grid >= 0)).all():
        raise InputError(f"days are {days!r}; they must be numbers >= 0.")
    return grid


def _curve_frame(
    groups: Groups, grid: FloatArray, found: Sequence[Estimates], at_risk: Sequence[IntArray]
) -> pl.DataFrame:
    columns = {name: np.concatenate([getattr(f, name) for f in found]) for name in Estimates._fields}
    return pl.DataFrame(
        {
            **groups.labels(len(grid)),
            "day": np.tile(grid, len(groups)),
            **{name: pl.Series(values, nan_to_null=True) for name, values in columns.items()},
            "at_risk": np.concatenate(at_risk),
        }
    )
