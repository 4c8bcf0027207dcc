"""What the simulator says of a scenario: the same customers with and without it, on the same draws."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import polars as pl

from journeysim.errors import InputError
from journeysim.event_columns import KINDS
from journeysim.events import microseconds
from journeysim.moves import LAPSED
from journeysim.simulation.engine import CHUNK_CUSTOMERS, simulate
from journeysim.simulation.engines import couples_customers
from journeysim.simulation.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

    from numpy.typing import NDArray

    from journeysim.events import EventLog
    from journeysim.scenario import Scenario
    from journeysim.spec import World

    FloatArray = NDArray[np.float64]

MEASURES: Final = ("conversion", "retention", "purchases", "revenue", "cost", "profit")
"""What a scenario is held against the baseline by; a discounted profit, `clv`, comes with them."""
DAYS_PER_YEAR: Final = 365.0


@dataclass(frozen=True, slots=True)
class SimulatedChange:
    """Differences scenario minus baseline, with their Monte Carlo standard errors.

    Conversion is the share of customers who purchase within `conversion_days`; retention is having been neither lost
    nor lapsed for `retention_days` after the first purchase, as a share of those who converted; retained is the same as
    a share of all customers. Purchases, revenue (of purchases), cost (all contacts) and profit (revenue minus cost:
    neither goods nor staff are taken off) are per customer over conversion_days + retention_days, money in the currency
    of the world; clv is profit discounted.

    Attributes
    ----------
    n_customers : simulated in each version of the world
    n_independent : how many of what is independent the errors rest on: the customers, or the markets where word travels
        or desks are shared in the world with or without the change
    """

    scenario: str
    n_customers: int
    n_independent: int
    conversion_baseline: float
    conversion: float
    conversion_error: float
    retention_baseline: float
    retention: float
    retention_error: float
    purchases_baseline: float
    purchases: float
    purchases_error: float
    revenue_baseline: float
    revenue: float
    revenue_error: float
    cost_baseline: float
    cost: float
    cost_error: float
    profit_baseline: float
    profit: float
    profit_error: float
    clv_baseline: float
    clv: float
    clv_error: float
    retained_baseline: float
    retained: float
    retained_error: float


class _Outcomes(NamedTuple):
    """(n_customers,) each: whether each converted, whether moreover active later on, purchases, money in and out."""

    bought: FloatArray
    active: FloatArray
    purchases: FloatArray
    revenue: FloatArray
    cost: FloatArray
    clv: FloatArray


def simulate_changes(
    world: World,
    scenarios: Sequence[Scenario],
    *,
    n_customers: int,
    conversion_days: float,
    retention_days: float,
    seed: int,
    yearly_discount: float = 0.0,
    executor: Executor | None = None,
    threads: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> list[SimulatedChange]:
    """Simulate each scenario and the baseline on common random numbers, each on the engine that its world needs.

    Every customer is followed for conversion_days + retention_days, so that nobody is censored. The standard error of
    a difference of two ratios r/y comes from (r - R y) / mean(y), customer by customer (delta method). Where customers
    of a market influence each other (word of mouth, desks) these are summed by market first, and the variance is that
    of the sums of M markets: M / (M - 1) sum_m (sum_i (h_i - mean h))^2 / n^2 (Liang & Zeger 1986, Biometrika 73:13).

    Parameters
    ----------
    yearly_discount : of clv; what comes u days from the start is over (1 + discount)^(u / 365)
    executor, threads : who does the work, as in `simulate`; versions with desks gain from processes. No number depends
        on it
    on_progress : called with the number of customers finished, each time some are: of `n_customers` in every version
        of the world, one more than there are scenarios

    Raises
    ------
    InputError : as `changed_worlds`; the discount is not a number >= 0; executor and threads were both given
    """
    if not 0 <= yearly_discount < np.inf:
        raise InputError(f"yearly_discount is {yearly_discount}; 0.1 makes what comes in a year worth 1 / 1.1.")
    versions = changed_worlds(
        world,
        scenarios,
        n_customers=n_customers,
        conversion_days=conversion_days,
        retention_days=retention_days,
        seed=seed,
    )
    done = 0

    def run(version: World) -> _Outcomes:
        nonlocal done
        log = run_version(
            version,
            n_customers=n_customers,
            horizon_days=conversion_days + retention_days,
            seed=seed,
            executor=executor,
            threads=threads,
            on_progress=None if on_progress is None else lambda so_far: on_progress(done + so_far),
        )
        done += n_customers
        return _outcomes(log, conversion_days, retention_days, yearly_discount)

    before = run(world)
    groups = [_group_size(world, version, n_customers) for version in versions]
    return [
        _change(scenario.name, before, run(version), group)
        for scenario, version, group in zip(scenarios, versions, groups, strict=True)
    ]


def changed_worlds(
    world: World,
    scenarios: Sequence[Scenario],
    *,
    n_customers: int,
    conversion_days: float,
    retention_days: float,
    seed: int,
) -> list[World]:
    """The world of each scenario, after all checks that `simulate_changes` makes before it simulates.

    Raises
    ------
    InputError : a horizon is not positive, two scenarios share a name, there are fewer than two customers (or markets,
        where customers of a market influence each other), or as `simulate` and `Scenario.apply`
    """
    for name, days in (("conversion_days", conversion_days), ("retention_days", retention_days)):
        if not (isinstance(days, float | int | np.number) and days > 0):
            raise InputError(f"{name} is {days!r}; it must be a positive number of days.")
    if n_customers < 2:
        raise InputError(f"n_customers is {n_customers}; a standard error needs two at least.")
    twice = [name for name, times in Counter(scenario.name for scenario in scenarios).items() if times > 1]
    if twice:
        raise InputError(f"Two scenarios share a name, {twice[0]!r}; give each its own.")
    versions = [scenario.apply(world) for scenario in scenarios]
    for version in (world, *versions):
        Recipe(version, n_customers, conversion_days + retention_days, seed)
        _group_size(world, version, n_customers)
    return versions


def changes_table(changes: Sequence[SimulatedChange]) -> pl.DataFrame:
    """One row per scenario and measure: `scenario, measure, baseline, changed, difference, standard_error`.

    Conversion and retention are shares of customers, the others are per customer.
    """
    rows = [
        (
            change.scenario,
            measure,
            getattr(change, f"{measure}_baseline"),
            getattr(change, f"{measure}_baseline") + getattr(change, measure),
            getattr(change, measure),
            getattr(change, f"{measure}_error"),
        )
        for change in changes
        for measure in MEASURES
    ]
    numbers = ("baseline", "changed", "difference", "standard_error")
    schema = {"scenario": pl.String, "measure": pl.String, **dict.fromkeys(numbers, pl.Float64)}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _group_size(world: World, version: World, n_customers: int) -> int:
    """Customers, one after the other, who may depend on each other: 1, or those of a market."""
    if not (couples_customers(world) or couples_customers(version)):
        return 1
    if n_customers <= world.market_size:
        raise InputError(
            f"n_customers is {n_customers}, all in one market of {world.market_size} (market_size of world "
            f"{world.name!r}). Customers of a market influence each other by word of mouth or at desks, so a standard "
            f"error needs two markets at least, better ten: simulate {10 * world.market_size} customers, or make "
            "market_size smaller."
        )
    return world.market_size


def run_version(version: World, *, n_customers: int, horizon_days: float, seed: int, **how: Any) -> EventLog:
    """The log of one version of a world; versions with the same seed share their random draws."""
    chunk = 1 if version.has_desks else CHUNK_CUSTOMERS  # 1 becomes one market: SimPy takes its time
    return simulate(
        version, n_customers=n_customers, horizon_days=horizon_days, seed=seed, chunk_customers=chunk, **how
    )


def _change(name: str, before: _Outcomes, after: _Outcomes, group: int) -> SimulatedChange:
    def error(influence: FloatArray) -> float:
        return float(_standard_error(influence, group))

    n_customers = len(before.bought)
    profit_before, profit = before.revenue - before.cost, after.revenue - after.cost
    retention_before = _ratio(before.active, before.bought)
    return SimulatedChange(
        scenario=name,
        n_customers=n_customers,
        n_independent=-(-n_customers // group),
        conversion_baseline=float(before.bought.mean()),
        conversion=float(after.bought.mean() - before.bought.mean()),
        conversion_error=error(after.bought - before.bought),
        retention_baseline=retention_before,
        retention=_ratio(after.active, after.bought) - retention_before,
        retention_error=error(
            _ratio_influence(after.active, after.bought) - _ratio_influence(before.active, before.bought)
        ),
        purchases_baseline=float(before.purchases.mean()),
        purchases=float((after.purchases - before.purchases).mean()),
        purchases_error=error(after.purchases - before.purchases),
        revenue_baseline=float(before.revenue.mean()),
        revenue=float((after.revenue - before.revenue).mean()),
        revenue_error=error(after.revenue - before.revenue),
        cost_baseline=float(before.cost.mean()),
        cost=float((after.cost - before.cost).mean()),
        cost_error=error(after.cost - before.cost),
        profit_baseline=float(profit_before.mean()),
        profit=float((profit - profit_before).mean()),
        profit_error=error(profit - profit_before),
        clv_baseline=float(before.clv.mean()),
        clv=float((after.clv - before.clv).mean()),
        clv_error=error(after.clv - before.clv),
        retained_baseline=float(before.active.mean()),
        retained=float((after.active - before.active).mean()),
        retained_error=error(after.active - before.active),
    )


def _outcomes(log: EventLog, conversion_days: float, retention_days: float, yearly_discount: float) -> _Outcomes:
    """Whether each converted in time, whether each of these was active later on, and the money of the whole log."""
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

    def summed(column: str, kind: str, discount: float = 0.0) -> FloatArray:
        rows = kinds == KINDS.index(kind)  # other kinds have values of another meaning, such as scores
        amounts = log.events[column].to_numpy()[rows] * (1 + discount) ** (-days[rows] / DAYS_PER_YEAR)
        return np.bincount(who[rows], weights=amounts, minlength=log.n_customers).astype(np.float64)

    return _Outcomes(
        bought=bought.astype(np.float64),
        active=active.astype(np.float64),
        purchases=np.bincount(who[purchases], minlength=log.n_customers).astype(np.float64),
        revenue=summed("value", "purchase"),
        cost=summed("cost", "touch"),
        clv=summed("value", "purchase", yearly_discount) - summed("cost", "touch", yearly_discount),
    )


def standard_error(differences: FloatArray, world: World, version: World) -> FloatArray:
    """(...) of the mean over customers of (n, ...) differences between two versions of a world."""
    return _standard_error(differences, _group_size(world, version, len(differences)))


def _standard_error(influence: FloatArray, group: int) -> FloatArray:
    """(...) of the mean of (n, ...) values, independent between groups of `group` that follow each other."""
    n = len(influence)
    sums = np.add.reduceat(influence - influence.mean(axis=0), np.arange(0, n, group))
    return np.asarray(np.sqrt(len(sums) / (len(sums) - 1) * (sums**2).sum(axis=0)) / n)


def _ratio(part: FloatArray, whole: FloatArray) -> float:
    return float(part.sum() / whole.sum()) if whole.any() else float("nan")


def _ratio_influence(part: FloatArray, whole: FloatArray) -> FloatArray:
    return np.asarray((part - _ratio(part, whole) * whole) / whole.mean() if whole.any() else part * np.nan)
