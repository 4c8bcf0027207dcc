"""One definition of retention, lost or lapsed ends it: the KPIs, the simulator's what-if and the forecast agree."""

import numpy as np
import pytest
from closed_forms import Draws
from small_worlds import small_world
from statistical import assert_proportion

from journeysim.forecasts import forecast, retention_curve
from journeysim.kpis import retained_after
from journeysim.scenario import Scenario, StageChange
from journeysim.simulation import simulate, simulate_changes
from journeysim.stage_history import to_stage_history

LOST, LAPSED, BACK = 0.01, 0.03, 0.2  # per day
WORLD = small_world(
    {"look": {"buy": 9_000}, "buy": {"lapsed": LAPSED, "lost": LOST}, "lapsed": {"buy": BACK, "lost": LOST}}
)
PLAN = Scenario(name="plan", changes=(StageChange(stage="buy", exit=0.5),))
DAYS = {"conversion_days": 1, "retention_days": 30}
N = 5_000


def retained(factor=1.0):
    """Nobody who leaves comes back: one exponential clock."""
    return np.exp(-factor * (LOST + LAPSED) * 30)


def test_retention_in_the_simulator_and_in_the_kpis_ends_with_the_first_lapse():
    (change,) = simulate_changes(WORLD, [PLAN], n_customers=N, seed=1, **DAYS)
    assert_proportion(round(change.retention_baseline * N), N, retained())
    assert_proportion(round((change.retention_baseline + change.retention) * N), N, retained(0.5))
    with pytest.raises(AssertionError):  # many of those who lapse are back within 30 days
        assert_proportion(round(change.retention_baseline * N), N, np.exp(-LOST * 30))
    log = simulate(WORLD, n_customers=N, horizon_days=31, seed=1)
    assert retained_after(log, 30)[0] == pytest.approx(change.retention_baseline)  # the same customers, none censored


def test_retention_in_a_forecast_ends_with_the_first_lapse():
    history = to_stage_history(simulate(WORLD, n_customers=500, horizon_days=31, seed=1))
    rates = {stage.name: stage.moves_per_day for stage in WORLD.stages}
    hazards = np.array([[[rates[origin][target] for origin, target in history.moves]]])
    posterior = Draws(hazards, history.moves, history.stages, history.purchase_stages, history.starts)
    result = forecast(posterior, [PLAN], **DAYS)
    assert result.baseline.retention == pytest.approx(retained())
    assert result.changed[0].retention == pytest.approx(retained(0.5))
    assert retention_curve(posterior, np.linspace(0, 30, 4))[0, -1] == pytest.approx(retained())
