"""Tables from files, with the line that each row stands in, so that an error can name the place."""

from __future__ import annotations

import csv
import io
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
        raise InputError(f"{file}: no such file{' (it is a directory)' if file.is_dir() else ''}.")
    if file.name.endswith(".parquet"):
        try:
            frame = pl.read_parquet(file)
        except pl.exceptions.PolarsError as error:
            raise InputError(f"{file}: not a Parquet file that can be read ({_first_line(error)}).") from error
        return frame, Source.rows(str(file), frame.height)
    if not file.name.endswith((".csv", ".csv.gz", ".tsv", ".txt")):
        raise InputError(f"{file}: expected a file that ends in .csv, .csv.gz, .tsv, .txt or .parquet.")
    text = read_text(file)
    if not text.strip():
        raise InputError(f"{file}: the file is empty.")
    delimiter = _delimiter(text.split("\n", 1)[0], wanted)
    try:
        frame = pl.read_csv(io.StringIO(text), separator=delimiter, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{file}{_ragged_line(text, delimiter) or ': ' + _first_line(error)}.") from error
    inside = frame.select(pl.sum_horizontal(pl.all().str.count_matches("\n").fill_null(0))).to_series().to_numpy()
    numbers = np.arange(2, frame.height + 2) + np.cumsum(inside) - inside  # quoted fields may span lines
    filled = frame.select(pl.any_horizontal(pl.all().is_not_null())).to_series()
    if not filled.any():
        raise InputError(f"{file}: there are columns but no rows.")
    frame = frame.rename(str.strip)
    return frame.filter(filled), Source(str(file), "line", numbers[filled.to_numpy()].astype(np.int64))


def _delimiter(header: str, wanted: Collection[str]) -> str:
    """The delimiter that finds most of the wanted columns in the header, and of those the most frequent."""

    def found(delimiter: str) -> tuple[int, int]:
        names = next(csv.reader([header], delimiter=delimiter), [])
        return len(set(wanted) & {name.strip() for name in names}), len(names)

    return max((",", ";", "\t"), key=found)


def _ragged_line(text: str, delimiter: str) -> str | None:
    """Name the first line with more fields than the header; only looked for when reading failed."""
    rows = csv.reader(io.StringIO(text), delimiter=delimiter)
    n_columns = len(next(rows))
    for row in rows:
        if len(row) > n_columns:
            return f" line {rows.line_num}: {len(row)} fields where the header has {n_columns}; quote the field"
    return None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
