"""Assertions about random numbers, each with a stated chance of a false alarm.

Seeds are fixed, but no bound was tuned to one: with any other seed a right program fails with at most that chance.
"""

import math

import numpy as np
import pytest
from scipy import stats

FALSE_ALARM = 1e-6


def assert_proportion(hits, n, p, false_alarm=FALSE_ALARM):
    """`hits` of `n` fit probability p: exact binomial tails."""
    tails = 2 * min(stats.binom.cdf(hits, n, p), stats.binom.sf(hits - 1, n, p))
    assert tails >= false_alarm, f"{hits}/{n} = {hits / n:.5f}, want {p:.5f}; p-value {tails:.1e}"


def assert_sharp_proportion(hits, n, p, false_alarm=FALSE_ALARM):
    """As `assert_proportion`, with its negative control: a probability that is 10% higher does not fit."""
    assert_proportion(hits, n, p, false_alarm)
    with pytest.raises(AssertionError, match="p-value"):
        assert_proportion(hits, n, min(1.1 * p, 1.0), false_alarm)


def assert_mean(values, expected, low, high, false_alarm=FALSE_ALARM):
    """Independent values in [low, high] fit their expectation.

    Source: empirical Bernstein bound, Audibert, Munos & Szepesvari 2009, Theoretical Computer Science 410, theorem 1.
    """
    values = np.asarray(values, dtype=float)
    assert values.min() >= low
    assert values.max() <= high
    n, log_term = len(values), math.log(3 / false_alarm)
    allowed = math.sqrt(2 * values.var() * log_term / n) + 3 * (high - low) * log_term / n
    found = values.mean()
    assert abs(found - expected) <= allowed, f"mean {found:.5f}, want {expected:.5f} ± {allowed:.5f}"


def assert_distribution(sample, cdf, false_alarm=FALSE_ALARM):
    """A sample fits a continuous distribution.

    Source: Dvoretzky-Kiefer-Wolfowitz inequality with Massart's constant (1990, Annals of Probability 18:3).
    """
    n = len(sample)
    allowed = math.sqrt(math.log(2 / false_alarm) / (2 * n))
    distance = stats.ks_1samp(sample, cdf, method="asymp").statistic
    assert distance <= allowed, f"largest gap {distance:.5f} of {n} draws, allowed {allowed:.5f}"


def assert_same_proportion(hits_a, n_a, hits_b, n_b, false_alarm=FALSE_ALARM):
    """Two independent counts share one probability: Fisher's exact test."""
    p_value = stats.fisher_exact([[hits_a, n_a - hits_a], [hits_b, n_b - hits_b]]).pvalue
    assert p_value >= false_alarm, f"{hits_a}/{n_a} against {hits_b}/{n_b}; p-value {p_value:.1e}"


def assert_same_distribution(a, b, false_alarm=FALSE_ALARM):
    """Two large independent samples share one continuous distribution: Kolmogorov and Smirnov."""
    p_value = stats.ks_2samp(a, b, method="asymp").pvalue
    assert p_value >= false_alarm, f"samples of {len(a)} and {len(b)} differ; p-value {p_value:.1e}"


def assert_same_mean(a, b, false_alarm=FALSE_ALARM):
    """Two large independent samples share one expectation (z; the chance holds as far as the central limit does)."""
    error = math.sqrt(np.var(a) / len(a) + np.var(b) / len(b))
    z = (np.mean(a) - np.mean(b)) / error if error else 0.0
    assert abs(z) <= stats.norm.isf(false_alarm / 2), f"means {np.mean(a):.5f} and {np.mean(b):.5f}; z = {z:.1f}"


def assert_student(values, expected, false_alarm=FALSE_ALARM):
    """Independent values, such as the means of independent markets, fit their expectation (t; holds as far as the
    central limit does).
    """
    p_value = stats.ttest_1samp(values, expected).pvalue
    assert p_value >= false_alarm, f"mean {np.mean(values):.5f}, want {expected:.5f}; p-value {p_value:.1e}"


def assert_counts(counts, shares, false_alarm=FALSE_ALARM):
    """Counts of independent draws fit the shares of their categories: chi-square (the chance holds as far as all
    expected counts are large; below 10 they are pooled with their neighbour).
    """
    counts, expected = np.asarray(counts, float), np.asarray(shares, float) * np.sum(counts)
    assert math.isclose(expected.sum(), counts.sum(), rel_tol=1e-6), "the shares must sum to 1"
    assert not counts[expected == 0].any(), f"an impossible category was drawn: {counts.tolist()}"
    pooled = [[0.0, 0.0]]
    for pair in zip(counts, expected, strict=True):
        pooled.append([*pair]) if pooled[-1][1] >= 10 else pooled.append([*np.add(pooled.pop(), pair)])
    if len(pooled) > 1 and pooled[-1][1] < 10:
        pooled.append([*np.add(pooled.pop(), pooled.pop())])
    found, wanted = np.array(pooled).T
    assert len(found) > 1, "too few draws to test shares"
    p_value = stats.chi2.sf(((found - wanted) ** 2 / wanted).sum(), len(found) - 1)
    assert p_value >= false_alarm, f"{counts.tolist()}, want {np.round(expected, 1).tolist()}; p-value {p_value:.1e}"
