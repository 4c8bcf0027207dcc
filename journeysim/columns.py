"""Columns of times and numbers from any frame, with errors that name the row and the value."""

from __future__ import annotations

import polars as pl

from journeysim.errors import InputError


def parse_times(column: pl.Series, source: str, name: str) -> pl.Series:
    """A column of datetimes, dates or ISO 8601 text as UTC microseconds.

    Raises
    ------
    InputError : a time is missing or cannot be read; with the row and the value
    """
    if column.dtype == pl.String:
        times = column.str.to_datetime(time_unit="us", time_zone="UTC", strict=False)
    elif column.dtype == pl.Date or isinstance(column.dtype, pl.Datetime):
        zone = getattr(column.dtype, "time_zone", None)
        times = column.cast(pl.Datetime("us", zone))
        times = times.dt.convert_time_zone("UTC") if zone else times.dt.replace_time_zone("UTC")
    else:
        raise InputError(f"{source}: column {name!r} holds {column.dtype}, expected times such as 2026-01-31 14:30:00.")
    if times.null_count():
        row = int(times.is_null().arg_max() or 0)
        raise InputError(
            f"{source}: row {row + 1}: {name} is {column[row]!r}, which is no time. Write it as 2026-01-31 14:30:00."
        )
    return times.alias("time")


def parse_numbers(column: pl.Series, source: str) -> pl.Series:
    """A column of numbers or text as floats; empty stays empty.

    Raises
    ------
    InputError : something is neither empty nor a number; with the row and the value
    """
    numbers = column.cast(pl.Float64, strict=False)
    given = column.str.strip_chars().fill_null("") != "" if column.dtype == pl.String else column.is_not_null()
    wrong = numbers.is_null() & given
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        raise InputError(f"{source}: row {row + 1}: {column.name} is {column[row]!r}, which is no number.")
    return numbers
