"""A simulated log on disk: CPU per event against Parquet as it is by default, and memory against the population.

    python -m benchmarks.speed.log_on_disk [--customers 10000000]

Prints `name: ours=... peer=... ratio=...`. Time is CPU time of one thread, all of `simulate_to`: simulating, Parquet,
fingerprints and checksums. The peer simulates the same chunks and writes them with `pyarrow.parquet` and its defaults.
Memory is the peak of a process of its own (RSS), ours for --customers against ours for a hundred thousand.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import shutil
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.speed.workloads import peer_world
from journeysim import worlds
from journeysim.simulation.engine import CHUNK_CUSTOMERS
from journeysim.simulation.recipe import Recipe
from journeysim.simulation.shards import simulate_to
from journeysim.simulation.tasks import simulate_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WORLDS = {
    "considered-purchase": worlds.load("considered-purchase"),
    "benchmark world": peer_world(),
}
DAYS = 180.0
FEW = 100_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=1_000_000, help="of the run whose memory is measured")
    parser.add_argument("--timed-customers", type=int, default=8 * CHUNK_CUSTOMERS)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in WORLDS:
            compare_time(name, args.timed_customers, args.repeats, Path(folder))
        compare_memory("considered-purchase", args.customers, Path(folder))


def compare_time(name: str, n_customers: int, repeats: int, folder: Path) -> None:
    sides: dict[str, Callable[[], tuple[int, int]]] = {
        "ours": lambda: ours(name, n_customers, folder / "ours", threads=1),
        "peer": lambda: peer(name, n_customers, folder / "peer.parquet"),
        "simulated": lambda: (simulate_only(name, n_customers), 0),
    }
    ns: dict[str, list[float]] = {side: [] for side in sides}
    n_bytes: dict[str, float] = {}
    for repeat in range(repeats + 1):
        for side, run in sides.items():
            began = time.process_time()
            n_events, size = run()
            if repeat:  # the first one compiles and takes fresh memory from the operating system
                ns[side].append((time.process_time() - began) * 1e9 / n_events)
            n_bytes[side] = size / n_events
    median = {side: statistics.median(values) for side, values in ns.items()}
    show(f"simulated and written, CPU ns per event, {name}", median["ours"], median["peer"], ".1f")
    beyond = {side: median[side] - median["simulated"] for side in ("ours", "peer")}
    show(f"of which beyond simulating ({median['simulated']:.1f}), {name}", beyond["ours"], beyond["peer"], ".1f")
    show(f"bytes per event, {name}", n_bytes["ours"], n_bytes["peer"], ".2f")


def compare_memory(name: str, n_customers: int, folder: Path) -> None:
    """Each run in a process of its own, since a peak never falls."""
    spawn = multiprocessing.get_context("spawn")
    found = {}
    for n in (FEW, n_customers):
        with ProcessPoolExecutor(1, mp_context=spawn) as alone:
            found[n] = alone.submit(measured, name, n, folder / f"log-{n}").result()
    large, small = found[n_customers], found[FEW]
    print(
        f"{n_customers:,} customers of {name}: {large['n_events']:,} events in {large['seconds']:.1f} s, "
        f"{large['cpu_seconds'] * 1e9 / large['n_events']:.1f} CPU ns and "
        f"{large['n_bytes'] / large['n_events']:.2f} bytes per event, {large['n_bytes'] / 1e9:.3f} GB"
    )
    show(f"peak MB of memory, {n_customers:,} customers against {FEW:,}", large["peak_mb"], small["peak_mb"], ".0f")


def ours(name: str, n_customers: int, target: Path, threads: int | None = None) -> tuple[int, int]:
    """Events and bytes of a log that is removed again."""
    log = simulate_to(target, WORLDS[name], n_customers=n_customers, horizon_days=DAYS, seed=1, threads=threads)
    size = sum(file.stat().st_size for file in target.iterdir())
    shutil.rmtree(target)
    return log.n_events, size


def peer(name: str, n_customers: int, target: Path) -> tuple[int, int]:
    """The same chunks into two files, as `pyarrow.parquet` writes them unless told otherwise."""
    n_events, writers = 0, []
    files = [target.with_name(f"{table}-{target.name}") for table in ("events", "customers")]
    for tables in chunks(name, n_customers):
        n_events += tables[0].num_rows
        writers = writers or [pq.ParquetWriter(*pair) for pair in zip(files, (t.schema for t in tables), strict=True)]
        for writer, table in zip(writers, tables, strict=True):
            writer.write_table(table)
        del tables, table
    for writer in writers:
        writer.close()
    size = sum(file.stat().st_size for file in files)
    for file in files:
        file.unlink()
    return n_events, size


def simulate_only(name: str, n_customers: int) -> int:
    """Events."""
    return sum(events.num_rows for events, _ in chunks(name, n_customers))


def chunks(name: str, n_customers: int) -> Iterator[tuple[pa.Table, pa.Table]]:
    recipe = Recipe(WORLDS[name], n_customers, DAYS, seed=1)
    for first in range(0, n_customers, CHUNK_CUSTOMERS):
        events, customers = simulate_task(recipe, "compiled", first, min(first + CHUNK_CUSTOMERS, n_customers))
        yield pa.concat_tables(events), customers
        del events, customers


def show(name: str, ours: float, peer: float, digits: str) -> None:
    print(f"{name}: ours={ours:{digits}} peer={peer:{digits}} ratio={peer / ours:.2f}", flush=True)


def measured(name: str, n_customers: int, target: Path) -> dict[str, float]:
    """Time, size and peak of memory of a run on all cores, after compilation."""
    ours(name, 1000, target.with_name("warm-up"))
    clock, cpu = time.perf_counter(), time.process_time()
    n_events, n_bytes = ours(name, n_customers, target)
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    return {
        "n_events": n_events,
        "n_bytes": n_bytes,
        "seconds": time.perf_counter() - clock,
        "cpu_seconds": time.process_time() - cpu,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6,
    }


if __name__ == "__main__":
    main()
