"""The central claim: what is forecast from a log is what the simulator then does, within their joint uncertainty."""

from functools import cache

import numpy as np
import pytest
from closed_forms import Draws
from scipy import stats

from journeysim.forecasts import forecast
from journeysim.scenario import Scenario, StageChange
from journeysim.simulation import simulate, simulate_changes
from journeysim.spec import World
from journeysim.stage_history import to_stage_history

WORLD = World.from_yaml("""
name: tiny
stages:
  - {name: look, moves_per_day: {cart: 0.15, lost: 0.05}}
  - {name: cart, moves_per_day: {look: 0.2, buy: 0.15, lost: 0.1}}
  - {name: buy, purchase: true, moves_per_day: {use: 0.5}}
  - {name: use, moves_per_day: {buy: 0.05, lost: 0.06}}
personas: [{name: quick, share: 0.5, pace: 1.5, patience: 0.8}, {name: slow, share: 0.5}]
basket: {median: 10}
""")
DAYS = {"conversion_days": 20, "retention_days": 30}
SEEDS = 40
FALSE_ALARM = 1e-4
PRIOR_COUNT = 0.5  # of a Gamma prior as wide as it can be: 0.5 moves in no time


def plan(wrong_by=1.0):
    """Checkout is made easier, and fewer leave once they have bought."""
    changes = (StageChange(stage="cart", forward=1.6 * wrong_by), StageChange(stage="use", exit=0.5 / wrong_by))
    return Scenario(name="plan", changes=changes)


@cache
def posterior(seed):
    """Exact draws: under a Gamma prior hazards given counts and days at risk are Gamma, each for itself."""
    history = to_stage_history(simulate(WORLD, n_customers=2_000, horizon_days=60, seed=seed), by="persona")
    rng = np.random.default_rng(seed)
    draws = rng.gamma(history.counts + PRIOR_COUNT, size=(400, *history.counts.shape))
    hazards = draws / history.exposure_days[:, history.origins]
    return Draws(hazards, history.moves, history.stages, history.purchase_stages, history.starts)


@cache
def simulated(seed):
    return simulate_changes(WORLD, [plan()], n_customers=20_000, seed=1_000 + seed, **DAYS)[0]


def chi_square(measure, scenario):
    """Sum over the seeds of the squared difference forecast minus simulation, in joint standard deviations."""
    total = 0.0
    for seed in range(SEEDS):
        difference = forecast(posterior(seed), [scenario], **DAYS).difference("plan", measure)
        expected, error = getattr(simulated(seed), measure), getattr(simulated(seed), f"{measure}_error")
        total += (difference.mean() - expected) ** 2 / (difference.var() + error**2)
    return total


@pytest.mark.parametrize("measure", ["conversion", "retention"])
def test_forecast_and_simulation_of_a_scenario_agree(measure):
    low, high = stats.chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], SEEDS)
    assert low < chi_square(measure, plan()) < high


@pytest.mark.parametrize("measure", ["conversion", "retention"])
def test_a_scenario_that_is_wrong_by_a_fifth_is_found_out(measure):
    assert chi_square(measure, plan(wrong_by=1.2)) > stats.chi2.ppf(1 - FALSE_ALARM / 2, SEEDS)
