"""A simulated log as a Polars table that tests can ask questions."""

import polars as pl
import pyarrow.compute as pc

MOVES = ["stage", "lost"]


def table(log):
    """Events with `day` since the start, `persona`, and `origin`: the stage the customer was in before the row."""
    words = pl.col("kind", "channel", "stage", "pain_point", "cause").cast(pl.String)
    events = log.to_polars().with_columns(words, day=(pl.col("time") - log.start).dt.total_microseconds() / 86_400e6)
    people = pl.DataFrame(pl.from_arrow(log.customers)).with_columns(pl.col("persona").cast(pl.String))
    events = events.join(people, on="customer", maintain_order="left")
    return events.with_columns(origin=pl.col("stage").shift(1).over("customer"))


def moves(events, origin=None):
    """Moves, the exit included; those from one stage, or all but the start."""
    chosen = events.filter(pl.col("kind").is_in(MOVES), pl.col("origin").is_not_null())
    return chosen if origin is None else chosen.filter(pl.col("origin") == origin)


def stage_at(events, day):
    """Where each customer is at a time."""
    seen = events.filter(pl.col("kind").is_in(MOVES), pl.col("day") <= day)
    return seen.group_by("customer", maintain_order=True).last()


def first_entry(events, stage):
    """Days until customers first enter a stage, of those who do."""
    entered = events.filter(pl.col("kind").is_in(MOVES), pl.col("stage") == stage)
    return entered.group_by("customer", maintain_order=True).first()["day"].to_numpy()


def never_touched_by(log, channel):
    """Customers without a touch on `channel`, as `EventLog.only` takes them."""
    is_touch = log.codes("kind", ["touch"]) == 0
    touched = pc.unique(log.events.filter(is_touch & (log.codes("channel", [channel]) == 0))["customer"])
    everyone = log.customers["customer"].combine_chunks()
    return everyone.filter(pc.invert(pc.is_in(everyone, touched)))
