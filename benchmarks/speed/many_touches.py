"""1e8 touches: order 1 part by part, in memory that does not grow; each size in a process of its own, on this machine.

Parquet files of aggregated paths as text are written first (20 channels, geometric lengths, mean 6), then read, counted
and attributed. Printed beside it: the counting alone, of codes that are in memory.
Run: python benchmarks/speed/many_touches.py [touches ...]
"""

import resource
import subprocess
import sys
import tempfile
import time
from functools import reduce
from operator import add
from pathlib import Path

from benchmarks.speed.attribution_peers import path_table
from journeysim.attribution import RemovalEffect
from journeysim.interop import read_paths
from journeysim.markov import TransitionCounts, count_transitions

ROWS = 500_000
TOUCHES_PER_ROW = 6


def counts(folder: Path, seconds: list[float]) -> TransitionCounts:
    """The counts of all parts, one part in memory at a time; `seconds` collects those of counting alone."""

    def count(file: Path) -> TransitionCounts:
        journeys = read_paths(file)
        start = time.perf_counter()
        counted = count_transitions(journeys)
        seconds.append(time.perf_counter() - start)
        return counted

    return reduce(add, map(count, sorted(folder.glob("*.parquet"))))


def attribute(folder: Path) -> None:
    count_transitions(read_paths(next(folder.glob("*.parquet"))))  # compiles, or reads what was compiled
    counting: list[float] = []
    start, cpu = time.perf_counter(), time.process_time()
    found = RemovalEffect().attribute_counts(counts(folder, counting))
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{len(counting)} parts, {found.conversions.sum():,.0f} conversions: {wall:.1f} s ({cpu:.1f} s of CPU), of "
        f"which counting {sum(counting):.2f} s; peak memory {peak:,.0f} MB"
    )


def main(sizes: list[int]) -> None:
    with tempfile.TemporaryDirectory() as root:
        for size in sizes:
            folder = Path(root) / str(size)
            folder.mkdir()
            for part in range(-(-size // (ROWS * TOUCHES_PER_ROW))):
                path_table(ROWS, seed=part).write_parquet(folder / f"part-{part:03}.parquet")
            print(
                f"{size:.0e} touches in {sum(f.stat().st_size for f in folder.iterdir()) / 1e6:,.0f} MB: ",
                end="",
                flush=True,
            )
            subprocess.run([sys.executable, __file__, "--in", str(folder)], check=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--in"]:
        attribute(Path(sys.argv[2]))
    else:
        main([int(float(size)) for size in sys.argv[1:]] or [10_000_000, 100_000_000])
