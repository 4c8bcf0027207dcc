"""Attribution beside lift tests: the effects of channels before and after the tests, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from journeysim.attribution.base import Attribution
from journeysim.attribution.money import cost_column
from journeysim.attribution.uncertainty import UncertainAttribution, as_text, central_interval, in_proportion
from journeysim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from journeysim.attribution.lift_tests import LiftTest

    FloatArray = NDArray[np.float64]

When = Literal["before", "after"]
Effect = Literal["conversions", "share", "value"]


@dataclass(frozen=True, slots=True)
class TestAgreement:
    """A lift test beside the attribution, all numbers in conversions of the attribution's journeys.

    Attributes
    ----------
    test : as it was given
    effect, standard_error : what the test found, with the allowance for another period
    credited, z_credit : the credit, and how many standard deviations the test is above it if credit were the effect
    expected, z_expected : the effect expected before any test, and the same number of standard deviations for it
    """

    __test__ = False  # to pytest this is no test

    test: LiftTest
    effect: float
    standard_error: float
    credited: float
    z_credit: float
    expected: float
    z_expected: float

    @property
    def verdict(self) -> str:
        """The difference from the credit in words."""
        if abs(self.z_credit) < 2:
            return "no clear difference from the credit"
        how = "" if abs(self.z_credit) < 4 else "far "
        return f"{how}{'more' if self.z_credit > 0 else 'less'} than the credit"


@dataclass(frozen=True, slots=True, eq=False)
class CalibratedAttribution:
    """The effect of each channel, before and after lift tests: D draws each, made of the same random numbers.

    An effect is what would be lost without the channel. Effects may be negative, and need not add up to the
    conversions; `credit` shares these out in proportion to the effects.

    Attributes
    ----------
    attribution : whose credit it was
    tests : each test, and how well it agrees with the credit
    before, after : (D, C) conversions that each channel causes, among those of the attribution
    value_each : (D, C) value per conversion of each channel in the draws of the attribution
    rows : (D,) the draws of the attribution that `after` was made of; `before` was made of each in turn
    factor_before, factor_after : (D,) effect per unit of credit, on average over channels
    effective_draws : how many equally probable draws of the attribution the tests left; D where they say nothing of it
    settings : seed and prior
    notes : what a reader should know, in sentences
    """

    attribution: UncertainAttribution
    tests: tuple[TestAgreement, ...]
    before: FloatArray
    after: FloatArray
    value_each: FloatArray
    rows: NDArray[np.int64]
    factor_before: FloatArray
    factor_after: FloatArray
    effective_draws: float
    settings: Mapping[str, object]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("before", "after", "value_each", "rows", "factor_before", "factor_after"):
            getattr(self, name).setflags(write=False)
        object.__setattr__(self, "settings", dict(self.settings))  # ours alone, and it pickles

    @property
    def channels(self) -> tuple[str, ...]:
        """The C channel names."""
        return self.attribution.channels

    def draws(self, when: When = "after", *, of: Effect = "conversions") -> FloatArray:
        """(D, C) draws of the effects: conversions, share of all conversions (touched or not), or value.

        The value of what a channel causes is its conversions times what its credited conversions are worth.

        Raises
        ------
        InputError : for something else
        """
        if when not in ("before", "after"):
            raise InputError(f"There are draws before and after the tests, not {when!r}.")
        conversions = self.before if when == "before" else self.after
        if of == "conversions":
            return conversions
        if of == "share":
            point = self.attribution.point
            return conversions / (point.total_conversions + point.untouched_conversions)
        if of == "value":
            return conversions * (self.value_each if when == "before" else self.value_each[self.rows])
        raise InputError(f"There are no effects in {of!r}; there are: conversions, share, value.")

    def interval(self, level: float = 0.9, *, when: When = "after", of: Effect = "conversions") -> FloatArray:
        """(2, C) lower and upper end of the central interval of each effect. Raises as `draws`."""
        return central_interval(self.draws(when, of=of), level)

    def credit(self, when: When = "after") -> UncertainAttribution:
        """Conversions and value shared out in proportion to the mean effects, and in each draw to its effects.

        Effects below zero get nothing. Draws in which no channel has an effect above zero have nothing to share out and
        are left out; a note says so.

        Raises
        ------
        InputError : if that is half of the draws or more
        """
        point, effects = self.attribution.point, self.draws(when)
        some = (effects > 0).any(axis=1)
        mean = np.maximum(effects.mean(axis=0), 0.0)
        if some.mean() <= 0.5 or not mean.any():
            raise InputError(
                f"In {1 - some.mean():.0%} of the draws no channel has an effect above zero: there is no basis for "
                "credit. Use the effects themselves."
            )
        above = np.maximum(effects[some], 0.0)
        each = (self.value_each if when == "before" else self.value_each[self.rows])[some]
        notes = ["Credit in proportion to effects; those below zero get none."]
        if not some.all():
            notes.append(f"In {1 - some.mean():.1%} of the draws no channel has an effect; they were left out.")
        worth = in_proportion((mean * each.mean(axis=0))[None], point.total_value)[0]
        return UncertainAttribution(
            point=Attribution(
                f"{point.method}, {when} lift tests",
                point.settings,
                point.channels,
                mean * (point.total_conversions / mean.sum()),
                worth,
                untouched_conversions=point.untouched_conversions,
                untouched_value=point.untouched_value,
            ),
            source=self.attribution.source,
            share=in_proportion(above, 1.0),
            value=in_proportion(above * each, point.total_value),
            settings=self.settings,
            notes=(*notes, *self.notes),
        )

    def returns(self, costs: Mapping[str, float], level: float = 0.9) -> pl.DataFrame:
        """Cost per incremental conversion, and incremental return on spend, before and after the tests.

        Columns: channel; cost; and for `before` and `after` conversions, cost_per_conversion and return_on_spend (value
        caused / cost), the last two with `_low` and `_high`. A cost per conversion is infinite where the channel may
        cause none; a return without spend is null.

        Raises
        ------
        InputError : as `journeysim.attribution.returns`
        """
        cost = cost_column(self.attribution.channels, costs)
        columns: dict[str, object] = {"channel": pl.Series(self.channels, dtype=pl.String), "cost": cost}
        free = cost == 0
        for when in ("before", "after"):
            conversions, value = self.draws(when), self.draws(when, of="value")
            caused = np.vstack([conversions.mean(axis=0), central_interval(conversions, level)[::-1]])
            earned = np.vstack([value.mean(axis=0), central_interval(value, level)])
            with np.errstate(divide="ignore", invalid="ignore"):
                per_conversion = np.where(free, 0.0, np.where(caused > 0, cost / caused, np.inf))
                on_spend = np.where(free, np.nan, earned / cost)
            columns[f"{when}_conversions"] = caused[0]
            for i, suffix in enumerate(("", "_low", "_high")):
                columns[f"{when}_cost_per_conversion{suffix}"] = per_conversion[i]
            for i, suffix in enumerate(("", "_low", "_high")):
                columns[f"{when}_return_on_spend{suffix}"] = on_spend[i]
        frame = pl.DataFrame(columns).with_columns(pl.col("^.*return_on_spend.*$").fill_nan(None))
        return frame.sort("cost", "channel", descending=[True, False])

    def to_frame(self, level: float = 0.9) -> pl.DataFrame:
        """One row per channel, the largest effect after the tests first.

        Columns: channel; n_tests; credited (conversions); before and after (conversions caused), after_share (of all
        conversions) and after_value, each with `_low` and `_high`.
        """
        tested = [found.test.channel for found in self.tests]
        credit = self.attribution
        columns: dict[str, object] = {
            "channel": pl.Series(self.channels, dtype=pl.String),
            "n_tests": [tested.count(channel) for channel in self.channels],
        }

        def add(name: str, point: FloatArray, interval: FloatArray) -> None:
            for suffix, column in zip(("", "_low", "_high"), (point, *interval), strict=True):
                columns[name + suffix] = column

        add("credited", credit.point.conversions, credit.interval(level, of="conversions"))
        for when in ("before", "after"):
            add(when, self.draws(when).mean(axis=0), self.interval(level, when=when))
        for of in ("share", "value"):
            add(f"after_{of}", self.draws(of=of).mean(axis=0), self.interval(level, of=of))
        return pl.DataFrame(columns).sort("after", "channel", descending=[True, False])

    def tests_frame(self) -> pl.DataFrame:
        """One row per test.

        Columns: channel, start, end; effect, standard_error, credited and expected in conversions of the attribution's
        journeys; z_credit, z_expected; verdict.
        """
        names = ("effect", "standard_error", "credited", "z_credit", "expected", "z_expected", "verdict")
        schema = {"channel": pl.String, "start": pl.Date, "end": pl.Date}
        rows = [
            (found.test.channel, found.test.start, found.test.end, *(getattr(found, name) for name in names))
            for found in self.tests
        ]
        numbers = {name: pl.String if name == "verdict" else pl.Float64 for name in names}
        return pl.DataFrame(rows, schema={**schema, **numbers}, orient="row")

    def __rich__(self) -> Group:
        point = self.attribution.point
        count = ",.0f" if point.total_conversions >= 1_000 else ",.1f"
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column("channel", overflow="fold")
        table.add_column("credited", justify="right", no_wrap=True)
        for when in ("before", "after"):
            table.add_column(f"caused {when} tests,\n90% interval", justify="right", no_wrap=True)
        table.add_column("tests", justify="right", no_wrap=True)
        for row in self.to_frame().iter_rows(named=True):
            caused = [
                f"{row[when]:{count}}\n{row[when + '_low']:{count}} to {row[when + '_high']:{count}}"
                for when in ("before", "after")
            ]
            table.add_row(Text(row["channel"]), f"{row['credited']:{count}}", *caused, str(row["n_tests"] or ""))
        settings = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        n_tests = f"{len(self.tests)} lift test{'' if len(self.tests) == 1 else 's'}"
        title = f"What channels cause: credit by {point.method}, and {n_tests} ({settings})"
        factors = [
            f"{factor.mean():.2f} ({low:.2f} to {high:.2f})"
            for factor in (self.factor_before, self.factor_after)
            for low, high in [central_interval(factor, 0.9)]
        ]
        notes = [
            f"Per conversion credited, channels cause on average {factors[0]} before the tests and {factors[1]} after.",
            "Caused: conversions that would be lost without the channel. They need not add up to the conversions.",
            *self.notes,
        ]
        tests = [self._tests_table(count)] if self.tests else []
        return Group(Text(title, style="bold"), table, *tests, *(Text(f"- {note}") for note in notes))

    def _tests_table(self, count: str) -> Table:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        table.add_column("test of", overflow="fold")
        for head in ("period", "found", "credited", "off by"):
            table.add_column(head, justify="right", no_wrap=True)
        table.add_column("the test finds", overflow="fold")
        for found in self.tests:
            period = "" if found.test.period is None else f"{found.test.start} to\n{found.test.end}"
            table.add_row(
                Text(found.test.channel),
                period,
                f"{found.effect:{count}} ± {found.standard_error:{count}}",
                f"{found.credited:{count}}",
                f"{found.z_credit:+.1f} sd",
                found.verdict,
            )
        return table

    def __str__(self) -> str:
        return as_text(self)
