"""EventMap: how the columns and event names of a real log become customers, stages, touches and purchases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final, Self

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from journeysim.columns import column, numbers, times
from journeysim.errors import InputError
from journeysim.events import EventLog
from journeysim.moves import BASE, LOST
from journeysim.table_files import Source, read_table
from journeysim.yaml_files import Problem, did_you_mean, parse_model, problems_error, read_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LAST_EVENT: Final = timedelta(seconds=1)
"""How long a last event takes: a stay that ends with its first event must have lasted, or its hazard has no bound."""

Label = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]


class Columns(BaseModel):
    """Names of the columns in the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    customer: Label
    time: Label
    event: Label
    channel: Label | None = Field(default=None, description="where the contact came from; blank means no contact")
    visit: Label | None = Field(default=None, description="session; only its first event is a touch")
    value: Label | None = Field(default=None, description="value of a purchase, read at purchase events")
    segments: tuple[Label, ...] = Field(default=(), description="attributes of customers; the first value seen counts")


class EventMap(BaseModel):
    """How a real log is read. Every event name must stand in exactly one of stages, pain_points and ignore.

    A customer who stays silent for `lost_after_days` before the log ends is lost. The loss is dated a second after the
    last event, so that silence is not counted as time at risk in the last stage.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: Columns
    stages: Annotated[Mapping[Label, tuple[Label, ...]], Field(min_length=1)] = Field(
        description="in the order of the journey: each stage and the events that show a customer in it"
    )
    purchase: Label = Field(description="the stage whose every event is a purchase")
    pain_points: Mapping[Label, tuple[Label, ...]] = Field(default={}, description="barriers and their events")
    ignore: tuple[Label, ...] = Field(default=(), description="events that say nothing about the journey")
    lost_after_days: Annotated[float, Field(gt=0, le=3650)]
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] | None = None

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        problems = [*_problems(self)]
        if problems:
            raise problems_error(problems)
        return self

    @classmethod
    def from_yaml(cls, source: str | Path) -> EventMap:
        """Read a map from a YAML file (a path) or from YAML text. Raises InputError with the line and the fix."""
        if isinstance(source, str) and "\n" in source:
            return parse_model(source, cls, source="map")
        return read_model(source, cls)


def read_events(file: str | Path, event_map: EventMap) -> EventLog:
    """Read a real event log (CSV, gzipped CSV or Parquet) by its map.

    Raises
    ------
    InputError : a column is missing, a time or value cannot be read, or an event name is not in the map; with the place
    """
    wanted = [name for name in event_map.columns.model_dump().values() if isinstance(name, str)]
    frame, source = read_table(file, wanted=[*wanted, *event_map.columns.segments])
    return events_from_frame(frame, event_map, source=source)


def events_from_frame(frame: pl.DataFrame, event_map: EventMap, *, source: Source | None = None) -> EventLog:
    """As `read_events`, from a Polars frame."""
    source = source or Source.rows("events", frame.height)
    rows = _sorted_rows(frame, event_map, source)
    first, last = rows["time"].min(), rows["time"].max()
    if rows.is_empty():
        raise InputError(f"{source.name}: no event is left that the map does not ignore.")
    parts = [_touches(rows, event_map), *_stages(rows, event_map), _losses(rows, event_map)]
    events = pl.concat(parts, how="diagonal").sort("customer", "time", "order", "rank", maintain_order=True)
    segments = [pl.col(name).drop_nulls().first() for name in event_map.columns.segments]
    return EventLog.from_frame(
        events.drop("order", "rank"),
        customers=rows.group_by("customer", maintain_order=True).agg(segments),
        start=first,  # type: ignore[arg-type]
        end=last,  # type: ignore[arg-type]
        stages=tuple(event_map.stages),
        purchase_stages=(event_map.purchase,),
        currency=event_map.currency,
    )


def _sorted_rows(frame: pl.DataFrame, event_map: EventMap, source: Source) -> pl.DataFrame:
    """Events that count, as columns order, customer, time, event, channel, visit, value and the segments."""
    names = event_map.columns
    hint = "Name the right one under `columns` in the map."

    def text(name: str) -> pl.Series:
        return column(frame, name, source, hint=hint).cast(pl.String).str.strip_chars()

    blank = np.flatnonzero(text(names.customer).fill_null("") == "")
    if len(blank):
        raise InputError(f"{source.place(int(blank[0]))}: {names.customer} is blank. Fill it in or drop the row.")
    _check_events(text(names.event), event_map, source)
    columns = {
        "customer": column(frame, names.customer, source),
        "time": times(column(frame, names.time, source, hint=hint), source),
        "event": text(names.event),
    }
    columns |= {name: text(name) for name in names.segments}
    columns |= {role: text(name) for role in ("channel", "visit") if (name := getattr(names, role))}
    if names.value:
        columns["value"] = numbers(column(frame, names.value, source, hint=hint), source, blank=True)
    rows = pl.DataFrame({role: series.alias(role) for role, series in columns.items()}).with_row_index("order")
    absent = [pl.lit(None, pl.String).alias(role) for role in ("channel", "visit", "value") if role not in columns]
    rows = rows.with_columns(absent).with_columns(pl.when(pl.col("channel") != "").then("channel").alias("channel"))
    return rows.filter(~pl.col("event").is_in(event_map.ignore)).sort("customer", "time", maintain_order=True)


def _check_events(event: pl.Series, event_map: EventMap, source: Source) -> None:
    known = [*_mapped_events(event_map)]
    unknown = np.flatnonzero(~event.is_in(known).fill_null(value=False))
    if not len(unknown):
        return
    found = event.gather(unknown).value_counts(sort=True)
    listed = ", ".join(f"{name!r} ({count:,} times)" for name, count in found.head(8).iter_rows())
    more = f" and {len(found) - 8} more" if len(found) > 8 else ""
    first = source.place(int(unknown[0]))
    raise InputError(
        f"{first}: event {event[int(unknown[0])]!r} is not in the map; {did_you_mean(event[int(unknown[0])], known)} "
        f"Events without a place: {listed}{more}. Put each under a stage, a pain point or `ignore`."
    )


def _touches(rows: pl.DataFrame, event_map: EventMap) -> pl.DataFrame:
    """A touch is an event with a channel; of a visit only the first."""
    touched = rows.filter(pl.col("channel").is_not_null())
    if event_map.columns.visit:
        touched = touched.unique(["customer", "visit"], keep="first", maintain_order=True)
    return touched.select("customer", "time", "order", "channel", kind=pl.lit("touch"), rank=pl.lit(0))


def _stages(rows: pl.DataFrame, event_map: EventMap) -> Iterator[pl.DataFrame]:
    """Moves to another stage, purchases, and pain points in the stage that the customer is in."""
    stage_of = {event: stage for stage, events in event_map.stages.items() for event in events}
    pain_of = {event: pain for pain, events in event_map.pain_points.items() for event in events}
    rows = rows.with_columns(
        seen=pl.col("event").replace_strict(stage_of, default=None, return_dtype=pl.String),
        pain_point=pl.col("event").replace_strict(pain_of, default=None, return_dtype=pl.String),
    ).with_columns(stage=pl.col("seen").forward_fill().over("customer"))
    before = pl.col("stage").shift(1).over("customer")
    moved = rows.filter(pl.col("seen").is_not_null() & (before.is_null() | (pl.col("seen") != before)))
    keys = ["customer", "time", "order", "stage"]
    yield moved.select(*keys, kind=pl.lit("stage"), rank=pl.lit(1))
    bought = rows.filter(pl.col("seen") == event_map.purchase)
    yield bought.select(*keys, "value", kind=pl.lit("purchase"), rank=pl.lit(2))
    pained = rows.filter(pl.col("pain_point").is_not_null())
    yield pained.select(*keys, "pain_point", kind=pl.lit("pain"), rank=pl.lit(3))


def _losses(rows: pl.DataFrame, event_map: EventMap) -> pl.DataFrame:
    """Customers who have been silent for too long when the log ends."""
    last = rows.group_by("customer", maintain_order=True).agg(pl.col("time").last(), pl.col("order").last())
    silent = last.filter(pl.col("time") < pl.col("time").max() - timedelta(days=event_map.lost_after_days))
    left = pl.min_horizontal(pl.col("time") + LAST_EVENT, pl.lit(last["time"].max()))
    return silent.select("customer", left, "order", stage=pl.lit(LOST), kind=pl.lit("lost"), rank=pl.lit(4))


def _mapped_events(event_map: EventMap) -> Iterator[str]:
    for events in (*event_map.stages.values(), *event_map.pain_points.values()):
        yield from events
    yield from event_map.ignore


def _problems(event_map: EventMap) -> Iterator[Problem]:
    for event, times_named in Counter(_mapped_events(event_map)).items():
        if times_named > 1:
            yield Problem((), event, f"this event stands in {times_named} places of the map; keep one")
    if event_map.purchase not in event_map.stages:
        advice = f"no such stage; {did_you_mean(event_map.purchase, list(event_map.stages))}"
        yield Problem(("purchase",), event_map.purchase, advice)
    for field in ("stages", "pain_points"):
        for name in getattr(event_map, field):
            if name in (LOST, BASE):
                yield Problem((field, name), name, "this name has a meaning of its own; choose another")
    for name in event_map.columns.segments:
        if name in ("customer", "time", "event", "channel", "visit", "value", "order"):
            yield Problem(("columns", "segments"), name, "the log has a column of this name itself; rename it")
