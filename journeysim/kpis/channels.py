"""What each channel cost, and whom it touched: sums over contacts, not effects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from journeysim.kpis.groups import group_customers
from journeysim.kpis.observed import money, observe

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.events import EventLog
    from journeysim.kpis.groups import Cohort, Period

    FloatArray = NDArray[np.float64]


def channel_spend(
    log: EventLog, *, by: str | None = None, period: Period | None = None, cohort: Cohort = "first_event"
) -> pl.DataFrame:
    """Cost and reach of each channel.

    A buyer is touched by all channels met before the first purchase, and most would have bought without any one of
    them: figures of channels overlap, do not add up, and say what was touched, not what was caused. A channel that
    follows ready buyers looks best here. For causes see `attribute` and, in simulated worlds, `incremental_effects`.

    Returns
    -------
    One row per group and channel with a touch: `segment` (and `period`), `channel`; `touches`; `customers` touched;
    `first_touches`, customers whose first touch it was, and `share_of_first_touches` among all customers with a touch
    (for a channel of referrals: the share of customers who came by one); `buyers_touched` no later than their first
    purchase; `cost`; `cost_per_touch`; `cost_per_buyer_touched`; `revenue_of_buyers_touched`, of all their purchases;
    and `revenue_touched_per_cost`. Null where not defined: money that the log does not have, a ratio to nothing.

    Raises
    ------
    InputError : as `kpis`
    """
    observed = observe(log)
    groups = group_customers(log, observed, by=by, period=period, cohort=cohort)
    names = log.names_in("channel")
    touch, purchase = observed.rows("touch"), observed.rows("purchase")
    revenue = observed.sum(purchase, money(log, "value", purchase))
    who = observed.who[touch]
    touches = pl.DataFrame(
        {
            "met": who * len(names) + log.codes("channel", names)[touch],  # one key is quicker than two
            "time": observed.time[touch],
            "cost": money(log, "cost", touch),
            "is_first": np.append(np.ones(min(1, len(who)), bool), np.diff(who) != 0),
        }
    )
    met = touches.group_by("met").agg(
        pl.len().alias("touches"), pl.col("time").min(), pl.col("cost").sum(), pl.col("is_first").any()
    )
    customer, channels = np.divmod(met["met"].to_numpy(), max(len(names), 1))
    met = met.with_columns(
        group=pl.Series(groups.codes[customer], dtype=pl.Int64),
        channel=pl.Series(channels, dtype=pl.Int64),
        bought=pl.Series(met["time"].to_numpy() <= observed.first_purchase[customer]),
        revenue=pl.Series(revenue[customer], dtype=pl.Float64),
    )
    bought = pl.col("bought")
    rows = (
        met.group_by("group", "channel")
        .agg(
            pl.col("touches").sum().cast(pl.Int64),
            pl.len().cast(pl.Int64).alias("customers"),
            pl.col("is_first").sum().cast(pl.Int64).alias("first_touches"),
            bought.sum().cast(pl.Int64).alias("buyers_touched"),
            pl.col("cost").sum().fill_nan(None),
            pl.col("revenue").filter(bought).sum().fill_nan(None).alias("revenue_of_buyers_touched"),
        )
        .sort("group", "channel")
    )
    labels = pl.DataFrame(groups.labels()).with_columns(group=pl.Series(range(len(groups)), dtype=pl.Int64))
    channel = pl.col("channel").replace_strict(range(len(names)), names, return_dtype=pl.String)
    rows = rows.join(labels, on="group", how="left", maintain_order="left").with_columns(
        channel,
        share_of_first_touches=pl.col("first_touches") / pl.col("first_touches").sum().over("group"),
        cost_per_touch=pl.col("cost") / pl.col("touches"),
        cost_per_buyer_touched=pl.when(pl.col("buyers_touched") > 0).then(pl.col("cost") / pl.col("buyers_touched")),
        revenue_touched_per_cost=pl.when(pl.col("cost") > 0).then(pl.col("revenue_of_buyers_touched") / pl.col("cost")),
    )
    return rows.select(
        *groups.labels(), "channel", "touches", "customers", "first_touches", "share_of_first_touches",
        "buyers_touched", "cost", "cost_per_touch", "cost_per_buyer_touched", "revenue_of_buyers_touched",
        "revenue_touched_per_cost",
    )  # fmt: skip
