"""What a log says of each customer: when it began, when they bought, when they left; and every stay in a stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from journeysim.event_columns import KINDS
from journeysim.events import microseconds
from journeysim.moves import LAPSED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.events import EventLog

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]
    BoolArray = NDArray[np.bool_]

US_PER_DAY: Final = 86_400e6


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """Columns of the log as arrays, and one entry per customer (n,). Times are microseconds after the start of the
    window, whole numbers as floats (exact for 285 years), and NaN for never.

    Attributes
    ----------
    who, time, kind : (E,) of each event: row of the customer, time, position in `KINDS`
    end : of the window
    stays : entries into stages
    first_event, first_purchase : (n,)
    gone : (n,) when a buyer first stopped being an active customer: the first entry into lost or lapsed at or after
        the first purchase
    lost : (n,) whether the customer left for good and did not buy again
    lapsed, won_back : (n,) whether the customer ever lapsed, and came back from there
    """

    who: IntArray
    time: FloatArray
    kind: IntArray
    end: float
    stays: Stays
    first_event: FloatArray
    first_purchase: FloatArray
    gone: FloatArray
    lost: BoolArray
    lapsed: BoolArray
    won_back: BoolArray

    @property
    def n_customers(self) -> int:
        """Number of customers."""
        return len(self.first_event)

    @property
    def bought(self) -> BoolArray:
        """(n,) whether the customer purchased."""
        return ~np.isnan(self.first_purchase)

    def rows(self, kind: str) -> IntArray:
        """Rows of one kind."""
        return np.flatnonzero(self.kind == KINDS.index(kind))

    def count(self, rows: IntArray) -> IntArray:
        """(n,) how many of some rows each customer has."""
        return np.bincount(self.who[rows], minlength=self.n_customers)

    def sum(self, rows: IntArray, amounts: FloatArray) -> FloatArray:
        """(n,) sum of an amount for each of some rows."""
        return np.bincount(self.who[rows], amounts, self.n_customers).astype(np.float64)

    def first(self, rows: IntArray) -> FloatArray:
        """(n,) time of each customer's first of some rows, which are in order."""
        return _first(self.who[rows], self.time[rows], self.n_customers)

    def to_purchase(self) -> tuple[IntArray, FloatArray, BoolArray]:
        """Customers with an event; days from the first event to the first purchase, or for how long none was seen;
        and which of the two.

        A customer who is lost never purchases: the days go on until the window ends.
        """
        seen = np.flatnonzero(~np.isnan(self.first_event))
        bought = self.bought[seen]
        until = np.where(bought, self.first_purchase[seen], self.end)
        return seen, (until - self.first_event[seen]) / US_PER_DAY, bought

    def as_customer(self) -> tuple[IntArray, FloatArray, BoolArray]:
        """Buyers; days from the first purchase until they were gone, or for how long they were seen active; and which
        of the two.
        """
        buyers = np.flatnonzero(self.bought)
        gone = ~np.isnan(self.gone[buyers])
        until = np.where(gone, self.gone[buyers], self.end)
        return buyers, (until - self.first_purchase[buyers]) / US_PER_DAY, gone


@dataclass(frozen=True, slots=True, eq=False)
class Stays:
    """Entries into stages, in the order of the log; being lost is the last stage. A row that names the stage a customer
    is in already, as touches may, is none.

    Attributes
    ----------
    who, stage, time, row : (K,) of the entry; a stage of S, the number of stages, is lost
    next : (K,) the stage entered next, -1 if the customer was still there when the window ended
    """

    who: IntArray
    stage: IntArray
    time: FloatArray
    row: IntArray
    next: IntArray


def observe(log: EventLog) -> Observed:
    """Read a log once."""
    n = log.n_customers
    who, kind = log.customer_codes(), log.codes("kind", KINDS)
    time = (log.times_us() - microseconds(log.start)).astype(np.float64)
    purchase, lost = (np.flatnonzero(kind == KINDS.index(name)) for name in ("purchase", "lost"))
    stays = _stays(log, who, time, kind)
    first_purchase = _first(who[purchase], time[purchase], n)

    lapse = _stages_named(log, stays, LAPSED)
    # rows, not times, say what came first: at the same time they stand in the order of happening
    row = np.arange(len(who), dtype=np.float64)
    leaving = np.sort(np.concatenate([lost, stays.row[lapse]]))
    leaving = leaving[leaving > _first(who[purchase], row[purchase], n)[who[leaving]]]
    last_purchase, last_lost = (_first(who[rows][::-1], row[rows][::-1], n) for rows in (purchase, lost))
    back = lapse & (stays.next >= 0) & (stays.next < len(log.stages))
    return Observed(
        who=who,
        time=time,
        kind=kind,
        end=float(microseconds(log.end) - microseconds(log.start)),
        stays=stays,
        first_event=_first(who, time, n),
        first_purchase=first_purchase,
        gone=_first(who[leaving], time[leaving], n),
        lost=~np.isnan(last_lost) & ~(last_purchase > last_lost),
        lapsed=np.isin(np.arange(n), stays.who[lapse]),
        won_back=np.isin(np.arange(n), stays.who[back]),
    )


def money(log: EventLog, column: str, rows: IntArray) -> FloatArray:
    """Amounts in some rows, 0 where empty; NaN if all are empty, since then the log does not tell."""
    amounts: FloatArray = log.events[column].to_numpy()[rows]
    empty = np.isnan(amounts)
    return amounts if empty.all() else np.where(empty, 0.0, amounts)


def _stays(log: EventLog, who: IntArray, time: FloatArray, kind: IntArray) -> Stays:
    stage = log.codes("stage", log.stages)
    stage[kind == KINDS.index("lost")] = len(log.stages)
    rows = np.flatnonzero(stage >= 0)
    whose, stage = who[rows], stage[rows]
    new = np.append(np.ones(min(1, len(rows)), bool), (np.diff(whose) != 0) | (np.diff(stage) != 0))
    rows, whose, stage = rows[new], whose[new], stage[new]
    stays_on = np.append(whose[1:] != whose[:-1], np.ones(min(1, len(rows)), bool))
    return Stays(whose, stage, time[rows], rows, np.where(stays_on, -1, np.roll(stage, -1)))


def _stages_named(log: EventLog, stays: Stays, name: str) -> BoolArray:
    return stays.stage == log.stages.index(name) if name in log.stages else np.zeros(len(stays.stage), bool)


def _first(who: IntArray, time: FloatArray, n: int) -> FloatArray:
    """The first time of each of n customers, from rows that stand customer by customer in order; NaN without a row."""
    times = np.full(n, np.nan)
    new = np.append(np.ones(min(1, len(who)), bool), np.diff(who) != 0)
    times[who[new]] = time[new]
    return times
