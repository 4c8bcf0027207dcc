"""`journeysim simulate`: a world into an event log."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from journeysim.cli.app import Seed
from journeysim.cli.terminal import out, print_line, progress, say_where
from journeysim.cli.workers import Processes, Threads, compile_first, executor_of


def simulate(
    world: Annotated[str, typer.Argument(help="Name of a packaged world, or a YAML file.")],
    out_dir: Annotated[Path, typer.Option("--out", help="New directory for the log.")],
    customers: Annotated[int, typer.Option(min=1, help="How many to simulate.")] = 10_000,
    days: Annotated[float | None, typer.Option(help="Length of the window; by default the world's own.")] = None,
    seed: Seed = 1,
    engine: Annotated[
        Literal["auto", "compiled", "simpy"],
        typer.Option(help="auto takes the compiled one, or SimPy if the world has desks."),
    ] = "auto",
    threads: Threads = None,
    processes: Processes = None,
    shard_customers: Annotated[
        int | None, typer.Option(min=1, help="Customers per part of the log; by default some seconds of work.")
    ] = None,
) -> None:
    """Simulate a world and write its event log (Parquet), in constant memory.

    A run that was stopped, whatever stopped it, goes on when the same command is given again.

    \b
    Examples:
      journeysim simulate considered-purchase --customers 100000 --days 180 --seed 1 --out out/log
      journeysim simulate my-world.yaml --out out/mine
    """
    from journeysim import worlds
    from journeysim.simulation import simulate as simulate_in_memory
    from journeysim.simulation.plan import plan_shards
    from journeysim.simulation.recipe import Recipe
    from journeysim.simulation.shards import simulate_to, unfinished

    chosen = worlds.load(world)
    horizon_days = chosen.horizon_days if days is None else days
    plan_shards(Recipe(chosen, customers, horizon_days, seed), engine, shard_customers)  # refuses before it takes time
    earlier = unfinished(out_dir)
    with executor_of(processes, threads) as executor, progress() as on_progress:
        if not chosen.has_desks and engine != "simpy":
            compile_first(
                on_progress, lambda: simulate_in_memory(chosen, n_customers=1, horizon_days=1.0, seed=1).hash()
            )
        began = time.perf_counter()
        log = simulate_to(
            out_dir,
            chosen,
            n_customers=customers,
            horizon_days=horizon_days,
            seed=seed,
            engine=engine,
            executor=executor,
            threads=threads,
            shard_customers=shard_customers,
            on_progress=lambda done: on_progress("customers", done, customers),
        )
        seconds = time.perf_counter() - began
    n_events = log.n_events
    if earlier is not None and earlier.n_done:
        n_events -= earlier.n_events
        print_line(f"Went on from {earlier.n_done:,} of {earlier.n_shards:,} shards that were done before.")
    out.print(
        f"{log.n_events:,} events of {customers:,} customers in {seconds:.2f} s "
        f"({n_events / seconds:,.0f} events per second, simulated and written)\nhash {log.hash()}",
        highlight=False,
        soft_wrap=True,
    )
    say_where(out_dir)
