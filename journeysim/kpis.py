"""KPIs of a log: conversion, time to purchase, repeat purchases, retention, cost and return; and drop-off by stage."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from journeysim.errors import InputError
from journeysim.events import KINDS, microseconds
from journeysim.moves import LOST, direction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from journeysim.events import EventLog

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

KPIS: Final[Mapping[str, tuple[str, str]]] = {
    "customers": ("count", "customers in the log, including those without any event"),
    "conversion_rate": ("share", "customers with a purchase / customers; 95% Wilson interval"),
    "purchases": ("count", "rows of kind purchase"),
    "revenue": ("money", "sum of the values of purchases"),
    "revenue_per_customer": ("money", "revenue / customers"),
    "median_basket": ("money", "median value of a purchase"),
    "median_days_to_purchase": ("days", "from a buyer's first event to the first purchase; buyers only"),
    "median_days_deciding": ("days", "from the end of a buyer's first stage to the first purchase; buyers only"),
    "repeat_rate": ("share", "buyers with two or more purchases / buyers; 95% Wilson interval"),
    "lost_share": ("share", "customers who left for good / customers"),
    "retention_30_days": ("share", "still active 30 days after the first purchase; Kaplan-Meier, 95% interval"),
    "retention_90_days": ("share", "still active 90 days after the first purchase; Kaplan-Meier, 95% interval"),
    "touches_per_customer": ("count", "rows of kind touch / customers"),
    "cost": ("money", "sum of the costs of touches"),
    "cost_per_acquisition": ("money", "cost / customers with a purchase"),
    "return_on_spend": ("ratio", "revenue / cost"),
}
"""Every KPI: its unit and its definition. Money is in the currency of the log."""

_Z95 = 1.959963984540054  # standard normal quantile at 0.975
_US_PER_DAY = 86_400e6
Estimate = tuple[float | None, float | None, float | None]  # value, lower bound, upper bound


def kpis(log: EventLog, by: str | None = None) -> pl.DataFrame:
    """The KPIs of `KPIS`, of everybody or of each segment.

    What happens after the window is unknown. Retention takes that into account: buyers whom the window left too early
    are censored (Kaplan-Meier). The other figures describe the window as it is: in a longer one more customers buy, buy
    again and leave, and the buyers seen so far are the quick ones.

    Parameters
    ----------
    by : a column of `log.customers`, such as persona; None takes everybody as one segment, "all"

    Returns
    -------
    One row per segment and KPI: `segment`, `kpi`, `value`, `low` and `high` (of the 95% interval, null where there is
    none), `unit`. A value is null where it is not defined: a rate of nobody, money in a log without values or costs,
    retention beyond what anybody was observed.

    Raises
    ------
    InputError : `by` is not a column of the customers
    """
    customers, purchases = _observed(log, _segments(log, by))
    values_of = purchases.partition_by("segment", as_dict=True)
    rows = []
    for key, those in customers.partition_by("segment", as_dict=True, maintain_order=True).items():
        values = values_of[key]["value"] if key in values_of else purchases["value"].clear()
        estimates = _estimates(those, values)
        rows += [(key[0], name, *estimates[name], unit) for name, (unit, _) in KPIS.items()]
    number = pl.Float64
    schema = {"segment": pl.String, "kpi": pl.String, "value": number, "low": number, "high": number, "unit": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def drop_off(log: EventLog) -> pl.DataFrame:
    """What became of those who entered each stage.

    Returns
    -------
    One row per stage in the order of the journey: `stage`; `entries`, which counts a customer each time; how they left,
    `forward`, `back` or `lost` (see `journeysim.moves.direction`), or `still_there` at the end of the window; and
    `drop_off`, lost / entries, null where nobody entered. Rows that repeat the stage a customer is in are no entries.

    Raises
    ------
    InputError : the log has no stages
    """
    if not log.stages:
        raise InputError("drop_off: this log has no stages. Give `stages` when the log is read or made.")
    n = len(log.stages)
    who, stage, _ = _stages_entered(log)
    ways = ("forward", "back", "exit", "still_there")
    way_of = np.zeros((n + 1, n + 1), np.int64)
    for i, origin in enumerate(log.stages):
        for j, target in enumerate((*log.stages, LOST)):
            to = direction(origin, target, stages=log.stages, purchase_stages=log.purchase_stages)
            way_of[i, j] = ways.index(to)
    last = np.append(who[1:] != who[:-1], np.ones(min(1, len(who)), bool))
    way = np.where(last, ways.index("still_there"), way_of[stage, np.roll(stage, -1)])
    entered = stage < n  # the rest are lost already
    counts = np.bincount(stage[entered] * len(ways) + way[entered], minlength=n * len(ways)).reshape(n, len(ways))
    names = ("forward", "back", "lost", "still_there")
    frame = pl.DataFrame(
        {"stage": log.stages, "entries": counts.sum(axis=1), **dict(zip(names, counts.T, strict=True))}
    )
    return frame.with_columns(drop_off=pl.when(pl.col("entries") > 0).then(pl.col("lost") / pl.col("entries")))


def wilson(hits: int, n: int) -> Estimate:
    """A share with its 95% Wilson score interval; nulls if n is 0.

    Source: Wilson (1927), Probable inference, the law of succession, and statistical inference. JASA 22:158.
    """
    if n == 0:
        return None, None, None
    share, z2 = hits / n, _Z95**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return share, max(0.0, middle - half), min(1.0, middle + half)


def survival(day: float, days: FloatArray, ended: NDArray[np.bool_]) -> Estimate:
    """Probability of lasting longer than `day`: Kaplan-Meier, with a 95% log-log interval from Greenwood's variance.

    Parameters
    ----------
    days : (n,) how long each was observed
    ended : (n,) whether it ended then; otherwise it was censored

    Returns
    -------
    value, low, high; all null if nobody was observed for so long, the bounds null if the value is 0 or 1

    Source: Kalbfleisch & Prentice, The Statistical Analysis of Failure Time Data, 2nd ed., section 1.4.
    """
    order = np.lexsort((~ended, days))  # at the same time, ends come before censorings
    days, ended = days[order], ended[order]
    if len(days) == 0 or (days[-1] < day and not ended[-1]):
        return None, None, None
    at_risk = (len(days) - np.arange(len(days)))[ended & (days <= day)]
    value = float(np.prod(1 - 1 / at_risk))
    if value in (0.0, 1.0):
        return value, None, None
    log_variance = float(np.sum(1 / (at_risk * (at_risk - 1.0))))
    width = math.exp(_Z95 * math.sqrt(log_variance) / -math.log(value))
    return value, value**width, value ** (1 / width)


def _segments(log: EventLog, by: str | None) -> pl.Series:
    if by is None:
        return pl.repeat("all", log.n_customers, dtype=pl.String, eager=True)
    if by not in log.segment_names():
        raise InputError(f"kpis: no column {by!r} in customers; known: {', '.join(log.segment_names()) or '(none)'}.")
    return pl.Series(pl.from_arrow(log.customers[by])).cast(pl.String).fill_null("(none)")


def _observed(log: EventLog, segment: pl.Series) -> tuple[pl.DataFrame, pl.DataFrame]:
    """One row per customer, and one row per purchase, each with its segment; times in days, NaN for never."""
    n = log.n_customers
    who, day, kinds = log.customer_codes(), log.times_us() / _US_PER_DAY, log.codes("kind", KINDS)
    touch, purchase, lost = (np.flatnonzero(kinds == KINDS.index(kind)) for kind in ("touch", "purchase", "lost"))

    first_purchase, left = _first(who[purchase], day[purchase], n), _first(who[lost], day[lost], n)
    left[left < first_purchase] = np.nan  # back again
    end = microseconds(log.end) / _US_PER_DAY
    mover, _, moved_at = _stages_entered(log)
    moved = np.diff(mover, prepend=-1) == 0  # a customer's first entry is no move
    first_move = _first(mover[moved], moved_at[moved], n)
    first_move[first_move > first_purchase] = np.nan  # bought in the first stage
    value = _money(log, "value", purchase)
    customers = pl.DataFrame(
        {
            "segment": segment,
            "touches": np.bincount(who[touch], minlength=n),
            "cost": np.bincount(who[touch], _money(log, "cost", touch), n),
            "purchases": np.bincount(who[purchase], minlength=n),
            "revenue": np.bincount(who[purchase], value, n),
            "days_to_purchase": first_purchase - _first(who, day, n),
            "days_deciding": first_purchase - first_move,
            "days_after": np.fmin(left, end) - first_purchase,
            "lost": ~np.isnan(left),
        }
    )
    return customers, pl.DataFrame({"segment": segment.gather(who[purchase]), "value": value})


def _first(who: IntArray, day: FloatArray, n: int) -> FloatArray:
    """The first day of each of n customers, from rows in the order of time; NaN for those without a row."""
    days = np.full(n, np.nan)
    days[who[::-1]] = day[::-1]  # what is written last stays
    return days


def _money(log: EventLog, column: str, rows: IntArray) -> FloatArray:
    """Amounts in some rows, 0 where empty; NaN if all are empty, since then the log does not tell."""
    amounts: FloatArray = log.events[column].to_numpy()[rows]
    return amounts if np.isnan(amounts).all() else np.nan_to_num(amounts)


def _stages_entered(log: EventLog) -> tuple[IntArray, IntArray, FloatArray]:
    """Customer, stage (the number of stages stands for lost) and day of each entry into a stage."""
    kinds, stage = log.codes("kind", KINDS), log.codes("stage", log.stages)
    stage[kinds == KINDS.index("lost")] = len(log.stages)
    rows = np.flatnonzero(((kinds == KINDS.index("stage")) & (stage >= 0)) | (stage == len(log.stages)))
    who, stage = log.customer_codes()[rows], stage[rows]
    new = np.append(np.ones(min(1, len(who)), bool), (np.diff(who) != 0) | (np.diff(stage) != 0))
    return who[new], stage[new], log.times_us()[rows][new] / _US_PER_DAY


def _estimates(customers: pl.DataFrame, values: pl.Series) -> Mapping[str, Estimate]:
    n = customers.height
    buyers = customers.filter(pl.col("purchases") > 0)
    revenue, cost = _known(customers["revenue"].sum()), _known(customers["cost"].sum())
    days, lost = buyers["days_after"].to_numpy(), buyers["lost"].to_numpy()
    plain: dict[str, float | None] = {
        "customers": n,
        "purchases": int(customers["purchases"].sum()),
        "revenue": revenue,
        "revenue_per_customer": _ratio(revenue, n),
        "median_basket": _known(values.median()),
        "median_days_to_purchase": _known(buyers["days_to_purchase"].median()),
        "median_days_deciding": _known(buyers["days_deciding"].drop_nans().median()),
        "lost_share": _ratio(int(customers["lost"].sum()), n),
        "touches_per_customer": _ratio(int(customers["touches"].sum()), n),
        "cost": cost,
        "cost_per_acquisition": _ratio(cost, buyers.height),
        "return_on_spend": _ratio(revenue, cost),
    }
    return {name: (value, None, None) for name, value in plain.items()} | {
        "conversion_rate": wilson(buyers.height, n),
        "repeat_rate": wilson(buyers.filter(pl.col("purchases") > 1).height, buyers.height),
        "retention_30_days": survival(30, days, lost),
        "retention_90_days": survival(90, days, lost),
    }


def _known(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not math.isnan(value) else None


def _ratio(numerator: float | None, denominator: float | None) -> float | None:
    return numerator / denominator if numerator is not None and denominator else None


def converted_within(log: EventLog, days: float) -> Estimate:
    """Share of customers who purchase within some days of their first event, with a 95% interval.

    Customers who were not observed for so long are censored (Kaplan-Meier); those who are lost never purchase, and
    count as observed until the window ends. Nulls if nobody was observed for so long.
    """
    everyone, _ = _observed(log, _segments(log, None))
    who, first_rows = np.unique(log.customer_codes(), return_index=True)
    followed = (microseconds(log.end) - log.times_us()[first_rows]) / _US_PER_DAY
    until = everyone["days_to_purchase"].to_numpy()[who]
    bought = ~np.isnan(until)
    value, low, high = survival(days, np.where(bought, until, followed), bought)
    return tuple(None if x is None else 1 - x for x in (value, high, low))  # type: ignore[return-value]


def retained_after(log: EventLog, days: float) -> Estimate:
    """Share of buyers still active some days after their first purchase, with a 95% interval (Kaplan-Meier).

    Nulls if nobody was observed for so long.
    """
    everyone, _ = _observed(log, _segments(log, None))
    buyers = everyone.filter(pl.col("purchases") > 0)
    return survival(days, buyers["days_after"].to_numpy(), buyers["lost"].to_numpy())


def pain_points(log: EventLog) -> pl.DataFrame:
    """Who met each pain point, and how many of these and of the others purchased.

    Those who come furthest have most chances to meet one: the columns compare, they do not tell what it costs.

    Returns
    -------
    One row per pain point: `pain_point`, `customers`, `share_of_customers`, `converted` (share of those who met it),
    `converted_otherwise` (share of those who did not)
    """
    names = log.names_in("pain_point")
    kinds, who, pain = log.codes("kind", KINDS), log.customer_codes(), log.codes("pain_point", names)
    bought = np.zeros(log.n_customers, dtype=bool)
    bought[who[kinds == KINDS.index("purchase")]] = True
    rows = []
    for k, name in enumerate(names):
        met = np.zeros(log.n_customers, dtype=bool)
        met[who[pain == k]] = True
        share, _, _ = wilson(int(bought[met].sum()), int(met.sum()))
        otherwise, _, _ = wilson(int(bought[~met].sum()), int((~met).sum()))
        rows.append((name, int(met.sum()), float(met.mean()), share, otherwise))
    number = pl.Float64
    schema = {"pain_point": pl.String, "customers": pl.Int64, "share_of_customers": number}
    schema |= {"converted": number, "converted_otherwise": number}
    return pl.DataFrame(rows, schema=schema, orient="row")
