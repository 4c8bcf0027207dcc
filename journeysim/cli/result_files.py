"""Results in files: the format by the ending of the name or as asked, all names checked before the work begins."""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from journeysim.cli.terminal import out, say_where
from journeysim.errors import InputError
from journeysim.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import polars as pl
    from rich.console import RenderableType

    from journeysim.report import Report

WIDTH = 80
"""Columns of a table in a text file."""


class Format(StrEnum):
    """How a result is written."""

    table = "table"
    csv = "csv"
    parquet = "parquet"
    json = "json"
    html = "html"


ENDINGS = {
    ".csv": Format.csv,
    ".parquet": Format.parquet,
    ".json": Format.json,
    ".html": Format.html,
    ".txt": Format.table,
}

Out = Annotated[
    list[Path] | None,
    typer.Option("--out", help="New file: .csv, .parquet, .json, .html or .txt. May be given several times."),
]
FormatOption = Annotated[
    Format | None,
    typer.Option("--format", help="Of --out, whatever its ending; without --out, of what is printed."),
]


@dataclass(frozen=True, slots=True)
class Result:
    """A result in every form that it may be written in, each made only when it is asked for.

    Attributes
    ----------
    screens : what a terminal shows, one under the other
    rows : the tidy table, of CSV and Parquet
    record : what JSON holds, rows included
    report : the page
    provenance : where the journeys came from
    """

    screens: Callable[[], list[RenderableType]]
    rows: Callable[[], pl.DataFrame]
    record: Callable[[], dict[str, Any]]
    report: Callable[[], Report]
    provenance: Mapping[str, object]

    def as_json(self) -> str:
        """The record with what made it, as strict JSON."""
        record = {"journeysim": __version__, "source": self.provenance} | self.record()
        return json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False, default=_plain) + "\n"

    def show(self, console: Console) -> None:
        """Print the screens, a blank line between them."""
        for i, screen in enumerate(self.screens()):
            if i:
                console.print()
            console.print(screen)

    def write(self, file: Path, form: Format) -> None:
        """Write the result in one form."""
        if form is Format.csv:
            self.rows().write_csv(file)
        elif form is Format.parquet:
            self.rows().write_parquet(file)
        elif form is Format.json:
            file.write_text(self.as_json(), encoding="utf-8")
        elif form is Format.html:
            file.write_text(self.report().to_html(), encoding="utf-8")
        else:
            with file.open("w", encoding="utf-8") as text:
                self.show(Console(file=text, width=WIDTH, color_system=None))

    def print(self, form: Format | None) -> None:
        """Print the result in one form, by default the table."""
        if form is Format.csv:
            typer.echo(self.rows().write_csv(), nl=False)
        elif form is Format.json:
            typer.echo(self.as_json(), nl=False)
        elif form is Format.html:
            typer.echo(self.report().to_html())
        else:
            self.show(out)


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where a result goes: files (unfinished, by their final name), or what is printed."""

    files: Mapping[Path, tuple[Path, Format]]
    printed: Format | None

    def write(self, result: Result) -> None:
        """Write all files."""
        for unfinished, form in self.files.values():
            result.write(unfinished, form)

    def print(self, result: Result) -> None:
        """Print the result, and say which files there are now."""
        result.print(self.printed)
        say_where(*self.files)


@contextmanager
def planned(files: list[Path] | None, form: Format | None) -> Iterator[Outputs]:
    """New files that get their names only when all went well; `Outputs.write` must be called inside.

    Raises
    ------
    InputError : a file exists, is given twice or cannot be made, its ending says nothing, or Parquet is to be printed
    """
    from journeysim.new_outputs import new_file

    asked = {file: form or _format_of(file) for file in files or ()}
    if len({file.resolve() for file in asked}) < len(files or ()):
        raise InputError("--out is given twice with the same name; once will do.")
    if form is Format.parquet and not asked:
        raise InputError("--format parquet is not text and cannot be printed; give it a file with --out.")
    with ExitStack() as stack:
        unfinished = {file: (stack.enter_context(new_file(file)), how) for file, how in asked.items()}
        yield Outputs(unfinished, None if asked else form)


def _format_of(file: Path) -> Format:
    if file.suffix.lower() not in ENDINGS:
        raise InputError(
            f"--out {file}: the ending says no format. Let it end in {', '.join(ENDINGS)}, or add --format."
        )
    return ENDINGS[file.suffix.lower()]


def _plain(value: object) -> object:
    """Settings and provenance for JSON: numbers of NumPy, mappings, and words for the rest."""
    if hasattr(value, "item"):
        return value.item()
    return dict(value) if hasattr(value, "keys") else str(value)  # type: ignore[call-overload]
