"""`journeysim calibrate`: Markov attribution with lift tests as evidence."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from journeysim.cli.app import Seed
from journeysim.cli.result_files import FormatOption, Out, Result, planned
from journeysim.cli.source import File, MapFile, Separator, read_source
from journeysim.cli.spend import read_spend
from journeysim.cli.terminal import progress, step
from journeysim.errors import InputError

if TYPE_CHECKING:
    from journeysim.attribution import CalibratedAttribution
    from journeysim.cli.source import Source
    from journeysim.report import Report

DRAWS = 2_000


def calibrate(
    file: File,
    tests: Annotated[Path, typer.Option(help="CSV or Parquet: channel, effect, standard_error, unit, start, end.")],
    order: Annotated[int, typer.Option(min=1, help="Of the Markov chain.")] = 1,
    start: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day of the journeys; a log knows its own.")
    ] = None,
    end: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day of the journeys.")] = None,
    costs: Annotated[str | None, typer.Option(help="File with columns channel and cost; or `log`.")] = None,
    draws: Annotated[int, typer.Option(min=2, help="Of the attribution.")] = DRAWS,
    seed: Seed = 1,
    out_files: Out = None,
    form: FormatOption = None,
    separator: Separator = " > ",
    map_file: MapFile = None,
) -> None:
    """Say what channels cause, before and after lift tests of some of them.

    Credit is not what a channel causes; an experiment is evidence of it. See docs/lift-tests.md.

    \b
    Examples:
      journeysim calibrate out/log --tests lift-tests.csv --costs log --out effects.html
      journeysim calibrate paths.csv --tests lift-tests.csv --start 2026-01-01 --end 2026-03-31
    """
    from journeysim.attribution import calibrate as combine
    from journeysim.attribution import posterior_attribution, read_lift_tests
    from journeysim.attribution.credit import ALL

    evidence = read_lift_tests(tests)
    with planned(out_files, form) as outputs, progress() as on_progress:
        source = read_source(file, map_file, separator, on_progress)
        window = _window(source, start, end)
        spent = None if costs is None else read_spend(costs, source, None, {ALL: source.journeys})[ALL]

        def report_draws(done: int) -> None:
            on_progress("attribute", done, draws)

        report_draws(0)
        credit = posterior_attribution(source.journeys, order=order, seed=seed, n_draws=draws, on_progress=report_draws)
        with step(on_progress, "calibrate"):
            found = combine(credit, evidence, seed=seed, window=window)
        result = _result(found, spent, source)
        if outputs.files:
            with step(on_progress, "write"):
                outputs.write(result)
    outputs.print(result)


def _window(source: Source, start: datetime | None, end: datetime | None) -> tuple[date, date] | None:
    """First and last day of the journeys: those given, else the log's, else unknown."""
    if (start is None) != (end is None):
        raise InputError("Give both --start and --end, or neither.")
    if start is not None and end is not None:
        if end < start:
            raise InputError(f"--end {end:%Y-%m-%d} is before --start {start:%Y-%m-%d}.")
        return start.date(), end.date()
    if source.log is None:
        return None
    # a window that ends at midnight has the day before as its last
    return source.log.start.date(), (source.log.end - timedelta(microseconds=1)).date()


def _result(found: CalibratedAttribution, spent: dict[str, float] | None, source: Source) -> Result:
    def record() -> dict[str, Any]:
        from journeysim.attribution.credit import calibrated_record

        return calibrated_record(found, spent)

    def report() -> Report:
        from journeysim.attribution_report import calibrated_report  # it loads the library of pictures

        return calibrated_report(found, spent, source=str(source.provenance["file"]))

    def screens() -> list[Any]:
        from journeysim.cli.credit_screen import incremental_returns

        return [found] if spent is None else [found, incremental_returns(found.returns(spent))]

    return Result(screens, found.to_frame, record, report, source.provenance)
