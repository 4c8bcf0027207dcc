"""What word of mouth costs: the rich world with it and without it, in one run, alternating.

    python benchmarks/speed/word_of_mouth.py

Prints `name: ours=... peer=... ratio=...`; ours is with word of mouth, told daily (a delay of one day).
"""

from __future__ import annotations

import argparse
import statistics
import time

from benchmarks.speed.workloads import DAYS, rich_world
from journeysim.simulation.engine import simulate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    world = rich_world()
    assert world.word_of_mouth is not None
    ns: dict[str, list[float]] = {"with": [], "without": []}
    for _ in range(args.repeats + 1):
        for name, version in (("with", world), ("without", world.without(world.word_of_mouth.channel))):
            begin = time.process_time()
            log = simulate(version, n_customers=args.customers, horizon_days=DAYS, seed=1, threads=1)
            ns[name].append((time.process_time() - begin) * 1e9 / args.customers)
            events = log.n_events / args.customers
            del log
    ours, peer = (statistics.median(values[1:]) for values in ns.values())  # the first is cold
    print(f"events per customer: {events:.1f} without")
    print(f"CPU ns per customer, with word of mouth: ours={ours:.0f} peer={peer:.0f} ratio={ours / peer:.2f}")


if __name__ == "__main__":
    main()
