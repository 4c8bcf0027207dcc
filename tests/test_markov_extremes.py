"""Degenerate and extreme journeys: the right answer, or a message that says what to do."""

import time
from fractions import Fraction

import numpy as np
import pytest
from scipy.sparse import csr_array
from test_markov import effects, journeys_of

from journeysim.attribution import RemovalEffect, attribute
from journeysim.errors import InputError
from journeysim.journeys import Journeys
from journeysim.markov import AbsorbingChain, count_transitions, solving


def coded(codes, lengths, conversions, n_channels):
    """Journeys from integers; every journey has weight 1."""
    conversions = np.asarray(conversions, dtype=float)
    channels = tuple(f"c{i}" for i in range(n_channels))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Journeys(channels, codes.astype(np.int32), offsets, conversions, 1 - conversions, 2 * conversions)


@pytest.mark.parametrize("removal", ["null", "detour", "refit"])
@pytest.mark.parametrize("order", [1, 3, "auto"])
def test_no_conversion_is_a_message(order, removal):
    with pytest.raises(InputError, match="None of the 2 journeys with touches converts"):
        attribute(journeys_of([("ab", 0, 3, 0), ("b", 0, 1, 0)]), RemovalEffect(order, removal))


@pytest.mark.parametrize("order", [1, 2, 5])
def test_all_convert_is_any_touch_with_a_note(order):
    result = attribute(journeys_of([("ab", 3, 0, 3), ("c", 1, 0, 1)]), RemovalEffect(order))
    np.testing.assert_allclose(result.removal_effects, [0.75, 0.75, 0.25])
    assert any("no paths without a conversion" in note for note in result.notes)


def test_one_channel_takes_all_by_every_removal():
    journeys = journeys_of([("aaa", 1, 3, 2), ("a", 1, 1, 0)])
    for removal in ("null", "detour", "refit"):
        for order in (1, 2, "auto"):
            result = attribute(journeys, RemovalEffect(order, removal))
            np.testing.assert_allclose(result.removal_effects, [1.0])
            np.testing.assert_allclose(result.conversions, [2.0])


@pytest.mark.parametrize("order", [1, 2, 3, 8])
def test_a_channel_after_which_nobody_converts_gets_nothing(order):
    journeys = journeys_of([("ab", 2, 3, 4), ("xx", 0, 7, 0), ("bx", 0, 2, 0)])
    result = attribute(journeys, RemovalEffect(order))
    assert result.removal_effects[2] == pytest.approx(0, abs=1e-15)
    assert result.conversions[2] == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize("p_leave", [1e-3, 1e-9, 1e-15])
def test_a_loop_that_is_hardly_ever_left_costs_no_digits(p_leave):
    """0 <-> 1 is left with a tiny probability: N in closed form, in rational arithmetic, and by elimination."""
    e = Fraction(p_leave)
    Q = np.array([[0, 1 - p_leave], [1 - p_leave, 0]])
    determinant = 1 - (1 - e) ** 2
    want = np.array([[float(1 / determinant), float((1 - e) / determinant)]] * 2)
    want[1] = want[0][::-1]
    got = solving.fundamental(Q, np.array([p_leave, p_leave]))
    np.testing.assert_allclose(got, want, rtol=1e-13)
    if p_leave < 1e-8:  # negative control: the usual inverse has lost its digits
        with pytest.raises((AssertionError, np.linalg.LinAlgError)):
            np.testing.assert_allclose(np.linalg.inv(np.eye(2) - Q), want, rtol=1e-9)


def test_removals_in_a_chain_of_endless_loops_are_exact_at_order_two_as_well():
    """Sets of several states, which the difference of large numbers would spoil, are eliminated anew."""
    rng = np.random.default_rng(2)
    n, e = 6, 1e-10
    weights = rng.random((n, n)) * (1 - np.eye(n))
    Q = weights / weights.sum(axis=1, keepdims=True) * (1 - e)
    contains = np.zeros((n, 2), dtype=bool)
    contains[:3, 0] = contains[5, 1] = True
    start = np.full(n, 1 / n)
    p_end, g = np.full(n, e), rng.random(n)
    N = solving.fundamental(Q, p_end)
    chain = AbsorbingChain(contains, start, start @ N, csr_array(Q), p_end, g, g)
    got = chain.removal_effects().by_conversions
    P = (start @ N) @ (p_end * g)
    for c in range(2):
        K = ~contains[:, c]
        left = start[K] @ np.linalg.solve(np.eye(K.sum()) - Q[np.ix_(K, K)], (p_end * g)[K])  # well conditioned
        assert got[c] == pytest.approx(1 - left / P, abs=1e-13)


@pytest.mark.parametrize("order", [1, 2])
def test_a_path_of_a_hundred_thousand_touches(order):
    codes = np.random.default_rng(1).integers(0, 20, 100_002)
    journeys = coded(codes, [100_000, 1, 1], [1, 0, 1], 20)
    begin = time.perf_counter()
    got = effects(journeys, order)
    assert time.perf_counter() - begin < 20  # a second or less; the bound is for busy machines
    assert got.p_conversion == pytest.approx(2 / 3, abs=1e-12)
    assert ((got.by_conversions > 0.4) & (got.by_conversions < 1 + 1e-12)).all()


def test_a_rare_channel_on_an_endless_path_is_told_when_sweeping_cannot_arrive():
    """Order 3: without the channel that is met once, the others go round for 100,000 touches."""
    codes = np.random.default_rng(1).integers(0, 12, 100_000)
    codes[50_000] = 12
    journeys = coded(codes, [100_000], [1], 13)
    begin = time.perf_counter()
    with pytest.raises(InputError, match=r"some journeys go on for very long\. Use a lower order"):
        effects(journeys, 3)
    assert time.perf_counter() - begin < 60
    assert 0 < effects(journeys, 1).by_conversions[12] < 1  # a lower order answers


def test_a_million_paths_of_one_touch():
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 50, 1_000_000)
    journeys = coded(codes, np.ones(1_000_000, dtype=int), rng.random(1_000_000) < 0.1, 50)
    begin = time.perf_counter()
    got = effects(journeys, 3)
    assert time.perf_counter() - begin < 10
    share = np.bincount(codes, journeys.conversions) / journeys.n_conversions
    np.testing.assert_allclose(got.by_conversions, share, atol=1e-12)


@pytest.mark.parametrize("order", [1, 2])
def test_five_hundred_channels(order):
    rng = np.random.default_rng(4)
    lengths = rng.geometric(0.3, 3_000)
    codes = rng.integers(0, 500, lengths.sum())
    journeys = coded(codes, lengths, rng.random(3_000) < 0.2, 500)
    begin = time.perf_counter()
    got = effects(journeys, order)
    assert time.perf_counter() - begin < 20
    chain = AbsorbingChain.from_counts(count_transitions(journeys, order))
    for c in (0, 499):
        K = np.flatnonzero(~chain.contains[:, c])
        left, there = 0.0, chain.start[K].copy()
        Q = chain.moves[K][:, K].T.tocsr()
        for _ in range(300):
            left += there @ chain.rewards[K, 0]
            there = Q @ there
        assert got.by_conversions[c] == pytest.approx(1 - left / chain.p_conversion, abs=1e-11)
