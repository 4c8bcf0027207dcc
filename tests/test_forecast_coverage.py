"""From a log to a forecast: logs, the stage model, a scenario, and how often 90% intervals hold what happens."""

from functools import cache

import numpy as np
import pytest
from test_bayes_calibration import assert_coverage
from test_forecast_meets_simulation import DAYS, WORLD, plan

from journeysim import StageModel, forecast, simulate, simulate_changes, to_stage_history

LOGS = 300
SLACK = 0.05
"""One known world is not a draw from the prior: pooling and the prior move intervals a little."""
MEASURES = ("conversion", "retention")


@cache
def truth():
    """With Monte Carlo errors that are some hundredths of the width of an interval."""
    return simulate_changes(WORLD, [plan()], n_customers=1_000_000, seed=9, **DAYS)[0]


@cache
def draws(log):
    """Of each measure: difference and level under the scenario; the difference under one that is wrong by a fifth."""
    history = to_stage_history(simulate(WORLD, n_customers=400, horizon_days=60, seed=100 + log), by="persona")
    posterior = StageModel().fit(history, seed=log, draws=400, warmup=300, chains=2)
    right, wrong = (forecast(posterior, [s], require_converged=False, **DAYS) for s in (plan(), plan(wrong_by=1.2)))
    return {
        measure: (
            right.difference("plan", measure),
            right.changed[0].of(measure),
            wrong.difference("plan", measure),
        )
        for measure in MEASURES
    }


def held(of, logs):
    """Name -> (L, 2) whether the central 50% and 90% intervals held the truth."""
    found = {}
    for log in range(logs):
        for measure in MEASURES:
            difference = getattr(truth(), measure)
            level = getattr(truth(), f"{measure}_baseline") + difference
            expected = (difference, level, difference)[of]
            low, lower, upper, high = np.quantile(draws(log)[measure][of], [0.05, 0.25, 0.75, 0.95])
            found.setdefault(measure, []).append((lower <= expected <= upper, low <= expected <= high))
    return {name: np.array(rows) for name, rows in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("of", [0, 1], ids=["difference", "level"])
def test_intervals_of_forecasts_hold_what_happens_as_often_as_they_say(of):
    assert_coverage(held(of, LOGS), slack=SLACK)


@pytest.mark.slow
def test_forecasts_of_a_scenario_that_is_wrong_by_a_fifth_are_found_out():
    """Negative control."""
    with pytest.raises(AssertionError, match="interval of"):
        assert_coverage(held(2, LOGS), slack=SLACK)
