"""Forecast: baseline and scenarios draw by draw, whatever computed them, and the table of their differences."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import StringIO
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import polars as pl
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from journeysim.bayes.intervals import central, noise_rules, shortest_from_zero, without_noise
from journeysim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from rich.console import JustifyMethod

    FloatArray = NDArray[np.float64]

LEVEL: Final = 0.9
"""Of the intervals in tables and plots."""

ROUNDING: Final = 1e-9
"""Differences below this are rounding: the scenario does not touch the measure."""

SHARES: Final = ("conversion", "retention")
"""Measures that are shares of customers; all others are amounts per customer."""

RETAINED: Final = "retained buyers"
"""Conversion times retention, of all customers: what `retention` is when it is counted in buyers. Not in tables."""

LOWER_IS_BETTER: Final = ("cost",)


@dataclass(frozen=True, slots=True, eq=False)
class Measures:
    """What one version of the world does, one number per draw.

    Attributes
    ----------
    conversion : (N,) share of customers who purchase within `conversion_days`
    retention : (N,) share of these who are still active customers `retention_days` after the first purchase
    more : (N,) each, per customer over `horizon_days`, by name: purchases, revenue, cost (of contacts), profit
        (revenue minus cost), clv (profit, discounted)
    by_segment : (N, G) of each measure, for the customers of each segment; NaN is a retention where nobody converts
    """

    conversion: FloatArray
    retention: FloatArray
    more: Mapping[str, FloatArray] = field(default_factory=dict)
    by_segment: Mapping[str, FloatArray] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The measures there are."""
        return (*SHARES, *self.more)

    def of(self, measure: str, segment: int | None = None) -> FloatArray:
        """(N,) one measure, or `RETAINED`, of all customers or of one segment. Raises InputError if there is none."""
        if measure == RETAINED:
            bought, kept = self.of("conversion", segment), self.of("retention", segment)
            return np.where(bought > 0, bought * kept, 0.0)
        if measure not in self.names:
            raise InputError(
                f"This forecast has no {measure!r}, only {', '.join((*self.names, RETAINED))}; ask for more with "
                "horizon_days= and money=to_stage_money(log, by=...)."
            )
        if segment is not None:
            return self.by_segment[measure][:, segment]
        return np.asarray(getattr(self, measure) if measure in SHARES else self.more[measure])


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """Baseline and scenarios, draw by draw.

    Attributes
    ----------
    conversion_days, retention_days : the horizons
    baseline : the measures without any change
    scenarios : the K names
    changed : (K,) measures under each scenario, on the same draws as the baseline
    unseen : (K,) what each scenario changes but nobody was seen to do, such as "exit from loyalty"; mostly empty
    segments : the G names
    horizon_days : over which purchases and money are counted; None if they are not
    currency : of money, or None if unknown
    source : how it was computed
    noise : by scenario and measure, standard deviation of the Monte Carlo noise in a difference draw by draw; empty in
        closed form. `difference` has it removed from the spread, see there
    noise_by_segment : (G,) each, the same for each segment
    """

    conversion_days: float
    retention_days: float
    baseline: Measures
    scenarios: tuple[str, ...]
    changed: tuple[Measures, ...]
    unseen: tuple[tuple[str, ...], ...]
    segments: tuple[str, ...] = ()
    horizon_days: float | None = None
    currency: str | None = None
    source: Literal["closed form", "simulated"] = "closed form"
    noise: Mapping[tuple[str, str], float] = field(default_factory=dict)
    noise_by_segment: Mapping[tuple[str, str], FloatArray] = field(default_factory=dict)

    def __repr__(self) -> str:
        return (
            f"Forecast({len(self.scenarios)} scenario{'' if len(self.scenarios) == 1 else 's'}, conversion within "
            f"{self.conversion_days:g} days, retention at {self.retention_days:g} days, "
            f"{len(self.baseline.conversion):,} draws, {self.source})"
        )

    def __str__(self) -> str:
        """The table in 80 columns: shares in percent, their differences and 90% intervals in percentage points."""
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        heading = "difference\n(pp)" if not self.baseline.more else "difference"
        for name in ("scenario", "measure", "days", "baseline", "forecast", heading, "90% interval"):
            side: JustifyMethod = "left" if name in ("scenario", "measure") else "right"
            table.add_column(name, justify=side, overflow="fold", no_wrap=name != "scenario")
        for (scenario,), rows in self.to_frame().group_by("scenario", maintain_order=True):
            cells = zip(*(_in_words(row, self.source) for row in rows.iter_rows(named=True)), strict=True)
            table.add_row(Text(str(scenario)), *map("\n".join, cells))
        console = Console(file=StringIO(), width=80, color_system=None)
        with console.capture() as capture:
            console.print(table)
            if self.baseline.more:
                console.print(f"Amounts are per customer, in {self.currency or 'the currency of the log'}; ")
                console.print("differences of shares are percentage points.")
            if self.noise:
                console.print(Text(self._told_noise()))
            for note in self.notes:
                console.print(Text(note))
        return "\n".join(line.rstrip() for line in capture.get().strip("\n").splitlines()).rstrip()

    def difference(self, scenario: str, measure: str, segment: str | None = None) -> FloatArray:
        """(N,) scenario minus baseline, for any measure, of all customers or one segment.

        Of a simulation, Monte Carlo noise is taken off the spread of draws, so that it is that of what is not known;
        but for where it is more than half of their variance: `left_in`, `journeysim.bayes.intervals.without_noise`.

        Raises
        ------
        InputError : there is no such scenario, measure or segment
        """
        found, noise = self._simulated(scenario, measure, segment)
        return without_noise(found, noise) if noise > 0 else found

    def left_in(self, scenario: str, measure: str, segment: str | None = None) -> bool:
        """Whether Monte Carlo noise is more than half of the variance, and left in: the interval is too wide then."""
        found, noise = self._simulated(scenario, measure, segment)
        return bool(noise > 0 and noise_rules(found, noise))

    def may_be_none(self, scenario: str, measure: str = "conversion", segment: str | None = None) -> bool:
        """Whether a simulated difference that lies on one side of 0 may still be none.

        Fitted pulls are positive in every draw, so that no draw of dropping a channel says "no effect". It may be none
        where the shortest interval from 0 on begins there (`journeysim.bayes.intervals.shortest_from_zero`).
        """
        return self._interval(self.difference(scenario, measure, segment))[2]

    def interval(self, scenario: str, measure: str, segment: str | None = None) -> tuple[float, float]:
        """The central 90% interval of a difference; where it may be none the shortest one, with 0 as a bound."""
        return self._interval(self.difference(scenario, measure, segment))[:2]

    def _interval(self, difference: FloatArray) -> tuple[float, float, bool]:
        """Low, high, and whether the difference may be none."""
        low, high = central(difference, LEVEL)
        if self.source == "simulated" and low * high > 0:
            nearest, most = shortest_from_zero(np.abs(difference), LEVEL)
            if nearest == 0:
                return (0.0, float(most), True) if difference.mean() > 0 else (-float(most), 0.0, True)
        return float(low), float(high), False

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before reading probabilities and money: scenarios that may do nothing."""
        names = [name for name in self.scenarios if self.may_be_none(name)]
        if not names:
            return ()
        return (
            f"The effect of {', '.join(names)} on conversion may be none: the log does not tell it from 0, but fitted "
            "pulls are positive in every draw. Probabilities, revenue and profit then lean towards an effect; if there "
            "is none, only what contacts cost changes. twin_attribution says what each channel does.",
        )

    def _simulated(self, scenario: str, measure: str, segment: str | None) -> tuple[FloatArray, FloatArray]:
        """(N,) differences as they were computed, and () the variance of the noise in each of them."""
        for what, name, names in (("scenario", scenario, self.scenarios), ("segment", segment, self.segments)):
            if name is not None and name not in names:
                raise InputError(f"This forecast has no {what} {name!r}, only {', '.join(names) or 'none'}.")
        changed = self.changed[self.scenarios.index(scenario)]
        at = None if segment is None else self.segments.index(segment)
        found = np.asarray(changed.of(measure, at) - self.baseline.of(measure, at))
        if at is None:
            return found, np.array(self.noise.get((scenario, measure), 0.0) ** 2)
        by_segment = self.noise_by_segment.get((scenario, measure))
        return found, np.array(0.0 if by_segment is None else by_segment[at] ** 2)

    def days_of(self, measure: str) -> float | None:
        """The horizon of a measure."""
        shares = {"conversion": self.conversion_days, "retention": self.retention_days}
        return shares.get(measure, self.horizon_days)

    def to_frame(self, *, by_segment: bool = False) -> pl.DataFrame:
        """One row per scenario and measure.

        Columns: scenario, measure, days, baseline, forecast (posterior means: shares of customers, or amounts per
        customer), difference with its 90% interval low to high (`interval`), and p_improves, the posterior probability
        that the difference is for the better: positive, or negative for a cost (null where the scenario cannot change
        the measure at all, see `chance`); and unseen, what the scenario changes but nobody was seen to do, so that the
        fit knows nothing of it. With `by_segment`, one row per segment too, and a column `segment` in front.
        """
        rows = []
        for segment in self.segments if by_segment else (None,):
            at = None if segment is None else self.segments.index(segment)
            for scenario, changed, unseen in zip(self.scenarios, self.changed, self.unseen, strict=True):
                for measure in self.baseline.names:
                    difference = self.difference(scenario, measure, segment)
                    low, high, _ = self._interval(difference)
                    can_change = bool(np.abs(difference).max() > ROUNDING)
                    better = -difference if measure in LOWER_IS_BETTER else difference
                    row = {
                        "scenario": scenario,
                        "measure": measure,
                        "days": self.days_of(measure),
                        "baseline": float(self.baseline.of(measure, at).mean()),
                        "forecast": float(changed.of(measure, at).mean()),
                        "difference": float(difference.mean()),
                        "low": low,
                        "high": high,
                        "p_improves": float(chance(better > ROUNDING, self.source)) if can_change else None,
                        "unseen": ", ".join(unseen) or None,
                    }
                    rows.append({"segment": segment, **row} if by_segment else row)
        numbers = ("days", "baseline", "forecast", "difference", "low", "high", "p_improves")
        words = dict.fromkeys((*(("segment",) if by_segment else ()), "scenario", "measure"), pl.String)
        return pl.DataFrame(rows, schema={**words, **dict.fromkeys(numbers, pl.Float64), "unseen": pl.String})

    def _told_noise(self) -> str:
        """What was done about Monte Carlo noise, and what to do where it was left in."""
        told = f"Simulated in {len(self.baseline.conversion):,} worlds; Monte Carlo noise is taken off the intervals."
        ruled = [(name, [m for m in self.baseline.names if self.left_in(name, m)]) for name in self.scenarios]
        noisy = "; ".join(f"{name}: {', '.join(measures)}" for name, measures in ruled if measures)
        if not noisy:
            return told
        return (
            f"{told[:-1]} where it is at most half of the variance between draws. It is more, and left in, so that the "
            f"interval is too wide, of {noisy}. More customers per world (n_customers) make these sharper."
        )


def chance(hits: NDArray[np.bool_], source: str) -> FloatArray:
    """(...) share of (N, ...) draws that hit; of N simulated ones, no nearer to 0 or 1 than 1 / (N + 1).

    Simulated draws are few and drawn towards their mean, so that none on the other side is no proof.
    """
    least = 1 / (len(hits) + 1) if source == "simulated" else 0.0
    return np.asarray(np.clip(hits.mean(axis=0), least, 1 - least))


def _in_words(row: Mapping[str, Any], source: str) -> list[str]:
    """The cells of a row of `to_frame`, from the measure on."""
    share = row["measure"] in SHARES
    told = [row["measure"], f"{row['days']:g}"]
    told += [f"{row[name]:.2%}" if share else f"{row[name]:,.3f}" for name in ("baseline", "forecast")]
    if row["p_improves"] is None:
        none = "no change" if source == "closed form" else "none seen"  # customers who are simulated may all be alike
        return [*told, "not seen" if row["unseen"] else none, ""]
    difference, low, high = (
        signed(100 * row[name]) if share else f"{row[name]:+,.3f}" for name in ("difference", "low", "high")
    )
    return [*told, difference, f"{low} to {high}"]


def signed(number: float) -> str:
    """A difference with its sign and two decimals; what rounds to nothing has no sign."""
    return f"{number:+.2f}" if round(number, 2) else "0.00"
