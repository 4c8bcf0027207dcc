"""Groups of customers: by a column of the customers, by calendar period, and by clusters that are not independent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import polars as pl

from journeysim.errors import InputError
from journeysim.events import microseconds
from journeysim.stage_history import segment_codes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from journeysim.events import EventLog
    from journeysim.kpis.observed import Observed

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

Period = Literal["day", "week", "month"]
Cohort = Literal["first_event", "first_purchase"]

ALL = "all"
NONE = "(none)"
LABELS: dict[Period, str] = {"day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m"}  # each sorts like the calendar


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """G disjoint groups of the n customers of a log.

    Attributes
    ----------
    segments : (G,) the value of the column they were split by, or "all"
    periods : (G,) the period of their cohort; None where there was no split by period
    codes : (n,) group of each customer
    units : (n,) what is taken as independent of each other: customers, or the clusters within a group
    unit_group : (U,) group of each unit
    """

    segments: tuple[str, ...]
    periods: tuple[str, ...] | None
    codes: IntArray
    units: IntArray
    unit_group: IntArray
    clustered: bool

    def __len__(self) -> int:
        return len(self.segments)

    def total(self, amounts: NDArray[np.generic]) -> FloatArray:
        """(G,) sum of an amount (n,) per customer."""
        return np.bincount(self.codes, amounts.astype(np.float64), len(self)).astype(np.float64)

    def per_unit(self, amounts: NDArray[np.generic]) -> FloatArray:
        """(U,) sum of an amount (n,) per customer."""
        weights: FloatArray = amounts.astype(np.float64)
        if not self.clustered:
            return weights
        return np.bincount(self.units, weights, len(self.unit_group)).astype(np.float64)

    def split(self, customers: IntArray) -> list[IntArray]:
        """For each group the positions in `customers` (k,), rows of the customers table, that belong to it."""
        codes = self.codes[customers]
        order = np.argsort(codes, kind="stable")
        return np.split(order, np.searchsorted(codes[order], np.arange(1, len(self))))

    def labels(self, repeat: int = 1) -> dict[str, pl.Series]:
        """The columns that name the groups, each `repeat` times in a row: `segment`, and `period` if there are any."""
        found = {"segment": self.segments} | ({"period": self.periods} if self.periods is not None else {})
        return {name: pl.Series(np.repeat(np.array(names, dtype=object), repeat).tolist(), dtype=pl.String)
                for name, names in found.items()}  # fmt: skip


def group_customers(
    log: EventLog,
    observed: Observed,
    *,
    by: str | None = None,
    period: Period | None = None,
    cohort: Cohort = "first_event",
    cluster: str | None = None,
) -> Groups:
    """Split the customers of a log.

    Raises
    ------
    InputError : `by` or `cluster` is not a column of the customers, or period or cohort has no such name
    """
    if period is not None:
        check_period(period)
    if cohort not in get_args(Cohort):
        raise InputError(f"kpis: cohort is {cohort!r}; it must be one of {', '.join(get_args(Cohort))}.")
    codes, segments = _column(log, by) if by is not None else (np.zeros(log.n_customers, np.int64), [ALL])
    periods: list[str] | None = None
    if period is not None:
        since = observed.first_event if cohort == "first_event" else observed.first_purchase
        when, found = _periods(log, since, period)
        pairs, codes = np.unique(codes * len(found) + when, return_inverse=True)
        segments, periods = [segments[k // len(found)] for k in pairs], [found[k % len(found)] for k in pairs]
    units, unit_group = np.arange(log.n_customers), codes
    if cluster is not None:
        clusters, names = _column(log, cluster)
        pairs, units = np.unique(codes * len(names) + clusters, return_inverse=True)
        unit_group = pairs // len(names)
    return Groups(
        tuple(segments), None if periods is None else tuple(periods), codes, units, unit_group, cluster is not None
    )


def check_period(period: str) -> None:
    """Raise InputError if a period has no such name."""
    if period not in LABELS:
        raise InputError(f"kpis: period is {period!r}; it must be one of {', '.join(LABELS)}.")


def _column(log: EventLog, name: str) -> tuple[IntArray, list[str]]:
    """(n,) code of each customer's value, and the values in an order that does not depend on the seed."""
    if name not in log.segment_names():
        known = ", ".join(log.segment_names()) or NONE
        raise InputError(f"kpis: no column {name!r} in customers; known: {known}.")
    codes, names = segment_codes(log, name, unknown=NONE)
    return codes, list(names)


def _periods(log: EventLog, since: FloatArray, period: Period) -> tuple[IntArray, Sequence[str]]:
    """(n,) code of the period in which a time falls, microseconds after the start or NaN, and the periods in order."""
    never = np.isnan(since)
    times = pl.Series(np.where(never, 0, since).astype(np.int64) + microseconds(log.start)).cast(pl.Datetime("us"))
    labels = times.dt.strftime(LABELS[period]).to_frame("label").with_columns(
        label=pl.when(pl.Series(never)).then(pl.lit(None)).otherwise("label")
    )["label"]  # fmt: skip
    names = [*labels.drop_nulls().unique().sort(), *([NONE] if never.any() else [])]
    return labels.fill_null(NONE).replace_strict(names, range(len(names)), return_dtype=pl.Int64).to_numpy(), names
