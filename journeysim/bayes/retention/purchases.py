"""PurchaseHistory: how often and how recently each customer bought, all that a non-contractual model needs of a log."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import polars as pl
import pyarrow as pa

from journeysim.columns import column, numbers
from journeysim.errors import InputError
from journeysim.event_columns import KINDS, to_polars
from journeysim.events import microseconds
from journeysim.stage_history import segments_of
from journeysim.table_files import Source

if TYPE_CHECKING:
    from datetime import datetime

    from narwhals.typing import IntoDataFrame
    from numpy.typing import NDArray

    from journeysim.events import EventLog

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

Unit = Literal["days", "weeks", "months"]
DAYS_IN: Final[dict[str, float]] = {"days": 1.0, "weeks": 7.0, "months": 365.25 / 12}
_US_PER_DAY: Final = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Cells:
    """Customers of equal statistics, counted: (N,) columns, segment g in first[g] to first[g + 1]."""

    first: IntArray
    frequency: IntArray
    recency: FloatArray
    age: FloatArray
    n: FloatArray
    of_customer: IntArray


@dataclass(frozen=True, eq=False)
class PurchaseHistory:
    """Repeat purchases of customers who have bought at least once; times count from the first purchase.

    Attributes
    ----------
    segments : the G segment names
    customers : (n,) identifiers, text or integers
    segment : (n,) position in `segments`
    frequency : (n,) x, number of repeat purchases
    recency : (n,) t_x, time of the last of them; 0 if there was none
    age : (n,) T, time from the first purchase until the observation ended
    mean_value : (n,) mean value of a repeat purchase, NaN where there was none or some value is missing; None if the
        log has no values
    unit : of all times
    until : when the observation ended, or None if it is not known
    """

    segments: tuple[str, ...]
    customers: NDArray[np.str_] | IntArray
    segment: IntArray
    frequency: IntArray
    recency: FloatArray
    age: FloatArray
    mean_value: FloatArray | None
    unit: Unit = "weeks"
    until: datetime | None = None

    def __post_init__(self) -> None:
        if self.unit not in DAYS_IN:
            raise InputError(f"PurchaseHistory: unit is {self.unit!r}; it must be one of {', '.join(DAYS_IN)}.")
        x, t_x, age = self.frequency, self.recency, self.age
        if not len(x):
            raise InputError("PurchaseHistory: there are no customers; check that the log has purchases.")

        def refuse(wrong: NDArray[np.bool_], why: str) -> None:
            if wrong.any():
                i = int(np.flatnonzero(wrong)[0])
                raise InputError(
                    f"PurchaseHistory: customer {self.customers[i]} has frequency {x[i]}, recency {t_x[i]:g} and "
                    f"T {age[i]:g}: {why}"
                )

        refuse(~(np.isfinite(t_x) & np.isfinite(age)), "times must be finite numbers.")
        refuse((x < 0) | (t_x < 0) | (age < 0), "none may be negative.")
        refuse(t_x > age, "the last purchase cannot be after the end of the observation.")
        refuse((x == 0) & (t_x > 0), "without a repeat purchase the recency is 0, counted from the first purchase.")
        refuse((x > 0) & (t_x == 0), "repeat purchases come later than the first; merge those of the same moment.")
        if not (x > 0).any():
            raise InputError(
                "PurchaseHistory: no customer bought twice, so neither rate nor loss can be learned; observe longer."
            )
        for values in (self.customers, self.segment, x, t_x, age, self.mean_value):
            if values is not None:
                values.setflags(write=False)

    def __repr__(self) -> str:
        spend = "with spend" if self.mean_value is not None else "without spend"
        return (
            f"PurchaseHistory({len(self.frequency):,} customers in {len(self.segments)} segments, "
            f"{self.frequency.sum():,} repeat purchases, {self.age.max():.4g} {self.unit}, {spend})"
        )

    @property
    def n_customers(self) -> int:
        """Number of customers."""
        return len(self.frequency)

    @property
    def segment_sizes(self) -> IntArray:
        """(G,) number of customers."""
        return np.bincount(self.segment, minlength=len(self.segments))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the results should know: segments that are hardly seen."""
        return few_customers(self.segments, self.segment_sizes)

    @cached_property
    def cells(self) -> Cells:
        """Customers with the same segment, x, t_x and T behave alike in the model: all that the likelihood needs."""
        order = np.lexsort((self.age, self.recency, self.frequency, self.segment))
        columns = [values[order] for values in (self.segment, self.frequency, self.recency, self.age)]
        new = np.append(True, np.any([np.diff(values) != 0 for values in columns], axis=0))
        of_customer = np.empty(len(order), np.int64)
        of_customer[order] = np.cumsum(new) - 1
        segment, frequency, recency, age = (values[new] for values in columns)
        return Cells(
            first=np.searchsorted(segment, np.arange(len(self.segments) + 1)).astype(np.int64),
            frequency=frequency.astype(np.int64),
            recency=recency.astype(np.float64),
            age=age.astype(np.float64),
            n=np.bincount(of_customer).astype(np.float64),
            of_customer=of_customer,
        )

    @classmethod
    def from_rfm(cls, frame: IntoDataFrame, *, by: str | None = None, unit: Unit = "weeks") -> PurchaseHistory:
        """A history from the table that CLV tools share (PyMC-Marketing, lifetimes), in any dataframe.

        Columns: customer_id, frequency, recency, T, and, if spend is known, monetary_value: the mean value of repeat
        purchases, of which a customer without any has none (0 or empty).

        Parameters
        ----------
        by : column with segments; None for one, `all`
        unit : of recency and T

        Raises
        ------
        InputError : a column is missing, a number is missing, negative or contradicts another, a customer stands twice
        """
        table = to_polars(frame, "rfm")
        source = Source.rows("rfm", table.height)
        ids = column(table, "customer_id", source)
        if (twice := ids.filter(ids.is_duplicated())).len():
            raise InputError(f"rfm: customer {twice[0]!r} stands twice; keep one row per customer.")
        x, recency, age = (
            numbers(column(table, name, source), source, least=0).to_numpy() for name in ("frequency", "recency", "T")
        )
        if (wrong := np.flatnonzero(x != np.floor(x))).size:
            raise InputError(f"{source.place(int(wrong[0]))}: frequency is {x[wrong[0]]:g}; it must be a whole number.")
        spend = None
        if "monetary_value" in table.columns:
            read = numbers(table["monetary_value"], source, least=0, blank=True)
            spend = np.where(x > 0, read.fill_null(np.nan).to_numpy(), np.nan)
        if by is None:
            names, codes = ("all",), np.zeros(table.height, np.int64)
        else:
            labels = column(table, by, source).cast(pl.String).fill_null("(unknown)")
            names = tuple(labels.unique().sort())
            codes = np.searchsorted(np.array(names), labels.to_numpy().astype(str)).astype(np.int64)
        return cls(
            segments=names,
            customers=_identifiers(ids),
            segment=codes,
            frequency=x.astype(np.int64),
            recency=np.array(recency),
            age=np.array(age),
            mean_value=spend,
            unit=unit,
        )


def to_purchase_history(
    log: EventLog,
    *,
    by: str | None = None,
    until: datetime | None = None,
    unit: Unit = "weeks",
    merge_same_day: bool = False,
) -> PurchaseHistory:
    """Repeat purchases of each customer of a log who bought before `until`.

    What else a log knows (touches, stages, losses) plays no part: in a non-contractual setting nobody tells when they
    leave, and the model infers it from silence.

    Parameters
    ----------
    by : column of `log.customers` to split by; None for one segment, `all`
    until : end of the observation, by default that of the log; later purchases are held out
    unit : of times
    merge_same_day : take all purchases of a customer on one day (UTC) for one, as studies of baskets do; times are
        then whole days

    Raises
    ------
    InputError : `until` is outside the window, there is no such column, nobody bought, or nobody bought twice
    """
    end = log.end if until is None else until
    end_us = microseconds(end)
    if not microseconds(log.start) < end_us <= microseconds(log.end):
        raise InputError(f"to_purchase_history: until is {end}; it must be after {log.start} and at most {log.end}.")
    codes, segments, _, _ = segments_of(log, by)
    purchases = purchases_of(log, merge_same_day=merge_same_day).filter(pl.col("time") <= end_us)
    per_customer = (
        purchases.with_columns(first=pl.col("time").min().over("who"))
        .group_by("who")
        .agg(
            first=pl.col("first").first(),
            last=pl.col("time").max(),
            frequency=(pl.col("time") > pl.col("first")).sum(),
            # a mean over some of the purchases is not the mean that the spend model takes
            spent=pl.when(pl.col("value").filter(pl.col("time") > pl.col("first")).null_count() == 0).then(
                pl.col("value").filter(pl.col("time") > pl.col("first")).mean()
            ),
        )
        .sort("who")
    )
    who = per_customer["who"].to_numpy()
    if merge_same_day:
        end_us = end_us // _US_PER_DAY * _US_PER_DAY
    scale = _US_PER_DAY * DAYS_IN[unit]
    first = per_customer["first"].to_numpy()
    spent = per_customer["spent"].fill_null(np.nan).to_numpy()
    return PurchaseHistory(
        segments=segments,
        customers=_identifiers(pl.Series(pl.from_arrow(log.customers["customer"]))[who]),
        segment=codes[who],
        frequency=per_customer["frequency"].to_numpy().astype(np.int64),
        recency=(per_customer["last"].to_numpy() - first) / scale,
        age=(end_us - first) / scale,
        mean_value=None if np.isnan(spent).all() else np.array(spent),
        unit=unit,
        until=end,
    )


def purchases_of(log: EventLog, *, merge_same_day: bool) -> pl.DataFrame:
    """Purchases by customer and time: who (row of `log.customers`), time (microseconds) and value (null if unknown)."""
    rows = np.flatnonzero(log.codes("kind", KINDS) == KINDS.index("purchase"))
    value = log.events["value"].take(pa.array(rows)).to_numpy(zero_copy_only=False)
    purchases = pl.DataFrame({"who": log.customer_codes()[rows], "time": log.times_us()[rows], "value": value})
    purchases = purchases.with_columns(pl.col("value").fill_nan(None))
    day = _US_PER_DAY if merge_same_day else 1
    return (
        purchases.with_columns(pl.col("time") // day * day)
        .group_by("who", "time")
        .agg(pl.when(pl.col("value").count() > 0).then(pl.col("value").sum()).alias("value"))
        .sort("who", "time")
    )


def few_customers(segments: tuple[str, ...], sizes: NDArray[np.float64] | IntArray) -> tuple[str, ...]:
    """A note for each of several segments that says next to nothing of itself."""
    few = {0: "no customers", 1: "one customer"}
    return tuple(
        f"Segment {name!r} has {few[int(size)]}: its results are borrowed from the other segments and the priors."
        for name, size in zip(segments, sizes, strict=True)
        if size <= 1 and len(segments) > 1
    )


def _identifiers(ids: pl.Series) -> NDArray[np.str_] | IntArray:
    if ids.dtype.is_integer():
        return ids.to_numpy().astype(np.int64)
    return ids.cast(pl.String).to_numpy().astype(np.str_)
