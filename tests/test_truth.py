import numpy as np
import pytest
from scipy import stats

from journeysim.errors import InputError
from journeysim.simulation import incremental_effects
from journeysim.spec import World

WORLD = World.from_yaml("""
name: tiny
stages:
  - {name: look, moves_per_day: {buy: 0.05, lost: 0.1}}
  - {name: buy, purchase: true}
channels:
  - {name: ad, contacts_per_day: {look: 0.4}, pull: 0.25, half_life_days: 1.0e-9}
  - {name: noise, contacts_per_day: {look: 1}, pull: 0}
personas: [{name: anyone, share: 1}]
basket: {median: 10}
""")
FALSE_ALARM = 1e-6
DAYS = 15


def converted(with_ad):
    """Share converted in closed form: a contact acts at once with the chance `pull`, so it adds rate x pull."""
    forward, out = 0.05 + 0.4 * 0.25 * with_ad, 0.1
    return forward / (forward + out) * -np.expm1(-(forward + out) * DAYS)


EFFECT = 1 - converted(0) / converted(1)


def test_the_effect_of_an_instant_channel_has_the_closed_form():
    effects = incremental_effects(WORLD, n_customers=100_000, horizon_days=DAYS, seed=1)
    allowed = stats.norm.isf(FALSE_ALARM / 2)
    share = effects.n_conversions / 100_000
    assert abs(share - converted(1)) < allowed * np.sqrt(converted(1) * (1 - converted(1)) / 100_000)
    assert abs(effects.effect[0] - EFFECT) < allowed * effects.standard_error[0]
    assert effects.standard_error[0] < EFFECT / 50
    assert effects.conversions[0] == round(effects.effect[0] * effects.n_conversions)


def test_a_channel_without_pull_has_no_effect_at_all():
    effects = incremental_effects(WORLD, n_customers=5_000, horizon_days=DAYS, seed=1)
    assert effects.channels == ("ad", "noise")
    assert (effects.effect[1], effects.standard_error[1], effects.conversions[1]) == (0, 0, 0)
    assert effects.share.tolist() == [1, 0]


def test_standard_errors_are_honest():
    runs = [incremental_effects(WORLD, n_customers=2_000, horizon_days=DAYS, seed=seed) for seed in range(60)]
    chi_square = sum(((run.effect[0] - EFFECT) / run.standard_error[0]) ** 2 for run in runs)
    low, high = stats.chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], len(runs))
    assert low < chi_square < high
    # an error claimed twice as large, or half as large, would be found out
    assert chi_square / 4 < low
    assert chi_square * 4 > high


def test_progress_is_told_and_the_frame_names_the_channels():
    told = []
    effects = incremental_effects(WORLD, n_customers=50, horizon_days=DAYS, seed=1, on_progress=told.append)
    assert told == [1, 2, 3]
    frame = effects.to_frame()
    assert frame.columns == ["channel", "conversions", "share", "effect", "standard_error"]
    assert frame["channel"].to_list() == ["ad", "noise"]


def test_without_conversions_effects_are_unknown():
    effects = incremental_effects(WORLD, n_customers=3, horizon_days=1e-6, seed=1)
    assert np.isnan(effects.effect).all()
    assert effects.n_conversions == 0


@pytest.mark.parametrize(("n", "days"), [(1, 5), (0, 5), (9, 0)])
def test_wrong_numbers_are_refused(n, days):
    with pytest.raises(InputError, match=r"(n_customers|horizon_days) is [01]; "):
        incremental_effects(WORLD, n_customers=n, horizon_days=days, seed=1)
