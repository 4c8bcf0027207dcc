"""What the channels of a world really do, by twin runs, beside what last touch says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from journeysim.simulation import simulate

if TYPE_CHECKING:
    from journeysim.events import EventLog
    from journeysim.spec import World


def up_to_purchase(log: EventLog) -> pl.DataFrame:
    """The events of buyers up to the first purchase."""
    events = log.to_polars().with_columns(pl.col("kind", "channel", "cause").cast(pl.String))
    bought = events.filter(pl.col("kind") == "purchase").group_by("customer").agg(bought=pl.col("time").min())
    return events.join(bought, on="customer", maintain_order="left").filter(pl.col("time") <= pl.col("bought"))


def share_lost(world: World, log: EventLog, *channels: str) -> float:
    """Share of the buyers of `log`, a simulation of `world`, that are lost without some channels."""
    twin = simulate(
        world.without(*channels),
        n_customers=log.n_customers,
        horizon_days=log.days,
        seed=int(log.provenance["seed"]),
    )
    return 1 - up_to_purchase(twin)["customer"].n_unique() / up_to_purchase(log)["customer"].n_unique()


def channel_effects(world: World, log: EventLog) -> pl.DataFrame:
    """One row per channel: shares of buyers lost without it (`incremental`), and of whom it was the `last_touch`."""
    touches = up_to_purchase(log).filter(pl.col("kind") == "touch")
    last = touches.group_by("customer").agg(pl.col("channel").last())["channel"]
    rows = [(name, share_lost(world, log, name), (last == name).mean()) for name in world.channel_names]
    return pl.DataFrame(rows, schema=["channel", "incremental", "last_touch"], orient="row")
