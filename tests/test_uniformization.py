"""Vectors of many chains against SciPy, one matrix at a time; days spent by Van Loan's augmented matrix."""

import numpy as np
import pytest
from scipy.linalg import expm

from journeysim.uniformization import LANES, propagate

ORIGINS = np.array([0, 1, 1, 2, 2, 0])
TARGETS = np.array([1, 0, 2, 1, 3, 3])


def by_hand(hazards, start, days, discount):
    """State after some days, and days spent until then, plain and discounted."""
    n = len(start)
    Q = np.zeros((n, n))
    np.add.at(Q, (ORIGINS, TARGETS), hazards)
    Q -= np.diag(Q.sum(axis=1))
    found = [start @ expm(Q * days)]
    for rate in (0.0, discount):
        both = np.block([[Q - rate * np.eye(n), np.eye(n)], [np.zeros((n, 2 * n))]])
        found.append(start @ expm(both * days)[:n, n:])
    return found


@pytest.mark.parametrize("n", [1, LANES + 3, 2 * LANES])
@pytest.mark.parametrize("speed", [0.0, 0.1, 30.0])  # nothing moves; one series; several series of jumps
def test_states_and_days_are_those_of_matrix_exponentials(n, speed):
    rng = np.random.default_rng(n)
    hazards = speed * rng.gamma(1, 1, size=(3, 6, n))
    start = rng.dirichlet(np.ones(5), size=(3, n)).transpose(0, 2, 1)
    found = propagate(hazards, ORIGINS, TARGETS, start, step_days=7.0, n_steps=3, discount_per_day=0.02)
    assert found.states.shape == (3, 3, 5, n)
    for g in range(3):
        for i in {0, n // 2, n - 1}:
            before = [np.zeros(5), np.zeros(5)]
            for t in range(3):
                state, *spent = by_hand(hazards[g, :, i], start[g, :, i], 7.0 * (t + 1), 0.02)
                np.testing.assert_allclose(found.states[g, t, :, i], state, atol=1e-10)
                np.testing.assert_allclose(found.days[g, t, :, i], spent[0] - before[0], atol=1e-9)
                np.testing.assert_allclose(found.discounted[g, t, :, i], spent[1] - before[1], atol=1e-9)
                before = spent
    assert np.abs(found.states.sum(axis=2) - 1).max() < 1e-12


def test_threads_do_not_meet():
    rng = np.random.default_rng(3)
    hazards, start = rng.gamma(1, 1, size=(2, 6, 40 * LANES)), np.zeros((2, 5, 1))
    start[:, 0] = 1
    whole = propagate(hazards, ORIGINS, TARGETS, start, step_days=5.0, n_steps=1, with_days=False).states
    for _ in range(3):
        again = propagate(hazards, ORIGINS, TARGETS, start, step_days=5.0, n_steps=1, with_days=False).states
        np.testing.assert_array_equal(whole, again)
    part = propagate(hazards[:, :, LANES : 2 * LANES], ORIGINS, TARGETS, start, step_days=5.0, n_steps=1).states
    np.testing.assert_allclose(whole[..., LANES : 2 * LANES], part, rtol=1e-13, atol=1e-15)


def test_without_days_the_last_state_holds_what_the_others_do_not():
    rng = np.random.default_rng(4)
    hazards, start = rng.gamma(1, 1, size=(2, 6, 40)), rng.dirichlet(np.ones(4), size=(2, 40)).transpose(0, 2, 1)
    for targets in (TARGETS, np.where(TARGETS == 3, 0, TARGETS)):  # a last state that some enter, and one that none do
        with_days, without = (
            propagate(hazards, ORIGINS, targets, start, step_days=2.0, n_steps=2, with_days=also)
            for also in (True, False)
        )
        np.testing.assert_allclose(without.states, with_days.states, atol=1e-14)
        assert without.days.shape == (2, 0, 4, 40)
