"""Lift tests: what randomised experiments found that a channel causes, as evidence for an attribution."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import polars as pl

from journeysim.errors import InputError
from journeysim.table_files import read_table
from journeysim.yaml_files import did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

Unit = Literal["conversions", "share", "value"]
UNITS: tuple[Unit, ...] = get_args(Unit)


@dataclass(frozen=True, slots=True)
class LiftTest:
    """What a randomised holdout or geo test found: the effect of a channel in a period, and how sure that is.

    The effect is what was there because of the channel and would have been lost without it, scaled to the whole
    population of the attribution. It may be zero or negative. A lift over the holdout, y = (with - without) / without,
    is the share y / (1 + y) of the conversions.

    Attributes
    ----------
    channel : as the attribution calls it
    effect : in `unit`
    standard_error : of the effect, in the same unit, > 0
    unit : `conversions` (a number), `share` (of all conversions, 0.05 is 5%) or `value` (in the currency of the log)
    start, end : first and last day of the test, both or neither
    total : all conversions (or all the value) in the period of the test, whether or not they had a touch; needed for
        a number or a value if that period is not the one of the attribution
    """

    channel: str
    effect: float
    standard_error: float
    unit: Unit = "conversions"
    start: date | None = None
    end: date | None = None
    total: float | None = None

    def __post_init__(self) -> None:
        where = f"Lift test of {self.channel!r}"
        if self.unit not in UNITS:
            raise InputError(f"{where}: unit is {self.unit!r}; {did_you_mean(self.unit, UNITS)}")
        if not np.isfinite(self.effect):
            raise InputError(f"{where}: effect is {self.effect!r}; it must be a finite number.")
        if not 0 < self.standard_error < np.inf:
            raise InputError(
                f"{where}: standard_error is {self.standard_error!r}; it must be a number above 0, for no test is "
                "without error. From a 95% interval it is its width / 3.92."
            )
        if self.unit == "share" and not abs(self.effect) <= 1:
            raise InputError(
                f"{where}: effect is {self.effect:g} in unit 'share'; a share is at most 1 (0.05 is 5%). A lift y over "
                "the holdout is the share y / (1 + y)."
            )
        if self.total is not None and (self.unit == "share" or not 0 < self.total < np.inf):
            raise InputError(
                f"{where}: total is {self.total!r}; it must be a number above 0, and a test in shares has none."
            )
        if (self.start is None) != (self.end is None):
            raise InputError(f"{where}: give both, start and end, or neither.")
        if self.start is not None and self.end is not None and self.end < self.start:
            raise InputError(f"{where}: it ends on {self.end}, before it starts on {self.start}.")

    @property
    def period(self) -> tuple[date, date] | None:
        """First and last day, where they are known."""
        return None if self.start is None or self.end is None else (self.start, self.end)


def read_lift_tests(path: str | Path) -> tuple[LiftTest, ...]:
    """Lift tests from a table (CSV or Parquet): one row per test.

    Columns: channel, effect, standard_error, and where wanted unit, start, end (days as 2026-03-01) and total; blank
    is the default.

    Raises
    ------
    InputError : no such file, a column is missing or unknown, or a field makes no sense; with the line
    """
    known = tuple(LiftTest.__dataclass_fields__)
    frame, source = read_table(path, wanted=known)
    for name in frame.columns:
        if name not in known:
            raise InputError(f"{source.name}: unknown column {name!r}; {did_you_mean(name, known)}")
    for name in known[:3]:
        if name not in frame.columns:
            raise InputError(f"{source.name}: there is no column {name!r}; lift tests need {', '.join(known[:3])}.")
    tests = []
    for i, row in enumerate(frame.with_columns(pl.all().cast(pl.String).str.strip_chars()).iter_rows(named=True)):
        fields = {name: _parsed(name, text, source.place(i)) for name, text in row.items() if text}
        missing = next((name for name in known[:3] if name not in fields), None)
        if missing:
            raise InputError(f"{source.place(i)}: {missing} is blank.")
        try:
            tests.append(LiftTest(**fields))  # type: ignore[arg-type]  # the constructor checks
        except InputError as error:
            raise InputError(f"{source.place(i)}: {error}") from None
    return tuple(tests)


def _parsed(name: str, text: str, place: str) -> object:
    try:
        if name in ("effect", "standard_error", "total"):
            return float(text)
        return date.fromisoformat(text[:10]) if name in ("start", "end") else text
    except ValueError:
        wanted = "a day such as 2026-03-01" if name in ("start", "end") else "a number, with a point for decimals"
        raise InputError(f"{place}: {name} is {text!r}; expected {wanted}.") from None
