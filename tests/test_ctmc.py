import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import expm

from journeysim.ctmc import exponentials, transition_probabilities


def random_generators(seed, *shape, fast=1.0):
    """Generators with exponential rates; the first state of each is `fast` times faster and the last absorbs."""
    Q = np.random.default_rng(seed).exponential(0.1, size=(*shape, shape[-1]))
    Q[..., 0, :] *= fast
    Q[..., -1, :] = 0
    diagonal = np.arange(shape[-1])
    Q[..., diagonal, diagonal] = 0
    Q[..., diagonal, diagonal] = -Q.sum(axis=-1)
    return Q


@pytest.mark.parametrize("days", [1e-9, 0.1, 1, 30, 3650])
@pytest.mark.parametrize("fast", [1, 100, 1e4])
def test_transition_probabilities_agree_with_scipy(days, fast):
    Q = random_generators(1, 7, 3, 6, fast=fast)
    P = transition_probabilities(Q, days)
    # SciPy itself errs by some 1e-12 on the stiffest of these: its rows do not sum to 1
    np.testing.assert_allclose(P, expm(Q * days), rtol=0, atol=1e-11)
    np.testing.assert_allclose(P.sum(axis=-1), 1, rtol=0, atol=1e-14)
    assert (P >= 0).all()


@pytest.mark.parametrize("scale", [0.0, 1e-9, 0.3, 20.0])
def test_exponentials_of_any_small_matrices_agree_with_scipy(scale):
    A = scale * np.random.default_rng(1).normal(size=(2, 3, 5, 5)) * np.array([1e-3, 1.0, 0.1])[:, None, None]
    want = expm(A)
    largest = np.abs(want).max(axis=(-2, -1), keepdims=True)
    np.testing.assert_allclose(exponentials(A) / largest, want / largest, rtol=0, atol=1e-11)


def test_slow_chains_beside_fast_ones_stay_exact():
    Q = np.stack([random_generators(1, 5), random_generators(2, 5) * 1e5])
    np.testing.assert_allclose(transition_probabilities(Q, 20)[0], expm(Q[0] * 20), rtol=1e-9, atol=0)


@given(st.floats(0, 300), st.floats(0, 300))
def test_going_on_is_going_all_the_way(first, then):
    Q = random_generators(3, 4, 5, fast=20)
    there = transition_probabilities(Q, first) @ transition_probabilities(Q, then)
    np.testing.assert_allclose(there, transition_probabilities(Q, first + then), rtol=0, atol=1e-12)


def test_two_states_have_the_textbook_solution():
    a, b, t = 0.3, 0.2, 1.7
    stay = (b + a * np.exp(-(a + b) * t)) / (a + b)
    P = transition_probabilities(np.array([[-a, a], [b, -b]]), t)
    assert P[0] == pytest.approx([stay, 1 - stay], rel=1e-14)


def test_no_time_and_no_rates_change_nothing():
    np.testing.assert_array_equal(transition_probabilities(random_generators(4, 2, 3), 0.0), [np.eye(3)] * 2)
    np.testing.assert_array_equal(transition_probabilities(np.zeros((2, 3, 3)), 9.0), [np.eye(3)] * 2)
    assert transition_probabilities(np.zeros((0, 3, 3)), 9.0).shape == (0, 3, 3)


def test_who_is_absorbed_stays_and_in_the_end_everyone_is():
    P = transition_probabilities(random_generators(5, 4), 1e6)
    np.testing.assert_allclose(P, np.eye(4)[[3, 3, 3, 3]], rtol=0, atol=1e-14)


def test_the_argument_is_left_alone():
    Q = random_generators(6, 4)
    before = Q.copy()
    transition_probabilities(Q, 0.0)[0, 0] = 7
    transition_probabilities(Q, 3.0)
    np.testing.assert_array_equal(Q, before)
