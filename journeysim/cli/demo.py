"""`journeysim demo`: the whole chain on a packaged world."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from journeysim.cli.app import Seed
from journeysim.cli.results import print_comparison, print_credit, print_forecasts
from journeysim.cli.terminal import out, progress, say_where


def demo(
    out_dir: Annotated[Path, typer.Option("--out", help="New directory for the log, the tables and report.html.")],
    customers: Annotated[int, typer.Option(min=1_000, help="How many to simulate.")] = 100_000,
    seed: Seed = 1,
) -> None:
    """Simulate a packaged world, attribute, fit and forecast, and hold every answer against the known truth.

    \b
    Example:
      journeysim demo --out out/demo
    """
    from journeysim.demo import run_demo

    with progress() as on_progress:
        found = run_demo(out_dir, n_customers=customers, seed=seed, on_progress=on_progress)
    out.print(f"{found.n_events:,} events simulated.", highlight=False)
    print_credit(found.credit)
    print_forecasts(found.forecasts)
    print_comparison(found.comparison)
    say_where(out_dir)
