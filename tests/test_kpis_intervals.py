"""Intervals: against published figures, against each other, and by how often they cover what is true."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statistical import assert_proportion

from journeysim.kpis import wilson
from journeysim.kpis.groups import Groups
from journeysim.kpis.intervals import medians, ratio, shares
from journeysim.kpis.value import Buyers


def groups_of(n, *, clusters=None):
    codes = np.zeros(n, np.int64)
    units = np.arange(n) if clusters is None else np.unique(clusters, return_inverse=True)[1]
    unit_group = codes if clusters is None else np.zeros(units.max() + 1, np.int64)
    return Groups(("all",), None, codes, units, unit_group, clusters is not None)


def test_wilson_interval() -> None:
    # Newcombe (1998), Statistics in Medicine 17:857, table I, method 3: 81/263 and 0/20
    assert wilson(81, 263) == (
        pytest.approx(81 / 263),
        pytest.approx(0.2553, abs=5e-5),
        pytest.approx(0.3662, abs=5e-5),
    )
    assert wilson(0, 20) == (0, 0, pytest.approx(0.1611, abs=5e-5))
    assert wilson(0, 0) == (None, None, None)


def test_a_mean_has_students_interval():
    values = np.random.default_rng(1).lognormal(0, 1, 30)
    found = ratio(groups_of(30), values, np.ones(30))
    expected = stats.t.interval(0.95, 29, values.mean(), stats.sem(values))
    assert (found.low[0], found.high[0]) == pytest.approx(expected)


def test_copies_in_clusters_tell_no_more_than_the_originals():
    rng = np.random.default_rng(2)
    y, x = rng.lognormal(0, 1, 50), rng.uniform(1, 2, 50)
    copies, clusters = np.tile(np.arange(50), 20), np.tile(np.arange(50), 20)
    for estimate in (ratio, shares):
        top = y if estimate is ratio else (y > 1).astype(float)
        bottom = x if estimate is ratio else np.ones(50)
        alone = estimate(groups_of(50, clusters=np.arange(50)), top, bottom)
        copied = estimate(groups_of(1000, clusters=clusters), top[copies], bottom[copies])
        assert np.array(copied).ravel() == pytest.approx(np.array(alone).ravel(), rel=1e-9)
        naive = estimate(groups_of(1000), top[copies], bottom[copies])
        assert naive.high[0] - naive.low[0] < 0.3 * (alone.high[0] - alone.low[0])


def test_nothing_to_judge_by_gives_no_bounds():
    alike = ratio(groups_of(9), np.zeros(9), np.ones(9))
    assert alike.value[0] == 0
    assert np.isnan([alike.low[0], alike.high[0]]).all()
    one = ratio(groups_of(1), np.ones(1), np.ones(1))
    assert np.isnan([one.low[0], one.high[0]]).all()
    few = medians(groups_of(3), np.arange(3), np.array([1.0, 2.0, 3.0]))
    assert few.value[0] == 2
    assert np.isnan(few.low[0])
    assert np.isnan(shares(groups_of(2), np.zeros(2), np.zeros(2)).value[0])


def covered(make, truth, rounds=2_000):
    """How many of some intervals from independent samples hold the truth."""
    hits = 0
    for seed in range(rounds):
        found = make(np.random.default_rng(seed))
        hits += bool(found.low[0] <= truth <= found.high[0])
    return hits


def test_medians_are_covered_as_often_as_promised():
    def make(rng):
        return medians(groups_of(101), np.arange(101), rng.lognormal(0, 1, 101))

    ranks = medians(groups_of(101), np.arange(101), np.arange(101.0))  # which order statistics are taken
    below = stats.binom(101, 0.5)
    promised = below.cdf(ranks.high[0]) - below.cdf(ranks.low[0])
    assert 0.95 <= promised < 0.98  # order statistics are coarse
    assert_proportion(covered(make, 1.0), 2_000, promised)


def test_lifetime_value_is_covered_under_censoring_and_missed_without_its_correction():
    rate, horizon = 0.05, 60.0
    truth = 10 + rate * 50 * 10  # a first purchase of 10, then a Poisson process of purchases of mean 10

    def purchases(rng):
        n = 150
        followed = rng.uniform(20, horizon, n)
        counts = rng.poisson(rate * followed)
        who = np.concatenate([np.arange(n), np.repeat(np.arange(n), counts)])
        day = np.concatenate([np.zeros(n), rng.uniform(0, np.repeat(followed, counts))])
        order = np.argsort(day, kind="stable")
        return followed, who[order], day[order], rng.exponential(10, len(who))

    def corrected(rng):
        followed, who, day, value = purchases(rng)
        return Buyers(followed, np.arange(150), who, day, value).mean_cumulative(np.array([50.0]))

    def naive(rng):
        _, who, day, value = purchases(rng)
        return ratio(groups_of(150), np.bincount(who, value * (day <= 50), 150), np.ones(150))

    assert_proportion(covered(corrected, truth), 2_000, 0.95)
    with pytest.raises(AssertionError):
        assert_proportion(covered(naive, truth), 2_000, 0.95)


def test_whole_markets_are_covered_where_customers_taken_as_independent_are_not():
    """Markets differ: each has its own chance of conversion, 0.3 on average."""

    def sample(rng):
        clusters = np.repeat(np.arange(30), 100)
        chance = rng.beta(6, 14, 30)[clusters]
        return clusters, (rng.random(3_000) < chance).astype(float)

    def clustered(rng):
        clusters, bought = sample(rng)
        return shares(groups_of(3_000, clusters=clusters), bought, np.ones(3_000))

    def independent(rng):
        _, bought = sample(rng)
        return shares(groups_of(3_000), bought, np.ones(3_000))

    assert_proportion(covered(clustered, 0.3), 2_000, 0.95)
    assert covered(independent, 0.3) < 1_200
