"""A range of customers, simulated in memory: what the kernel wrote, as Arrow tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from journeysim.events import COLUMNS, KINDS, TIME
from journeysim.moves import BASE, LOST
from journeysim.simulation.kernel import CSAT, NONE, NPS, PURCHASE, TOUCH, Rows, own, simulate_customers
from journeysim.simulation.people import people
from journeysim.simulation.word_of_mouth import heard_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from journeysim.simulation.recipe import Recipe
    from journeysim.simulation.tables import Tables
    from journeysim.spec import World

U64 = np.uint64
VALUED = np.isin(np.arange(len(KINDS)), (PURCHASE, CSAT, NPS))  # by kind


def simulate_range(recipe: Recipe, x: Tables, first: int, last: int) -> tuple[list[pa.Table], pa.Table]:
    """Events and customers first..last-1 of a recipe.

    Where word travels (`recipe.world.word_of_mouth`), the range must be one of whole markets. `x` are the tables of
    the recipe.
    """
    heard = heard_by(recipe, x, first, last)
    events, personas = [], []
    begin, capacity = first, 64 * (last - first)  # untouched memory costs nothing, so ask for plenty
    while begin < last:  # buffers have no known size, so a full one is put aside and another begun
        rows = _buffers(capacity, last - begin)
        their_heard = heard._replace(start=heard.start[begin - first :])
        done, n_rows = simulate_customers(
            x,
            U64(recipe.seed),
            begin,
            last,
            recipe.horizon_days,
            recipe.start_us,
            their_heard,
            rows,
            own(x),
        )
        if done:
            events.append(to_table(recipe.world, rows, n_rows, VALUED[rows.kind[:n_rows]]))
            personas.append(rows.persona[:done])
        begin += done
        capacity *= 2
    return events, people(recipe, first, last, np.concatenate(personas))


def _buffers(capacity: int, n_customers: int) -> Rows:
    codes = [np.empty(capacity, np.uint8) for _ in range(5)]
    kind, channel, stage, pain, cause = codes
    return Rows(
        customer=np.empty(capacity, np.int64),
        time_us=np.empty(capacity, np.int64),
        kind=kind,
        channel=channel,
        stage=stage,
        pain=pain,
        cause=cause,
        value=np.empty(capacity),
        persona=np.empty(n_customers, np.uint8),
    )


def to_table(world: World, rows: Rows, n: int, has_value: NDArray[np.bool_]) -> pa.Table:
    """The first n rows as an Arrow table, without copying; `has_value` (n,) says which values are not null."""
    pains = world.pain_point_names
    cost_of = np.array([*(c.cost_per_contact for c in world.channels), 0.0])
    is_touch = rows.kind[:n] == TOUCH
    cost = cost_of[np.minimum(rows.channel[:n], len(world.channels))]
    columns = {
        "customer": _column(pa.int64(), rows.customer[:n]),
        "time": _column(TIME, rows.time_us[:n]),
        "kind": _named(rows.kind[:n], KINDS),
        "channel": _named(rows.channel[:n], world.channel_names),
        "stage": _named(rows.stage[:n], (*world.stage_names, LOST)),
        "pain_point": _named(rows.pain[:n], pains),
        "value": _column(pa.float64(), rows.value[:n], valid=has_value),
        "cost": _column(pa.float64(), cost, valid=is_touch),
        "cause": _named(rows.cause[:n], (BASE, *world.channel_names, *pains)),
    }
    return pa.table({name: columns[name] for name in COLUMNS})


def _column(type_: pa.DataType, values: NDArray[Any], valid: NDArray[np.bool_] | None = None) -> pa.Array:
    bitmap = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.Array.from_buffers(type_, len(values), [bitmap, pa.py_buffer(values)])


def _named(codes: NDArray[np.uint8], names: Sequence[str]) -> pa.DictionaryArray:
    """Codes as names; NONE becomes null."""
    valid = codes != NONE
    codes *= valid  # what stands under a null must still be an index
    return pa.DictionaryArray.from_arrays(_column(pa.uint8(), codes, valid), pa.array(list(names), pa.string()))
