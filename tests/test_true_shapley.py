"""The Shapley value of the true game: by its definition, in closed form, and what its axioms say."""

import math
import sys
from itertools import permutations

import numpy as np
import pytest
from coupled_worlds import talkative_world
from scipy import stats
from small_worlds import INSTANT, rich_world, small_world

from journeysim.errors import InputError
from journeysim.simulation import simulate, truth
from journeysim.simulation.recipe import Recipe
from journeysim.simulation.shapley import exact_values, sampled_values
from journeysim.simulation.twin_runs import Population, Twins
from journeysim.spec import Channel

truth_module = sys.modules["journeysim.simulation.truth"]  # the package has a function of this name
FALSE_ALARM = 1e-6
ALLOWED = stats.norm.isf(FALSE_ALARM / 2)
DAYS = 15


def instant(name, rate, stage="look"):
    """A channel whose contacts act at once with the chance 0.25."""
    return Channel(name=name, contacts_per_day={stage: rate}, pull=0.25, half_life_days=INSTANT)


def instant_world(*channels):
    return small_world({"look": {"buy": 0.05, "lost": 0.1}, "buy": {}}, channels=channels)


def share(rate):
    """Share converted in closed form with contacts at a rate per day in all."""
    forward = 0.05 + 0.25 * rate
    return forward / (forward + 0.1) * -np.expm1(-(forward + 0.1) * DAYS)


def shapley(n, worth):
    """The definition: gains of each player, averaged over all orders."""
    values = 0
    for order in permutations(range(n)):
        gains, on = [0] * n, []
        for player in order:
            gains[player] = worth([*on, player]) - worth(on)
            on.append(player)
        values = values + np.array(gains) / math.factorial(n)
    return values


RATES = [1.2, 0.4, 0.05]
WORLD = instant_world(*(instant(name, rate) for name, rate in zip("abc", RATES, strict=True)))
EXPECTED = shapley(3, lambda on: share(sum(RATES[i] for i in on))) / share(sum(RATES))


def twins_of(world, n, days=60.0):
    return Twins(Population(Recipe(world, n, days, 5)), 0, n)


@pytest.mark.parametrize(("world", "n"), [(rich_world(), 800), (talkative_world(200), 800)], ids=["alone", "markets"])
def test_the_exact_value_is_the_definition(world, n):
    names, worths = world.channel_names, {}

    def worth(on):
        off = frozenset(names) - {names[i] for i in on}
        if off not in worths:
            log = simulate(world.without(*off), n_customers=n, horizon_days=60, seed=5)
            bought = log.codes("kind", ["purchase"]) == 0
            value = log.events["value"].to_numpy(zero_copy_only=False)[bought].sum()
            worths[off] = np.array([np.unique(log.customer_codes()[bought]).size, value])
        return worths[off]

    twins = twins_of(world, n)
    found = exact_values(twins, twins.everything_on())
    assert len(found) == (4 if world.word_of_mouth else n)
    expected = shapley(len(names), worth)
    np.testing.assert_allclose(found.sum(axis=0), expected, rtol=1e-9)
    assert (np.abs(expected) > 0).all()


def test_the_value_of_instant_channels_has_the_closed_form():
    found = truth(WORLD, horizon_days=DAYS, seed=1, precision=0.003, shapley=True)
    assert found.shapley == "exact"
    for name, expected in zip("abc", EXPECTED, strict=True):
        for measure in ("conversions", "revenue"):
            value, error = found.find("shapley", measure, name)
            assert abs(value - expected) < ALLOWED * error
            assert ALLOWED * error < expected
    removal = found.find("incremental", "conversions", "a")[0]
    assert removal < EXPECTED[0] - 0.05  # channels that replace each other lose less alone than together


@pytest.mark.parametrize("how", ["exact", "sampled"])
def test_the_values_add_up_to_the_effect_of_all(how):
    found = truth(rich_world(), horizon_days=60, seed=1, precision=0.05, max_customers=25_600, shapley=how)
    for measure in ("conversions", "revenue"):
        values = [found.find("shapley", measure, name)[0] for name in rich_world().channel_names]
        together = found.find("incremental", measure, "all channels")[0]
        np.testing.assert_allclose(sum(values), together, rtol=1e-12)


@pytest.mark.parametrize("how", ["exact", "sampled"])
def test_a_channel_that_does_nothing_is_worth_nothing(how):
    noise = Channel(name="noise", contacts_per_day={"look": 2.0})
    world = instant_world(instant("a", 0.4), noise, instant("b", 0.3))
    found = truth(world, horizon_days=DAYS, seed=1, precision=0.02, shapley=how)
    assert found.find("shapley", "conversions", "noise") == found.find("shapley", "revenue", "noise") == (0, 0)
    assert found.find("shapley", "conversions", "a")[0] > 0.1


def test_channels_that_are_alike_are_worth_the_same():
    """Their values differ by luck only; customers are independent, so the difference has the error of a mean."""
    world = instant_world(instant("a", 0.4), instant("b", 0.4), instant("c", 0.5))
    n = 40_000
    twins = twins_of(world, n, float(DAYS))
    values = exact_values(twins, twins.everything_on())[..., 0]

    def z(i, j):
        difference = values[:, i] - values[:, j]
        return difference.mean() / difference.std() * np.sqrt(n)

    assert abs(z(0, 1)) < ALLOWED
    assert z(2, 1) > ALLOWED  # one that comes a quarter more often is found out


def test_a_mean_over_all_orders_is_the_exact_value():
    twins = twins_of(rich_world(), 300)
    full = twins.everything_on()
    sampled = np.mean([sampled_values(twins, full, order) for order in permutations(range(3))], axis=0)
    np.testing.assert_allclose(sampled, exact_values(twins, full), rtol=1e-9, atol=1e-12)


def test_sampled_values_and_their_errors_are_honest(monkeypatch):
    """Against the closed form, in a world where the order of the channels matters much. With 20 orders in a run an
    error has 19 degrees of freedom, so t is taken to the normal first; the squares sum to a chi-square.
    """
    monkeypatch.setattr(truth_module, "MIN_ORDERS", 20)
    monkeypatch.setattr(truth_module, "FIRST_ROUND", 20 * 128)
    monkeypatch.setattr(truth_module, "customers_at_once", lambda population, plan: 128)
    how = {"horizon_days": DAYS, "precision": 0.001, "max_customers": 20 * 128, "shapley": "sampled", "threads": 1}
    runs = [truth(WORLD, seed=seed, **how) for seed in range(100)]
    assert {(run.shapley, run.n_orders) for run in runs} == {("sampled", 40)}
    low, high = stats.chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], len(runs))
    for name, expected in zip("ab", EXPECTED, strict=False):
        pairs = [run.find("shapley", "conversions", name) for run in runs]
        t = np.array([(value - expected) / error for value, error in pairs])
        chi_square = (stats.norm.ppf(stats.t.cdf(t, 19)) ** 2).sum()
        assert low < chi_square < high
        # errors claimed twice as large, or half as large, would be found out
        assert (stats.norm.ppf(stats.t.cdf(t / 2, 19)) ** 2).sum() < low
        assert (stats.norm.ppf(stats.t.cdf(t * 2, 19)) ** 2).sum() > high


def test_orders_add_to_the_error():
    """With as many customers, the sampled value is less certain than the exact one where orders matter."""
    how = {"horizon_days": DAYS, "seed": 1, "precision": 0.001, "max_customers": 40_960}
    errors = [truth(WORLD, shapley=s, **how).find("shapley", "conversions", "b")[1] for s in ("exact", "sampled")]
    assert errors[1] > errors[0]


def test_more_than_ten_channels_are_sampled():
    world = instant_world(*(instant(f"c{i}", 0.1) for i in range(11)))
    with pytest.raises(InputError, match=r"has 11 channels: 2\*\*11 coalitions. Up to 10 .* use 'sampled'"):
        truth(world, seed=1, shapley="exact")
    found = truth(world, horizon_days=DAYS, seed=1, precision=0.01, shapley=True)
    assert found.shapley == "sampled"
    assert found.n_orders == 2 * found.n_customers / 256
    with pytest.raises(InputError, match="needs 100 orders of the channels, one for each 256 customers"):
        truth(world, seed=1, shapley=True, max_customers=20_000)


def test_ten_channels_are_exact():
    world = instant_world(*(instant(f"c{i}", 0.05 * (i + 1)) for i in range(10)))
    twins = twins_of(world, 500, float(DAYS))
    full = twins.everything_on()
    values = exact_values(twins, full)
    nothing = twins.also_without(range(10), full)
    np.testing.assert_allclose(values.sum(axis=1), (full.measures - nothing.measures)[:, :2], atol=1e-9)
    assert values[..., 0].sum(axis=0)[9] > values[..., 0].sum(axis=0)[0]
