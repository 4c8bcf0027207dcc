"""What logs do not show: missing touches, a look-back window, identities that break. Each is a log made from a log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Discriminator, Field, Tag

from journeysim.event_columns import KINDS
from journeysim.events import EventLog
from journeysim.parts import ByName, Part, Probability
from journeysim.yaml_files import TAG

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

DAY_US = 86_400e6


class MissTouches(Part):
    """Touches that nobody logged, channel by channel: each is missing on its own with a chance."""

    defect: Literal["miss_touches"] = "miss_touches"
    missing: ByName[Probability] = Field(description="by channel: share of its touches that the log does not have")

    def on(self, log: EventLog, rng: np.random.Generator) -> EventLog:
        """The log without these touches. Every row takes one draw, so that a larger share loses more of the same."""
        names = log.names_in("channel")
        chance = np.array([*(self.missing.get(name, 0.0) for name in names), 0.0])
        lost = (log.codes("kind", KINDS) == KINDS.index("touch")) & (
            rng.random(log.n_events) < chance[log.codes("channel", names)]
        )
        return _with_rows(log, ~lost)


class ShortWindow(Part):
    """A look-back window: touches longer than `days` before the first purchase are forgotten; of customers who do not
    buy, those longer before their last touch.
    """

    defect: Literal["short_window"] = "short_window"
    days: Annotated[float, Field(gt=0, le=36500)] = Field(description="that are looked back")

    def on(self, log: EventLog, rng: np.random.Generator) -> EventLog:  # noqa: ARG002  # as the other defects
        """The log without these touches; what came after the first purchase stays."""
        who, when, kinds = log.customer_codes(), log.times_us(), log.codes("kind", KINDS)
        bought, touch = kinds == KINDS.index("purchase"), kinds == KINDS.index("touch")
        bought_at, last_touch = np.full(log.n_customers, np.inf), np.full(log.n_customers, -np.inf)
        np.minimum.at(bought_at, who[bought], when[bought])
        np.maximum.at(last_touch, who[touch], when[touch])
        end = np.where(np.isfinite(bought_at), bought_at, last_touch)
        old = touch & (end[who] - when > self.days * DAY_US)
        return _with_rows(log, ~old)


class SplitCustomers(Part):
    """Identity loss: a share of the customers change device or delete cookies once, and are two customers from then on.

    The break comes at a time that is uniform between the first and the last event of the customer.
    """

    defect: Literal["split_customers"] = "split_customers"
    share: Probability = Field(description="of the customers with events who are seen as two")

    def on(self, log: EventLog, rng: np.random.Generator) -> EventLog:
        """The log in which they are two; the second one is a new customer at the end of the log."""
        who, when = log.customer_codes(), log.times_us()
        first, last = np.full(log.n_customers, np.inf), np.full(log.n_customers, -np.inf)
        np.minimum.at(first, who, when)
        np.maximum.at(last, who, when)
        breaks = rng.random(log.n_customers) < self.share
        at = np.where(breaks, first + rng.random(log.n_customers) * (last - first), np.inf)
        is_second = when > at[who]
        split = np.unique(who[is_second])
        new_name = np.zeros(log.n_customers, np.int64)
        new_name[split] = np.arange(len(split))
        customers = log.customers["customer"].combine_chunks()
        fresh = _fresh_names(customers, len(split))
        named = pl.Series(pl.from_arrow(customers.take(pa.array(who))))
        others = pl.Series(pl.from_arrow(fresh.take(pa.array(new_name[who] if len(split) else who[:0]))))
        if len(split):
            named = others.zip_with(pl.Series(is_second), named)
        order = np.argsort(is_second.astype(np.int64) * (log.n_customers + new_name[who]), kind="stable")
        events = log.events.set_column(0, log.events.schema.field("customer"), [named.to_arrow().cast(customers.type)])
        people = pa.concat_tables(
            [log.customers, log.customers.take(pa.array(split)).set_column(0, log.customers.schema.field(0), [fresh])]
        )
        return _made_of(log, events.take(pa.array(order)), people)


def _fresh_names(customers: pa.Array, n: int) -> pa.Array:
    """`n` customers who are not among these, and sort after them where customers are numbers."""
    if pa.types.is_integer(customers.type):
        highest = pc.max(customers).as_py()
        return pa.array(np.arange(highest + 1, highest + 1 + n), type=customers.type)
    longest = max(customers.to_pylist(), key=len)
    return pa.array([f"{longest} seen as another {i}" for i in range(n)], type=customers.type)


def _with_rows(log: EventLog, kept: NDArray[np.bool_]) -> EventLog:
    """Some of the rows; a channel of which none is left is not among the names of the column either."""
    names = log.names_in("channel")
    codes = log.codes("channel", names)[kept]
    seen = np.flatnonzero(np.bincount(codes[codes >= 0], minlength=len(names)))
    code = np.full(len(names) + 1, len(seen))  # the last: no channel
    code[seen] = np.arange(len(seen))
    indices = pa.array(code[codes], type=pa.int32(), mask=codes < 0)
    events = log.events.filter(pa.array(kept))
    channel = pa.DictionaryArray.from_arrays(indices, pa.array([names[c] for c in seen], type=pa.string()))
    events = events.set_column(events.column_names.index("channel"), "channel", channel)
    return _made_of(log, events, log.customers)


def _made_of(log: EventLog, events: pa.Table, customers: pa.Table) -> EventLog:
    return EventLog(events, customers, log.start, log.end, log.stages, log.purchase_stages, log.currency)


def _kind(value: object) -> str:
    found = value.get("defect", "") if isinstance(value, Mapping) else getattr(value, "defect", "")
    return f"{TAG}{found}"


Defect = Annotated[
    Annotated[MissTouches, Tag(TAG + "miss_touches")]
    | Annotated[ShortWindow, Tag(TAG + "short_window")]
    | Annotated[SplitCustomers, Tag(TAG + "split_customers")],
    Discriminator(_kind),
]
"""A defect of observation, told apart by the key `defect`."""


def with_defects(log: EventLog, defects: Sequence[Defect], seed: int) -> EventLog:
    """The log as it would have been observed: each defect in turn, with draws of its own from `seed`."""
    for i, defect in enumerate(defects):
        log = defect.on(log, np.random.default_rng([seed, i]))
    return log


def as_observed(log: EventLog, *, stages: bool = True) -> EventLog:
    """What an analyst would have of a simulated log: no causes, no personas; without `stages`, no stages either."""
    events = log.events
    for name in ("cause",) if stages else ("cause", "stage"):
        nothing = pa.nulls(log.n_events, type=events.schema.field(name).type)
        events = events.set_column(events.column_names.index(name), events.schema.field(name), nothing)
    seen = _made_of(log, events, log.customers.select(["customer"]))
    if stages:
        return seen
    kinds = log.codes("kind", KINDS)
    kept = np.isin(kinds, [KINDS.index(kind) for kind in ("touch", "purchase")])
    bare = _with_rows(seen, kept)
    return EventLog(bare.events, bare.customers, log.start, log.end, (), (), log.currency)
