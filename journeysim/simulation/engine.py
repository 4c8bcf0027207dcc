"""simulate: a World into an EventLog, on all cores, the same log whatever their number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from journeysim.events import EventLog
from journeysim.simulation.engines import Engine, resolved, whole_units
from journeysim.simulation.recipe import START, Recipe, whole_number
from journeysim.simulation.tasks import in_order, simulate_task, workers

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor
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
    executor: Executor | None = None,
    threads: int | None = None,
    chunk_customers: int = CHUNK_CUSTOMERS,
    on_progress: Callable[[int], None] | None = None,
) -> EventLog:
    """Simulate customers from the first stage of a world on, for a number of days.

    The log is a pure function of world, customers, days, seed and start: executor, threads and chunks only change the
    time it takes. Customers are numbered from 0; a larger population begins with the same customers. The log must fit
    into memory; `simulate_to` writes one of any size to disk.

    Parameters
    ----------
    n_customers : size of the population, > 0
    horizon_days : length of the window in days, > 0
    seed : 0 <= seed < 2**64
    start : when the window begins; a time without zone is taken as UTC
    engine : `compiled`, or `simpy` for worlds with desks; `auto` picks. Where both can run their logs are the same
    executor : who does the work: any `concurrent.futures.Executor`, such as a pool of processes or Dask's
        `client.get_executor()`; by default threads of this process
    threads : how many of these, by default one per core; not together with an executor
    chunk_customers : customers per unit of work, rounded up to whole markets where customers meet
    on_progress : called with the number of customers finished, each time a chunk is done

    Raises
    ------
    InputError : a number is out of its range, or the engine cannot run the world
    """
    whole_number("chunk_customers", chunk_customers, 1, 2**31)
    recipe = Recipe(world, n_customers, horizon_days, seed, start)
    engine = resolved(world, engine)  # which refuses here, not in a worker
    chunk = whole_units(world, engine, chunk_customers)
    tasks = ((recipe, engine, first, min(first + chunk, n_customers)) for first in range(0, n_customers, chunk))
    events, customers = [], []
    with workers(executor, threads) as pool, in_order(pool, simulate_task, tasks) as results:
        for those_events, those_customers in results:
            events += those_events
            customers.append(those_customers)
            if on_progress:
                on_progress(sum(table.num_rows for table in customers))
    return EventLog(events=pa.concat_tables(events), customers=pa.concat_tables(customers), **recipe.about_log)
