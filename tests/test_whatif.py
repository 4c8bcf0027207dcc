import numpy as np
import pytest
from closed_forms import conversion_and_retention
from scipy import stats

from journeysim.errors import InputError
from journeysim.scenario import Scenario, StageChange, improve_stage
from journeysim.simulation import simulate_changes
from journeysim.spec import World

WORLD = World.from_yaml("""
name: tiny
stages:
  - {name: look, moves_per_day: {cart: 0.3, lost: 0.1}}
  - {name: cart, moves_per_day: {look: 0.2, buy: 0.3, lost: 0.1}}
  - {name: buy, purchase: true, moves_per_day: {use: 0.5}}
  - {name: use, moves_per_day: {buy: 0.1, lost: 0.05}}
personas: [{name: quick, share: 0.4, pace: 2, patience: 0.5}, {name: slow, share: 0.6}]
basket: {median: 10}
""")
PLAN = Scenario(name="plan", changes=(StageChange(stage="cart", forward=1.5), StageChange(stage="use", exit=0.5)))
DAYS = {"conversion_days": 10, "retention_days": 20}
FALSE_ALARM = 1e-6


@pytest.fixture(scope="module")
def truth():
    """(2, 2) conversion and retention without and with the plan, in closed form."""
    return np.array([conversion_and_retention(world, *DAYS.values()) for world in (WORLD, PLAN.apply(WORLD))])


def test_simulated_changes_agree_with_the_closed_form(truth):
    n = 200_000
    (change,) = simulate_changes(WORLD, [PLAN], n_customers=n, seed=1, **DAYS)
    allowed = stats.norm.isf(FALSE_ALARM / 2)  # four comparisons, each fails a right program with this chance
    for m, measure in enumerate(("conversion", "retention")):
        baseline, difference = truth[0, m], truth[1, m] - truth[0, m]
        error = np.sqrt(baseline * (1 - baseline) / (n if measure == "conversion" else n * truth[0, 0]))
        assert abs(getattr(change, f"{measure}_baseline") - baseline) < allowed * error
        claimed = getattr(change, f"{measure}_error")
        assert abs(getattr(change, measure) - difference) < allowed * claimed
        assert difference > 10 * claimed, "too blunt to tell the plan from nothing"
    assert change.scenario == "plan"


def test_standard_errors_are_honest(truth):
    seeds = range(60)
    changes = [simulate_changes(WORLD, [PLAN], n_customers=3_000, seed=seed, **DAYS)[0] for seed in seeds]
    for m, measure in enumerate(("conversion", "retention")):
        found = np.array([getattr(change, measure) for change in changes])
        claimed = np.array([getattr(change, f"{measure}_error") for change in changes])
        chi_square = (((found - (truth[1, m] - truth[0, m])) / claimed) ** 2).sum()
        low, high = stats.chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], len(seeds))
        assert low < chi_square < high
        # an error claimed twice as large, or half as large, would be found out
        assert chi_square / 4 < low
        assert chi_square * 4 > high


def test_shared_draws_make_the_difference_sharper(truth):
    (change,) = simulate_changes(WORLD, [PLAN], n_customers=3_000, seed=1, **DAYS)
    independent = np.sqrt((truth[:, 0] * (1 - truth[:, 0])).sum() / 3_000)
    assert change.conversion_error < 0.5 * independent


def test_no_change_is_no_difference_and_has_no_error():
    (change,) = simulate_changes(WORLD, [improve_stage("look")], n_customers=500, seed=1, **DAYS)
    assert (change.conversion, change.conversion_error, change.retention, change.retention_error) == (0, 0, 0, 0)


def test_retention_of_nobody_is_unknown():
    (change,) = simulate_changes(WORLD, [PLAN], n_customers=5, conversion_days=1e-6, retention_days=1, seed=1)
    assert (change.conversion_baseline, change.conversion) == (0, 0)
    assert np.isnan([change.retention_baseline, change.retention, change.retention_error]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"conversion_days": -1}, "conversion_days is -1; it must be a positive number of days"),
        ({"retention_days": 0}, "retention_days is 0; it must be"),
        ({"retention_days": float("nan")}, "retention_days is nan; it must be"),
        ({"n_customers": 1}, "n_customers is 1; a standard error needs two"),
        ({"conversion_days": 1e9}, "horizon_days is .*at most 36500"),
    ],
)
def test_wrong_numbers_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        simulate_changes(WORLD, [PLAN], **{"n_customers": 9, "seed": 1} | DAYS | options)


def test_an_unknown_stage_is_refused():
    with pytest.raises(InputError, match="changes stage 'crat'"):
        simulate_changes(WORLD, [improve_stage("crat")], n_customers=9, seed=1, **DAYS)
