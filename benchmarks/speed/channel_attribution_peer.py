"""Removal effects from a file of aggregated paths: ours against ChannelAttribution, both measured in this run.

The peer (GPL, no dependency of ours) is installed in an environment of its own and run by that interpreter:

    python -m venv peer && peer/bin/pip install ChannelAttribution matplotlib  # it does not declare matplotlib
    python benchmarks/speed/channel_attribution_peer.py --peer peer/bin/python [--rows 1000000] [--orders 1 3]

Each side reads the same CSV file with its own reader (Polars, pandas) and computes removal effects by count and value
at its defaults; the peer on one thread, as it is by default. Interpreters are started, and packages imported, before
the clock. Ours is measured thrice (all printed), once after the file was read, too. The largest difference of a removal
effect is printed: the peer simulates, so that is its noise.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from journeysim.interop import read_paths
from journeysim.journeys import Journeys
from journeysim.markov import AbsorbingChain, count_transitions

N_CHANNELS = 20
PEER = """
import json, sys, time
import pandas as pd
from ChannelAttribution import markov_model
file, order = sys.argv[1], int(sys.argv[2])
start = time.perf_counter()
data = pd.read_csv(file, sep=";")
read = time.perf_counter()
found = markov_model(data, "path", "total_conversions", var_value="total_conversion_value", var_null="total_null",
                     order=order, out_more=True, sep=">", verbose=False, flg_pro=False)
end = time.perf_counter()
effects = found["removal_effects"]
names = effects.iloc[:, 0].tolist()
print(json.dumps({"read": read - start, "model": end - read,
                  "effects": dict(zip(names, effects["removal_effects_conversion"].tolist()))}))
"""


def write_paths(file: Path, n_rows: int, seed: int = 1) -> None:
    """Rows of distinct customers' paths (geometric lengths, mean 6; some channels popular), conversions and nulls."""
    rng = np.random.default_rng(seed)
    lengths = rng.geometric(1 / 6, n_rows)
    codes = (N_CHANNELS * rng.random(lengths.sum()) ** 1.5).astype(int)
    names = np.array([f"channel {c}" for c in range(N_CHANNELS)])
    touches = pl.DataFrame({"row": np.repeat(np.arange(n_rows), lengths), "channel": names[codes]})
    paths = touches.group_by("row", maintain_order=True).agg(pl.col("channel").str.join(" > "))["channel"]
    conversions = rng.poisson(0.3, n_rows)
    pl.DataFrame(
        {
            "path": paths,
            "total_conversions": conversions,
            "total_conversion_value": (conversions * rng.gamma(2, 10, n_rows)).round(2),
            "total_null": rng.poisson(2, n_rows) + (conversions == 0),
        }
    ).write_csv(file, separator=";")


def ours(journeys: Journeys, order: int) -> np.ndarray:
    return AbsorbingChain.from_counts(count_transitions(journeys, order)).removal_effects().by_conversions


def peer(interpreter: str, file: Path, order: int) -> dict:
    done = subprocess.run([interpreter, "-c", PEER, str(file), str(order)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"The peer failed at order {order}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main(interpreter: str | None, n_rows: int, orders: list[int]) -> None:
    if interpreter is None:
        print("skipped: no interpreter that has ChannelAttribution; give one by --peer (see the head of this file)")
        return
    try:
        asked = subprocess.run(
            [interpreter, "-c", "import ChannelAttribution"], capture_output=True, text=True, check=False
        )
    except OSError as error:
        print(f"skipped: {interpreter} cannot be run ({error.strerror})")
        return
    if asked.returncode:
        print(f"skipped: {interpreter} cannot import it: {asked.stderr.strip().splitlines()[-1]}")
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "paths.csv"
        write_paths(file, n_rows)
        for order in orders:
            whole, coded = [], []
            for _ in range(3):
                start = time.perf_counter()
                journeys = read_paths(file)
                read = time.perf_counter()
                effects = ours(journeys, order)
                whole.append(time.perf_counter() - start)
                coded.append(time.perf_counter() - read)
            theirs = peer(interpreter, file, order)
            seconds = theirs["read"] + theirs["model"]
            apart = [abs(effects[journeys.channels.index(c.strip())] - e) for c, e in theirs["effects"].items()]
            print(f"order {order}, {n_rows:,} rows, {len(journeys.codes):,} touches, {N_CHANNELS} channels")
            print("  ours, reading included: " + ", ".join(f"{s:.2f}" for s in whole) + " s")
            print("  ours, integer-coded:    " + ", ".join(f"{s:.2f}" for s in coded) + " s")
            print(
                f"  ChannelAttribution:     {seconds:.2f} s (reading {theirs['read']:.2f}, model {theirs['model']:.2f})"
            )
            print(
                f"  ratios {seconds / min(whole):.1f} (all), {theirs['model'] / min(coded):.1f} (model against coded)"
            )
            print(f"  removal effects of {len(apart)} channels differ by up to {max(apart):.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="interpreter with ChannelAttribution")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--orders", type=int, nargs="+", default=[1, 3])
    given = parser.parse_args(sys.argv[1:])
    main(given.peer, given.rows, given.orders)
