"""When does the gain arrive, over worlds drawn from a posterior: by simulation, for scenarios that change anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from journeysim.bayes.intervals import noise_rules, without_noise
from journeysim.event_columns import KINDS
from journeysim.events import microseconds
from journeysim.forecasts.asked import listed
from journeysim.forecasts.closed_form import check_grid, discount_per_day
from journeysim.forecasts.over_time import GainsOverTime
from journeysim.forecasts.simulated import draws_of_worlds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from journeysim.events import EventLog
    from journeysim.scenario import Scenario
    from journeysim.spec import World

    FloatArray = NDArray[np.float64]


def gains_over_time_of_worlds(
    worlds: Sequence[Mapping[str, World]],
    weights: FloatArray,
    scenarios: Scenario | Sequence[Scenario],
    days: FloatArray,
    *,
    n_customers: int,
    seed: int,
    yearly_discount: float = 0.0,
    on_progress: Callable[[int], None] | None = None,
) -> GainsOverTime:
    """What each scenario has gained by each of `days`, in every world of a posterior; the result of `gains_over_time`.

    Simulated as in `forecast_worlds`, on common random numbers; measures are conversion, purchases, revenue, cost,
    profit and clv. The Monte Carlo noise of each day is taken off the spread between draws, as there,
    or left in where it is more than half of it (`GainsOverTime.left_in`).

    Parameters
    ----------
    worlds, weights, n_customers, seed : as in `forecast_worlds`
    days : (T,) evenly spaced from 0
    on_progress : called with the number of draws that are finished

    Raises
    ------
    InputError : `days` are not evenly spaced from 0, or as `forecast_worlds`
    """
    from journeysim.simulation.whatif import changed_worlds, run_version, standard_error

    check_grid(days)
    scenarios = listed(scenarios)
    segments, shares, seeds = draws_of_worlds(worlds, weights, scenarios, seed)
    horizon, discount = float(days[-1]), discount_per_day(yearly_discount)
    gains: dict[tuple[str, str], FloatArray] = {}
    variances: dict[tuple[str, str], FloatArray] = {}
    for n, draw in enumerate(worlds):
        for g, segment in enumerate(segments):
            world, own = draw[segment], int(seeds[n, g])

            def simulated(version: World, own: int = own) -> dict[str, FloatArray]:
                log = run_version(version, n_customers=n_customers, horizon_days=horizon, seed=own)
                return amounts_by_day(log, days, discount)

            versions = changed_worlds(
                world,
                scenarios,
                n_customers=n_customers,
                conversion_days=horizon / 2,
                retention_days=horizon / 2,
                seed=own,
            )
            before = simulated(world)
            for scenario, version in zip(scenarios, versions, strict=True):
                for measure, amounts in simulated(version).items():
                    gain, key = amounts - before[measure], (scenario.name, measure)
                    gains.setdefault(key, np.zeros((len(worlds), len(days))))[n] += shares[n, g] * gain.mean(axis=0)
                    error = shares[n, g] * standard_error(gain, world, version)
                    variances.setdefault(key, np.zeros(len(days)))[:] += error**2 / len(worlds)
        if on_progress is not None:
            on_progress(n + 1)
    sharp = {key: without_noise(gain, variances[key]) for key, gain in gains.items()}
    left_in = {key: noise_rules(gain, variances[key]) for key, gain in gains.items()}
    return GainsOverTime(np.asarray(days, dtype=np.float64), sharp, next(iter(worlds[0].values())).currency, left_in)


def amounts_by_day(log: EventLog, days: FloatArray, discount_per_day: float) -> dict[str, FloatArray]:
    """(n, T) each: whether a customer has converted, and purchases and money of a customer, up to each of `days`."""
    kinds, who = log.codes("kind", KINDS), log.customer_codes()
    at = (log.times_us() - microseconds(log.start)) / 86_400e6
    by = np.searchsorted(days, at, side="left")  # the first of `days` by which it has happened

    def summed(kind: str, amounts: FloatArray) -> FloatArray:
        rows = (kinds == KINDS.index(kind)) & (by < len(days))
        found = np.zeros((log.n_customers, len(days)))
        np.add.at(found, (who[rows], by[rows]), amounts[rows])
        return np.cumsum(found, axis=1)

    value, cost = (log.events[column].to_numpy() for column in ("value", "cost"))
    now = np.exp(-discount_per_day * at)
    purchases = summed("purchase", np.ones(len(who)))
    revenue, spent = summed("purchase", value), summed("touch", cost)
    return {
        "conversion": np.minimum(purchases, 1.0),
        "purchases": purchases,
        "revenue": revenue,
        "cost": spent,
        "profit": revenue - spent,
        "clv": summed("purchase", value * now) - summed("touch", cost * now),
    }
