"""`journeysim compare`: several methods of attribution beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from journeysim.cli.result_files import FormatOption, Out, Result, planned
from journeysim.cli.source import File, MapFile, Separator, read_source
from journeysim.cli.terminal import progress, step

if TYPE_CHECKING:
    from journeysim.report import Report


def compare(
    file: File,
    methods: Annotated[
        str | None, typer.Option(help="Names with commas between, or `all`; by default those that most teams know.")
    ] = None,
    out_files: Out = None,
    form: FormatOption = None,
    separator: Separator = " > ",
    map_file: MapFile = None,
) -> None:
    """Credit the same journeys by several methods: who gets what, and how far the methods are apart.

    A method that does not take these journeys is listed with the reason. `journeysim attribute --list` says what each
    method assumes.

    \b
    Examples:
      journeysim compare paths.csv
      journeysim compare paths.csv --methods markov,shapley,last_touch --out shares.csv
      journeysim compare out/log --methods all --out methods.html
      journeysim compare shop.csv.gz --map shop.yaml
    """
    from journeysim import attribution
    from journeysim.attribution.credit import comparison_record

    asked: tuple[str, ...] = attribution.STANDARD_METHODS
    if methods is not None:
        asked = attribution.methods() if methods == "all" else tuple(name.strip() for name in methods.split(","))
        for name in asked:
            if name not in attribution.methods():
                attribution.method_info(name)  # told at once, not after the reading
    with planned(out_files, form) as outputs, progress() as on_progress:
        source = read_source(file, map_file, separator, on_progress)
        n = len(asked)
        on_progress("methods", 0, n)
        found = attribution.compare(
            source.log or source.journeys, asked, on_progress=lambda done: on_progress("methods", done, n)
        )

        def report() -> Report:
            from journeysim.attribution_report import comparison_report  # it loads the library of pictures

            return comparison_report(found, source=str(source.provenance["file"]))

        result = Result(lambda: [found], found.to_frame, lambda: comparison_record(found), report, source.provenance)
        if outputs.files:
            with step(on_progress, "write"):
                outputs.write(result)
    outputs.print(result)
