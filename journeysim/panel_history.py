"""PanelHistory: stages seen at visits only. When a customer moved in between, and by which way, nobody knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from journeysim.columns import column
from journeysim.errors import InputError
from journeysim.event_columns import to_polars
from journeysim.moves import LOST
from journeysim.stage_history import StageHistory
from journeysim.table_files import Source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from narwhals.typing import IntoDataFrame
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]
    BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class PanelHistory:
    """What pairs of visits in a row saw: from which stage to which, after how many days, and how often.

    Attributes
    ----------
    segments, stages, purchase_stages, moves : as in `StageHistory`; the moves are those that are possible
    segment, origin, target : (K,) of each kind of pair; a target of `len(stages)` is lost
    interval_days : (K,) days between the two visits
    weight : (K,) how often the pair was seen
    exact : (K,) whether the target was entered at the very time of the second visit, as with a death or a cancellation
    starts : (G, S) number of customers first seen in each stage
    """

    segments: tuple[str, ...]
    stages: tuple[str, ...]
    purchase_stages: tuple[str, ...]
    moves: tuple[tuple[str, str], ...]
    segment: IntArray
    origin: IntArray
    target: IntArray
    interval_days: FloatArray
    weight: FloatArray
    exact: BoolArray
    starts: FloatArray

    def __post_init__(self) -> None:
        if not len(self.segment):
            raise InputError("PanelHistory: no customer was seen twice, so there is nothing to learn.")
        if not ((self.interval_days > 0) & np.isfinite(self.interval_days) & (self.weight > 0)).all():
            raise InputError("PanelHistory: interval_days and weight must be positive numbers.")
        names = (*self.stages, LOST)
        reach = np.eye(len(names), dtype=bool)
        for origin, target in self.moves:
            reach[names.index(origin), names.index(target)] = True
        into = reach & ~np.eye(len(names), dtype=bool)
        for _ in names:
            reach = reach @ reach
        possible = np.where(self.exact, (reach @ into)[self.origin, self.target], reach[self.origin, self.target])
        if not possible.all():
            k = int(np.flatnonzero(~possible)[0])
            raise InputError(
                f"PanelHistory: customers of segment {self.segments[self.segment[k]]!r} went from "
                f"{names[self.origin[k]]} to {names[self.target[k]]}, to which the moves lead by no way; add one."
            )
        for array in (self.segment, self.origin, self.target, self.interval_days, self.weight, self.exact, self.starts):
            array.setflags(write=False)

    def __repr__(self) -> str:
        return (
            f"PanelHistory({self.weight.sum():,.6g} pairs of visits of {len(self.weight):,} kinds, "
            f"{len(self.moves)} possible moves, {len(self.stages)} stages, {len(self.segments)} segments)"
        )

    def as_if_seen(self) -> StageHistory:
        """Counts and days as if every move had been made at the visit that revealed it: names and order of magnitude.

        Fitted as a history, it gives wrong hazards: moves between visits are missing, and days are in the wrong stage.
        """
        names = (*self.stages, LOST)
        pair = {move: m for m, move in enumerate(self.moves)}
        counts = np.zeros((len(self.segments), len(self.moves)))
        days = np.zeros((len(self.segments), len(self.stages)))
        np.add.at(days, (self.segment, self.origin), self.weight * self.interval_days)
        for g, i, j, weight in zip(self.segment, self.origin, self.target, self.weight, strict=True):
            if (m := pair.get((names[i], names[j]))) is not None:
                counts[g, m] += weight
        return StageHistory(
            self.segments, self.stages, self.purchase_stages, self.moves, counts, days, self.starts.copy()
        )


def to_panel_history(
    visits: IntoDataFrame,
    *,
    stages: Sequence[str],
    purchase_stages: Sequence[str] = (),
    moves: Sequence[tuple[str, str]] | None = None,
    exact: Sequence[str] = (),
    by: str | None = None,
) -> PanelHistory:
    """Pairs of visits in a row, from any dataframe with the columns customer, time and stage.

    Parameters
    ----------
    visits : one row per visit; time is a date and time, or a number of days; stage is one of `stages` or `lost`
    stages : in the order of the journey
    moves : the moves that are possible without a stage in between; by default every pair that was seen in a row, which
        is too many where visits are far apart
    exact : stages whose entry is recorded at the time at which it happens (often `lost`), not at the next visit
    by : a column that names the segment of a customer, the same at all visits; None for one segment, `all`

    Raises
    ------
    InputError : a column is missing, a stage is unknown, a customer is in two stages at once, comes back from being
        lost, or changes segment; or nobody was seen twice, or somebody went where no move leads
    """
    frame = to_polars(visits, "visits")
    source = Source.rows("visits", frame.height)
    for name in ("customer", "time", "stage", *((by,) if by else ())):
        column(frame, name, source, hint="A panel needs customer, time and stage.")
    names = (*stages, LOST)
    for told in (*exact, *purchase_stages, *(name for move in moves or () for name in move)):
        if told not in names:
            raise InputError(f"to_panel_history: {told!r} is no stage; the stages are {', '.join(names)}.")
    segment = pl.col(by).cast(pl.String).fill_null("(unknown)") if by else pl.lit("all")
    time = pl.col("time")
    if frame.schema["time"].is_temporal():
        time = time.cast(pl.Datetime("us")).dt.epoch("us") / 86_400e6
    elif not frame.schema["time"].is_numeric():
        raise InputError(
            f"to_panel_history: time must be dates and times, or numbers of days, got {frame.schema['time']}."
        )
    table = frame.select(
        "customer", time.cast(pl.Float64).alias("day"), pl.col("stage").cast(pl.String), segment.alias("segment")
    )
    if table.null_count().row(0) != (0,) * 4:
        raise InputError("to_panel_history: customer, time and stage must be known at every visit; remove the others.")
    if (no_number := table.filter(~pl.col("day").is_finite())).height:
        row = no_number.row(0, named=True)
        raise InputError(
            f"to_panel_history: the time of customer {row['customer']!r} at {row['stage']!r} is {row['day']}, which is "
            "no number of days; correct that visit or remove it."
        )
    table = table.unique(maintain_order=True).sort("customer", "day", maintain_order=True)
    if unknown := sorted(set(table["stage"].unique()) - set(names)):
        raise InputError(f"to_panel_history: unknown stage {unknown[0]!r}; the stages are {', '.join(names)}.")
    order = {name: i for i, name in enumerate(names)}
    table = table.with_columns(pl.col("stage").replace_strict(order, return_dtype=pl.Int64).alias("state"))
    same = pl.col("customer") == pl.col("customer").shift(-1)
    pairs = table.with_columns(
        pl.col("state").shift(-1).alias("to"),
        (pl.col("day").shift(-1) - pl.col("day")).alias("days"),
        (pl.col("segment") != pl.col("segment").shift(-1)).alias("other"),
    ).filter(same)
    for wrong, what in (
        (pl.col("other"), f"changes the segment ({by})"),
        (pl.col("days") == 0, "is in two stages at once"),
        ((pl.col("state") == len(stages)) & (pl.col("to") != len(stages)), "comes back after being lost"),
    ):
        if (found := pairs.filter(wrong)).height:
            row = found.row(0, named=True)
            raise InputError(
                f"to_panel_history: customer {row['customer']!r} {what} (at {row['stage']!r}, time "
                f"{row['day']:.6g} days); correct that visit or remove it."
            )
    pairs = pairs.filter(pl.col("state") < len(stages))
    segments = tuple(sorted(table["segment"].unique()))
    kinds = (
        pairs.with_columns((pl.col("days") * 86_400e6).round().alias("us"))  # to the microsecond, as logs are
        .group_by("segment", "state", "to", "us")
        .len()
        .sort("segment", "us", "state", "to")
    )
    state, to = kinds["state"].to_numpy().astype(np.int64), kinds["to"].to_numpy().astype(np.int64)
    if moves is None:
        seen = sorted({(int(i), int(j)) for i, j in zip(state, to, strict=True) if i != j})
        moves = [(names[i], names[j]) for i, j in seen]
    starts = np.zeros((len(segments), len(stages)))
    first = table.filter(pl.col("customer").is_first_distinct())
    first = first.filter(pl.col("state") < len(stages))
    group = np.array([segments.index(name) for name in first["segment"]], dtype=np.int64)
    np.add.at(starts, (group, first["state"].to_numpy().astype(np.int64)), 1.0)
    return PanelHistory(
        segments=segments,
        stages=tuple(stages),
        purchase_stages=tuple(purchase_stages),
        moves=tuple((origin, target) for origin, target in moves),
        segment=np.array([segments.index(name) for name in kinds["segment"]], dtype=np.int64),
        origin=state,
        target=to,
        interval_days=kinds["us"].to_numpy() / 86_400e6,
        weight=kinds["len"].to_numpy().astype(np.float64),
        exact=np.isin(to, [order[name] for name in exact]) & (state != to),
        starts=starts,
    )
