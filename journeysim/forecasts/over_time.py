"""When does the gain arrive: the difference that each scenario has made by each day."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from journeysim.bayes.intervals import central
from journeysim.forecasts.asked import listed
from journeysim.forecasts.chains import Chains
from journeysim.forecasts.closed_form import amounts_of, check_grid, discount_per_day, money_draws
from journeysim.forecasts.result import LEVEL, ROUNDING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from journeysim.bayes.posterior import Posterior
    from journeysim.scenario import Scenario
    from journeysim.stage_money import StageMoney

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class GainsOverTime:
    """Differences to the baseline by day.

    Attributes
    ----------
    days : (T,) since customers started, evenly spaced from 0
    gains : by scenario and measure (N, T): scenario minus baseline, of all that happened up to each day. Conversion is
        a share of customers; purchases, revenue, cost, profit and clv are per customer
    currency : of money, or None if unknown
    left_in : (T,) each, the same, if simulated: whether Monte Carlo noise is more than half of the variance of a day,
        and left in, so that the interval is too wide; more customers per world make it sharper
    """

    days: FloatArray
    gains: Mapping[tuple[str, str], FloatArray]
    currency: str | None = None
    left_in: Mapping[tuple[str, str], NDArray[np.bool_]] = field(default_factory=dict)

    def half_by(self, scenario: str, measure: str) -> float:
        """The first of the days by which half of the mean gain at the last day has arrived for good; NaN without one.

        A gain may reverse on the way, as where costs come before revenue: then this is after the last day below half.
        """
        mean = self.gains[scenario, measure].mean(axis=0)
        if abs(mean[-1]) <= ROUNDING:
            return float("nan")
        below = np.flatnonzero(mean / mean[-1] < 0.5)
        return float(self.days[below[-1] + 1]) if len(below) else float(self.days[0])

    def to_frame(self) -> pl.DataFrame:
        """One row per scenario, measure and day: `scenario, measure, day, difference, low, high` (90% interval)."""
        frames = []
        for (scenario, measure), gain in self.gains.items():
            low, high = central(gain, LEVEL)
            numbers = {"day": self.days, "difference": gain.mean(axis=0), "low": low, "high": high}
            named = [pl.lit(scenario).alias("scenario"), pl.lit(measure).alias("measure")]
            frames.append(pl.DataFrame(numbers).select(*named, *numbers))
        schema = {"scenario": pl.String, "measure": pl.String}
        numbers_schema = dict.fromkeys(("day", "difference", "low", "high"), pl.Float64)
        return pl.concat(frames) if frames else pl.DataFrame(schema={**schema, **numbers_schema})


def gains_over_time(
    posterior: Posterior,
    scenarios: Scenario | Sequence[Scenario],
    days: FloatArray,
    *,
    money: StageMoney | None = None,
    yearly_discount: float = 0.0,
    seed: int = 0,
    require_converged: bool = True,
) -> GainsOverTime:
    """What each scenario has gained by each of `days` (T,), evenly spaced from 0; baseline and scenario share draws.

    Measures are conversion and purchases and, with `money`, revenue, cost, profit and clv.

    Raises
    ------
    InputError : `days` are not evenly spaced from 0, or as `forecast`
    """
    check_grid(days)
    chains = Chains(posterior)
    if require_converged:
        posterior.require_converged()
    draws = money_draws(money, posterior, seed)
    discount = discount_per_day(yearly_discount)

    def measures(scenario: Scenario | None) -> dict[str, FloatArray]:
        factors = chains.factors(scenario)
        found = {"conversion": chains.reached(factors, chains.purchases, days).sum(axis=(1, 3))}
        spent = chains.spent(factors, days, discount)
        for name, amounts in amounts_of(spent, draws).items():
            total = np.cumsum(amounts.sum(axis=1), axis=1)
            found[name] = np.concatenate([np.zeros((len(total), 1)), total], axis=1)
        return found

    before = measures(None)
    gains = {}
    for scenario in listed(scenarios):
        for name, after in measures(scenario).items():
            gains[scenario.name, name] = after - before[name]
    return GainsOverTime(np.asarray(days, dtype=np.float64), gains, money.currency if money else None)
