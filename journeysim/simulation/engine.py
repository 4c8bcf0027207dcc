"""simulate: a World into an EventLog, on all cores, the same log whatever their number."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from journeysim.errors import InputError
from journeysim.events import COLUMNS, KINDS, TIME, EventLog, as_utc, microseconds
from journeysim.moves import BASE, LOST
from journeysim.simulation.kernel import NONE, PURCHASE, TOUCH, Rows, simulate_customers
from journeysim.simulation.tables import Tables, tables
from journeysim.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from journeysim.spec import World

START = datetime(2026, 1, 1, tzinfo=UTC)
CHUNK_CUSTOMERS = 16_384
MAX_CUSTOMERS = 2**31  # of one log in memory
MAX_DAYS = 36_500.0


def simulate(
    world: World,
    *,
    n_customers: int,
    horizon_days: float,
    seed: int,
    start: datetime = START,
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
    threads : how many to use, by default one per core
    chunk_customers : customers per unit of work
    on_progress : called with the number of customers finished, each time a chunk is done

    Raises
    ------
    InputError : a number is out of its range
    """
    _check(
        n_customers=(n_customers, 1, MAX_CUSTOMERS),
        seed=(seed, 0, 2**64 - 1),
        chunk_customers=(chunk_customers, 1, 2**31),
    )
    if not 0 < horizon_days <= MAX_DAYS:
        raise InputError(f"horizon_days is {horizon_days}; it must be above 0 and at most {MAX_DAYS:g}.")
    threads = (os.cpu_count() or 1) if threads is None else threads
    _check(threads=(threads, 1, 1024))
    horizon_days = float(horizon_days)  # numba would compile the kernel once more for an integer
    start = as_utc(start)
    try:
        end = start + timedelta(days=horizon_days)
    except OverflowError:
        raise InputError(f"start is {start:%Y-%m-%d}; {horizon_days:g} days later there is no calendar.") from None
    x, start_us = tables(world), microseconds(start)

    def run(first: int) -> tuple[list[pa.Table], NDArray[np.uint8]]:
        last = min(first + chunk_customers, n_customers)
        return _run_chunk(world, x, seed, first, last, horizon_days, start_us)

    parts, personas = [], []
    firsts = range(0, n_customers, chunk_customers)
    with ThreadPoolExecutor(threads) as pool:
        for chunk, persona in pool.map(run, firsts):
            parts += chunk
            personas.append(persona)
            if on_progress:
                on_progress(sum(map(len, personas)))
    persona_names = [persona.name for persona in world.personas]
    return EventLog(
        events=pa.concat_tables(parts),
        customers=pa.table(
            {"customer": pa.array(np.arange(n_customers)), "persona": _named(np.concatenate(personas), persona_names)}
        ),
        start=start,
        end=end,
        stages=world.stage_names,
        purchase_stages=world.purchase_stages,
        currency=world.currency,
        provenance={
            "world": world.name,
            "seed": str(seed),
            "horizon_days": repr(horizon_days),
            "journeysim": __version__,
        },
    )


def _check(**ranges: tuple[Any, int, int]) -> None:
    for name, (value, least, most) in ranges.items():
        if not (isinstance(value, int | np.integer) and least <= value <= most):
            raise InputError(f"{name} is {value}; it must be a whole number from {least} to {most}.")


def _run_chunk(
    world: World, x: Tables, seed: int, first: int, last: int, horizon_days: float, start_us: int
) -> tuple[list[pa.Table], NDArray[np.uint8]]:
    """Rows of customers first..last-1. Buffers have no known size, so a full one is put aside and another begun."""
    parts, personas = [], []
    capacity = 64 * (last - first)  # untouched memory costs nothing, so ask for plenty
    while first < last:
        rows = _buffers(capacity, last - first)
        done, n_rows = simulate_customers(x, np.uint64(seed), first, last, horizon_days, start_us, rows)
        if done:
            parts.append(_table(world, rows, n_rows))
            personas.append(rows.persona[:done])
        first += done
        capacity *= 2
    return parts, np.concatenate(personas)


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


def _table(world: World, rows: Rows, n: int) -> pa.Table:
    """The rows as an Arrow table, without copying what the kernel wrote."""
    pains = [pain.name for pain in world.pain_points]
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
        "value": _column(pa.float64(), rows.value[:n], valid=rows.kind[:n] == PURCHASE),
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
