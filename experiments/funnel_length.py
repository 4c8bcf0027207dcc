"""How far is last touch from the truth as the funnel gets longer?

Worlds: a line of stages from unaware to purchase, the same length in days however many stages it is cut into. Four
channels, each met and at work in one quarter of the line only, all equally often. One contact has a pull of .06, .12,
.18 or .24; each seed is another order of these four over the quarters, and the default seeds are all 24 orders, so that
no finding rests on where the strong channel happens to stand. Contacts per day, the sum of the pulls and the share that
would buy are the same at every length.

Error: the share of all credit that stands at the wrong channel (`journeysim.scores.share_error`), against the shares of
the true incremental effects (twin runs without each channel). The methods get another sample than the truth.

Expected (written before the first full run, after a look at one order): last touch credits whoever stands at the end.
It errs most in long funnels, rising from about .4 with one stage between to about .55 with six, and levels off once
each channel has steps of its own. First touch is its mirror image. Linear and Markov come out near an equal split,
about .15, because all channels are met equally often and neither method can see who moved the customer on.

Run: python experiments/funnel_length.py [FOLDER]. Rows that are there already are not run again.
Finding: not what we expected. The mean error of last touch does not grow with length (43.8% with 1 stage, 42.9% with 6;
change -0.9 points, standard error 2.2). What grows is its bias: it gives the last quarter 47% and then 64%, truly 25%.
"""

from __future__ import annotations

import hashlib
import sys
import time
from dataclasses import dataclass
from itertools import pairwise, permutations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from journeysim import RemovalEffect, __version__, attribute, incremental_effects, simulate, to_journeys
from journeysim.plots import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, SKY
from journeysim.scores import share_error
from journeysim.spec import Basket, Channel, Persona, Stage, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Settings:
    """What is run; times in days."""

    stages_between: tuple[int, ...] = (1, 2, 3, 4, 5, 6)
    seeds: tuple[int, ...] = tuple(range(24))
    n_customers: int = 50_000  # what the methods see
    truth_customers: int = 200_000  # of each twin run
    horizon_days: float = 365.0  # after which hardly anybody is still under way
    line_days: float = 60.0  # from unaware to purchase
    conversion: float = 0.2
    pulls: tuple[float, ...] = (0.06, 0.12, 0.18, 0.24)
    contacts_per_day: float = 0.08  # of all channels together, in every stage
    half_life_days: float = 0.5  # short against the stay in a stage


METHODS = {name: name for name in ("last_touch", "first_touch", "linear", "time_decay", "position_based")} | {
    f"markov_{order}": RemovalEffect(order=order) for order in (1, 2)
}
TITLES = {
    "conversion": "Share of customers who buy",
    "touches_per_buyer": "Touches per buyer",
    "share_error": "Share of the credit at the wrong channel",
    "last_quarter": "Share of the credit at the channel of the last quarter",
}
ROWS_PER_CELL = 3 + 2 * (1 + len(METHODS))  # of the world and its truth; of the equal split and each method
QUARTERS = ("first_quarter", "second_quarter", "third_quarter", "last_quarter")
COLUMNS = {
    "world": pl.String, "n_stages": pl.Int64, "method": pl.String, "n_customers": pl.Int64, "seed": pl.Int64,
    "metric": pl.String, "value": pl.Float64, "standard_error": pl.Float64, "seconds": pl.Float64, "version": pl.String,
}  # fmt: skip


def line_world(between: int, seed: int, settings: Settings) -> World:
    """Stages in a line, each left after the same mean time; channels that each cover a quarter of it.

    A step is passed with chance `conversion ** (1 / steps)`. Its forward hazard has two parts, the contacts (as much in
    every step of every length, for pulls in the middle) and the base, which is the rest.
    """
    steps = between + 1
    leaving = steps / settings.line_days
    forward = leaving * settings.conversion ** (1 / steps)
    base = forward - settings.contacts_per_day * float(np.mean(settings.pulls))
    names = ("unaware", *(f"stage_{i}" for i in range(1, steps)), "purchase")
    stages = [
        Stage(name=here, moves_per_day={there: base, "lost": leaving - forward}) for here, there in pairwise(names)
    ]
    orders = list(permutations(settings.pulls))
    channels = []
    for q, pull in enumerate(orders[seed % len(orders)]):
        overlaps = {  # how much of each step lies in this quarter
            names[i]: min((i + 1) / steps, (q + 1) / 4) - max(i / steps, q / 4) for i in range(steps)
        }
        contacts = {name: settings.contacts_per_day * steps * part for name, part in overlaps.items() if part > 1e-9}
        channels.append(
            Channel(name=QUARTERS[q], contacts_per_day=contacts, pull=pull, half_life_days=settings.half_life_days)
        )
    return World(
        name=f"line-{between}",
        stages=(*stages, Stage(name="purchase", purchase=True)),
        channels=tuple(channels),
        personas=(Persona(name="everybody", share=1.0),),
        basket=Basket(median=100.0),
    )


def run(
    settings: Settings,
    out: Path,
    *,
    clock: Callable[[], float] = time.perf_counter,
    on_progress: Callable[[int, int], None] | None = None,
) -> pl.DataFrame:
    """All rows of these settings, in the order of the settings; also in `out`/funnel_length.csv after every cell.

    A cell is a world and a seed. Cells that the file has in full are kept; rows of other settings are dropped from it.
    """
    file = out / "funnel_length.csv"
    known = pl.read_csv(file, schema=COLUMNS) if file.is_file() else pl.DataFrame(schema=COLUMNS)
    plan = [(between, seed) for between in settings.stages_between for seed in settings.seeds]
    cells: list[pl.DataFrame] = []
    for done, (between, seed) in enumerate(plan):
        world = line_world(between, seed, settings)
        name = f"{world.name}-{_content(world, seed, settings)}"
        cell = known.filter((pl.col("world") == name) & (pl.col("seed") == seed))
        if len(cell) != ROWS_PER_CELL:
            cell = _run_cell(world, name, seed, settings, clock)
        cells.append(cell)
        known = known.filter(pl.col("world") != name)
        _write(pl.concat([*cells, known]), file)
        if on_progress:
            on_progress(done + 1, len(plan))
    _write(pl.concat(cells), file)
    return pl.concat(cells)


def _run_cell(world: World, name: str, seed: int, settings: Settings, clock: Callable[[], float]) -> pl.DataFrame:
    rows: list[tuple[object, ...]] = []
    between = len(world.stages) - 2

    def add(method: str, n_customers: int, metric: str, value: float, error: float | None, start: float) -> None:
        rows.append(
            (name, between, method, n_customers, seed, metric, value, error, round(clock() - start, 4), __version__)
        )

    start, n, days = clock(), settings.n_customers, settings.horizon_days
    log = simulate(world, n_customers=n, horizon_days=days, seed=_draws(name, seed, "log"))
    journeys = to_journeys(log)
    bought = (journeys.n_conversions + journeys.untouched_conversions) / n
    add("none", n, "conversion", bought, float(np.sqrt(bought * (1 - bought) / n)), start)
    touches = np.diff(journeys.offsets)[journeys.conversions > 0]
    add("none", n, "touches_per_buyer", touches.mean(), touches.std() / np.sqrt(len(touches)), start)

    start = clock()
    truth = incremental_effects(
        world, n_customers=settings.truth_customers, horizon_days=days, seed=_draws(name, seed, "truth")
    )
    order = [truth.channels.index(channel) for channel in journeys.channels]
    reference = truth.share[order]
    reference_error = truth.standard_error[order] / truth.effect.sum()
    last = journeys.channels.index(QUARTERS[-1])
    add("truth", settings.truth_customers, "last_quarter", reference[last], reference_error[last], start)

    def score(method: str, share: FloatArray, start: float) -> None:
        error = _error_from_truth(share, reference, reference_error)
        add(method, n, "share_error", share_error(share, reference), error, start)
        add(method, n, "last_quarter", float(share[last]), None, start)

    score("equal_split", np.full(len(reference), 1 / len(reference)), clock())  # who looks at nothing
    for method, how in METHODS.items():
        start = clock()
        score(method, attribute(journeys, how).share, start)
    return pl.DataFrame(rows, schema=COLUMNS, orient="row")


def _error_from_truth(share: FloatArray, truth: FloatArray, effect_errors: FloatArray) -> float:
    """Monte Carlo standard error of a share error that is owed to the truth, by the delta method.

    `effect_errors` are those of the effects over the sum of the effects; they are taken as independent, which repeated
    runs of short and long lines showed to be right or, at the shortest line, a third too large.
    """
    side = np.sign(share - truth)
    return float(np.sqrt((((side - (side * truth).sum()) / 2 * effect_errors) ** 2).sum()))


def _content(world: World, seed: int, settings: Settings) -> str:
    """What a cell's rows depend on, as eight hexadecimal digits."""
    sizes = (settings.n_customers, settings.truth_customers, settings.horizon_days, seed, __version__)
    text = "\n".join((world.to_yaml(), repr(sizes), repr(METHODS)))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _draws(name: str, seed: int, what: str) -> int:
    """A simulator's seed from the content of the cell: the same in any order of running, another for each purpose."""
    return int.from_bytes(hashlib.sha256(f"{name} {seed} {what}".encode()).digest()[:8])


def _write(rows: pl.DataFrame, file: Path) -> None:
    """The file is either the old one or the new one, never half of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".tmp")
    rows.write_csv(unfinished)
    unfinished.replace(file)


def summary(rows: pl.DataFrame, metric: str = "share_error") -> pl.DataFrame:
    """Per method and length: mean over seeds, its standard error, and the part of that which is owed to the truth."""
    return (
        rows.filter(pl.col("metric") == metric)
        .group_by("method", "n_stages", maintain_order=True)
        .agg(
            mean=pl.col("value").mean(),
            error=pl.col("value").std() / pl.len().sqrt(),
            monte_carlo=pl.col("standard_error").pow(2).sum().sqrt() / pl.len(),
        )
    )


def finding(rows: pl.DataFrame) -> str:
    """The answer in two lines."""
    means = {
        (metric, method, n_stages): mean
        for metric in ("share_error", "last_quarter")
        for method, n_stages, mean in summary(rows, metric).select("method", "n_stages", "mean").iter_rows()
    }
    short, long = rows["n_stages"].min(), rows["n_stages"].max()
    ends = rows.filter(metric="share_error", method="last_touch").pivot("n_stages", index="seed", values="value")
    growth = (ends[str(long)] - ends[str(short)]).to_numpy()  # paired: the same order of pulls in both
    error = growth.std(ddof=1) / np.sqrt(len(growth)) if len(growth) > 1 else float("nan")

    def said(metric: str, method: str) -> str:
        return f"{means[metric, method, short]:.1%} and {means[metric, method, long]:.1%}"

    return (
        f"With {short} and {long} stages between, last touch misplaces {said('share_error', 'last_touch')} of the "
        f"credit (change {100 * growth.mean():+.1f} points, standard error {100 * error:.1f}), Markov of order 1 "
        f"{said('share_error', 'markov_1')}, an equal split that looks at nothing {said('share_error', 'equal_split')}."
        f"\nLast touch gives the channel of the last quarter {said('last_quarter', 'last_touch')}; the truth gives it "
        f"{said('last_quarter', 'truth')}."
    )


def chart(rows: pl.DataFrame) -> Figure:
    """Mean share error by length, a line per method, with two standard errors."""
    figure = Figure(figsize=(8.2, 4.2), layout="constrained")
    axes = figure.add_subplot()
    colors = (RED, BLUE, GREEN, ORANGE, PURPLE, SKY, INK)
    looks = {"equal_split": (GREY, "--", "")} | {
        method: (color, "-", marker) for method, color, marker in zip(METHODS, colors, "osD^vPX", strict=True)
    }
    for i, (method, (color, line, marker)) in enumerate(looks.items()):
        points = summary(rows).filter(pl.col("method") == method).sort("n_stages")
        shifted = points["n_stages"] + 0.03 * (i - len(looks) / 2)  # so that error bars can be told apart
        axes.errorbar(
            shifted, points["mean"], 2 * points["error"].fill_null(0.0),
            color=color, ls=line, marker=marker, ms=5, capsize=2, label=method.replace("_", " "),
        )  # fmt: skip
    axes.set(xlabel="stages between unaware and purchase", ylabel="credit at the wrong channel", ylim=(0, None))
    axes.set_xticks(sorted(rows["n_stages"].unique()))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#eeeeee")
    axes.set_title("Is last touch further from the truth in longer funnels?", loc="left", fontsize=12, weight="bold")
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def main(out: Path) -> None:
    start = time.perf_counter()

    def tell(done: int, total: int) -> None:
        print(f"\r{done} of {total} cells, {time.perf_counter() - start:.0f} s", end="", file=sys.stderr, flush=True)

    in_terminal = sys.stderr.isatty()  # a log would keep every line that a terminal overwrites
    rows = run(Settings(), out, on_progress=tell if in_terminal else None)
    if in_terminal:
        print(file=sys.stderr)
    for metric, title in TITLES.items():
        table = summary(rows, metric)
        print(f"\n{title}, mean over seeds ± standard error, by stages between")
        print(f"{'':15}" + "".join(f"{n:>15}" for n in sorted(table["n_stages"].unique())))
        for method in table["method"].unique(maintain_order=True):
            cells = table.filter(pl.col("method") == method).sort("n_stages").select("mean", "error").fill_null(0.0)
            print(f"{method:15}" + "".join(f"{mean:8.3f} ±{error:5.3f}" for mean, error in cells.iter_rows()))
    worst = summary(rows)["monte_carlo"].max()
    print(f"\nMonte Carlo error of the truth in any mean error: at most {100 * worst:.2f} points\n\n{finding(rows)}")
    chart(rows).savefig(out / "funnel_length.png", dpi=100)
    print(f"\nRows: {out / 'funnel_length.csv'}; plot: {out / 'funnel_length.png'}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/experiments"))
