"""`journeysim twin`: worlds fitted to a log, their check, and what each channel does in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from journeysim.cli.app import Seed
from journeysim.cli.source import read_any_log
from journeysim.cli.terminal import out, print_hanging, progress, say_where, step

if TYPE_CHECKING:
    import polars as pl

    from journeysim.events import EventLog

MOST_SIMULATED = 100  # worlds


def twin(
    log: Annotated[Path, typer.Argument(help="Directory of a log that `simulate` wrote, or a CSV or Parquet file.")],
    by: Annotated[str | None, typer.Option(help="Segment: a column of the customers, such as persona.")] = None,
    n_worlds: Annotated[int, typer.Option("--worlds", min=20, help="Draws of the posterior.")] = 1_000,
    customers: Annotated[
        int | None,
        typer.Option(min=100, help="Simulated per world for effects with fatigue; by default a fifth of the log's."),
    ] = None,
    map_file: Annotated[Path | None, typer.Option("--map", help="YAML as for `analyze`: a log made by others.")] = None,
    seed: Seed = 1,
    out_dir: Annotated[Path | None, typer.Option("--out", help="New directory: worlds as YAML, tables as CSV.")] = None,
) -> None:
    """Fit the digital twin of a log: what would be lost without each channel, and whether the twin looks like the log.

    See docs/digital-twin.md for what it cannot represent.

    \b
    Examples:
      journeysim twin out/log --by persona --out out/twin
    """
    from contextlib import nullcontext

    from rich.table import Table

    from journeysim.new_outputs import new_directory
    from journeysim.twin import check_twin, fit_world, twin_attribution

    with new_directory(out_dir) if out_dir else nullcontext() as folder:
        with progress() as on_progress:
            with step(on_progress, "read the log"):
                events = read_any_log(log, map_file)
                removal = _removal_effects(events)
            with step(on_progress, "fit"):
                fitted = fit_world(events, seed=seed, by=by)
            with step(on_progress, "draw worlds"):
                drawn = fitted.worlds(n_worlds, seed=seed)
            every = -(-n_worlds // MOST_SIMULATED)  # a few are enough to check, and to keep
            kept = drawn[0][::every], drawn[1][::every]
            check = check_twin(
                fitted, events, seed=seed, drawn=kept, on_progress=lambda n: on_progress("check", n, len(kept[0]))
            )
            effects = twin_attribution(
                fitted,
                seed=seed,
                n_customers=customers,
                drawn=drawn,
                on_progress=lambda n: on_progress("switch off", n, n_worlds),
            )
        frame = effects.to_frame().join(removal, on="channel", how="left", maintain_order="left")
        if folder is not None:
            frame.write_csv(folder / "effects.csv")
            check.to_frame().write_csv(folder / "check.csv")
            for i, by_segment in enumerate(kept[0]):
                for g, world in enumerate(by_segment.values()):
                    text = f"# share of customers: {kept[1][i, g]:.4f}\n{world.to_yaml()}"
                    (folder / f"world-{i + 1:03d}-{g + 1}.yaml").write_text(text, encoding="utf-8")
    table = Table(title="Lost without the channel", title_justify="left", box=None)
    table.add_column("channel", overflow="fold", max_width=30)
    for name in ("effect", "90% interval", "conversions", "share", "Markov"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in frame.iter_rows(named=True):
        interval = f"{row['effect_low']:.1%} to {row['effect_high']:.1%}"
        table.add_row(
            row["channel"],
            f"{row['effect']:.1%}",
            interval,
            f"{row['conversions']:,.0f}",
            f"{row['share']:.1%}",
            "none" if row["markov"] is None else f"{row['markov']:.1%}",
        )
    out.print(table, "")
    print_hanging(
        "", "Markov: its removal effect on conversions with a touch, which does not tell causes from company."
    )
    print_hanging("", f"Effects by {effects.source}; hidden personas in the twin: {fitted.hidden_personas}.")
    for note in effects.notes:
        print_hanging("", note)
    out.print("", check)
    if out_dir is not None:
        say_where(out_dir)


def _removal_effects(events: EventLog) -> pl.DataFrame:
    """`channel, markov`; empty where no journey with a touch converts."""
    import polars as pl

    from journeysim.attribution import RemovalEffect
    from journeysim.journeys import to_journeys

    journeys = to_journeys(events)
    if not journeys.n_conversions > 0:
        return pl.DataFrame(schema={"channel": pl.String, "markov": pl.Float64})
    return RemovalEffect().attribute(journeys).to_frame().select("channel", markov="removal_effect")
