"""Cells: moves and days at risk split by time in stage and by what the customer has met so far."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from journeysim.errors import InputError
from journeysim.stage_covariates import DAY_US

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from journeysim.stage_covariates import Changes, Covariate

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]
    BoolArray = NDArray[np.bool_]

CANDIDATE_EDGES_DAYS: Final = (1 / 24, 0.25, 1.0, 2.0, 4.0, 7.0, 14.0, 30.0, 60.0, 90.0, 180.0)
"""Where `bins_days="auto"` may put an edge: times that people name."""

MOST_BINS: Final = 5


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Counts and days at risk of G segments in B bins of time in stage and Z combinations of covariate classes.

    Attributes
    ----------
    edges_days : (B,) where each bin begins, in days since the stage was entered; the first is 0, the last bin is open
    covariates : name and classes of each covariate, the reference class first; the last varies fastest within Z
    counts : (G, B, Z, M) how often each move was made
    exposure_days : (G, B, Z, S) customer-days spent in each stage
    """

    edges_days: tuple[float, ...]
    covariates: tuple[tuple[str, tuple[str, ...]], ...]
    counts: FloatArray
    exposure_days: FloatArray

    def __post_init__(self) -> None:
        check_edges(self.edges_days)
        shape = (len(self.edges_days), int(np.prod([len(classes) for _, classes in self.covariates], dtype=int)))
        for name in ("counts", "exposure_days"):
            column = getattr(self, name)
            if column.shape[1:3] != shape:
                raise InputError(
                    f"Cells: {name} has shape {column.shape}, expected (segments, {shape[0]}, {shape[1]}, ...)."
                )
            if not (np.isfinite(column) & (column >= 0)).all():
                raise InputError(f"Cells: {name} must be finite and >= 0.")
            column.setflags(write=False)

    @property
    def bins(self) -> tuple[str, ...]:
        """Names of the bins, in days."""
        return (*(f"{a:.3g}-{b:.3g}" for a, b in pairwise(self.edges_days)), f"{self.edges_days[-1]:.3g}+")

    def merged(self, edges_days: Sequence[float]) -> Cells:
        """The same with fewer bins; every edge must be one of these."""
        first = [self.edges_days.index(edge) for edge in edges_days]
        return Cells(
            tuple(edges_days),
            self.covariates,
            np.add.reduceat(self.counts, first, axis=1),
            np.add.reduceat(self.exposure_days, first, axis=1),
        )


def check_edges(edges_days: Sequence[float] | str) -> tuple[float, ...]:
    """The edges as numbers.

    Raises
    ------
    InputError : they are no numbers that begin with 0 and ascend
    """
    given = np.atleast_1d(np.asarray(edges_days))
    edges = tuple(map(float, given)) if given.dtype.kind in "iuf" and given.ndim == 1 else ()
    if not edges or edges[0] != 0 or not all(a < b < np.inf for a, b in pairwise(edges)):
        raise InputError(
            f'bins_days must begin with 0 and ascend, such as (0, 2, 7), or be "auto", got {edges_days!r}.'
        )
    return edges


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """Stays cut where the bin or a class changes.

    Attributes
    ----------
    stay : (n,) which stay each piece belongs to
    days : (n,) its length
    bin, combination : (n,) its bin, and its combination of covariate classes
    last : (n,) whether the stay's move, if any, was made in this piece
    """

    stay: IntArray
    days: FloatArray
    bin: IntArray
    combination: IntArray
    last: BoolArray


def split_stays(
    who: IntArray,
    rows: IntArray,
    when_us: IntArray,
    until_us: IntArray,
    *,
    edges_days: Sequence[float],
    covariates: Sequence[tuple[Covariate, Changes, IntArray]],
) -> Pieces:
    """Cut stays into pieces.

    Parameters
    ----------
    who, rows, when_us, until_us : (n,) customer, row of the log, beginning and end of each stay, sorted by customer and
        time; stays of one customer follow each other
    covariates : each with its changes and the (changes,) customer of each
    """
    stay_of, times, order, kinds, values = [np.arange(len(who))], [when_us], [rows], [np.full(len(who), -1)], [who * 0]
    owners = [who]
    for edge in edges_days[1:]:
        at = when_us + round(edge * DAY_US)
        inside = np.flatnonzero(at < until_us)
        _append((owners, who[inside]), (times, at[inside]), (order, rows[inside]), (kinds, np.full(len(inside), -2)))
        _append((stay_of, inside), (values, inside * 0))
    for v, (_, changes, customer) in enumerate(covariates):
        _append((owners, customer), (times, changes.times_us), (order, changes.rows))
        _append((kinds, np.full(len(customer), v)), (values, changes.classes), (stay_of, np.full(len(customer), -1)))
    owner, time, kind, value, stay = (np.concatenate(column) for column in (owners, times, kinds, values, stay_of))
    # an entry comes before what its own row, or a later row at the same moment, brings about
    place = np.lexsort((kind, np.concatenate(order), time, owner))
    owner, time, kind, value, stay = owner[place], time[place], kind[place], value[place], stay[place]

    entry = kind == -1
    index = np.arange(len(owner))
    at_entry = np.maximum.accumulate(np.where(entry, index, -1))
    known = (at_entry >= 0) & (owner[at_entry] == owner)
    stay = np.where(known, stay[at_entry], -1)
    begins, ends = time, np.append(time[1:], 0)
    ends = np.where(np.append(owner[1:] != owner[:-1], True), np.iinfo(np.int64).max, ends)
    ends = np.where(known, np.minimum(ends, until_us[stay]), begins)
    days = np.maximum(ends - begins, 0) / DAY_US

    combination = np.zeros(len(owner), dtype=np.int64)
    for v, (covariate, changes, _) in enumerate(covariates):
        mine = kind == v
        most = len(covariate.classes) - 1
        if changes.by_stay:
            total = np.cumsum(np.where(mine, value, 0))
            now = np.minimum(total - total[at_entry], most)
        else:
            at = np.maximum.accumulate(np.where(mine, index, -1))
            now = np.where((at >= 0) & (owner[at] == owner), value[at], 0)
        combination = combination * (most + 1) + now

    age_us = time - time[at_entry]
    bins = np.searchsorted([round(edge * DAY_US) for edge in edges_days], age_us, side="right") - 1
    # what changes at the very moment of a move did not precede it: the move belongs to the last piece with a length
    kept = np.flatnonzero((days > 0) | (entry & (until_us[stay] == when_us[stay]))) if len(who) else index
    return Pieces(
        stay=stay[kept],
        days=days[kept],
        bin=bins[kept],
        combination=combination[kept],
        last=np.append(stay[kept][1:] != stay[kept][:-1], True)[: len(kept)],
    )


def _append(*columns: tuple[list[IntArray], IntArray]) -> None:
    for column, more in columns:
        column.append(more)


def chosen_edges(cells: Cells, origins: IntArray) -> tuple[float, ...]:
    """Edges of bins chosen from finer ones: greedily, while the Bayesian information criterion falls, 5 bins at most.

    Each further edge gives every move one more hazard, shared by segments: it must raise the log-likelihood by half the
    logarithm of the number of moves for each of them (Volinsky & Raftery 2000, Biometrics 56: the sample size of
    censored data is the number of events).
    """
    counts = cells.counts.sum(axis=(0, 2))  # (B, M)
    days = cells.exposure_days.sum(axis=(0, 2))[:, origins]
    price = 0.5 * counts.shape[1] * np.log(max(counts.sum(), 1.0))

    def log_likelihood(edges: Sequence[float]) -> float:
        first = [cells.edges_days.index(edge) for edge in edges]
        n, t = np.add.reduceat(counts, first, axis=0), np.add.reduceat(days, first, axis=0)
        return float((n * np.log(np.where(n > 0, n, 1.0) / np.where(t > 0, t, 1.0))).sum())

    edges: tuple[float, ...] = (0.0,)
    best = log_likelihood(edges)
    while len(edges) < MOST_BINS:
        further = [tuple(sorted((*edges, edge))) for edge in cells.edges_days if edge not in edges]
        gains = [log_likelihood(candidate) - best for candidate in further]
        if not gains or max(gains) <= price:
            break
        edges = further[int(np.argmax(gains))]
        best = log_likelihood(edges)
    return edges
