"""A range of customers, simulated in memory by the compiled kernel, as Arrow tables."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from journeysim.simulation.kernel import empty_people, own, simulate_customers
from journeysim.simulation.people import people
from journeysim.simulation.rows import Rows, empty_rows, to_table
from journeysim.simulation.word_of_mouth import heard_by

if TYPE_CHECKING:
    import pyarrow as pa

    from journeysim.simulation.recipe import Recipe
    from journeysim.simulation.tables import Tables

U64 = np.uint64
ROWS_AT_ONCE = 2**18
_mine = threading.local()  # memory that was used before is many times as fast as fresh memory


def simulate_range(recipe: Recipe, x: Tables, first: int, last: int) -> tuple[list[pa.Table], pa.Table]:
    """Events and customers first..last-1 of a recipe.

    Where word travels (`recipe.world.word_of_mouth`), the range must be one of whole markets. `x` are the tables of
    the recipe.
    """
    heard = heard_by(recipe, x, first, last)
    events, personas = [], []
    begin, rows, memory, them = first, _rows(ROWS_AT_ONCE), own(x), empty_people(last - first)
    while begin < last:
        their_heard = heard._replace(start=heard.start[begin - first :])
        done, _ = simulate_customers(
            x, U64(recipe.seed), begin, last, recipe.horizon_days, their_heard, rows, them, memory
        )
        if done:
            events.append(to_table(recipe.world, rows, them.n_rows[:done], begin, recipe.start_us))
            personas.append(them.persona[:done].copy())
            begin += int(done)
        else:  # one customer has more rows than there is room for
            rows = _rows(2 * len(rows.time))
    return events, people(recipe, first, last, np.concatenate(personas))


def _rows(n: int) -> Rows:
    """Room for n rows at least, kept from the last time that this thread needed it."""
    rows: Rows | None = getattr(_mine, "rows", None)
    if rows is None or len(rows.time) < n:
        rows = _mine.rows = empty_rows(n)
    return rows
