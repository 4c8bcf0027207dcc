"""What the simulator says of a scenario: the same customers with and without it, on the same draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from journeysim.errors import InputError
from journeysim.events import KINDS, microseconds
from journeysim.moves import LAPSED
from journeysim.simulation.engine import simulate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from journeysim.events import EventLog
    from journeysim.scenario import Scenario
    from journeysim.spec import World

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SimulatedChange:
    """Differences scenario minus baseline, in shares of customers, with their Monte Carlo standard errors.

    Conversion is purchasing within `conversion_days`; retention is having been neither lost nor lapsed for
    `retention_days` after the first purchase, among those who converted.
    """

    scenario: str
    n_customers: int
    conversion_baseline: float
    conversion: float
    conversion_error: float
    retention_baseline: float
    retention: float
    retention_error: float


def simulate_changes(
    world: World,
    scenarios: Sequence[Scenario],
    *,
    n_customers: int,
    conversion_days: float,
    retention_days: float,
    seed: int,
) -> list[SimulatedChange]:
    """Simulate each scenario and the baseline on common random numbers.

    Every customer is followed for conversion_days + retention_days, so that nobody is censored. The standard error of
    a difference of two ratios r/y comes from (r - R y) / mean(y), customer by customer (delta method).

    Raises
    ------
    InputError : a horizon is not positive, there are fewer than two customers, or as `simulate` and `Scenario.apply`
    """
    for name, days in (("conversion_days", conversion_days), ("retention_days", retention_days)):
        if not days > 0:
            raise InputError(f"{name} is {days}; it must be a positive number of days.")
    if n_customers < 2:
        raise InputError(f"n_customers is {n_customers}; a standard error needs two at least.")

    def run(version: World) -> tuple[FloatArray, FloatArray]:
        horizon = conversion_days + retention_days
        log = simulate(version, n_customers=n_customers, horizon_days=horizon, seed=seed)
        return _outcomes(log, conversion_days, retention_days)

    bought0, active0 = run(world)
    changes = []
    for scenario in scenarios:
        bought, active = run(scenario.apply(world))
        change_error = (bought - bought0).std(ddof=1) / np.sqrt(n_customers)
        influence = _ratio_influence(active, bought) - _ratio_influence(active0, bought0)
        changes.append(
            SimulatedChange(
                scenario=scenario.name,
                n_customers=n_customers,
                conversion_baseline=float(bought0.mean()),
                conversion=float(bought.mean() - bought0.mean()),
                conversion_error=float(change_error),
                retention_baseline=_ratio(active0, bought0),
                retention=_ratio(active, bought) - _ratio(active0, bought0),
                retention_error=float(influence.std(ddof=1) / np.sqrt(n_customers)),
            )
        )
    return changes


def _outcomes(log: EventLog, conversion_days: float, retention_days: float) -> tuple[FloatArray, FloatArray]:
    """(n_customers,) whether each converted in time, and whether each of these was active for so long after it."""
    kinds, who = log.codes("kind", KINDS), log.customer_codes()
    days = (log.times_us() - microseconds(log.start)) / 86_400e6
    bought_at, gone_at = np.full(log.n_customers, np.inf), np.full(log.n_customers, np.inf)
    purchases, gone = kinds == KINDS.index("purchase"), kinds == KINDS.index("lost")
    np.minimum.at(bought_at, who[purchases], days[purchases])
    gone |= (kinds == KINDS.index("stage")) & (log.codes("stage", [LAPSED]) == 0)
    gone &= days >= bought_at[who]
    np.minimum.at(gone_at, who[gone], days[gone])
    bought = bought_at <= conversion_days
    active = bought & (gone_at > bought_at + retention_days)
    return bought.astype(np.float64), active.astype(np.float64)


def _ratio(part: FloatArray, whole: FloatArray) -> float:
    return float(part.sum() / whole.sum()) if whole.any() else float("nan")


def _ratio_influence(part: FloatArray, whole: FloatArray) -> FloatArray:
    return np.asarray((part - _ratio(part, whole) * whole) / whole.mean() if whole.any() else part * np.nan)
