"""The table of KPIs: one row per segment and figure, each with its unit and its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from journeysim.kpis.curves import kaplan_meiers
from journeysim.kpis.groups import group_customers
from journeysim.kpis.intervals import Estimates, medians, plain, ratio, shares
from journeysim.kpis.observed import US_PER_DAY, money, observe
from journeysim.kpis.surveys import scores
from journeysim.kpis.value import buyers_value
from journeysim.moves import LAPSED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from journeysim.events import EventLog
    from journeysim.kpis.groups import Cohort, Groups, Period
    from journeysim.kpis.observed import Observed
    from journeysim.kpis.survival import KaplanMeier

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]
    BoolArray = NDArray[np.bool_]

KPIS: Final[Mapping[str, tuple[str, str]]] = {
    "customers": ("count", "customers in the log, including those without any event"),
    "conversion_rate": ("share", "customers with a purchase / customers; Wilson"),
    "conversion_30_days": ("share", "bought within 30 days of the first event; 1 - Kaplan-Meier"),
    "conversion_90_days": ("share", "bought within 90 days of the first event; 1 - Kaplan-Meier"),
    "purchases": ("count", "rows of kind purchase"),
    "revenue": ("money", "sum of the values of purchases"),
    "revenue_per_customer": ("money", "revenue / customers"),
    "revenue_per_buyer": ("money", "revenue / customers with a purchase: realised lifetime value in the window"),
    "revenue_per_buyer_day": ("money", "revenue / days from first purchases to the end of the window"),
    "clv_30_days": ("money", "revenue of a buyer within 30 days of the first purchase; mean cumulative function"),
    "clv_90_days": ("money", "revenue of a buyer within 90 days of the first purchase; mean cumulative function"),
    "median_basket": ("money", "median value of a purchase"),
    "median_days_to_purchase": ("days", "from a buyer's first event to the first purchase; buyers only"),
    "median_days_deciding": ("days", "from the end of a buyer's first stage to the first purchase; buyers only"),
    "repeat_rate": ("share", "buyers with two or more purchases / buyers; Wilson"),
    "lost_share": ("share", "customers who left for good / customers; Wilson"),
    "lapsed_share": ("share", "customers who entered lapsed / customers; Wilson"),
    "win_back_rate": ("share", "customers who came back from lapsed / customers who entered it; Wilson"),
    "retention_30_days": ("share", "neither lost nor lapsed 30 days after the first purchase; Kaplan-Meier"),
    "retention_90_days": ("share", "neither lost nor lapsed 90 days after the first purchase; Kaplan-Meier"),
    "csat": ("score", "mean answer to csat, 1 to 5"),
    "csat_top_2_box": ("share", "answers 4 and 5 / answers to csat; Wilson"),
    "csat_answers": ("count", "rows of kind csat with a score"),
    "nps": ("points", "100 (answers 9 and 10 - answers 0 to 6) / answers to nps"),
    "nps_answers": ("count", "rows of kind nps with a score"),
    "referral_rate": ("share", "buyers who referred somebody / buyers; Wilson"),
    "referrals_per_buyer": ("count", "referrals by buyers / buyers"),
    "touches_per_customer": ("count", "rows of kind touch / customers"),
    "cost": ("money", "sum of the costs of touches"),
    "cost_per_acquisition": ("money", "cost / customers with a purchase"),
    "return_on_spend": ("ratio", "revenue / cost"),
}
"""Every KPI: its unit and its definition. Money is in the currency of the log. docs/kpis.md has the formulas."""

DAYS: Final = (30, 90)


def kpis(
    log: EventLog,
    by: str | None = None,
    *,
    period: Period | None = None,
    cohort: Cohort = "first_event",
    cluster: str | None = None,
) -> pl.DataFrame:
    """The KPIs of `KPIS`, of everybody or of each segment.

    What happens after the window is unknown. Conversion within days, retention and lifetime value take that into
    account: customers whom the window left too early are censored. The other figures describe the window as it is: in a
    longer one more customers buy, buy again and leave, and the buyers seen so far are the quick ones.

    Intervals take customers to be independent of each other. Where word of mouth or shared desks couple the customers
    of a market they are not, and intervals are too narrow: `cluster="market"` takes whole markets as independent
    instead. That needs some twenty of them in every segment; with fewer than two there is no interval.

    Parameters
    ----------
    by : a column of `log.customers`, such as persona or market; None takes everybody as one segment, "all"
    period : also split by calendar period (UTC): `day`, ISO `week` or `month` in which a customer's cohort began
    cohort : what begins it, the `first_event` or the `first_purchase`; "(none)" for customers without one. In a
        simulated log every first event is at the start of the window. Split by the period of the first purchase,
        conversion is null: a cohort holds buyers only
    cluster : a column of `log.customers`; customers who share its value may be coupled

    Returns
    -------
    One row per segment and KPI: `segment` (and `period`, if asked for), `kpi`, `value`, `low` and `high` (of the 95%
    interval, null where there is none), `unit`. A value is null where it is not defined: a rate of nobody, money in a
    log without values or costs, retention beyond what anybody was observed; win-back in a log without the stage lapsed,
    surveys and referrals in a log without a row of their kind, as it may not record them.
    Intervals of amounts end at 0, of scores at the least and the most that one can answer.

    Raises
    ------
    InputError : `by` or `cluster` is not a column of the customers, or period or cohort has no such name
    """
    observed = observe(log)
    groups = group_customers(log, observed, by=by, period=period, cohort=cohort, cluster=cluster)
    found = _customers_and_time(log, observed, groups) | _money_and_costs(log, observed, groups)
    found |= _answers(log, observed, groups)
    if period is not None and cohort == "first_purchase":  # who is in such a cohort has purchased
        found |= {name: plain(np.full(len(groups), np.nan)) for name in KPIS if name.startswith("conversion_")}
    ordered = [found[name] for name in KPIS]
    return pl.DataFrame(
        {
            **groups.labels(len(KPIS)),
            "kpi": [*KPIS] * len(groups),
            **{
                bound: pl.Series(np.stack([getattr(e, bound) for e in ordered], axis=1).ravel(), nan_to_null=True)
                for bound in Estimates._fields
            },
            "unit": [unit for unit, _ in KPIS.values()] * len(groups),
        }
    )


def _customers_and_time(log: EventLog, observed: Observed, groups: Groups) -> dict[str, Estimates]:
    everyone, bought = np.ones(observed.n_customers, bool), observed.bought
    n_purchases = observed.count(observed.rows("purchase"))
    buyers = np.flatnonzero(bought)
    days_to_purchase = (observed.first_purchase - observed.first_event) / US_PER_DAY
    stays = observed.stays
    moved = np.flatnonzero(np.diff(stays.who, prepend=-1) == 0)  # a customer's first entry is no move
    first_move = np.full(observed.n_customers, np.nan)
    first_move[stays.who[moved[::-1]]] = stays.time[moved[::-1]]  # what is written last stays
    first_move[first_move > observed.first_purchase] = np.nan  # bought in the first stage
    deciding = (observed.first_purchase - first_move) / US_PER_DAY
    has_lapsed = LAPSED in log.stages
    nothing = plain(np.full(len(groups), np.nan))
    found = {
        "customers": plain(groups.total(everyone)),
        "conversion_rate": shares(groups, bought, everyone),
        "median_days_to_purchase": medians(groups, buyers, days_to_purchase[buyers]),
        "median_days_deciding": medians(groups, buyers, deciding[buyers]),
        "purchases": plain(groups.total(n_purchases)),
        "repeat_rate": shares(groups, n_purchases > 1, bought),
        "lost_share": shares(groups, observed.lost, everyone),
        "lapsed_share": shares(groups, observed.lapsed, everyone) if has_lapsed else nothing,
        "win_back_rate": shares(groups, observed.won_back, observed.lapsed) if has_lapsed else nothing,
    }
    conversion = _at_days(kaplan_meiers(groups, *observed.to_purchase()))
    retention = _at_days(kaplan_meiers(groups, *observed.as_customer()))
    for i, days in enumerate(DAYS):
        found[f"conversion_{days}_days"] = conversion[i].complement()
        found[f"retention_{days}_days"] = retention[i]
    return found


def _at_days(fits: Sequence[KaplanMeier]) -> list[Estimates]:
    """For each of `DAYS` the survival in each group."""
    parts = [fit.survival(np.array(DAYS, dtype=float)) for fit in fits]
    return _by_day(parts)


def _by_day(parts: Sequence[Estimates]) -> list[Estimates]:
    return [Estimates(*(np.array([bound[i] for bound in bounds]) for bounds in zip(*parts, strict=True)))
            for i in range(len(DAYS))]  # fmt: skip


def _money_and_costs(log: EventLog, observed: Observed, groups: Groups) -> dict[str, Estimates]:
    touch, purchase = observed.rows("touch"), observed.rows("purchase")
    everyone, bought = np.ones(observed.n_customers, bool), observed.bought
    revenue, cost = (observed.sum(rows, money(log, of, rows)) for of, rows in (("value", purchase), ("cost", touch)))
    values: FloatArray = log.events["value"].to_numpy()
    priced = purchase[~np.isnan(values[purchase])]
    days = np.where(bought, observed.end - observed.first_purchase, 0.0) / US_PER_DAY
    clv = _by_day([b.mean_cumulative(np.array(DAYS, dtype=float)) for b in buyers_value(log, observed, groups)])
    found = {
        "revenue": plain(groups.total(revenue)),
        "revenue_per_customer": _amount(groups, revenue, everyone),
        "revenue_per_buyer": _amount(groups, revenue, bought),
        "revenue_per_buyer_day": _amount(groups, revenue, days),
        **{f"clv_{n}_days": clv[i] for i, n in enumerate(DAYS)},
        "median_basket": medians(groups, observed.who[priced], values[priced]),
        "touches_per_customer": _amount(groups, observed.count(touch), everyone),
        "cost": plain(groups.total(cost)),
        "cost_per_acquisition": _amount(groups, cost, bought),
        "return_on_spend": _amount(groups, revenue, cost),
    }
    no_value, no_cost = (
        _untold(log, observed, groups, of, rows) for of, rows in (("value", purchase), ("cost", touch))
    )
    for name in found:
        if name in ("cost", "cost_per_acquisition"):
            found[name] = found[name].without(no_cost)
        elif name == "return_on_spend":
            found[name] = found[name].without(no_cost | no_value)
        elif name != "touches_per_customer":
            found[name] = found[name].without(no_value)
    return found


def _amount(groups: Groups, y: NDArray[np.generic], x: NDArray[np.generic]) -> Estimates:
    """A ratio that cannot be negative, unless a log has negative amounts, such as money that went back."""
    return ratio(groups, y, x, least=0.0 if np.min(y, initial=0) >= 0 else -np.inf)


def _untold(log: EventLog, observed: Observed, groups: Groups, column: str, rows: IntArray) -> BoolArray:
    """(G,) whether all amounts of a group are missing; costs also where the log has no touch that could have one."""
    if len(rows) == 0:
        return np.full(len(groups), column == "cost")
    told = rows[~np.isnan(log.events[column].to_numpy()[rows])]
    untold: BoolArray = (groups.total(observed.count(rows)) > 0) & (groups.total(observed.count(told)) == 0)
    return untold


def _answers(log: EventLog, observed: Observed, groups: Groups) -> dict[str, Estimates]:
    csat, nps, referral = (observed.rows(kind) for kind in ("csat", "nps", "referral"))
    found = {name: plain(np.full(len(groups), np.nan)) for name in KPIS}
    value: FloatArray = log.events["value"].to_numpy()
    for survey, rows in (("csat", csat), ("nps", nps)):
        if len(rows):
            found[f"{survey}_answers"] = plain(groups.total(observed.count(rows[~np.isnan(value[rows])])))
    if len(csat):
        of_csat = scores(log, observed, groups, "csat", csat)
        found |= {"csat": of_csat["mean"], "csat_top_2_box": of_csat["top_2_box"]}
    if len(nps):
        found |= scores(log, observed, groups, "nps", nps)
    if len(referral):
        made = np.where(observed.bought, observed.count(referral), 0)
        found["referral_rate"] = shares(groups, made > 0, observed.bought)
        found["referrals_per_buyer"] = _amount(groups, made, observed.bought)
    names = ("csat", "csat_top_2_box", "csat_answers", "nps", "nps_answers", "referral_rate", "referrals_per_buyer")
    return {name: found[name] for name in names}
