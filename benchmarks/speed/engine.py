"""Speed of the compiled engine against SimPy, Mesa and the memory of the machine, in one run, alternating.

    python benchmarks/speed/engine.py

Prints `name: ours=... peer=... ratio=...`; the ratio of `against` says how many times as fast ours is, that of `over`
how many times as much it costs. First that all simulate the same thing (events per customer by kind), then CPU time
per logged event, medians over the repeats. `engine` is the kernel, which writes rows into memory that it has used
before, as in a simulation to disk; `simulate` also makes the columns of a log, which stays in memory. Each is held
against the memory that it fills: `engine` against rows of 24 bytes, batch after batch into one buffer, `simulate`
against the 37 bytes per event of its log. Our side is measured warm: the operating system takes fresh memory's time
once. SimPy slows down with the number of its processes (a longer queue, more objects for the garbage collector), so it
is measured twice. The rich world is measured with and without word of mouth. Threads work on batches whose tables are
dropped, as in a simulation to disk: neither side waits for fresh memory.
"""

from __future__ import annotations

import argparse
import gc
import math
import resource
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.speed.mesa_peer import simulate_with_mesa
from benchmarks.speed.simpy_peer import simulate_with_simpy
from benchmarks.speed.workloads import DAYS, plain_world, rich_world
from journeysim.event_columns import KINDS
from journeysim.simulation.chunk import simulate_range
from journeysim.simulation.engine import simulate
from journeysim.simulation.kernel import empty_people, own, simulate_customers
from journeysim.simulation.recipe import Recipe
from journeysim.simulation.rows import empty_rows
from journeysim.simulation.tables import tables
from journeysim.simulation.word_of_mouth import heard_by

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from journeysim.events import EventLog
    from journeysim.spec import World

BATCH = 10_000  # customers: a market of the rich world
BYTES_PER_EVENT = 37  # of the columns of a log
BYTES_PER_ROW = 24  # of the kernel: time, word, value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=200_000, help="simulated by journeysim; whole ten thousands")
    parser.add_argument("--peer-customers", type=int, default=20_000, help="simulated by SimPy and Mesa")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    plain, rich, n, n_peer = plain_world(), rich_world(), args.customers, args.peer_customers

    def simpy(seed: int, n_customers: int = n_peer) -> list[Any]:
        return simulate_with_simpy(plain, n_customers=n_customers, horizon_days=DAYS, seed=seed)

    def mesa(seed: int) -> list[Any]:
        return simulate_with_mesa(plain, n_customers=n_peer, horizon_days=int(DAYS), seed=seed)

    flat(plain)
    log = simulate(plain, n_customers=n, horizon_days=DAYS, seed=1)
    compare_counts("SimPy", log, simpy(0), n_peer)
    compare_counts("Mesa, daily ticks", log, mesa(0), n_peer)
    block = np.empty(BYTES_PER_EVENT * log.n_events, np.uint8)
    buffer = np.empty(BYTES_PER_ROW * (log.n_events * BATCH // n), np.uint8)
    quiet = rich.without(*talk(rich))
    sides: dict[str, Callable[[int], int]] = {
        "engine": engine(plain, n),
        "engine, rich world": engine(rich, n),
        "simulate": lambda _: in_memory(plain, n),
        "simulate, rich world with word of mouth": lambda _: in_memory(rich, n),
        "simulate, rich world without it": lambda _: in_memory(quiet, n),
        "SimPy": lambda seed: len(simpy(seed)),
        "SimPy with a tenth as many customers": lambda seed: len(simpy(seed, n_peer // 10)),
        "Mesa": lambda seed: len(mesa(seed)),
        "fill of a log": lambda seed: fill(block, seed, 1) // BYTES_PER_EVENT,
        "fill of rows": lambda seed: fill(buffer, seed, n // BATCH) // BYTES_PER_ROW,
    }
    del log
    ns: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(args.repeats + 1):
        for name, side in sides.items():
            gc.collect()
            gc.freeze()  # peers make many objects: the collector shall not look at those of others
            begin = time.process_time()
            n_events = side(repeat)
            ns[name].append((time.process_time() - begin) * 1e9 / n_events)
    median = {name: statistics.median(values[1:]) for name, values in ns.items()}  # the first is cold
    for ours in ("engine", "simulate"):
        for peer in ("SimPy", "SimPy with a tenth as many customers", "Mesa"):
            say(f"CPU ns per event, {ours} against {peer}", median[ours], median[peer])
    cost("CPU ns per event, engine over a warm fill of the bytes of its rows", median["engine"], median["fill of rows"])
    cost(
        "CPU ns per event, simulate over a warm fill of the bytes of its log",
        median["simulate"],
        median["fill of a log"],
    )
    cost("CPU ns per event, engine, rich world over plain", median["engine, rich world"], median["engine"])
    talked, silent = (median[f"simulate, rich world {how}"] for how in ("with word of mouth", "without it"))
    cost("CPU ns per event, simulate, rich world without word of mouth over plain", silent, median["simulate"])
    cost("CPU ns per event, simulate, rich world with word of mouth over without", talked, silent)

    with ThreadPoolExecutor(1) as alone, ThreadPoolExecutor(2) as pair:  # kept, as their memory is
        seconds = [[wall(plain, 4 * n, pool) for pool in (alone, pair)] for _ in range(args.repeats + 2)]
    one, two = (statistics.median(column) for column in zip(*seconds[2:], strict=True))
    say(f"seconds, two threads against one, {4 * n:,} customers", two, one)


def engine(world: World, n_customers: int) -> Callable[[int], int]:
    """The kernel alone, batch after batch into the same memory; the number of events."""
    recipe = Recipe(world.without(*talk(world)), n_customers, DAYS, 1)
    x = tables(recipe)
    rows, people, memory, heard = empty_rows(2**20), empty_people(BATCH), own(x), heard_by(recipe, x, 0, BATCH)

    def run(_: int) -> int:
        total = 0
        for first in range(0, n_customers, BATCH):
            done, n_rows = simulate_customers(x, np.uint64(1), first, first + BATCH, DAYS, heard, rows, people, memory)
            assert done == BATCH
            total += int(n_rows)
        return total

    return run


def talk(world: World) -> Sequence[str]:
    """Its channel of word of mouth, which is measured by a script of its own."""
    return [world.word_of_mouth.channel] if world.word_of_mouth else []


def in_memory(world: World, n_customers: int) -> int:
    return simulate(world, n_customers=n_customers, horizon_days=DAYS, seed=1, threads=1).n_events


def fill(memory: NDArray[np.uint8], value: int, times: int) -> int:
    """Bytes that were written."""
    for _ in range(times):
        memory.fill(value)
    return times * memory.nbytes


def wall(world: World, n_customers: int, pool: ThreadPoolExecutor) -> float:
    """Seconds that the threads of a pool take for a population, whose tables are made and dropped."""
    recipe = Recipe(world, n_customers, DAYS, 1)
    x = tables(recipe)

    def batch(first: int) -> int:
        events, _ = simulate_range(recipe, x, first, first + BATCH)
        return sum(table.num_rows for table in events)

    begin = time.perf_counter()
    assert sum(pool.map(batch, range(0, n_customers, BATCH))) > 0
    return time.perf_counter() - begin


def flat(world: World) -> None:
    """Time per event and memory of populations of all sizes, their tables made and dropped batch after batch."""
    simulate(world, n_customers=BATCH, horizon_days=DAYS, seed=1)  # compiles
    for n_customers in (10**4, 10**5, 10**6, 10**7):
        recipe = Recipe(world, n_customers, DAYS, 1)
        x, total, begin = tables(recipe), 0, time.process_time()
        for first in range(0, n_customers, BATCH):
            events, _ = simulate_range(recipe, x, first, first + BATCH)
            total += sum(table.num_rows for table in events)
        each = (time.process_time() - begin) * 1e9 / total
        mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{n_customers:,} customers, {total:,} events: {each:.1f} ns per event, peak memory so far {mb:,.0f} MB")


def say(name: str, ours: float, peer: float) -> None:
    print(f"{name}: ours={ours:.3g} peer={peer:.4g} ratio={peer / ours:.2f}")


def cost(name: str, ours: float, peer: float) -> None:
    print(f"{name}: ours={ours:.3g} peer={peer:.4g} ratio={ours / peer:.2f}")


def compare_counts(name: str, log: EventLog, rows: list[Any], n_peer: int) -> None:
    """Events per customer of each kind, and whether they differ by more than luck."""
    who, kinds = log.customer_codes(), log.codes("kind", KINDS)
    numbers = {number: i for i, number in enumerate(dict.fromkeys(row[0] for row in rows))}
    for kind in dict.fromkeys(row[2] for row in rows):
        a = np.bincount(who[kinds == KINDS.index(kind)], minlength=log.n_customers)
        b = np.bincount(np.array([numbers[row[0]] for row in rows if row[2] == kind], dtype=int), minlength=n_peer)
        z = (a.mean() - b.mean()) / math.sqrt(a.var() / len(a) + b.var() / len(b))
        same = f"ours={a.mean():.4f} peer={b.mean():.4f} ratio={a.mean() / b.mean():.4f} ({z=:+.1f})"
        print(f"{kind} per customer, against {name}: {same}")


if __name__ == "__main__":
    main()
