"""Other tools' formats: ChannelAttribution's aggregated paths, from files or from any dataframe, to Journeys."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Final

import narwhals as nw
import numpy as np
import polars as pl

from journeysim.errors import InputError
from journeysim.journeys import Journeys

if TYPE_CHECKING:
    from narwhals.typing import IntoFrame
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class PathColumns:
    """Names of the columns of aggregated paths; the defaults are ChannelAttribution's.

    Attributes
    ----------
    path : channels in order, such as "search > email > search"
    conversions, nulls : how many times the path ended with and without a conversion; None if there is no such column
    value : value of the conversions, or None
    """

    path: str = "path"
    conversions: str = "total_conversions"
    value: str | None = "total_conversion_value"
    nulls: str | None = "total_null"


CHANNEL_ATTRIBUTION: Final = PathColumns()


@dataclass(frozen=True, slots=True)
class _Source:
    """Where rows come from, to name the place in an error."""

    name: str
    row_word: str  # "line" or "row"
    numbers: NDArray[np.int64]  # (n,) the 1-based number of each row

    def place(self, row: int) -> str:
        return f"{self.name}, {self.row_word} {self.numbers[row]}"


def read_paths(file: str | Path, *, columns: PathColumns = CHANNEL_ATTRIBUTION, separator: str = " > ") -> Journeys:
    """Read aggregated paths from `.csv`, `.csv.gz` (delimited by `;`, `,` or tab) or `.parquet`.

    Parameters
    ----------
    file : one row per path; the same path may come in several rows
    columns : names of the columns; without values or nulls there is a note in the journeys
    separator : what stands between two channels of a path

    Raises
    ------
    InputError : naming file, line, column, what came and what to do
    """
    file = Path(file)
    if not file.is_file():
        raise InputError(f"{file}: no such file.")
    if file.name.endswith(".parquet"):
        try:
            frame = pl.read_parquet(file)
        except pl.exceptions.PolarsError as error:
            raise InputError(f"{file}: not a Parquet file that can be read ({_first_line(error)}).") from error
        return _journeys(frame, _Source(str(file), "row", np.arange(1, frame.height + 1)), columns, separator)
    if not file.name.endswith((".csv", ".csv.gz")):
        raise InputError(f"{file}: expected a file that ends in .csv, .csv.gz or .parquet.")
    frame, numbers = _read_csv(file, columns)
    return _journeys(frame, _Source(str(file), "line", numbers), columns, separator)


def journeys_from_paths(
    frame: IntoFrame, *, columns: PathColumns = CHANNEL_ATTRIBUTION, separator: str = " > "
) -> Journeys:
    """Aggregated paths from any dataframe that narwhals knows (pandas, Polars, PyArrow, DuckDB, ...).

    Parameters and errors are those of `read_paths`; rows are counted from 1.
    """
    try:
        table = nw.from_native(frame)
    except TypeError as error:
        raise InputError(f"Paths: expected a dataframe, got {type(frame).__name__}.") from error
    data = (table.collect() if isinstance(table, nw.LazyFrame) else table).to_polars()
    return _journeys(data, _Source("paths", "row", np.arange(1, data.height + 1)), columns, separator)


def _read_csv(file: Path, columns: PathColumns) -> tuple[pl.DataFrame, NDArray[np.int64]]:
    """All columns as text, so that what is wrong can be shown as it came; and the line each row begins in."""
    data = file.read_bytes()
    if file.suffix == ".gz":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{file}: not a complete gzip file ({error}).") from error
    data = data.removeprefix(b"\xef\xbb\xbf")  # the byte order mark that spreadsheets write
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{file}: not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}. Save the file as UTF-8."
        ) from error
    if not text.strip():
        raise InputError(f"{file}: the file is empty.")
    delimiter = _delimiter(text.split("\n", 1)[0], columns)
    try:
        frame = pl.read_csv(io.BytesIO(data), separator=delimiter, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{file}{_ragged_line(text, delimiter) or ': ' + _first_line(error)}.") from error
    inside = frame.select(pl.sum_horizontal(pl.all().str.count_matches("\n").fill_null(0))).to_series().to_numpy()
    numbers = np.arange(2, frame.height + 2) + np.cumsum(inside) - inside  # quoted fields may span lines
    filled = frame.select(pl.any_horizontal(pl.all().is_not_null())).to_series()  # blank lines are no rows
    return frame.filter(filled), numbers[filled.to_numpy()].astype(np.int64)


def _delimiter(header: str, columns: PathColumns) -> str:
    """The delimiter that finds most of the wanted columns in the header, and of those the most frequent."""
    wanted = {columns.path, columns.conversions, columns.value, columns.nulls}

    def found(delimiter: str) -> tuple[int, int]:
        names = next(csv.reader([header], delimiter=delimiter), [])
        return len(wanted & {name.strip() for name in names}), len(names)

    return max((";", ",", "\t"), key=found)


def _ragged_line(text: str, delimiter: str) -> str | None:
    """Name the first line with more fields than the header; only looked for when reading failed."""
    rows = csv.reader(io.StringIO(text), delimiter=delimiter)
    n_columns = len(next(rows))
    for row in rows:
        if len(row) > n_columns:
            return f", line {rows.line_num}: {len(row)} fields where the header has {n_columns}; quote the field"
    return None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _journeys(frame: pl.DataFrame, source: _Source, columns: PathColumns, separator: str) -> Journeys:
    if not separator.strip():
        raise InputError(f"separator must have a character that is not a space, got {separator!r}.")
    frame = frame.rename(str.strip)
    notes: list[str] = []
    path, converted = _column(columns.path, frame, source), _column(columns.conversions, frame, source)
    given = {columns.path, columns.conversions}
    unconverted = _optional(columns.nulls, frame, source, given)
    values = _optional(columns.value, frame, source, given)
    if not frame.height:
        raise InputError(f"{source.name}: there are columns but no rows.")
    path = _texts(path, source)
    conversions = _numbers(converted, source, least=0.0)
    if unconverted is None:
        nulls = np.zeros(frame.height)
        notes.append("No column of paths without conversion: every path is taken to have converted.")
    else:
        nulls = _numbers(unconverted, source, least=0.0)
    if values is None:
        value = np.zeros(frame.height)
        notes.append("No column of values: only conversions can be attributed.")
    else:
        value = _numbers(values, source)
    stray = np.flatnonzero((conversions == 0) & (value != 0))
    if len(stray):
        row = int(stray[0])
        raise InputError(
            f"{source.place(row)}: column {columns.value!r} is {value[row]:g} but {columns.conversions!r} is 0; "
            "a value needs a conversion."
        )
    blank = (path.fill_null("").str.strip_chars() == "").to_numpy()
    lost = np.flatnonzero(blank & (conversions + nulls > 0))
    if len(lost):
        row = int(lost[0])
        raise InputError(
            f"{source.place(row)}: column {columns.path!r} is blank, but the row has {conversions[row]:g} conversions "
            f"and {nulls[row]:g} nulls. Name the channels, or leave the row out."
        )
    if blank.any():
        notes.append(f"{int(blank.sum())} rows with neither path nor weight were left out.")
    kept = np.flatnonzero(~blank)
    if not len(kept):
        raise InputError(f"{source.name}: no row has a path.")
    channels, codes, offsets = _codes(path.filter(~blank), kept, source, columns.path, separator)
    return Journeys(channels, codes, offsets, conversions[kept], nulls[kept], value[kept], notes=tuple(notes))


def _column(name: str, frame: pl.DataFrame, source: _Source) -> pl.Series:
    if name not in frame.columns:
        near = get_close_matches(name, frame.columns, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InputError(
            f"{source.name}: there is no column {name!r}.{hint} Found: {', '.join(map(repr, frame.columns))}. "
            "Rename it, or name yours with columns=PathColumns(...)."
        )
    return frame[name]


def _optional(name: str | None, frame: pl.DataFrame, source: _Source, given: set[str]) -> pl.Series | None:
    """A column that may be missing; but a misspelt one is an error, for it would silently count as zeros."""
    if name is None:
        return None
    asked_for = name not in (CHANNEL_ATTRIBUTION.value, CHANNEL_ATTRIBUTION.nulls)
    misspelt = get_close_matches(name, [c for c in frame.columns if c not in given], n=1, cutoff=0.8)
    if name in frame.columns or asked_for or misspelt:
        return _column(name, frame, source)
    return None


def _numbers(column: pl.Series, source: _Source, least: float = -np.inf) -> FloatArray:
    """(n,) finite floats >= least."""
    text = column.dtype in (pl.String, pl.Categorical, pl.Enum)
    if not (text or column.dtype.is_numeric() or column.dtype == pl.Null):
        raise InputError(f"{source.name}: column {column.name!r} holds {column.dtype}, expected numbers.")
    tidy = column.cast(pl.String).str.strip_chars() if text else column
    numbers = tidy.cast(pl.Float64, strict=False)
    wrong = np.flatnonzero(~(numbers.is_finite() & (numbers >= least)).fill_null(value=False).to_numpy())
    if len(wrong):
        row = int(wrong[0])
        came, number = column[row], numbers[row]
        if came is None or came == "":
            fault = "is blank; write 0 if there were none"
        elif number is None:
            fault = f"is {came!r}, not a number (use a point for decimals and no separators of thousands)"
        else:
            fault = f"is {came!r}; it must be a finite number" + (" >= 0" if least == 0 else "")
        raise InputError(f"{source.place(row)}: column {column.name!r} {fault}.")
    return numbers.to_numpy().astype(np.float64)  # a copy that Journeys may freeze


def _texts(column: pl.Series, source: _Source) -> pl.Series:
    if column.dtype not in (pl.String, pl.Categorical, pl.Enum, pl.Null):
        raise InputError(f"{source.name}: column {column.name!r} holds {column.dtype}, expected text like 'a > b'.")
    return column.cast(pl.String)


def _codes(
    path: pl.Series, rows: NDArray[np.int64], source: _Source, name: str, separator: str
) -> tuple[tuple[str, ...], NDArray[np.int32], NDArray[np.int64]]:
    """Split paths into channels and number these in alphabetical order: (channels, codes, offsets)."""
    bare = separator.strip()
    if bare != separator and not path.str.contains(separator, literal=True).any():
        tight = path.str.contains(bare, literal=True).arg_true()
        if len(tight):
            row = int(tight[0])
            raise InputError(
                f"{source.place(int(rows[row]))}: column {name!r} is {path[row]!r}; no path contains {separator!r}, "
                f"but this one contains {bare!r}. Pass separator={bare!r}, if that stands between channels."
            )
    split = path.str.split(separator)
    offsets = np.concatenate([[0], np.cumsum(split.list.len().to_numpy(), dtype=np.int64)])
    touches = split.explode().str.strip_chars()
    nameless = (touches == "").arg_true()
    if len(nameless):
        row = int(np.searchsorted(offsets, int(nameless[0]), side="right")) - 1
        raise InputError(
            f"{source.place(int(rows[row]))}: column {name!r} is {path[row]!r}, which has a channel without a name."
        )
    channels = touches.unique().sort()
    codes = touches.cast(pl.Enum(channels)).to_physical().to_numpy().astype(np.int32)
    return tuple(channels), codes, offsets
