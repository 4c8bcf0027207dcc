"""simulate: a World into an EventLog, on all cores, the same log whatever their number."""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pyarrow as pa

from journeysim.events import EventLog
from journeysim.simulation.engines import Engine, couples_customers, range_simulator
from journeysim.simulation.recipe import START, Recipe, whole_number
from journeysim.simulation.tables import tables

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from journeysim.spec import World

CHUNK_CUSTOMERS = 16_384


def simulate(
    world: World,
    *,
    n_customers: int,
    horizon_days: float,
    seed: int,
    start: datetime = START,
    engine: Engine = "auto",
    threads: int | None = None,
    chunk_customers: int = CHUNK_CUSTOMERS,
    on_progress: Callable[[int], None] | None = None,
) -> EventLog:
    """Simulate customers from the first stage of a world on, for a number of days.

    The log is a pure function of world, customers, days, seed and start: threads and chunks only change the time it
    takes. Customers are numbered from 0; a larger population begins with the same customers.

    Parameters
    ----------
    n_customers : size of the population, > 0
    horizon_days : length of the window in days, > 0
    seed : 0 <= seed < 2**64
    start : when the window begins; a time without zone is taken as UTC
    engine : `compiled`, or `simpy` for worlds with desks; `auto` picks. Where both can run their logs are the same
    threads : how many to use, by default one per core
    chunk_customers : customers per unit of work
    on_progress : called with the number of customers finished, each time a chunk is done

    Raises
    ------
    InputError : a number is out of its range, or the engine cannot run the world
    """
    whole_number("chunk_customers", chunk_customers, 1, 2**31)
    threads = (os.cpu_count() or 1) if threads is None else threads
    whole_number("threads", threads, 1, 1024)
    recipe = Recipe(world, n_customers, horizon_days, seed, start)
    x = tables(recipe)
    simulate_range = range_simulator(world, engine)
    if couples_customers(world, engine):
        chunk_customers = math.ceil(chunk_customers / world.market_size) * world.market_size

    def run(first: int) -> tuple[list[pa.Table], pa.Table]:
        return simulate_range(recipe, x, first, min(first + chunk_customers, n_customers))

    events, customers = [], []
    with ThreadPoolExecutor(threads) as pool:
        for those_events, those_customers in pool.map(run, range(0, n_customers, chunk_customers)):
            events += those_events
            customers.append(those_customers)
            if on_progress:
                on_progress(sum(table.num_rows for table in customers))
    return EventLog(
        events=pa.concat_tables(events),
        customers=pa.concat_tables(customers),
        start=recipe.start,
        end=recipe.end,
        stages=world.stage_names,
        purchase_stages=world.purchase_stages,
        currency=world.currency,
        provenance=recipe.provenance,
    )
