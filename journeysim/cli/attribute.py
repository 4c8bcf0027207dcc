"""`journeysim attribute`: credit to channels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from journeysim.cli.terminal import out, progress, say_where, step
from journeysim.errors import InputError


def attribute(
    file: Annotated[Path, typer.Argument(help="Aggregated paths (CSV, Parquet), or an event log of journeysim.")],
    method: Annotated[str, typer.Option(help="markov, first_touch, last_touch, linear, ...")] = "markov",
    order: Annotated[
        int | None, typer.Option(min=1, help="Of the Markov chain: how many touches it remembers.")
    ] = None,
    out_file: Annotated[Path | None, typer.Option("--out", help="New CSV file for the result.")] = None,
    separator: Annotated[str, typer.Option(help="What stands between two channels of a path.")] = " > ",
) -> None:
    """Credit conversions to channels.

    Reads ChannelAttribution's format (path, total_conversions, total_conversion_value, total_null) or the directory of
    a log that `simulate` wrote.

    \b
    Examples:
      journeysim attribute paths.csv --order 2
      journeysim attribute paths.csv --method linear --out linear.csv
      journeysim attribute out/log --method time_decay
    """
    from journeysim.attribution import RemovalEffect
    from journeysim.attribution import attribute as run
    from journeysim.interop import read_paths
    from journeysim.journeys import to_journeys
    from journeysim.log_files import read_log
    from journeysim.new_outputs import new_file

    if order is not None and method != "markov":
        raise InputError(f"--order belongs to --method markov, not to {method!r}. Leave one of them out.")
    with progress() as on_progress:
        with step(on_progress, "read the log" if file.is_dir() else "read the paths"):
            journeys = to_journeys(read_log(file)) if file.is_dir() else read_paths(file, separator=separator)
        with step(on_progress, "attribute"):
            result = run(journeys, RemovalEffect(order=order or 1) if method == "markov" else method)
    if out_file is not None:
        with new_file(out_file) as unfinished:
            result.to_frame().write_csv(unfinished)
    out.print(result)
    if out_file is not None:
        say_where(out_file)
