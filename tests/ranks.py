"""Ranks of truths among posterior draws, and the test that they are uniform (Talts et al. 2018, arXiv:1804.06788).

If truths are drawn from the prior and data from the truths, the rank of a truth among independent draws of its own
posterior is uniform on 0..N_RANKS, for any prior and any size of data.
"""

import numpy as np
from statistical import FALSE_ALARM, assert_counts

N_RANKS = 99
"""Draws among which a truth is ranked: 100 ranks, ten equal bins."""


def rank_of(truth, draws):
    """How many of N_RANKS evenly spaced draws, which are hardly correlated, are below the truth."""
    chosen = draws[np.linspace(0, len(draws) - 1, N_RANKS).astype(int)]
    return int((chosen < truth).sum())


def in_bins(ranks):
    """How many ranks are in each of ten bins."""
    return np.bincount(np.asarray(ranks) // ((N_RANKS + 1) // 10), minlength=10)


def assert_uniform(ranks):
    """Chi-square over ten bins of ranks by name, all names together at the stated false-alarm rate."""
    for name, found in ranks.items():
        try:
            assert_counts(in_bins(found), np.full(10, 0.1), false_alarm=FALSE_ALARM / len(ranks))
        except AssertionError as error:
            raise AssertionError(f"ranks of {name}: {error}") from None
