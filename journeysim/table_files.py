"""Tables from files, with the line that each row stands in, so that an error can name the place."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from journeysim.errors import InputError
from journeysim.text_files import read_text

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")


@dataclass(frozen=True, slots=True)
class Source:
    """Where the rows of a table come from.

    Attributes
    ----------
    name : the file, or what the caller calls the table
    row_word : "line" of a text file, or "row"
    numbers : (n,) the number of each row, counted from 1; in a text file its line
    """

    name: str
    row_word: str
    numbers: NDArray[np.int64]

    @classmethod
    def rows(cls, name: str, n_rows: int) -> Source:
        """A table that is no text file."""
        return cls(name, "row", np.arange(1, n_rows + 1))

    def place(self, row: int) -> str:
        """Name and number of the row at index `row`."""
        return f"{self.name} {self.row_word} {self.numbers[row]}"


def read_table(file: str | Path, *, wanted: Collection[str] = ()) -> tuple[pl.DataFrame, Source]:
    """A table from `.csv` or `.csv.gz` (delimited by comma, semicolon or tab) or `.parquet`.

    Text files come with all columns as text, so that what is wrong can be shown as it came. Blank lines are no rows.

    Parameters
    ----------
    wanted : names of columns; the delimiter is the one that finds most of them in the header

    Raises
    ------
    InputError : the file is missing, empty, not UTF-8 or not a table; with the place
    """
    file = Path(file)
    if not file.is_file():
        raise InputError(f"{file}: {'a directory, expected a file' if file.is_dir() else 'no such file'}.")
    if file.name.endswith(".parquet"):
        try:
            frame = pl.read_parquet(file)
        except pl.exceptions.PolarsError as error:
            raise InputError(f"{file}: not a Parquet file that can be read ({_first_line(error)}).") from error
        return frame, Source.rows(str(file), frame.height)
    if not file.name.endswith((".csv", ".csv.gz", ".tsv", ".txt")):
        raise InputError(f"{file}: expected a file that ends in .csv, .csv.gz, .tsv, .txt or .parquet.")
    whole = read_text(file)
    text = whole.lstrip("\r\n")
    if not text or text.isspace():
        raise InputError(f"{file}: the file is empty.")
    first_line = 1 + whole[: len(whole) - len(text)].count("\n")
    delimiter = _delimiter(text, wanted)
    try:
        frame = pl.read_csv(text.encode(), separator=delimiter, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        odd = (n for n, line in enumerate(text.split("\n"), first_line) if line.count('"') % 2)
        quote = f" line {next(odd, first_line)}: a quotation mark inside a field; double it and quote the field"
        fault = _fault(text, delimiter, first_line) or (quote if '"' in text else f": {_first_line(error)}")
        raise InputError(f"{file}{fault}.") from error
    filled = frame.select(pl.any_horizontal(pl.all().is_not_null())).to_series()
    if not filled.any():
        raise InputError(f"{file}: there are columns but no rows.")
    names = _header(text, delimiter)
    n_delimiters = (frame.width - 1) * (1 + frame.height)
    inside = np.zeros(frame.height, dtype=np.int64)
    if '"' in text:  # only quoted fields hold delimiters, or span lines
        n_inside = frame.select(pl.all().str.count_matches(delimiter, literal=True).sum())
        n_delimiters += sum(n_inside.row(0)) + sum(n.count(delimiter) for n in names)
        breaks = pl.sum_horizontal(pl.all().str.count_matches("\n").fill_null(0))
        inside = frame.select(breaks.cast(pl.Int64)).to_series().to_numpy()
    # Polars fills short lines with nulls: a count tells at once that none is short
    if text.count(delimiter) != n_delimiters and (ragged := _fault(text, delimiter, first_line)):
        raise InputError(f"{file}{ragged}.")
    numbers = (
        first_line + 1 + sum(name.count("\n") for name in names) + np.arange(frame.height) + np.cumsum(inside) - inside
    )
    twice = [name for name, times in Counter(name.strip() for name in names).items() if name and times > 1]
    if twice:
        raise InputError(f"{file}: column {twice[0]!r} stands twice in the header; rename or remove one.")
    frame = frame.rename({name: name.strip() for name in frame.columns if name.strip()})
    if not filled.all():
        frame, numbers = frame.filter(filled), numbers[filled.to_numpy()]
    return frame, Source(str(file), "line", numbers.astype(np.int64))


def _header(text: str, delimiter: str) -> list[str]:
    try:
        lines = (line[0] for line in _LINE.finditer(text))  # as many as the header has: StringIO would copy them all
        return next(csv.reader(lines, delimiter=delimiter), [])
    except csv.Error:  # no table at all; reading it will say so
        return []


def _delimiter(text: str, wanted: Collection[str]) -> str:
    """The delimiter that finds most of the wanted columns in the header, and of those the most frequent."""

    def found(delimiter: str) -> tuple[int, int]:
        names = _header(text, delimiter)
        return len(set(wanted) & {name.strip() for name in names}), len(names)

    return max((",", ";", "\t"), key=found)


def _fault(text: str, delimiter: str, first_line: int) -> str | None:
    """Name the first line that has not as many fields as the header, or is no table; slow, so only on suspicion."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = first_line
    try:
        n_columns = len(next(rows))
        line = first_line + rows.line_num
        for row in rows:
            if row and len(row) != n_columns:
                advice = "quote the field" if len(row) > n_columns else "fill the line up or remove it"
                return f" line {line}: {len(row)} fields where the header has {n_columns}; {advice}"
            line = first_line + rows.line_num
    except csv.Error as error:
        return f" line {line}: {error}; check the quotation marks and line ends from there on"
    return None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
