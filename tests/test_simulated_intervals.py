"""Do intervals of simulated forecasts hold the truth as often as they say, whatever share of their spread is noise?

Calibrated by construction: where the truth is, the mean of a posterior is normal around it with the standard deviation
of the posterior. Each count of intervals that hold the truth is binomial; a right rule, which may hold more than it
says but not less, fails by luck at a rate of 1e-6 per count, with any seed.
"""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom
from statistical import FALSE_ALARM, assert_proportion

from journeysim import InputError, improve_stage
from journeysim.bayes.intervals import central, noise_rules, without_noise
from journeysim.forecasts import Cost, Forecast, Measures, decide, forecast_worlds, gains_over_time_of_worlds
from journeysim.spec import World

SHARES = (0.05, 0.3, 0.45, 0.55, 0.7, 0.9, 0.99)  # of noise in the variance of a draw
PLAN = improve_stage("look", forward=1.1, name="plan")
DAYS = {"conversion_days": 20, "retention_days": 5}


def falsely_sure(draws, noise):
    """The control: draws that are left with no spread where noise is as large as it."""
    mean = draws.mean(axis=0)
    kept = np.sqrt(np.maximum(0.0, 1 - noise / draws.var(axis=0, ddof=1)))
    return mean + kept * (draws - mean)


def assert_held(hits, n, level):
    """No fewer than `level` of the intervals hold the truth."""
    p_value = binom.cdf(hits, n, level)
    assert p_value >= FALSE_ALARM, f"{hits}/{n} = {hits / n:.3f} hold the truth, want {level}; p-value {p_value:.1e}"


def normal_draws(n_worlds, share, repeats, seed):
    """(N, R) simulated draws of a quantity whose truth is 0, and the variance of their noise."""
    rng = np.random.default_rng(seed)
    sd = np.sqrt(1 - share)
    centre = sd * rng.standard_normal(repeats)
    noisy = sd * rng.standard_normal((n_worlds, repeats)) + np.sqrt(share) * rng.standard_normal((n_worlds, repeats))
    return centre + noisy, np.full(repeats, share)


def held(rule, n_worlds, share, repeats=4_000):
    draws, noise = normal_draws(n_worlds, share, repeats, seed=1)
    low, high = central(rule(draws, noise), 0.9)
    return int(((low <= 0) & (high >= 0)).sum()), repeats


@pytest.mark.parametrize("n_worlds", [20, 100])
@pytest.mark.parametrize("share", SHARES)
def test_noise_that_is_taken_off_leaves_intervals_that_hold_the_truth(n_worlds, share):
    """88%, not 90%: the variance of 20 draws is an estimate, and so is what is taken off."""
    assert_held(*held(without_noise, n_worlds, share), 0.88)


@pytest.mark.parametrize("n_worlds", [20, 100])
def test_intervals_without_spread_are_found_out(n_worlds):
    for share in (0.9, 0.99):
        with pytest.raises(AssertionError, match="p-value"):
            assert_held(*held(falsely_sure, n_worlds, share), 0.88)


def test_the_interval_of_few_draws_holds_one_more_as_often_as_it_says():
    rng = np.random.default_rng(2)
    for n in (19, 30, 100):
        draws, more = rng.standard_normal((n, 20_000)), rng.standard_normal(20_000)
        low, high = central(draws, 0.9)
        assert_proportion(int(((low <= more) & (more <= high)).sum()), 20_000, 0.9)
        low, high = np.quantile(draws, (0.05, 0.95), axis=0)
        with pytest.raises(AssertionError, match="p-value"):
            assert_proportion(int(((low <= more) & (more <= high)).sum()), 20_000, 0.9)


def test_what_noise_does_to_the_mean_stays_in_the_spread():
    """Of variance 1 and noise 0.4, in 5 draws: 0.6 of what is not known, and 0.4 / 5 of where the mean is."""
    draws = np.array([-1.0, 1.0, -1.0, 1.0, 0.0])[:, None]
    assert draws.var(axis=0, ddof=1) == 1
    assert without_noise(draws, np.array([0.4])).var(axis=0, ddof=1) == pytest.approx(0.6 + 0.4 / 5)
    np.testing.assert_array_equal(without_noise(draws, np.array([0.6])), draws)
    assert noise_rules(draws, np.array([0.6])).all()
    assert not noise_rules(draws, np.array([0.4])).any()


def world(pace):
    return World.from_yaml(f"""
name: tiny
stages:
  - {{name: look, moves_per_day: {{buy: {0.05 * pace}, lost: 0.05}}}}
  - {{name: buy, purchase: true, moves_per_day: {{lost: 0.03}}}}
personas: [{{name: one, share: 1}}]
basket: {{median: 10}}
""")


def gain(pace):
    """What the plan does to conversion, by the textbook: h / (h + 0.05) (1 - exp(-(h + 0.05) t))."""
    a, b = (0.05 * pace * times for times in (1.0, 1.1))
    before, after = (h / (h + 0.05) * (1 - np.exp(-(h + 0.05) * DAYS["conversion_days"])) for h in (a, b))
    return after - before


def simulated(centre, rng, n_worlds, n_customers, seed):
    paces = centre + 0.1 * rng.standard_normal(n_worlds)
    worlds = [{"x": world(pace)} for pace in paces]
    return forecast_worlds(worlds, np.ones((n_worlds, 1)), [PLAN], n_customers=n_customers, seed=seed, **DAYS)


@pytest.mark.slow
def test_forecasts_of_few_customers_hold_the_truth():
    """As many as 60 posteriors of one pace, 1 ± 0.1, each forecast from 25 worlds of 200 customers."""
    rng, repeats, truth = np.random.default_rng(0), 60, gain(1.0)
    hits = {"taken off": 0, "falsely sure": 0, "by segment": 0}
    for seed in range(repeats):
        found = simulated(1 + 0.1 * rng.standard_normal(), rng, 25, 200, seed)
        raw = found.changed[0].conversion - found.baseline.conversion
        draws = {
            "taken off": found.difference("plan", "conversion"),
            "falsely sure": falsely_sure(raw, found.noise["plan", "conversion"] ** 2),
            "by segment": found.difference("plan", "conversion", "x"),
        }
        for name, drawn in draws.items():
            low, high = central(drawn, 0.9)
            hits[name] += bool(low <= truth <= high)
    assert_held(hits["taken off"], repeats, 0.9)
    assert_held(hits["by segment"], repeats, 0.9)
    with pytest.raises(AssertionError, match="p-value"):
        assert_held(hits["falsely sure"], repeats, 0.9)


@pytest.fixture(scope="module")
def noisy():
    return simulated(1.0, np.random.default_rng(3), 12, 60, seed=5)


def test_a_forecast_says_where_noise_was_left_in_and_what_to_do(noisy):
    raw = noisy.changed[0].conversion - noisy.baseline.conversion
    assert noisy.noise["plan", "conversion"] ** 2 > raw.var(ddof=1) / 2
    assert noisy.left_in("plan", "conversion")
    np.testing.assert_array_equal(noisy.difference("plan", "conversion"), raw)
    told = " ".join(str(noisy).split())
    assert "too wide, of plan: conversion" in told
    assert "n_customers" in told
    assert max(map(len, str(noisy).splitlines())) <= 80
    decision = decide(noisy, population=100, costs={"plan": Cost(1)}, measure="conversion", worth=10)
    assert "Monte Carlo noise is left in the gain of plan" in " ".join(str(decision).split())


def made(gains, noise, source="simulated"):
    gains = np.asarray(gains, float)
    base = Measures(np.full(len(gains), 0.1), np.ones(len(gains)), {}, {"conversion": np.full((len(gains), 1), 0.1)})
    after = Measures(base.conversion + gains, base.retention, {}, {"conversion": (0.1 + gains)[:, None]})
    key = ("plan", "conversion")
    return Forecast(
        30, 30, base, ("plan",), (after,), ((),), ("all",), source=source, noise={key: noise},
        noise_by_segment={key: np.array([noise])},
    )  # fmt: skip


def test_draws_on_one_side_are_no_certainty():
    """One of 19 gains is below 0 until noise is taken off."""
    gains = np.r_[-0.001, np.linspace(0.01, 0.03, 18)]
    found = made(gains, 0.7 * gains.std(ddof=1))
    assert (found.difference("plan", "conversion") > 0).all()
    (row,) = found.to_frame().filter(measure="conversion").iter_rows(named=True)
    assert row["p_improves"] == pytest.approx(19 / 20)
    decision = decide(found, population=100, costs={}, measure="conversion").to_frame()
    assert decision["p_helps"][0] == decision["p_pays"][0] == pytest.approx(19 / 20)
    (exact,) = made(gains[1:], 0.0, "closed form").to_frame().filter(measure="conversion").iter_rows(named=True)
    assert exact["p_improves"] == 1.0


def test_noise_is_known_of_each_segment_too():
    """Two segments of the same world, one of them a tenth of all: noise of one is that of its own customers."""
    worlds, weights = [{"few": world(1), "many": world(1)}] * 40, np.tile([0.1, 0.9], (40, 1))
    found = forecast_worlds(worlds, weights, [PLAN], n_customers=300, seed=2, **DAYS)
    for measure in ("conversion", "retention", "retained buyers", "purchases", "clv"):
        noise = found.noise_by_segment["plan", measure]
        assert noise == pytest.approx(noise[::-1], rel=0.5)  # the same world
        whole = found.noise["plan", measure]
        assert whole == pytest.approx(np.hypot(*(weights[0] * noise)), rel=0.1 if measure == "retention" else 1e-9)
    raw = found.changed[0].of("conversion", 1) - found.baseline.of("conversion", 1)
    drawn = found.difference("plan", "conversion", "many")
    noise = found.noise_by_segment["plan", "conversion"][1] ** 2
    np.testing.assert_array_equal(drawn, without_noise(raw, noise))
    assert found.left_in("plan", "conversion", "many") == noise_rules(raw, noise)


def test_gains_over_time_say_where_noise_was_left_in():
    worlds, weights = [{"x": world(1)}] * 10, np.ones((10, 1))
    gains = gains_over_time_of_worlds(worlds, weights, [PLAN], np.linspace(0, 20, 5), n_customers=100, seed=1)
    left = gains.left_in["plan", "conversion"]
    assert left.shape == (5,)
    assert left[-1]  # all draws are one world, so that all spread is noise
    assert not left[0]


def test_unknown_names_are_told_with_those_there_are(noisy):
    for asked, message in (
        (("paln", "conversion"), "no scenario 'paln', only plan"),
        (("plan", "conversoin"), "no 'conversoin', only conversion, retention, purchases"),
        (("plan", "conversion", "y"), "no segment 'y', only x"),
    ):
        with pytest.raises(InputError, match=message):
            noisy.difference(*asked)


def made_of(differences):
    """A forecast whose conversion differs by so much in each draw; all else is alike."""
    draws = np.asarray(differences, dtype=np.float64)
    flat = np.full(len(draws), 0.5)
    return Forecast(
        30.0, 30.0, Measures(flat, flat), ("plan",), (Measures(flat + draws, flat),), ((),), source="simulated"
    )


@pytest.mark.parametrize("sign", [-1, 1])
def test_an_effect_whose_draws_crowd_at_none_may_be_none_and_one_away_from_it_is_not(sign):
    rng = np.random.default_rng(1)
    crowded, away = 0.01 * rng.exponential(size=200), 0.1 + 0.01 * rng.standard_normal(200)
    none, some = made_of(sign * (crowded + 1e-6)), made_of(sign * away)
    assert none.may_be_none("plan")
    assert 0.0 in none.interval("plan", "conversion")
    assert "The effect of plan on conversion may be none" in str(none)
    assert not some.may_be_none("plan")
    assert 0.0 not in some.interval("plan", "conversion")
    assert some.notes == ()
    decision = decide(none, population=100, costs={}, measure="conversion", worth=1.0)
    assert "may be none" in decision.note
    assert replace(none, source="closed form").notes == ()
