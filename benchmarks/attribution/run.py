"""The attribution benchmark: every method on worlds whose causal truth is known.

    python benchmarks/attribution/run.py                                  # the small grid; out/benchmark/small
    python benchmarks/attribution/run.py --method mypackage:MyMethod      # yours, beside the committed leaderboard
    python benchmarks/attribution/run.py --grid full --workers 8
    python benchmarks/attribution/run.py --first-seed 77                  # other random worlds from the same prior
    python benchmarks/attribution/run.py --check                          # does a fresh run equal the committed one?

A run that was stopped goes on where it was. docs/attribution-benchmark.md says what comes out and what it means.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from journeysim.benchmark import Contestant, Plan, read_grid, run_benchmark
from journeysim.benchmark.charts import error_map, regret_chart
from journeysim.benchmark.leaderboard import (
    differences,
    markdown,
    overall,
    read_summary,
    refusals,
    summary,
    write_summary,
)
from journeysim.benchmark.page import to_markdown, to_page
from journeysim.errors import InputError

HERE = Path(__file__).parent
TOLERANCE = 1e-4  # of means over seeds: arithmetic differs between machines, the draws do not


def main(given: argparse.Namespace) -> int:
    file = HERE / f"{given.grid}.yaml" if given.grid in ("small", "full") else Path(given.grid)
    plan = read_grid(file, first_seed=given.first_seed)
    mine = tuple(Contestant(method=name, name=name.rpartition(":")[2]) for name in given.method)
    plan = plan.only(methods=mine, worlds=tuple(given.world))
    out = Path(given.out or f"out/benchmark/{plan.grid.name}")
    began = time.perf_counter()
    rows = run(plan, out, given.workers)
    table = summary(rows)
    committed = HERE / f"{plan.grid.name}-leaderboard.csv"
    if mine and committed.is_file() and given.first_seed is None:
        others = read_summary(committed).filter(~pl.col("method").is_in([m.label for m in mine]))
        names = [case.name for case in plan.cases]
        table = pl.concat([table, others.filter(pl.col("world").is_in(names))], how="vertical_relaxed")
    write(table, plan, out)
    most = table["customers"].max()
    print(f"\nShare error and more, means over worlds, {most:,} customers\n\n{markdown(overall(table, most))}\n")
    if not (refused := refusals(table)).is_empty():
        print(f"Skipped or crashed\n\n{markdown(refused)}\n")
    print(f"{time.perf_counter() - began:.0f} s. Rows, leaderboard.md, .csv and .html: {out}")
    if given.publish:
        write_summary(table, committed)
        (HERE / f"{plan.grid.name}-leaderboard.md").write_text((out / "leaderboard.md").read_text("utf-8"), "utf-8")
        if plan.grid.name == "small":
            pictures(table, most)
    return check(table, committed) if given.check else 0


def run(plan: Plan, out: Path, workers: int) -> pl.DataFrame:
    """With a bar in a terminal, and without one elsewhere: a log would keep every state of it."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    for library in ("NUMBA", "OMP", "OPENBLAS", "MKL"):  # each worker has one core
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("begins", total=None)

        def tell(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total, description=what)

        if workers == 1:
            return run_benchmark(plan, out, truths=[HERE / "truth"], on_progress=tell)
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            return run_benchmark(plan, out, executor=pool, truths=[HERE / "truth"], on_progress=tell)


def write(table: pl.DataFrame, plan: Plan, out: Path) -> None:
    title = f"Attribution methods against known causal truth: the {plan.grid.name} grid"
    write_summary(table, out / "leaderboard.csv")
    (out / "leaderboard.md").write_text(to_markdown(table, plan.cases, title=title), encoding="utf-8")
    page = to_page(table, plan.cases, title=title, level=plan.grid.level)
    (out / "leaderboard.html").write_text(page.to_html(), encoding="utf-8")


def pictures(table: pl.DataFrame, customers: int) -> None:
    """Those of docs/attribution-benchmark.md."""
    for name, figure in (("errors", error_map(table, customers)), ("regret", regret_chart(table, customers))):
        figure.savefig(HERE.parents[1] / "docs" / "images" / f"benchmark-{name}.png", dpi=90)


def check(fresh: pl.DataFrame, committed: Path) -> int:
    apart = differences(fresh, read_summary(committed), TOLERANCE)
    if apart.is_empty():
        print(f"The fresh run equals {committed.name}: no number differs by more than {TOLERANCE:g}.")
        return 0
    print(f"{len(apart)} numbers differ from {committed.name} by more than {TOLERANCE:g}:\n")
    print(markdown(apart.head(40), 5))
    return 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grid", default="small", help="small, full, or a file")
    parser.add_argument("--method", action="append", default=[], help="package.module:Name, file.py:Name, or a name")
    parser.add_argument("--world", action="append", default=[], help="only this world; may be given again")
    parser.add_argument("--out", help="folder; by default out/benchmark/GRID")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--first-seed", type=int, help="of the random worlds, instead of the grid's")
    parser.add_argument("--check", action="store_true", help="fail if the run differs from the committed leaderboard")
    parser.add_argument("--publish", action="store_true", help="write the leaderboard that is committed")
    try:
        sys.exit(main(parser.parse_args()))
    except InputError as error:
        sys.exit(f"Error: {error}")
