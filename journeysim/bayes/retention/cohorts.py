"""CohortHistory: customers who stayed and who left at each renewal, all that a contractual model needs of a log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from journeysim.bayes.retention.purchases import few_customers, purchases_of
from journeysim.columns import column, numbers
from journeysim.errors import InputError
from journeysim.event_columns import KINDS, to_polars
from journeysim.events import microseconds
from journeysim.moves import LAPSED, LOST
from journeysim.stage_history import segments_of
from journeysim.table_files import Source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from narwhals.typing import IntoDataFrame
    from numpy.typing import NDArray

    from journeysim.events import EventLog

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class CohortHistory:
    """Renewals by segment (and class of covariates): N renewals, R rows.

    The model of a renewal depends on its number alone, so cohorts that began at different times are added up: the
    counts by number of the renewal are sufficient.

    Attributes
    ----------
    segments : the G segment names
    segment : (R,) position in `segments`
    covariate_names : the P covariates
    covariates : (R, P) their values
    stayed, left : (R, N) customers who came up for renewal t + 1 and stayed, or left
    active : (R, N + 1) customers who had renewed t times and were still there when last seen
    period : what one renewal spans, such as "30 days" or "year"
    days_per_period : or None if it is not known (then there is no discounting)
    """

    segments: tuple[str, ...]
    segment: IntArray
    covariate_names: tuple[str, ...]
    covariates: FloatArray
    stayed: FloatArray
    left: FloatArray
    active: FloatArray
    period: str
    days_per_period: float | None = None

    def __post_init__(self) -> None:
        n_rows, n_renewals = self.stayed.shape
        shapes = {
            "segment": (n_rows,), "covariates": (n_rows, len(self.covariate_names)), "left": (n_rows, n_renewals),
            "active": (n_rows, n_renewals + 1),
        }  # fmt: skip
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise InputError(f"CohortHistory: {name} has shape {getattr(self, name).shape}, expected {shape}.")
        for name in ("stayed", "left", "active", "covariates"):
            values = getattr(self, name)
            if not np.isfinite(values).all() or (name != "covariates" and (values < 0).any()):
                raise InputError(f"CohortHistory: {name} must be finite{' and >= 0' if name != 'covariates' else ''}.")
        at_risk = self.stayed + self.left
        wrong = at_risk[:, 1:] > self.stayed[:, :-1] + 1e-9
        if wrong.any():
            r, t = np.argwhere(wrong)[0]
            raise InputError(
                f"CohortHistory: in segment {self.segments[self.segment[r]]!r} {at_risk[r, t + 1]:g} customers come up "
                f"for renewal {t + 2}, but only {self.stayed[r, t]:g} stayed at renewal {t + 1}."
            )
        if not at_risk.sum():
            raise InputError("CohortHistory: nobody came up for renewal; observe longer, or choose a shorter period.")
        if not self.left.sum():
            raise InputError("CohortHistory: nobody left, so churn cannot be learned; observe longer.")
        for values in (self.segment, self.covariates, self.stayed, self.left, self.active):
            values.setflags(write=False)

    def __repr__(self) -> str:
        return (
            f"CohortHistory({self.at_risk[:, 0].sum():,.6g} customers in {len(self.segments)} segments, "
            f"{self.left.sum():,.6g} left within {self.n_renewals} renewals of a {self.period})"
        )

    @property
    def n_renewals(self) -> int:
        """N, the largest number of renewals seen."""
        return int(self.stayed.shape[1])

    @property
    def at_risk(self) -> FloatArray:
        """(R, N) customers who came up for each renewal."""
        at_risk: FloatArray = self.stayed + self.left
        return at_risk

    @property
    def segment_sizes(self) -> FloatArray:
        """(G,) customers who came up for the first renewal."""
        return np.bincount(self.segment, self.at_risk[:, 0], len(self.segments)).astype(np.float64)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the results should know: segments that are hardly seen."""
        return few_customers(self.segments, self.segment_sizes)

    @classmethod
    def from_alive(
        cls,
        frame: IntoDataFrame,
        *,
        period: str,
        days_per_period: float | None = None,
        covariates: Sequence[str] = (),
    ) -> CohortHistory:
        """A history from a survival table in any dataframe: how many customers of each cohort were left.

        Columns: `period` (0, 1, 2, ... renewals, every number up to the last), `alive` (customers, not percent, for
        the posterior must know how many there were), and if there are several `segment` and `cohort`.

        Parameters
        ----------
        covariates : columns with numbers, the same in all rows of a cohort; they move the log odds of the mean churn

        Raises
        ------
        InputError : a column is missing, a number is missing or negative, a period is missing, or `alive` grows
        """
        table = to_polars(frame, "survival")
        source = Source.rows("survival", table.height)
        columns = {"period": numbers(column(table, "period", source), source, least=0)}
        columns["alive"] = numbers(column(table, "alive", source), source, least=0)
        for name in ("segment", "cohort"):
            columns[name] = (
                table[name].cast(pl.String).fill_null("(unknown)")
                if name in table.columns
                else pl.repeat("all", table.height, eager=True)
            )
        for name in covariates:
            columns[f"covariate {name}"] = numbers(column(table, name, source), source)
        clean = pl.DataFrame([values.alias(name) for name, values in columns.items()])
        named = [f"covariate {name}" for name in covariates]
        names = tuple(clean["segment"].unique(maintain_order=True))
        rows: dict[tuple[object, ...], list[FloatArray]] = {}
        for key, part in clean.group_by("segment", "cohort", maintain_order=True):
            segment, cohort = key
            ordered = part.sort("period")
            where = f"survival, segment {segment!r}, cohort {cohort!r}"
            periods = ordered["period"].to_list()
            if periods != list(range(ordered.height)):
                raise InputError(f"{where}: periods are {periods}, expected 0, 1, 2, ... once each.")
            alive = ordered["alive"].to_numpy()
            if (grows := np.flatnonzero(np.diff(alive) > 0)).size:
                t = int(grows[0])
                raise InputError(f"{where}: alive grows from {alive[t]:g} in period {t} to {alive[t + 1]:g}.")
            if named and ordered.select(named).n_unique() > 1:
                raise InputError(f"{where}: a covariate changes; give customers of other values a cohort of their own.")
            rows.setdefault((segment, *ordered.select("period", *named).row(0)[1:]), []).append(alive)
        longest = max(len(alive) for cohorts in rows.values() for alive in cohorts)
        stayed, left = np.zeros((2, len(rows), longest - 1))
        active = np.zeros((len(rows), longest))
        for r, cohorts in enumerate(rows.values()):
            for alive in cohorts:
                stayed[r, : len(alive) - 1] += alive[1:]
                left[r, : len(alive) - 1] -= np.diff(alive)
                active[r, len(alive) - 1] += alive[-1]
        return cls(
            segments=names,
            segment=np.array([names.index(key[0]) for key in rows], dtype=np.int64),
            covariate_names=tuple(covariates),
            covariates=np.array([key[1:] for key in rows], dtype=np.float64).reshape(len(rows), len(covariates)),
            stayed=stayed,
            left=left,
            active=active,
            period=period,
            days_per_period=days_per_period,
        )


def to_cohorts(
    log: EventLog,
    *,
    by: str | None = None,
    period_days: float = 30.0,
    ends: Sequence[str] = (LOST, LAPSED),
    covariates: Sequence[str] = (),
) -> CohortHistory:
    """Renewals of a log's buyers: the contract begins with the first purchase and comes up every `period_days`.

    What ends a contract is a choice. By default it is the first loss *or* lapse (a pause) after the first purchase, as
    in the KPI retention; a log of a shop without either says nothing here, and `to_purchase_history` is its tool. A
    renewal counts only if the window holds all of its period, whether the customer stayed or left: counting those who
    left early in the last one would make churn look larger.

    Parameters
    ----------
    by : column of `log.customers` to split by; None for one segment, `all`
    period_days : from one renewal to the next
    ends : `lost` and stages whose entry ends the contract
    covariates : numeric columns of `log.customers` that move the log odds of the mean churn

    Raises
    ------
    InputError : a setting is out of range, there is no such column or stage, or nobody leaves in the log
    """
    if not (np.isfinite(period_days) and period_days > 0):
        raise InputError(f"to_cohorts: period_days must be a number above 0, got {period_days!r}.")
    known = (*log.stages, LOST)
    if unknown := [name for name in ends if name not in (*known, LAPSED)]:
        raise InputError(f"to_cohorts: there is no stage {unknown[0]!r}; found: {', '.join(known)}.")
    codes, segments, _, _ = segments_of(log, by)
    who, when = log.customer_codes(), log.times_us()
    stage = log.codes("stage", known)
    stage[log.codes("kind", KINDS) == KINDS.index("lost")] = len(log.stages)
    ended = np.isin(stage, [known.index(name) for name in ends if name in known])
    starts = purchases_of(log, merge_same_day=False).group_by("who").agg(pl.col("time").min())
    start = np.full(log.n_customers, np.nan)
    start[starts["who"].to_numpy()] = starts["time"].to_numpy()
    # a contract may end in the microsecond in which it began; a loss before the first purchase ends none
    leaving = np.flatnonzero(ended & (when >= start[who]))
    end = np.full(log.n_customers, np.inf)
    np.minimum.at(end, who[leaving], when[leaving])
    buyers = np.flatnonzero(~np.isnan(start))
    if not len(buyers):
        raise InputError("to_cohorts: nobody bought, so no contract began; check the log's purchases.")
    period = period_days * 86_400e6
    seen = np.floor((microseconds(log.end) - start[buyers]) / period).astype(np.int64)
    left_at = np.minimum(np.floor((end[buyers] - start[buyers]) / period), 1e9).astype(np.int64)
    table = _covariate_table(log, covariates)[buyers]
    keys, row = np.unique(np.column_stack([codes[buyers], table]), axis=0, return_inverse=True)
    row = row.reshape(-1)
    width = int(seen.max())
    has_left = left_at < seen

    def count(of: NDArray[np.bool_], at: IntArray, n: int) -> FloatArray:
        return np.bincount(row[of] * n + at[of], minlength=len(keys) * n).reshape(len(keys), n).astype(np.float64)

    left = count(has_left, left_at, width) if width else np.zeros((len(keys), 0))
    renewed = count(np.ones(len(row), bool), np.minimum(left_at, seen), width + 1)
    # who renewed at least t + 1 times stayed at renewal t + 1
    stayed = renewed[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
    gone_since = np.isfinite(end[buyers]) & ~has_left
    return CohortHistory(
        segments=segments,
        segment=keys[:, 0].astype(np.int64),
        covariate_names=tuple(covariates),
        covariates=np.ascontiguousarray(keys[:, 1:], dtype=np.float64),
        stayed=np.ascontiguousarray(stayed),
        left=left,
        active=count(~has_left & ~gone_since, seen, width + 1),
        period=f"period of {period_days:g} days",
        days_per_period=float(period_days),
    )


def _covariate_table(log: EventLog, names: Sequence[str]) -> FloatArray:
    people = pl.DataFrame(pl.from_arrow(log.customers))
    source = Source.rows("customers", people.height)
    columns = [numbers(column(people, name, source), source).to_numpy() for name in names]
    return np.column_stack(columns) if columns else np.empty((people.height, 0))
