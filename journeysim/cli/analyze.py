"""`journeysim analyze`: what a real event log says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from journeysim.cli.app import Seed
from journeysim.cli.results import print_forecasts
from journeysim.cli.terminal import out, progress, say_where


def analyze(
    events: Annotated[Path, typer.Argument(help="Event log: CSV, gzipped CSV or Parquet.")],
    map_file: Annotated[Path, typer.Option("--map", help="YAML: what the columns and event names mean.")],
    out_dir: Annotated[Path, typer.Option("--out", help="New directory for tables and report.html.")],
    by: Annotated[str | None, typer.Option(help="Segment: one of the columns under `segments` in the map.")] = None,
    scenario: Annotated[list[Path] | None, typer.Option(help="Scenario as YAML; may be given several times.")] = None,
    conversion_days: Annotated[float, typer.Option(help="Horizon of conversion.")] = 90.0,
    retention_days: Annotated[float, typer.Option(help="Horizon of retention after the first purchase.")] = 30.0,
    seed: Seed = 1,
) -> None:
    """Analyze a real event log: attribution, stage model, and what losing fewer customers would do.

    \b
    Example (data and map come with the source):
      journeysim analyze journeysim/datasets/retentioneering_ecom.csv.gz \\
        --map journeysim/datasets/retentioneering_ecom.yaml --out out/shop
    """
    from journeysim.analysis import run_analysis
    from journeysim.event_map import EventMap, read_events
    from journeysim.scenario import Scenario

    event_map = EventMap.from_yaml(map_file)
    scenarios = [Scenario.from_yaml(path) for path in scenario or ()]
    log = read_events(events, event_map)
    with progress() as on_progress:
        found = run_analysis(
            log,
            out_dir,
            title=f"What {events.name} says",
            by=by,
            scenarios=scenarios,
            conversion_days=conversion_days,
            retention_days=retention_days,
            seed=seed,
            on_progress=on_progress,
        )
    if found.attribution is not None:
        out.print(found.attribution)
    print_forecasts(found.forecasts)
    out.print()
    for sentence in found.check:
        out.print(sentence, highlight=False, markup=False)
    say_where(out_dir)
