"""Forecasts in closed form: what a scenario of stages does, over every draw of a posterior at once.

Where hazards are constant, a customer of one segment is a continuous-time Markov chain with generator Q, so the state
after t days is the matrix exponential exp(Q t) (Norris 1997, Markov Chains, section 2.1). Where they depend on time in
stage, it is a semi-Markov chain: `journeysim.semi_markov`. A scenario multiplies hazards; baseline and scenario share
each draw, so their difference is sharper than either of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from journeysim.bayes.priors import is_number
from journeysim.errors import InputError
from journeysim.forecasts.chains import Chains
from journeysim.forecasts.result import Forecast, Measures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from journeysim.bayes.posterior import Posterior
    from journeysim.forecasts.chains import Spent
    from journeysim.scenario import Scenario
    from journeysim.stage_money import StageMoney

    FloatArray = NDArray[np.float64]

DAYS_PER_YEAR = 365.0

STEPS = 256
"""Steps of a horizon over which money is added up where hazards depend on time in stage."""


def forecast_stages(
    posterior: Posterior,
    scenarios: Sequence[Scenario],
    *,
    conversion_days: float,
    retention_days: float,
    require_converged: bool = True,
    money: StageMoney | None = None,
    horizon_days: float | None = None,
    yearly_discount: float = 0.0,
    seed: int = 0,
) -> Forecast:
    """`forecast` of a posterior of the stage model: the same arguments, and the same errors."""
    chains = Chains(posterior)
    if horizon_days is None and money is not None:
        horizon_days = conversion_days + retention_days
    horizons = {"conversion_days": conversion_days, "retention_days": retention_days}
    horizons |= {} if horizon_days is None else {"horizon_days": horizon_days}
    for name, days in horizons.items():
        if not (is_number(days) and days > 0):
            raise InputError(f"{name} is {days!r}; it must be a positive number of days.")
    if require_converged:
        posterior.require_converged()
    draws = money_draws(money, posterior, seed)
    discount = discount_per_day(yearly_discount)

    def measures(scenario: Scenario | None) -> Measures:
        factors = chains.factors(scenario)
        bought = bought_within(chains, factors, conversion_days)  # (N, G, P)
        gone = chains.reached(factors, chains.gone, np.array([retention_days]), _from(chains, bought))
        converted = bought.sum(axis=2)
        active = converted - gone.sum(axis=(2, 3))
        shares = chains.starts.sum(axis=(1, 2))  # (G,)
        with np.errstate(invalid="ignore", divide="ignore"):
            by_segment = {"conversion": converted / shares, "retention": active / converted}
        more: dict[str, FloatArray] = {}
        if horizon_days is not None:
            steps = 1 if chains.hazards is None else STEPS
            spent = chains.spent(factors, np.linspace(0, horizon_days, steps + 1), discount)
            for name, amounts in amounts_of(spent, draws).items():
                total = amounts.sum(axis=2)
                more[name] = total.sum(axis=1)
                with np.errstate(invalid="ignore", divide="ignore"):
                    by_segment[name] = total / shares
        conversion = converted.sum(axis=1)
        return Measures(conversion, active.sum(axis=1) / conversion, more, by_segment)

    return Forecast(
        conversion_days=conversion_days,
        retention_days=retention_days,
        baseline=measures(None),
        scenarios=tuple(scenario.name for scenario in scenarios),
        changed=tuple(measures(scenario) for scenario in scenarios),
        unseen=tuple(
            tuple(scenario.unseen(posterior.moves, stages=posterior.stages, purchase_stages=posterior.purchase_stages))
            for scenario in scenarios
        ),
        segments=tuple(posterior.segments),
        horizon_days=horizon_days,
        currency=money.currency if money else None,
    )


def conversion_curve(posterior: Posterior, days: FloatArray, scenario: Scenario | None = None) -> FloatArray:
    """(N, T) share of customers who purchase within each of `days` (T,), evenly spaced from 0.

    Raises
    ------
    InputError : `days` are not so, or as `forecast`
    """
    check_grid(days)
    chains = Chains(posterior)
    return np.asarray(chains.reached(chains.factors(scenario), chains.purchases, days).sum(axis=(1, 3)))


def retention_curve(posterior: Posterior, days: FloatArray, scenario: Scenario | None = None) -> FloatArray:
    """(N, T) share of customers active after each of `days` (T,) since the first purchase, evenly spaced from 0.

    Segments weigh in by who purchases within the last of `days`.

    Raises
    ------
    InputError : `days` are not evenly spaced from 0, or as `forecast`
    """
    check_grid(days)
    chains = Chains(posterior)
    factors = chains.factors(scenario)
    bought = bought_within(chains, factors, float(days[-1]))
    weights = bought / bought.sum(axis=(1, 2), keepdims=True)
    gone = chains.reached(factors, chains.gone, np.asarray(days), _from(chains, weights))
    return np.asarray(1.0 - gone.sum(axis=(1, 3)))


def bought_within(chains: Chains, factors: FloatArray, days: float) -> FloatArray:
    """(N, G, P) share of all customers whose first purchase, within `days`, is in segment g and purchase stage p."""
    bought = chains.reached(factors, chains.purchases, np.array([days]))[:, :, 0]
    if not bought.any(axis=(1, 2)).all():
        raise InputError("No move of this history leads to a purchase, so there is no conversion to forecast.")
    return bought


def money_draws(money: StageMoney | None, posterior: Posterior, seed: int) -> tuple[FloatArray, FloatArray] | None:
    """(N, G) value of a purchase and (N, G, S) cost per customer-day, a draw for each of the posterior."""
    if money is None:
        return None
    theirs, ours = (money.segments, money.stages), (tuple(posterior.segments), tuple(posterior.stages))
    if theirs != ours:
        raise InputError(
            f"The money is of segments {', '.join(theirs[0])} and stages {', '.join(theirs[1])}, the posterior of "
            f"{', '.join(ours[0])} and {', '.join(ours[1])}; make both of the same log with the same by=."
        )
    return money.draws(len(posterior.hazards), seed)


def discount_per_day(yearly: float) -> float:
    """The continuous rate of a yearly discount."""
    if not 0 <= yearly < np.inf:
        raise InputError(f"yearly_discount is {yearly}; 0.1 makes what comes in a year worth 1 / 1.1.")
    return float(np.log1p(yearly) / DAYS_PER_YEAR)


def amounts_of(spent: Spent, money: tuple[FloatArray, FloatArray] | None) -> Mapping[str, FloatArray]:
    """(N, G, T) each: purchases and, with money, revenue, cost, profit and clv in each step of time."""
    if money is None:
        return {"purchases": spent.purchases}
    value, cost_per_day = money[0][:, :, None], money[1]
    revenue = spent.purchases * value
    cost = np.einsum("ngts,ngs->ngt", spent.days, cost_per_day)
    later_cost = np.einsum("ngts,ngs->ngt", spent.days_discounted, cost_per_day)
    return {
        "purchases": spent.purchases,
        "revenue": revenue,
        "cost": cost,
        "profit": revenue - cost,
        "clv": spent.purchases_discounted * value - later_cost,
    }


def check_grid(days: FloatArray) -> None:
    """Refuse days that are not evenly spaced from 0."""
    if len(days) < 2 or days[0] != 0 or not days[-1] > 0 or not np.allclose(days, np.linspace(0, days[-1], len(days))):
        raise InputError(f"days are {np.array2string(np.asarray(days), threshold=6)}; take np.linspace(0, horizon, n).")


def _from(chains: Chains, bought: FloatArray) -> FloatArray:
    """(G, S + 1, N) weights of customers who have just purchased, of (N, G, P)."""
    weights = np.zeros((bought.shape[1], len(chains.stages) + 1, len(bought)))
    weights[:, chains.purchases] = bought.transpose(1, 2, 0)
    return weights
