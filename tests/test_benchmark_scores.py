"""Scores of attributions against numbers worked by hand."""

import numpy as np
import pytest

from journeysim import InputError, scores

SHARE, TRUTH = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])


def test_shares_of_credit_leave_out_what_is_negative():
    np.testing.assert_allclose(scores.credit_share(np.array([3.0, -1.0, 1.0])), [0.75, 0, 0.25])
    np.testing.assert_allclose(scores.credit_share(np.array([[1.0, 1.0], [0.0, -1.0]])), [[0.5, 0.5], [np.nan, np.nan]])
    assert scores.negative_credit(np.array([3.0, -1.0, 1.0])) == 0.25
    assert scores.negative_credit(SHARE) == 0
    assert np.isnan(scores.negative_credit(np.array([-1.0])))


def test_share_error_and_worst_channel():
    assert scores.share_error(SHARE, TRUTH) == pytest.approx(0.3)
    assert scores.worst_channel_error(SHARE, np.array([0.4, 0.2, 0.4])) == pytest.approx(0.2)


def test_rank_agreement_with_and_without_ties():
    assert scores.rank_agreement(SHARE, TRUTH) == pytest.approx(-1)
    assert scores.rank_agreement(SHARE, SHARE**2) == pytest.approx(1)
    # ranks (4, 2.5, 2.5, 1) and (4, 3, 2, 1): covariance 4.5, variances 4.5 and 5, so sqrt(0.9)
    found = scores.rank_agreement(np.array([0.4, 0.2, 0.2, 0.1]), np.array([0.4, 0.3, 0.2, 0.1]))
    assert found == pytest.approx(np.sqrt(0.9))
    assert np.isnan(scores.rank_agreement(np.ones(3), TRUTH))


def test_top_channel_is_shared_among_equals():
    assert scores.top_channel_found(SHARE, TRUTH) == 0
    assert scores.top_channel_found(SHARE, SHARE) == 1
    assert scores.top_channel_found(np.array([0.4, 0.4, 0.2]), SHARE) == 0.5


def test_coverage_counts_ends_of_intervals_in():
    low, high = np.array([0.2, 0.31, 0.1]), np.array([0.3, 0.4, 0.5])
    assert scores.interval_coverage(low, high, TRUTH) == pytest.approx(2 / 3)


def test_the_move_that_promises_most_is_taken():
    # returns 1, 4 and 2; moves to the second: half of 10 promises 5 * 3, from the third min(4, 10) * 2
    assert scores.budget_move(np.array([10.0, 40.0, 16.0]), np.array([10.0, 10.0, 8.0])) == (0, 1)
    # the second returns most, but doubling it takes 0.1 only: 0.1 * 9 < 4 * 1
    assert scores.budget_move(np.array([10.0, 1.0, 16.0]), np.array([10.0, 0.1, 8.0])) == (0, 2)
    assert scores.budget_move(np.array([1.0, 9.0, 2.0]), np.array([1.0, 0.0, 2.0])) == (0, 0)  # equal returns: stay
    with pytest.raises(InputError, match="1 of 2 channels"):
        scores.budget_move(np.ones(2), np.array([1.0, 0.0]))


def test_regret_is_held_against_the_best_move_and_the_worst():
    outcome = np.array([[0.10, 0.12], [0.07, 0.10]])
    np.testing.assert_allclose(scores.budget_regret(outcome, (0, 1)), [0, 0])
    np.testing.assert_allclose(scores.budget_regret(outcome, (1, 0)), [0.5, 1])
    np.testing.assert_allclose(scores.budget_regret(outcome, (1, 1)), [0.2, 0.4])
    assert np.isnan(scores.budget_regret(np.full((2, 2), 0.1), (0, 1))[1])


def test_spread_over_seeds_is_the_mean_error_between_two():
    shares = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    assert scores.seed_spread(shares) == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert np.isnan(scores.seed_spread(shares[:1]))
