"""`journeysim truth`: what the channels of a world really do."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from journeysim.cli.app import Seed
from journeysim.cli.terminal import out, progress, say_where
from journeysim.cli.workers import Threads, compile_first


class By(StrEnum):
    """What effects are split by."""

    PERSONA = "persona"
    STAGE = "stage"


def truth(
    world: Annotated[str, typer.Argument(help="Name of a packaged world, or a YAML file.")],
    precision: Annotated[
        float, typer.Option(help="Largest standard error of a channel's effect, as a share of conversions.")
    ] = 0.01,
    max_customers: Annotated[int, typer.Option(min=2, help="Stop here, precise or not.")] = 1_000_000,
    days: Annotated[float | None, typer.Option(help="Length of the window; by default the world's own.")] = None,
    by: Annotated[By | None, typer.Option(help="Also the effects among each persona, or in each stage.")] = None,
    shapley: Annotated[
        bool, typer.Option("--shapley", help="Also Shapley values: exact for up to 10 channels, else sampled.")
    ] = False,
    seed: Seed = 1,
    threads: Threads = None,
    out_file: Annotated[Path | None, typer.Option("--out", help="New CSV file for all numbers.")] = None,
) -> None:
    """What each channel of a world really does: its twin without the channel, on the same draws.

    Simulates as many customers as the precision needs, and says how many.

    \b
    Examples:
      journeysim truth considered-purchase
      journeysim truth considered-purchase --precision 0.005 --shapley --out truth.csv
      journeysim truth my-world.yaml --by stage
    """
    from contextlib import nullcontext

    from journeysim import worlds
    from journeysim.new_outputs import new_file
    from journeysim.simulation import incremental_effects
    from journeysim.simulation import truth as run

    chosen = worlds.load(world)
    with new_file(out_file) if out_file is not None else nullcontext() as unfinished:
        with progress() as on_progress:
            compile_first(on_progress, lambda: incremental_effects(chosen, n_customers=2, horizon_days=1.0, seed=1))
            result = run(
                chosen,
                seed=seed,
                horizon_days=days,
                precision=precision,
                max_customers=max_customers,
                by=None if by is None else by.value,
                shapley=shapley,
                threads=threads,
                on_progress=lambda done, goal: on_progress("customers", done, goal),
            )
        if unfinished is not None:
            result.to_frame().write_csv(unfinished)
    out.print(result)
    if out_file is not None:
        say_where(out_file)
