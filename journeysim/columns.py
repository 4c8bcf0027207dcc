"""Columns of a table as times, numbers and words, with errors that name the row and the value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from journeysim.errors import InputError
from journeysim.yaml_files import did_you_mean

if TYPE_CHECKING:
    from journeysim.table_files import Source

_ISO_TIME = r"^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?) ?(Z|UTC|[+-]\d{2}(?::?\d{2})?)?)?$"


def column(frame: pl.DataFrame, name: str, source: Source, *, hint: str = "") -> pl.Series:
    """A column by name. Raises InputError that lists what there is; `hint` says what else one may do."""
    if name not in frame.columns:
        found = ", ".join(map(repr, frame.columns))
        near = did_you_mean(name, frame.columns)
        near = f" {near[0].upper()}{near[1:]}" if near.startswith("did") else ""
        raise InputError(f"{source.name}: there is no column {name!r}.{near} Found: {found}.{hint and ' ' + hint}")
    return frame[name]


def times(values: pl.Series, source: Source) -> pl.Series:
    """Datetimes, dates or ISO 8601 text as UTC microseconds; without a time zone they are taken as UTC.

    No other way of writing is guessed at: 01/02/2026 is in January to some and in February to others.

    Raises
    ------
    InputError : a time is missing or cannot be read
    """
    if values.dtype in (pl.String, pl.Categorical, pl.Enum):
        parsed = _iso_times(values)
    elif values.dtype == pl.Date or isinstance(values.dtype, pl.Datetime):
        zone = getattr(values.dtype, "time_zone", None)
        parsed = values.cast(pl.Datetime("us", zone))
        parsed = parsed.dt.convert_time_zone("UTC") if zone else parsed.dt.replace_time_zone("UTC")
    else:
        held = f"column {values.name!r} holds {values.dtype}"
        raise InputError(f"{source.name}: {held}, expected times such as 2026-01-31 14:30:00.")
    wrong = np.flatnonzero(parsed.is_null())
    if len(wrong):
        row = int(wrong[0])
        raise InputError(
            f"{source.place(row)}: {values.name} is {values[row]!r}, which is no time. Write it as 2026-01-31 14:30:00."
        )
    return parsed


def _iso_times(values: pl.Series) -> pl.Series:
    """UTC microseconds of ISO 8601 text, with and without zones in one column; null where it is none."""
    frame = pl.DataFrame({values.name: values.cast(pl.String).str.strip_chars()})
    date, clock, zone = (pl.col(values.name).str.extract(_ISO_TIME, group) for group in (1, 2, 3))
    offset = zone.str.replace("^(Z|UTC)$", "+00").str.replace(":", "")
    hours, minutes = (offset.str.slice(at, 2).cast(pl.Int64, strict=False).fill_null(0) for at in (1, 3))
    sign = pl.when(offset.str.starts_with("-")).then(-1).otherwise(1)
    local = (date + "T" + clock.fill_null("00:00")).str.to_datetime(time_unit="us", strict=False)
    return (
        frame.select(local - sign * pl.duration(hours=hours, minutes=minutes)).to_series().dt.replace_time_zone("UTC")
    )


def numbers(values: pl.Series, source: Source, *, least: float = -np.inf, blank: bool = False) -> pl.Series:
    """Finite numbers, also written as text; nulls only where `blank` allows them.

    Raises
    ------
    InputError : something else came, or a number below `least`
    """
    is_text = values.dtype in (pl.String, pl.Categorical, pl.Enum)
    if not (is_text or values.dtype.is_numeric() or values.dtype == pl.Null):
        raise InputError(f"{source.name}: column {values.name!r} holds {values.dtype}, expected numbers.")
    tidy = values.cast(pl.String) if is_text else values
    parsed = tidy.cast(pl.Float64, strict=False)
    if is_text and parsed.null_count():
        tidy = tidy.str.strip_chars()
        parsed = tidy.cast(pl.Float64, strict=False)
    good = (parsed.is_finite() & (parsed >= least)).fill_null(value=False)
    empty = ((tidy == "") if is_text else tidy.is_null()).fill_null(value=True)
    wrong = np.flatnonzero(~(good | empty) if blank else ~good)
    if len(wrong):
        row = int(wrong[0])
        came = values[row]
        if came is None or came == "":
            fault = "is blank; write 0 if there were none"
        elif parsed[row] is None:
            fault = f"is {came!r}, not a number (use a point for decimals and no separators of thousands)"
        else:
            fault = f"is {came!r}; it must be a finite number" + (f" >= {least:g}" if np.isfinite(least) else "")
        raise InputError(f"{source.place(row)}: column {values.name!r} {fault}.")
    return parsed
