"""`journeysim kpis`: what a log says in figures, and what became of those who entered each stage."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from journeysim.cli.results import print_funnel, print_kpis
from journeysim.cli.source import read_any_log
from journeysim.cli.terminal import print_hanging, print_line, progress, say_where, step

if TYPE_CHECKING:
    pass


class Periods(StrEnum):
    """Lengths of calendar periods."""

    day = "day"
    week = "week"
    month = "month"


class Cohorts(StrEnum):
    """What a customer's cohort begins with."""

    first_event = "first_event"
    first_purchase = "first_purchase"


COUPLED = "Customers of a market influence each other (word of mouth): intervals are too narrow; add --cluster market."


def kpis(
    log: Annotated[Path, typer.Argument(help="Directory of a log that `simulate` wrote, or a CSV or Parquet file.")],
    by: Annotated[str | None, typer.Option(help="Segment: a column of the customers, such as persona.")] = None,
    period: Annotated[Periods | None, typer.Option(help="Split by the period in which a cohort began.")] = None,
    cohort: Annotated[Cohorts, typer.Option(help="What begins a cohort.")] = Cohorts.first_event,
    cluster: Annotated[
        str | None, typer.Option(help="Column of customers who may influence each other, such as market: intervals.")
    ] = None,
    map_file: Annotated[Path | None, typer.Option("--map", help="YAML as for `analyze`: a log made by others.")] = None,
    out_file: Annotated[Path | None, typer.Option("--out", help="New CSV file with all segments and KPIs.")] = None,
) -> None:
    """Print the KPIs of a log with their 95% intervals, and its funnel with reasons of loss.

    \b
    Examples:
      journeysim kpis out/log
      journeysim kpis out/log --by persona --out kpis.csv
      journeysim kpis out/log --period month --cohort first_purchase --cluster market
      journeysim kpis shop.csv.gz --map shop.yaml --period week
    """
    from journeysim.kpis import funnel, loss_reasons
    from journeysim.kpis import kpis as table
    from journeysim.new_outputs import new_file

    with progress() as on_progress:
        with step(on_progress, "read the log"):
            events = read_any_log(log, map_file)
        with step(on_progress, "compute"):
            figures = table(events, by, period=period.value if period else None, cohort=cohort.value, cluster=cluster)
            stages = (funnel(events), loss_reasons(events)) if events.stages else None
    if out_file is not None:
        with new_file(out_file) as unfinished:
            figures.write_csv(unfinished)
    print_kpis(figures, currency=events.currency)
    if cluster is None and (events.codes("kind", ["referral"]) == 0).any():
        print_hanging("", COUPLED)
    if period and figures["period"].n_unique() == 1 and cohort == Cohorts.first_event:
        when = figures["period"][0]
        print_line(f"Every first event lies in {when}, so there is one cohort. Try --cohort first_purchase.")
    if stages is not None:
        print_funnel(*stages)
    if out_file is not None:
        say_where(out_file)
