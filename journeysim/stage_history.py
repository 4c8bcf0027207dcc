"""StageHistory: counts of stage moves and days at risk, all that a stage model needs of a log."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from journeysim.errors import InputError
from journeysim.event_columns import KINDS
from journeysim.events import microseconds
from journeysim.moves import LOST, Direction, direction
from journeysim.stage_cells import CANDIDATE_EDGES_DAYS, Cells, check_edges, chosen_edges, split_stays
from journeysim.stage_covariates import DAY_US

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from numpy.typing import NDArray

    from journeysim.events import EventLog
    from journeysim.stage_covariates import Covariate

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
    attributes : the attributes that are crossed, if there are several (persona, device); none otherwise
    levels : (G,) the level of each attribute that makes a segment, where attributes are crossed
    detail : counts and days at risk by time in stage and covariates; None where the history is not split by them
    """

    segments: tuple[str, ...]
    stages: tuple[str, ...]
    purchase_stages: tuple[str, ...]
    moves: tuple[tuple[str, str], ...]
    counts: FloatArray
    exposure_days: FloatArray
    starts: FloatArray
    attributes: tuple[str, ...] = ()
    levels: tuple[tuple[str, ...], ...] = ()
    detail: Cells | None = None

    def __post_init__(self) -> None:
        if len(self.levels) != (len(self.segments) if self.attributes else 0) or any(
            len(levels) != len(self.attributes) for levels in self.levels
        ):
            raise InputError("StageHistory: levels must name one level of each attribute for each segment.")
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
        if self.detail is not None:
            for name in ("counts", "exposure_days"):
                if not np.allclose(getattr(self.detail, name).sum(axis=(1, 2)), getattr(self, name)):
                    raise InputError(f"StageHistory: the {name} of detail do not add up to those of the history.")
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
    def cells(self) -> Cells:
        """Counts and days at risk by time in stage and covariates: one bin, one class where there is no detail."""
        if self.detail is not None:
            return self.detail
        return Cells((0.0,), (), self.counts[:, None, None, :].copy(), self.exposure_days[:, None, None, :].copy())

    @property
    def thin_segments(self) -> tuple[str, ...]:
        """Segments of one customer or none: what a pooled model says of them, it says from the others."""
        if len(self.segments) == 1:
            return ()
        few = self.starts.sum(axis=1) <= 1
        return tuple(name for name, thin in zip(self.segments, few, strict=True) if thin)

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


def to_stage_history(
    log: EventLog,
    *,
    by: str | Sequence[str] | None = None,
    bins_days: Sequence[float] | Literal["auto"] = (0.0,),
    covariates: Sequence[Covariate] = (),
) -> StageHistory:
    """Count the moves of a log and the days at risk before them, per segment.

    A stay ends with the first row that names another stage, or with `lost`; stays that are open when the window closes
    are censored: their days count, a move does not.

    Parameters
    ----------
    by : column of `log.customers` to split by (persona, device, ...); several, to cross them: every combination of
        their levels is a segment; None for one segment, `all`
    bins_days : where bins of time in stage begin, in days: (0, 2, 7) for the first two days, up to a week, and later;
        "auto" to choose at most 5 bins by `journeysim.stage_cells.chosen_edges`
    covariates : what customers have met so far, such as `ContactCount()`; days at risk are cut exactly where a class
        changes

    Raises
    ------
    InputError : the log has no stages, no such column, bins do not ascend from 0, a covariate finds no events, or
        somebody has events after being lost
    """
    _check_stages(log)
    automatic = isinstance(bins_days, str) and bins_days == "auto"
    edges = (0.0, *(days for days in CANDIDATE_EDGES_DAYS if days < log.days)) if automatic else check_edges(bins_days)
    if len({covariate.name for covariate in covariates}) < len(covariates):
        raise InputError("Two covariates are the same; give each once.")
    names = (*log.stages, LOST)
    n_stages, lost = len(log.stages), len(log.stages)
    who, rows, when, until, stage, target = _stays(log)
    is_last, stay = target < 0, stage != lost
    customers = log.customer_codes()
    codes, segments, attributes, levels = segments_of(log, by)
    found = [(covariate, covariate.changes(log)) for covariate in covariates]
    pieces = split_stays(
        who, rows, when, until, edges_days=edges, covariates=[(v, c, customers[c.rows]) for v, c in found]
    )
    at = pieces.stay
    sizes = (len(segments), len(edges), int(np.prod([len(v.classes) for v in covariates], dtype=int)))
    cell = np.ravel_multi_index((codes[who[at]], pieces.bin, pieces.combination), sizes)
    n_cells, n_names = int(np.prod(sizes)), len(names)
    lived = stay[at]
    exposure = np.bincount(
        cell[lived] * n_stages + stage[at[lived]], weights=pieces.days[lived], minlength=n_cells * n_stages
    )
    move = lived & pieces.last & ~is_last[at]
    pairs = (cell[move] * n_stages + stage[at[move]]) * n_names + target[at[move]]
    counts = np.bincount(pairs, minlength=n_cells * n_stages * n_names).reshape(*sizes, -1)
    seen = np.flatnonzero(counts.sum(axis=(0, 1, 2)))
    cells = Cells(
        edges_days=edges,
        covariates=tuple((covariate.name, covariate.classes) for covariate in covariates),
        counts=counts[..., seen].astype(np.float64),
        exposure_days=exposure.reshape(*sizes, n_stages).astype(np.float64),
    )
    moves = tuple((names[m // n_names], names[m % n_names]) for m in seen.tolist())
    if automatic:
        cells = cells.merged(chosen_edges(cells, seen // n_names))
    first = np.append(True, who[1:] != who[:-1]) & stay
    shape = (len(segments), n_stages)
    return StageHistory(
        segments=segments,
        stages=log.stages,
        purchase_stages=log.purchase_stages,
        moves=moves,
        counts=cells.counts.sum(axis=(1, 2)),
        exposure_days=cells.exposure_days.sum(axis=(1, 2)),
        starts=np.bincount(codes[who[first]] * n_stages + stage[first], minlength=shape[0] * shape[1])
        .reshape(shape)
        .astype(np.float64),
        attributes=attributes,
        levels=levels,
        detail=cells if len(cells.edges_days) > 1 or covariates else None,
    )


def observed_stays(
    log: EventLog, *, by: str | Sequence[str] | None = None
) -> tuple[tuple[str, ...], IntArray, IntArray, FloatArray, NDArray[np.bool_]]:
    """Segment names, and of each stay that `to_stage_history` counts: segment, stage, days, whether it ended."""
    _check_stages(log)
    who, _, when, until, stage, target = _stays(log)
    codes, segments, _, _ = segments_of(log, by)
    kept = stage < len(log.stages)
    return segments, codes[who[kept]], stage[kept], (until - when)[kept] / DAY_US, target[kept] >= 0


def _check_stages(log: EventLog) -> None:
    if not log.stages:
        raise InputError("The log has no stages, so there is no stage history. Map events to stages, in order.")


def _stays(log: EventLog) -> tuple[IntArray, IntArray, IntArray, IntArray, IntArray, IntArray]:
    """Customer, row, beginning and end (microseconds), stage and next stage (-1: none) of each stay, lost ones too."""
    lost = len(log.stages)
    kinds = log.codes("kind", KINDS)
    stage = np.where(kinds == KINDS.index("lost"), lost, log.codes("stage", (*log.stages, LOST)))
    rows = np.flatnonzero(stage >= 0)
    who, when, stage = log.customer_codes()[rows], log.times_us()[rows], stage[rows]
    moved = np.ones(len(rows), dtype=bool)
    moved[1:] = (who[1:] != who[:-1]) | (stage[1:] != stage[:-1])
    who, when, stage, rows = who[moved], when[moved], stage[moved], rows[moved]
    is_last = np.append(who[1:] != who[:-1], True)[: len(who)]
    until = np.where(is_last, microseconds(log.end), np.append(when[1:], 0)[: len(who)])
    target = np.where(is_last, -1, np.append(stage[1:], 0)[: len(who)])
    if (returned := (stage == lost) & ~is_last).any():
        name = log.customers["customer"][int(who[returned][0])].as_py()
        raise InputError(f"Customer {name!r} has events after being lost; remove the loss, or what comes after it.")
    return who, rows, when, until, stage, target


def segments_of(
    log: EventLog, by: str | Sequence[str] | None
) -> tuple[IntArray, tuple[str, ...], tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """(n_customers,) segment of each customer, names of the segments; attributes that are crossed, and their levels."""
    columns = () if by is None else (by,) if isinstance(by, str) else tuple(by)
    if len(set(columns)) < len(columns):
        raise InputError(f"by names a column twice: {', '.join(columns)}.")
    for column in columns:
        if column not in log.segment_names():
            known = ", ".join(log.segment_names()) or "none"
            raise InputError(f"The customers of the log have no column {column!r}; columns to split by: {known}.")
    if not columns:
        return np.zeros(log.n_customers, dtype=np.int64), ("all",), (), ()
    split = [segment_codes(log, column, unknown="(unknown)") for column in columns]
    if len(split) == 1:
        return *split[0], (), ()
    levels = tuple(product(*(names for _, names in split)))
    codes = np.ravel_multi_index(tuple(codes for codes, _ in split), tuple(len(names) for _, names in split))
    return codes.astype(np.int64), tuple(", ".join(combination) for combination in levels), columns, levels


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
