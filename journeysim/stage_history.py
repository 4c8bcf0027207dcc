"""StageHistory: counts of stage moves and days at risk, all that a stage model needs of a log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from journeysim.errors import InputError
from journeysim.event_columns import KINDS
from journeysim.events import microseconds
from journeysim.moves import LOST, Direction, direction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from journeysim.events import EventLog

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class StageHistory:
    """Sufficient statistics of stage moves: per segment, counts of each move and days at risk in each stage.

    Attributes
    ----------
    segments : the G segment names (personas, devices, ...)
    stages : the S stage names in the order of the journey
    purchase_stages : the stages whose entry is a conversion
    moves : the M moves that were seen, as (origin, target) names; a target may be `lost`
    counts : (G, M) how often each move was made
    exposure_days : (G, S) customer-days spent in each stage
    starts : (G, S) number of customers whose journey starts in each stage
    """

    segments: tuple[str, ...]
    stages: tuple[str, ...]
    purchase_stages: tuple[str, ...]
    moves: tuple[tuple[str, str], ...]
    counts: FloatArray
    exposure_days: FloatArray
    starts: FloatArray

    def __post_init__(self) -> None:
        shapes = {
            "counts": (len(self.segments), len(self.moves)),
            "exposure_days": (len(self.segments), len(self.stages)),
            "starts": (len(self.segments), len(self.stages)),
        }
        for name, shape in shapes.items():
            column = getattr(self, name)
            if column.shape != shape:
                raise InputError(f"StageHistory: {name} has shape {column.shape}, expected {shape}.")
            if not (np.isfinite(column) & (column >= 0)).all():
                raise InputError(f"StageHistory: {name} must be finite and >= 0.")
            column.setflags(write=False)
        impossible = (self.counts > 0) & (self.exposure_days[:, self.origins] == 0)
        if impossible.any():
            g, m = np.argwhere(impossible)[0]
            raise InputError(
                f"StageHistory: segment {self.segments[g]!r} made the move {' -> '.join(self.moves[m])} "
                f"{self.counts[g, m]:g} times but spent no time in {self.moves[m][0]!r}; check the times of the log."
            )

    def __repr__(self) -> str:
        return (
            f"StageHistory({self.counts.sum():,.6g} moves of {len(self.moves)} kinds, {len(self.stages)} stages, "
            f"{len(self.segments)} segments, {self.exposure_days.sum():,.6g} customer-days)"
        )

    @property
    def origins(self) -> IntArray:
        """(M,) index of the stage that each move leaves."""
        return np.array([self.stages.index(origin) for origin, _ in self.moves], dtype=np.int64)

    @property
    def targets(self) -> IntArray:
        """(M,) index of the stage that each move enters; `len(stages)` stands for lost."""
        names: Sequence[str] = (*self.stages, LOST)
        return np.array([names.index(target) for _, target in self.moves], dtype=np.int64)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """(M,) forward, back or exit, see `journeysim.moves.direction`."""
        return tuple(
            direction(origin, target, stages=self.stages, purchase_stages=self.purchase_stages)
            for origin, target in self.moves
        )


def to_stage_history(log: EventLog, *, by: str | None = None) -> StageHistory:
    """Count the moves of a log and the days at risk before them, per segment.

    A stay ends with the first row that names another stage, or with `lost`; stays that are open when the window closes
    are censored: their days count, a move does not.

    Parameters
    ----------
    by : column of `log.customers` to split by (persona, device, ...); None for one segment, `all`

    Raises
    ------
    InputError : the log has no stages, or no such column
    """
    if not log.stages:
        raise InputError("The log has no stages, so there is no stage history. Map events to stages, in order.")
    names = (*log.stages, LOST)
    n_stages, lost = len(log.stages), len(log.stages)
    kinds = log.codes("kind", KINDS)
    stage = np.where(kinds == KINDS.index("lost"), lost, log.codes("stage", names))
    rows = np.flatnonzero(stage >= 0)
    who, when, stage = log.customer_codes()[rows], log.times_us()[rows], stage[rows]
    moved = np.ones(len(rows), dtype=bool)
    moved[1:] = (who[1:] != who[:-1]) | (stage[1:] != stage[:-1])
    who, when, stage = who[moved], when[moved], stage[moved]

    is_last = np.append(who[1:] != who[:-1], True)
    until = np.where(is_last, microseconds(log.end), np.append(when[1:], 0))
    target = np.append(stage[1:], 0)
    stay = stage != lost
    if (returned := ~stay & ~is_last).any():
        name = log.customers["customer"][int(who[returned][0])].as_py()
        raise InputError(f"Customer {name!r} has events after being lost; remove the loss, or what comes after it.")
    codes, segments = _segments(log, by)
    group = codes[who]
    shape = (len(segments), n_stages)
    exposure = np.bincount(
        group[stay] * n_stages + stage[stay], weights=(until - when)[stay] / 86_400e6, minlength=shape[0] * shape[1]
    )
    move = stay & ~is_last
    pairs = group[move] * n_stages * len(names) + stage[move] * len(names) + target[move]
    counts = np.bincount(pairs, minlength=shape[0] * n_stages * len(names)).reshape(len(segments), -1)
    seen = np.flatnonzero(counts.sum(axis=0))
    first = np.append(True, who[1:] != who[:-1]) & stay
    return StageHistory(
        segments=segments,
        stages=log.stages,
        purchase_stages=log.purchase_stages,
        moves=tuple((names[m // len(names)], names[m % len(names)]) for m in seen.tolist()),
        counts=counts[:, seen].astype(np.float64),
        exposure_days=exposure.reshape(shape).astype(np.float64),
        starts=np.bincount(group[first] * n_stages + stage[first], minlength=shape[0] * shape[1])
        .reshape(shape)
        .astype(np.float64),
    )


def _segments(log: EventLog, by: str | None) -> tuple[IntArray, tuple[str, ...]]:
    """(n_customers,) segment of each customer, and the names of the segments."""
    if by is None:
        return np.zeros(log.n_customers, dtype=np.int64), ("all",)
    if by not in log.segment_names():
        known = ", ".join(log.segment_names()) or "none"
        raise InputError(f"The customers of the log have no column {by!r}; columns to split by: {known}.")
    return segment_codes(log, by, unknown="(unknown)")


def segment_codes(log: EventLog, by: str, *, unknown: str) -> tuple[IntArray, tuple[str, ...]]:
    """(n_customers,) segment of each customer, and the names of the segments, null as `unknown` and last.

    They stand in the order of the world in a simulated log, where a column knows it, or else in that of their values:
    who comes first in a log is chance.
    """
    column = log.customers[by]
    if pa.types.is_dictionary(column.type):
        order = dict.fromkeys(name for chunk in column.chunks for name in chunk.dictionary.to_pylist())
        present = set(pc.unique(column.cast(pa.string())).to_pylist())
        names = [name for name in order if name in present and name is not None]
        labels = column.cast(pa.string())
    else:
        values = pc.unique(column)
        ordered = values.take(pc.array_sort_indices(values)).drop_null()
        names, labels = ordered.cast(pa.string()).to_pylist(), column.cast(pa.string())
    if labels.null_count:
        names.append(unknown)
    return np.asarray(pc.index_in(labels.fill_null(unknown), pa.array(names, pa.string())), dtype=np.int64), tuple(
        names
    )
