"""Speed of `simulate` against a plain SimPy process per customer: same world, same days, one run, alternating.

    python -m benchmarks.speed.engine

Prints `name: ours=... peer=... ratio=...`: first that both simulate the same thing (events per customer by kind, with
the z score of the difference), then events per second. Medians over the repeats, after a warm-up.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.speed.simpy_peer import simulate_with_simpy
from journeysim.events import KINDS
from journeysim.simulation.engine import simulate
from journeysim.spec import World

if TYPE_CHECKING:
    from benchmarks.speed.simpy_peer import Row
    from journeysim.events import EventLog

WORLD = World.from_yaml(Path(__file__).with_name("world.yaml"))
DAYS = 180.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=200_000, help="simulated by journeysim")
    parser.add_argument("--peer-customers", type=int, default=5_000, help="simulated by SimPy")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()

    def ours(threads: int | None) -> tuple[EventLog, float]:
        begin = time.perf_counter()
        log = simulate(WORLD, n_customers=args.customers, horizon_days=DAYS, seed=1, threads=threads)
        return log, (time.perf_counter() - begin) * 1e9 / log.n_events

    def peer(n_customers: int, seed: int) -> tuple[list[Row], float]:
        begin = time.perf_counter()
        rows = simulate_with_simpy(WORLD, n_customers=n_customers, horizon_days=DAYS, seed=seed)
        return rows, (time.perf_counter() - begin) * 1e9 / len(rows)

    log, _ = ours(None)  # compiles
    peer(100, seed=0)
    compare_counts(log, peer(args.peer_customers, seed=0)[0], args.peer_customers)
    del log
    ns: dict[str, list[float]] = {"one thread": [], "all threads": [], "peer": []}
    for repeat in range(args.repeats):
        ns["peer"].append(peer(args.peer_customers, seed=repeat)[1])
        ours(1)  # the operating system takes fresh memory's time, once: both sides are measured warm
        ns["one thread"].append(ours(1)[1])
        ns["all threads"].append(ours(None)[1])
    median = {name: statistics.median(values) for name, values in ns.items()}
    for name in ("one thread", "all threads"):
        ratio = median["peer"] / median[name]
        print(f"events per second, {name}: ours={1e9 / median[name]:.3g} peer={1e9 / median['peer']:.3g} {ratio=:.0f}")
        print(f"ns per event, {name}: ours={median[name]:.1f} peer={median['peer']:.0f} {ratio=:.0f}")


def compare_counts(log: EventLog, rows: list[Row], n_peer: int) -> None:
    """Events per customer of each kind, and whether they differ by more than luck."""
    who, kinds = log.customer_codes(), log.codes("kind", KINDS)
    for kind in dict.fromkeys(row[2] for row in rows):
        a = np.bincount(who[kinds == KINDS.index(kind)], minlength=log.n_customers)
        b = np.bincount(np.array([row[0] for row in rows if row[2] == kind], dtype=int), minlength=n_peer)
        z = (a.mean() - b.mean()) / math.sqrt(a.var() / len(a) + b.var() / len(b))
        print(
            f"{kind} per customer: ours={a.mean():.4f} peer={b.mean():.4f} ratio={a.mean() / b.mean():.4f} ({z=:+.1f})"
        )


if __name__ == "__main__":
    main()
