"""Removal effects from aggregated paths: ours against other packages, both sides measured in this run.

The peers live in an environment of their own (benchmarks/peers/requirements.txt; `make bench-peers` makes it):

    python benchmarks/speed/attribution_peers.py --peers INTERPRETER [--rows 1000000]

Each side reads the same CSV file with its own reader and computes removal effects by count and value at its defaults,
the peers on one thread, as they are by default. Interpreters are started, and packages imported, before the clock.
Ours is measured six times, before and after the peer; ratios are of medians, of wall time and of CPU time (all
threads): on a busy machine the latter says more.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.peers.interpreter import ask, missing
from journeysim.attribution import posterior_attribution
from journeysim.interop import read_paths
from journeysim.journeys import Journeys
from journeysim.markov import AbsorbingChain, count_transitions

N_CHANNELS = 20
ERROR = 7.5e-4
"""Of the worst channel: what the peer is simulated down to, to compare at equal error."""


def path_table(n_rows: int, seed: int = 1, n_channels: int = N_CHANNELS) -> pl.DataFrame:
    """Rows of distinct customers' paths (geometric lengths, mean 6; some channels popular), conversions and nulls."""
    rng = np.random.default_rng(seed)
    lengths = rng.geometric(1 / 6, n_rows)
    codes = (n_channels * rng.random(lengths.sum()) ** 1.5).astype(int)
    names = np.array([f"channel {c}" for c in range(n_channels)])
    touches = pl.DataFrame({"row": np.repeat(np.arange(n_rows), lengths), "channel": names[codes]})
    paths = touches.group_by("row", maintain_order=True).agg(pl.col("channel").str.join(" > "))["channel"]
    conversions = rng.poisson(0.3, n_rows)
    return pl.DataFrame(
        {
            "path": paths,
            "total_conversions": conversions,
            "total_conversion_value": (conversions * rng.gamma(2, 10, n_rows)).round(2),
            "total_null": rng.poisson(2, n_rows) + (conversions == 0),
        }
    )


def ours(journeys: Journeys, order: int) -> np.ndarray:
    return AbsorbingChain.from_counts(count_transitions(journeys, order)).removal_effects().by_conversions


def seconds(work: Callable[[], object], runs: int = 5) -> list[tuple[float, float]]:
    """Wall and CPU of each run."""
    taken = []
    for _ in range(runs):
        start, cpu = time.perf_counter(), time.process_time()
        work()
        taken.append((time.perf_counter() - start, time.process_time() - cpu))
    return taken


def report(
    name: str, mine: list[tuple[float, float]], theirs: tuple[float, float], target: float, more: str = ""
) -> None:
    wall, cpu = np.median(mine, axis=0)
    print(
        f"{name}: ours {wall:.3f} s ({cpu:.3f} CPU), peer {theirs[0]:.2f} s ({theirs[1]:.2f} CPU): "
        f"{theirs[0] / wall:.1f}x ({theirs[1] / cpu:.1f}x CPU), target {target:g}x{more}",
        flush=True,
    )


def against(interpreter: str, peer: str, file: Path, order: int, targets: tuple[float, float]) -> None:
    """Reading included, and from codes against the peer's model alone."""
    journeys = read_paths(file)
    effects = ours(journeys, order)
    whole, coded = [], []
    for _ in range(2):
        whole += seconds(lambda: ours(read_paths(file), order), 3)
        coded += seconds(lambda: ours(journeys, order), 3)
        if len(whole) == 3:
            theirs = ask(interpreter, peer, file, **({"order": order} if peer == "ChannelAttribution" else {}))
    model = theirs["model"], theirs["model_cpu"]
    apart = max(abs(effects[journeys.channels.index(c.strip())] - e) for c, e in theirs["effects"].items())
    more = f"; effects differ by up to {apart:.1e}"
    reading = theirs["read"] + model[0], theirs["read_cpu"] + model[1]
    report(f"{peer}, order {order}, reading included", whole, reading, targets[0], more)
    report(f"{peer}, order {order}, from integer codes (its model alone)", coded, model, targets[1])


def at_equal_error(interpreter: str, file: Path, most_paths: float) -> None:
    """The peer with four times as many simulated paths each time, until its worst channel is as close as ERROR."""
    journeys = read_paths(file)
    effects, mine = ours(journeys, 1), seconds(lambda: ours(journeys, 1))
    n_paths = 1e6
    while True:
        runs = [ask(interpreter, "ChannelAttribution", file, nsim_start=n_paths, seed=seed) for seed in (1, 2)]
        errors = [
            max(abs(effects[journeys.channels.index(c.strip())] - e) for c, e in run["effects"].items()) for run in runs
        ]
        error = float(np.mean(errors))
        if error <= ERROR or 4 * n_paths > most_paths:
            break
        n_paths *= 4
    model = min(run["model"] for run in runs), min(run["model_cpu"] for run in runs)
    more = f"; its worst channel is {error:.1e} off with {n_paths:.1g} paths (mean of two seeds)"
    if error > ERROR:
        more += f", not yet {ERROR:.1e}: a lower bound"
    report("ChannelAttribution, order 1, at equal error, from integer codes", mine, model, 300, more)


def alone(n_rows: int, file: Path) -> None:
    journeys = read_paths(file)
    draws = np.median(seconds(lambda: posterior_attribution(journeys, seed=1, n_draws=1000)), axis=0)
    print(f"1,000 posterior draws of order 1, counting included: {draws[0]:.3f} s ({draws[1]:.3f} CPU), target 0.5 s")
    path_table(n_rows, n_channels=500).write_csv(file, separator=";")
    wide = read_paths(file)
    for order in (1, 2):
        took = np.median(seconds(lambda order=order: ours(wide, order), 1), axis=0)
        states = len(count_transitions(wide, order).states)
        print(f"500 channels, order {order} ({states:,} states), from codes: {took[0]:.2f} s ({took[1]:.2f} CPU)")


def main(interpreter: str | None, n_rows: int, most_paths: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "paths.csv"
        path_table(n_rows).write_csv(file, separator=";")
        print(f"{n_rows:,} rows, {len(read_paths(file).codes):,} touches, {N_CHANNELS} channels")
        if why := missing(interpreter):
            print(f"peers skipped: {why}")
        else:
            against(interpreter, "ChannelAttribution", file, 1, (5, 50))
            against(interpreter, "ChannelAttribution", file, 3, (10, 10))
            against(interpreter, "MAM", file, 1, (15, 15))
            at_equal_error(interpreter, file, most_paths)
        alone(n_rows // 10, file)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", help="interpreter of the peers' environment")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--most-paths", type=float, default=2e7, help="how many paths the peer may simulate")
    given = parser.parse_args(sys.argv[1:])
    main(given.peers, given.rows, given.most_paths)
