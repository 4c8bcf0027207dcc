"""Where attribution packages agree with our removal effects, and where not: every number measured in this run.

    make bench-peers                                                       # makes the peers' environment, too
    python benchmarks/peers/differences.py --peers INTERPRETER [FILE ...]  # aggregated paths; else examples/paths.csv

Stops with an error if a peer that computes the same thing finds something else: outside its Monte Carlo error, or
beyond rounding. docs/peers.md explains the lines.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.peers.interpreter import ask, missing
from journeysim.attribution import attribute
from journeysim.interop import journeys_from_paths
from journeysim.markov import AbsorbingChain, count_transitions
from journeysim.table_files import read_table

SEEDS = range(1000, 20_001, 1000)
"""Far apart, for neighbouring seeds give results that are alike (there is a line about them)."""
WORST_Z = 6.5
"""Beyond this a mean over 20 seeds is not ours: Student's t, 19 degrees, exceeds it 3 times in a million by chance."""
WEIGHTS = ["total_conversions", "total_null"]


class Data:
    """Aggregated paths, as ours and as a file that all peers read."""

    def __init__(self, frame: pl.DataFrame, file: Path) -> None:
        self.frame, self.file = frame, file
        frame.write_csv(file, separator=";")
        self.journeys = journeys_from_paths(frame)

    def ours(self, order: int = 1) -> np.ndarray:
        return AbsorbingChain.from_counts(count_transitions(self.journeys, order)).removal_effects().by_conversions

    def theirs(self, found: dict[str, float]) -> np.ndarray:
        named = {name.strip(): value for name, value in found.items()}
        return np.array([named.get(channel, 0.0) for channel in self.journeys.channels])

    def changed(self, folder: Path, name: str, **columns: pl.Expr) -> "Data":
        return Data(self.frame.with_columns(**columns), folder / f"{name}.csv")


def line(peer: str, question: str, answer: str) -> None:
    print(f"  {peer:<19} {question:<62} {answer}", flush=True)


def same(peer: str, question: str, apart: float) -> None:
    line(peer, question, f"at most {apart:.1e} apart")
    if not apart < 1e-9:
        raise SystemExit(f"{peer}: {question}: {apart:g} apart, more than rounding.")


def channel_attribution(data: Data, interpreter: str, folder: Path) -> None:
    name = "ChannelAttribution"
    for order in (1, 2, 3):
        ours = data.ours(order)
        cases = [({}, SEEDS, "defaults"), ({"max_step": 10_000}, SEEDS, "max_step=10000")]
        if order == 1:
            cases.insert(0, ({"max_step": 10_000}, range(1, 21), "max_step=10000, seeds 1-20"))
        for settings, seeds, what in cases:
            runs = ask(interpreter, name, data.file, order=order, seeds=list(seeds), **settings)["runs"]
            found = np.array([data.theirs(effects) for effects in runs])
            noise = found.std(axis=0, ddof=1)
            scattered = noise > 0
            z = (found.mean(axis=0) - ours)[scattered] / (noise[scattered] / np.sqrt(len(seeds)))
            worst = abs(found - ours).max(axis=1).mean()
            bias = abs(found.mean(axis=0) - ours).max()
            answer = f"{worst:.4f} off; their mean {bias:.4f}, |z| {abs(z).max():.1f}"
            line(name, f"order {order}, {what}: a run, mean of {len(seeds)}; worst channel", answer)
        if abs(z).max() > WORST_Z:
            raise SystemExit(f"{name}: order {order} is outside its Monte Carlo error.")
    runs = [data.theirs(ask(interpreter, name, data.file)["effects"]) for _ in range(2)]
    line(name, "the same call twice at its default seed", f"{abs(runs[0] - runs[1]).max():.4f} apart")
    misplaced = (
        data.theirs(ask(interpreter, name, data.file, seed=1)["conversions"])
        - attribute(data.journeys, "markov").conversions
    )
    line(
        name,
        "conversions credited elsewhere than by ours (seed 1)",
        f"{abs(misplaced).sum() / 2 / data.journeys.n_conversions:.2%}",
    )
    fractions, cut = with_fractions(data, folder)
    same("journeysim", "all weights x 0.75", abs(fractions.ours() - data.ours()).max())
    found, found_cut = (data.theirs(ask(interpreter, name, d.file, seed=1000)["effects"]) for d in (fractions, cut))
    line(name, "all weights x 0.75, against ours", f"{abs(found - data.ours()).max():.4f} off")
    same(name, "all weights x 0.75, against the same cut to whole numbers", abs(found - found_cut).max())


def with_fractions(data: Data, folder: Path) -> tuple[Data, Data]:
    """All weights x 0.75, which changes no effect, and these cut to whole numbers; without values."""
    no_value = {"total_conversion_value": pl.lit(0.0)}
    weights = {c: pl.col(c) * 0.75 for c in WEIGHTS}
    fractions = data.changed(folder, "fractions", **weights, **no_value)
    cut = data.changed(folder, "cut", **{c: w.floor().cast(pl.Int64) for c, w in weights.items()}, **no_value)
    return fractions, cut


def do_attribution(data: Data, interpreter: str) -> None:
    name = "do-attribution"
    for order in (1, 2):
        found = ask(interpreter, name, data.file, order=order, removal_strategy="redirect_to_null")
        same(
            name,
            f"order {order}, removal_strategy='redirect_to_null'",
            abs(data.theirs(found["effects"]) - data.ours(order)).max(),
        )
    met = any_touch(data)
    for order in (1, 2):
        found = data.theirs(ask(interpreter, name, data.file, order=order)["effects"])
        line(
            name, f"order {order}, defaults (removal_strategy='fail')", f"{abs(found - data.ours(order)).max():.4f} off"
        )
        same(name, f"order {order}, defaults, against the share of conversions with any touch", abs(found - met).max())


def any_touch(data: Data) -> np.ndarray:
    """(C,) the share of conversions whose path holds the channel."""
    journeys = data.journeys
    held = np.zeros((journeys.n_journeys, len(journeys.channels)), dtype=bool)
    held[journeys.owner, journeys.codes] = True
    return journeys.conversions @ held / journeys.n_conversions


def mam(data: Data, interpreter: str, folder: Path) -> None:
    name = "MAM"
    found = ask(interpreter, name, data.file)
    same(name, "defaults", abs(data.theirs(found["effects"]) - data.ours()).max())
    loops = ask(interpreter, name, data.file, transition_to_same_state=True)
    same(name, "with loops (transition_to_same_state=True)", abs(data.theirs(loops["effects"]) - data.ours()).max())
    effects, credit = data.theirs(found["effects"]), data.theirs(found["conversions"])
    moved = abs(credit / credit.sum() - effects / effects.sum()).sum() / 2
    line(name, "its credit against its own removal effects, in shares", f"{moved:.2%} elsewhere")
    fractions, cut = with_fractions(data, folder)
    found = data.theirs(ask(interpreter, name, fractions.file)["effects"])
    line(name, "all weights x 0.75, against ours", f"{abs(found - data.ours()).max():.4f} off")
    kept = cut.frame.filter(pl.col("total_conversions") + pl.col("total_null") > 0)
    whole = Data(kept, folder / "kept.csv")
    by_name = dict(zip(whole.journeys.channels, whole.ours(), strict=True))
    same(name, "all weights x 0.75, against ours cut to whole numbers", abs(found - data.theirs(by_name)).max())
    # Names that contain each other: the same paths with names that do not must give the same credit.
    names = sorted(data.journeys.channels, key=len, reverse=True)
    numbered = [f"[{i:03}]" for i in range(len(names))]
    touches = pl.col("path").str.split(">").list.eval(pl.element().str.strip_chars().replace(names, numbered))
    renamed = data.changed(folder, "renamed", path=touches.list.join(" > "))
    before, after = (ask(interpreter, name, d.file, run="run_shapley")["conversions"] for d in (data, renamed))
    apart = max(
        abs(before.get(channel, 0.0) - after.get(new, 0.0)) for channel, new in zip(names, numbered, strict=True)
    )
    line(name, "Shapley: channels renamed", f"{apart / data.journeys.n_conversions:.2%} of all conversions apart")


def main(interpreter: str | None, files: list[Path]) -> None:
    if why := missing(interpreter):
        print(f"skipped: {why}")
        return
    for file in files:
        with tempfile.TemporaryDirectory() as folder:
            columns = ["path", "total_conversions", "total_conversion_value", "total_null"]
            frame, _ = read_table(file, wanted=columns)
            numbers = {c: pl.col(c).cast(pl.Float64).cast(pl.Int64) for c in WEIGHTS}
            data = Data(frame.with_columns(**numbers), Path(folder) / "paths.csv")
            print(f"{file.name}: {data.journeys}")
            channel_attribution(data, interpreter, Path(folder))
            do_attribution(data, interpreter)
            mam(data, interpreter, Path(folder))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", help="interpreter of the peers' environment")
    parser.add_argument("files", nargs="*", type=Path, default=[Path(__file__).parents[2] / "examples/paths.csv"])
    given = parser.parse_args(sys.argv[1:])
    main(given.peers, given.files)
