"""EventLog: one row per thing that happened, and what makes a row valid."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from journeysim.errors import InputError
from journeysim.event_columns import (
    COLUMNS,
    KINDS,
    MANY_NAMES,
    NAMES,
    TYPES,
    is_coded_text,
    normalised,
    to_arrow,
    to_polars,
    with_customer_type,
)
from journeysim.fingerprint import fingerprint
from journeysim.moves import LOST
from journeysim.table_files import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd
    from narwhals.typing import IntoDataFrame
    from numpy.typing import NDArray

    from journeysim.fingerprint import Fingerprint


@dataclass(frozen=True, slots=True, eq=False)
class EventLog:
    """What happened to customers, simulated or real.

    Attributes
    ----------
    events : Arrow table with the columns of `COLUMNS`, sorted by customer, then time; ties in the order of happening
    customers : Arrow table, one row per customer in the order of `events`: `customer`, then attributes such as persona
    start, end : the window that was observed; who is silent at its end is censored, not lost
    stages : names of the stages in the order of the journey; empty where the log has none
    purchase_stages : the stages whose entry is a purchase
    currency : ISO 4217, or None if unknown
    provenance : where the log comes from (world, seed, version, ...)
    """

    events: pa.Table
    customers: pa.Table
    start: datetime
    end: datetime
    stages: tuple[str, ...] = ()
    purchase_stages: tuple[str, ...] = ()
    currency: str | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.events.column_names != list(COLUMNS):
            raise InputError(f"EventLog: columns are {self.events.column_names}, expected {list(COLUMNS)}.")
        for name, type_ in TYPES.items():
            found = self.events.schema.field(name).type
            # words may be coded by integers of any size
            if found != type_ and not (type_ == NAMES and is_coded_text(found)):
                raise InputError(f"EventLog: column {name!r} is {found}, expected {type_}. Use EventLog.from_frame.")

    @classmethod
    def from_frame(
        cls,
        events: IntoDataFrame,
        *,
        customers: IntoDataFrame | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        stages: Sequence[str] = (),
        purchase_stages: Sequence[str] = (),
        currency: str | None = None,
        source: Source | None = None,
    ) -> EventLog:
        """A log from any dataframe (pandas, Polars, Arrow, ...) with the columns of `COLUMNS`.

        Only `customer`, `time` and `kind` are required. Times may be datetimes or ISO 8601 text; without a time zone
        they are taken as UTC. Rows may come in any order; ties keep theirs. The window is by default from the first
        to the last event, and the stages are in the order in which they first appear. `source` names rows in errors.

        Raises
        ------
        InputError : a column is missing, a time or number cannot be read, a kind or stage is unknown, an event lies
            outside the window; it names the row (counted from 1) and the value
        """
        frame = to_polars(events, "events")
        source = source or Source.rows("events", frame.height)
        frame = normalised(frame, source)
        start = start or frame["time"].min()  # type: ignore[assignment]
        end = end or frame["time"].max()  # type: ignore[assignment]
        assert start is not None and end is not None  # noqa: PT018, S101  # an empty frame was refused
        stages = tuple(stages) or tuple(frame["stage"].drop_nulls().unique(maintain_order=True))
        if customers is None:
            people = frame.select(pl.col("customer").unique())
        else:
            people = to_polars(customers, "customers")
            people = with_customer_type(people, Source.rows("customers", people.height))
            if people.schema["customer"] != frame.schema["customer"]:  # one has names, the other only numbers
                people, frame = (table.with_columns(pl.col("customer").cast(pl.String)) for table in (people, frame))
        people, frame = (
            people.sort("customer"),
            frame.with_row_index("row").sort("customer", "time", maintain_order=True),
        )
        log = cls(
            events=to_arrow(frame),
            customers=people.to_arrow(compat_level=pl.CompatLevel.oldest()),
            start=as_utc(start),
            end=as_utc(end),
            stages=tuple(s for s in stages if s != LOST),
            purchase_stages=tuple(purchase_stages),
            currency=currency,
        )
        check(log, lambda row: source.place(frame["row"][row]))
        return log

    def __repr__(self) -> str:
        return (
            f"EventLog({self.n_events:,} events of {self.n_customers:,} customers, {self.start:%Y-%m-%d} to "
            f"{self.end:%Y-%m-%d}, {len(self.stages)} stages)"
        )

    @property
    def n_events(self) -> int:
        """Number of rows."""
        return int(self.events.num_rows)

    @property
    def n_customers(self) -> int:
        """Number of customers, including those without any event."""
        return int(self.customers.num_rows)

    @property
    def days(self) -> float:
        """Length of the observed window in days."""
        return (self.end - self.start) / timedelta(days=1)

    def to_polars(self) -> pl.DataFrame:
        """The events as a Polars frame."""
        return pl.DataFrame(pl.from_arrow(self.events))

    def to_pandas(self) -> pd.DataFrame:
        """The events as a pandas frame (pandas must be installed)."""
        frame: pd.DataFrame = self.events.to_pandas()
        return frame

    def segment_names(self) -> list[str]:
        """Columns of `customers` that can split a log into segments."""
        return [name for name in self.customers.column_names if name != "customer"]

    def customer_codes(self) -> NDArray[np.int64]:
        """(n_events,) row of `customers` that each event belongs to."""
        ids = self.events["customer"]
        if pa.types.is_integer(ids.type):  # a factor of ten faster than the hash join below
            known = np.asarray(self.customers["customer"])
            return np.searchsorted(known, np.asarray(ids)).astype(np.int64, copy=False)
        return np.asarray(pc.index_in(ids, self.customers["customer"]), dtype=np.int64)

    def times_us(self) -> NDArray[np.int64]:
        """(n_events,) microseconds since the epoch."""
        return np.asarray(self.events["time"].cast(pa.int64()), dtype=np.int64)

    def codes(self, column: str, names: Sequence[str]) -> NDArray[np.int64]:
        """(n_events,) position in `names` of each entry of a column of names; -1 for null or any other name."""
        position = {name: i for i, name in enumerate(names)}
        chunks = []
        for chunk in self.events[column].chunks:
            lookup = np.array([*(position.get(name, -1) for name in chunk.dictionary.to_pylist()), -1], dtype=np.int64)
            null = len(lookup) - 1
            indices = chunk.indices if null < MANY_NAMES else chunk.indices.cast(pa.int32())
            chunks.append(lookup[indices.fill_null(null).to_numpy(zero_copy_only=False)])
        return np.concatenate(chunks) if chunks else np.empty(0, np.int64)

    def names_in(self, column: str) -> tuple[str, ...]:
        """Distinct names of a column; for a simulated log in the order of the world, else of first appearance."""
        return tuple(dict.fromkeys(n for chunk in self.events[column].chunks for n in chunk.dictionary.to_pylist()))

    def only(self, customers: pa.Array) -> EventLog:
        """The log of some of its customers."""
        chosen = pc.is_in(self.events["customer"], customers)
        known = pc.is_in(self.customers["customer"], customers)
        return self._with(self.events.filter(chosen), self.customers.filter(known))

    def _with(self, events: pa.Table, customers: pa.Table) -> EventLog:
        rest = (self.start, self.end, self.stages, self.purchase_stages, self.currency, self.provenance)
        return EventLog(events, customers, *rest)

    def hash(self) -> str:
        """Of the content: equal for equal logs, however they are cut into parts, chunked or coded."""
        return content_hash(
            events=fingerprint(self.events),
            customers=fingerprint(self.customers),
            customer_columns=self.customers.column_names,
            start=self.start,
            end=self.end,
            stages=self.stages,
            purchase_stages=self.purchase_stages,
            currency=self.currency,
        )

    def equals(self, other: EventLog) -> bool:
        """Whether both logs say the same, provenance aside."""
        return self.hash() == other.hash()


def content_hash(
    *,
    events: Fingerprint,
    customers: Fingerprint,
    customer_columns: Sequence[str],
    start: datetime,
    end: datetime,
    stages: Sequence[str],
    purchase_stages: Sequence[str],
    currency: str | None,
) -> str:
    """`EventLog.hash` of a log in parts: from the sums of their fingerprints, so that nobody needs all of its rows."""
    tables = [(f.n_rows, str(f)) for f in (events, customers)]
    window = [as_utc(time).isoformat() for time in (start, end)]
    content = (tables, [*customer_columns], window, [*stages], [*purchase_stages], currency)
    return hashlib.sha256(repr(content).encode()).hexdigest()


def check(log: EventLog, place: Callable[[int], str] = lambda row: f"EventLog row {row + 1}") -> None:
    """Check every row: sorted, inside the window, of a known customer, and each kind with what it needs.

    Called where data comes in; a simulated log is right by construction (and tests check it). `place` names the row
    at an index where it came from.

    Raises
    ------
    InputError : with the first row that breaks a rule
    """
    if log.n_events == 0:
        raise InputError("EventLog: there are no events.")
    for what, names in (("stage", log.stages), ("purchase stage", log.purchase_stages)):
        if len(set(names)) < len(names):
            raise InputError(f"EventLog: a {what} stands twice in {list(names)}; name each once.")
    unknown = [name for name in log.purchase_stages if name not in log.stages]
    if unknown:
        raise InputError(f"EventLog: purchase stage {unknown[0]!r} is not among the stages {list(log.stages)}.")
    if log.customers.column_names[:1] != ["customer"]:
        raise InputError("EventLog: the first column of customers must be 'customer'.")
    types = [table.schema.field("customer").type for table in (log.events, log.customers)]
    if types[0] != types[1]:
        raise InputError(f"EventLog: customer is {types[0]} in events but {types[1]} in customers; use one type.")
    people = log.customers["customer"].combine_chunks()
    if len(pc.unique(people)) != log.n_customers:
        twice = Counter(people.to_pylist()).most_common(1)[0][0]
        raise InputError(f"EventLog: customer {twice!r} stands twice in customers; keep one row per customer.")
    if pa.types.is_integer(people.type) and (np.diff(np.asarray(people)) < 0).any():
        raise InputError("EventLog: customers are not sorted; sort both tables by customer.")
    known = pc.is_in(pc.unique(log.events["customer"]), people)
    if not pc.all(known).as_py():
        stranger = pc.unique(log.events["customer"]).filter(pc.invert(known))[0].as_py()
        raise InputError(f"EventLog: customer {stranger!r} has events but is not in customers; add it there.")
    who, when = log.customer_codes(), log.times_us()
    backwards = (np.diff(who) < 0) | ((np.diff(who) == 0) & (np.diff(when) < 0))
    if backwards.any():
        row = int(np.flatnonzero(backwards)[0]) + 2
        raise InputError(f"EventLog: row {row} comes before row {row - 1}; sort by customer and time.")

    def require(wrong: NDArray[np.bool_], column: str, advice: str) -> None:
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            event = log.events.slice(row, 1).to_pylist()[0]
            found = event[column] if column != "time" else f"{event['time']:%Y-%m-%d %H:%M:%S.%f}"
            raise InputError(
                f"{place(row)} (customer {event['customer']!r}): {column} is {found!r}; it must be {advice}."
            )

    first, last = (microseconds(t) for t in (log.start, log.end))
    require((when < first) | (when > last), "time", f"inside the window {log.start} to {log.end}")
    kinds = log.codes("kind", KINDS)
    require(kinds < 0, "kind", f"one of {', '.join(KINDS)}")
    has_channel = log.codes("channel", log.names_in("channel")) >= 0
    require((kinds == KINDS.index("touch")) & ~has_channel, "channel", "set for a touch")
    stages = log.codes("stage", (*log.stages, LOST))
    named = (log.codes("stage", log.names_in("stage")) >= 0) | (kinds == KINDS.index("stage"))
    require(named & (stages < 0), "stage", f"one of {', '.join(log.stages) or '(none)'}")
    strays = (stages == len(log.stages)) & (kinds != KINDS.index("lost"))
    require(strays, "stage", f"a stage: who leaves for good has a row of kind {LOST!r}, with no stage or {LOST!r}")
    values = log.events["value"].to_numpy(zero_copy_only=False)
    for kind, least, most in (("csat", 1, 5), ("nps", 0, 10)):
        wrong = (kinds == KINDS.index(kind)) & ((values < least) | (values > most))
        require(wrong, "value", f"a score from {least} to {most} ({kind}), or empty")
    for name in ("value", "cost"):
        require(np.isinf(log.events[name].to_numpy(zero_copy_only=False)), name, "a finite number or empty")


def microseconds(time: datetime) -> int:
    """Microseconds since the epoch, exact: floating point is off by one after the year 2106."""
    return (as_utc(time) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def as_utc(time: datetime) -> datetime:
    """The time in UTC; without a time zone it is taken as UTC."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
