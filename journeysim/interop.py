"""Other tools' formats: ChannelAttribution's aggregated paths, from files or from any dataframe, to Journeys."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

import narwhals as nw
import numpy as np
import polars as pl

from journeysim.columns import column, numbers
from journeysim.errors import InputError
from journeysim.journeys import Journeys
from journeysim.table_files import Source, read_table
from journeysim.tokens import cut_texts

if TYPE_CHECKING:
    from pathlib import Path

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
_RENAME: Final = "Rename it. (In Python you may name yours instead: columns=PathColumns(...).)"


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
    wanted = [name for name in (columns.path, columns.conversions, columns.value, columns.nulls) if name]
    frame, source = read_table(file, wanted=wanted)
    return _journeys(frame, source, columns, separator)


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
    return _journeys(data, Source.rows("paths", data.height), columns, separator)


def _journeys(frame: pl.DataFrame, source: Source, columns: PathColumns, separator: str) -> Journeys:
    if not separator.strip():
        raise InputError(f"separator must have a character that is not a space, got {separator!r}.")
    frame = frame.rename(str.strip)
    notes: list[str] = []
    path = column(frame, columns.path, source, hint=_RENAME)
    conversions = _weights(column(frame, columns.conversions, source, hint=_RENAME), source, least=0.0)
    given = {columns.path, columns.conversions}
    unconverted = _optional(columns.nulls, frame, source, given)
    values = _optional(columns.value, frame, source, given)
    if not frame.height:
        raise InputError(f"{source.name}: there are columns but no rows.")
    path = _texts(path, source)
    if unconverted is None:
        nulls = np.zeros(frame.height)
        notes.append("No column of paths without conversion: every path is taken to have converted.")
    else:
        nulls = _weights(unconverted, source, least=0.0)
    if values is None:
        value = np.zeros(frame.height)
        notes.append("No column of values: only conversions can be attributed.")
    else:
        value = _weights(values, source)
    stray = np.flatnonzero((conversions == 0) & (value != 0))
    if len(stray):
        row = int(stray[0])
        raise InputError(
            f"{source.place(row)}: column {columns.value!r} is {value[row]:g} but {columns.conversions!r} is 0; "
            "a value needs a conversion."
        )
    spellings, spelling, lengths = cut_texts(path.fill_null(""), separator)
    names = spellings.str.strip_chars()  # a few spellings: only these are tidied, not every touch
    nameless = (names == "").to_numpy()
    blank = (lengths == 1) & nameless[spelling[np.cumsum(lengths) - lengths]]
    lost = np.flatnonzero(blank & (conversions + nulls > 0))
    if len(lost):
        row = int(lost[0])
        raise InputError(
            f"{source.place(row)}: column {columns.path!r} is blank, but the row has {conversions[row]:g} conversions "
            f"and {nulls[row]:g} nulls. Name the channels, or leave the row out."
        )
    if blank.all():
        raise InputError(f"{source.name}: no row has a path.")
    if (lengths == 1).all():
        _check_separator(path, source, separator)
    if blank.any():
        notes.append(f"{int(blank.sum())} rows with neither path nor weight were left out.")
        spelling = spelling[~np.repeat(blank, lengths)]
    rows = np.flatnonzero(~blank)
    offsets = np.append(0, np.cumsum(lengths[rows]))
    if nameless.any() and nameless[spelling].any():
        touch = int(np.flatnonzero(nameless[spelling])[0])
        row = int(rows[np.searchsorted(offsets, touch, side="right") - 1])
        raise InputError(
            f"{source.place(row)}: column {path.name!r} is {path[row]!r}, which has a channel without a name."
        )
    channels = names.filter(~nameless).unique().sort()
    codes = channels.search_sorted(names).to_numpy().astype(np.int32)[spelling]
    return Journeys(tuple(channels), codes, offsets, conversions[rows], nulls[rows], value[rows], notes=tuple(notes))


def _check_separator(path: pl.Series, source: Source, separator: str) -> None:
    """No path has the separator: raise InputError if one has it without the spaces."""
    bare = separator.strip()
    tight = path.str.contains(bare, literal=True).arg_true()
    if bare != separator and len(tight):
        row = int(tight[0])
        raise InputError(
            f"{source.place(row)}: column {path.name!r} is {path[row]!r}; no path contains {separator!r}, "
            f"but this one contains {bare!r}. If that stands between channels, pass separator={bare!r} "
            f"(--separator {shlex.quote(bare)} on the command line)."
        )


def _optional(name: str | None, frame: pl.DataFrame, source: Source, given: set[str]) -> pl.Series | None:
    """A column that may be missing; but a misspelt one is an error, for it would silently count as zeros."""
    if name is None:
        return None
    asked_for = name not in (CHANNEL_ATTRIBUTION.value, CHANNEL_ATTRIBUTION.nulls)
    misspelt = get_close_matches(name, [c for c in frame.columns if c not in given], n=1, cutoff=0.8)
    if name in frame.columns or asked_for or misspelt:
        return column(frame, name, source, hint=_RENAME)
    return None


def _weights(values: pl.Series, source: Source, least: float = -np.inf) -> FloatArray:
    """(n,) floats, in a copy that Journeys may freeze."""
    return numbers(values, source, least=least).to_numpy().astype(np.float64)


def _texts(path: pl.Series, source: Source) -> pl.Series:
    if path.dtype not in (pl.String, pl.Categorical, pl.Enum, pl.Null):
        raise InputError(f"{source.name}: column {path.name!r} holds {path.dtype}, expected text like 'a > b'.")
    return path.cast(pl.String)
