"""`journeysim simulate`: a world into an event log."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from journeysim.cli.app import Seed
from journeysim.cli.terminal import out, progress, say_where


def simulate(
    world: Annotated[str, typer.Argument(help="Name of a packaged world, or a YAML file.")],
    out_dir: Annotated[Path, typer.Option("--out", help="New directory for the log.")],
    customers: Annotated[int, typer.Option(min=1, help="How many to simulate.")] = 10_000,
    days: Annotated[float | None, typer.Option(help="Length of the window; by default the world's own.")] = None,
    seed: Seed = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="By default one per core; never changes the log.")] = None,
) -> None:
    """Simulate a world and write its event log (Parquet).

    \b
    Examples:
      journeysim simulate considered-purchase --customers 100000 --days 180 --seed 1 --out out/log
      journeysim simulate my-world.yaml --out out/mine
    """
    from journeysim import worlds
    from journeysim.log_files import fill_log_directory, new_directory
    from journeysim.simulation import simulate as run

    chosen = worlds.load(world)
    with new_directory(out_dir) as folder:
        run(chosen, n_customers=1, horizon_days=1.0, seed=seed)  # compile before the clock starts
        with progress() as on_progress:
            began = time.perf_counter()
            log = run(
                chosen,
                n_customers=customers,
                horizon_days=chosen.horizon_days if days is None else days,
                seed=seed,
                threads=threads,
                on_progress=lambda done: on_progress("simulate", done, customers),
            )
            seconds = time.perf_counter() - began
        fill_log_directory(log, folder)
    out.print(
        f"{log.n_events:,} events of {customers:,} customers in {seconds:.2f} s "
        f"({seconds / log.n_events * 1e9:.0f} ns per event, writing not counted)\nhash {log.hash()}",
        highlight=False,
        soft_wrap=True,
    )
    say_where(out_dir)
