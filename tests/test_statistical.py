"""The statistical assertions themselves: they pass what is right and catch what is a little wrong."""

import numpy as np
import pytest
from scipy import stats
from statistical import (
    assert_counts,
    assert_distribution,
    assert_mean,
    assert_proportion,
    assert_same_distribution,
    assert_same_mean,
    assert_same_proportion,
)

N = 100_000
draws = np.random.default_rng(1)
UNIFORM = draws.random(N)
OTHER = draws.random(N)


def test_what_is_right_passes():
    assert_proportion(int((UNIFORM < 0.3).sum()), N, 0.3)
    assert_mean(UNIFORM, 0.5, 0, 1)
    assert_distribution(UNIFORM, stats.uniform.cdf)
    assert_same_proportion(int((UNIFORM < 0.3).sum()), N, int((OTHER < 0.3).sum()), N)
    assert_same_distribution(UNIFORM, OTHER)
    assert_same_mean(UNIFORM, OTHER)
    assert_counts(np.bincount((UNIFORM * 7).astype(int)), np.full(7, 1 / 7))


def test_sure_events_are_exact():
    assert_proportion(0, N, 0.0)
    assert_proportion(N, N, 1.0)
    with pytest.raises(AssertionError):
        assert_proportion(1, N, 0.0)


def test_what_is_a_little_wrong_fails():
    with pytest.raises(AssertionError, match="want"):
        assert_proportion(int((UNIFORM < 0.31).sum()), N, 0.3)
    with pytest.raises(AssertionError, match="want"):
        assert_mean(UNIFORM, 0.507, 0, 1)
    with pytest.raises(AssertionError, match="gap"):
        assert_distribution(UNIFORM, lambda x: x**1.03)
    with pytest.raises(AssertionError, match="against"):
        assert_same_proportion(int((UNIFORM < 0.3).sum()), N, int((OTHER < 0.313).sum()), N)
    with pytest.raises(AssertionError, match="differ"):
        assert_same_distribution(UNIFORM, OTHER**1.05)
    with pytest.raises(AssertionError, match="means"):
        assert_same_mean(UNIFORM, OTHER + 0.008)
    with pytest.raises(AssertionError, match="want"):
        assert_counts(np.bincount((UNIFORM * 7).astype(int)), [1 / 6.6, *np.full(6, (1 - 1 / 6.6) / 6)])
    with pytest.raises(AssertionError, match="impossible"):
        assert_counts([1, N], [0.0, 1.0])


def test_rare_categories_are_pooled_and_do_not_alarm():
    assert_counts([2, 0, 0, 1, 49_997, 50_000], [1e-5, 1e-6, 1e-6, 1e-5, 0.499978, 0.5])
    with pytest.raises(AssertionError, match="too few"):
        assert_counts([2, 3], [0.5, 0.5])


@pytest.mark.slow
def test_false_alarms_are_as_rare_as_stated():
    """At a rate of 10% instead of 1e-6, so that there is something to count; exact tests may only be rarer."""
    rng = np.random.default_rng(2)
    alarms = np.zeros(5, int)
    for _ in range(500):
        a, b = rng.random((2, 300))
        checks = (
            lambda a=a: assert_proportion(int((a < 0.3).sum()), 300, 0.3, 0.1),
            lambda a=a: assert_mean(a, 0.5, 0, 1, 0.1),
            lambda a=a: assert_distribution(a, stats.uniform.cdf, 0.1),
            lambda a=a, b=b: assert_same_distribution(a, b, 0.1),
            lambda a=a, b=b: assert_same_mean(a, b, 0.1),
        )
        for i, check in enumerate(checks):
            try:
                check()
            except AssertionError:
                alarms[i] += 1
    assert (alarms <= stats.binom.isf(1e-6, 500, 0.1)).all()
    assert (alarms > 0)[[0, 2, 3, 4]].all()
