"""Removal effects against algebra worked by hand, against naive re-solving, and against what must hold of any chain."""

import math
import re
from collections import defaultdict
from fractions import Fraction
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journeysim.errors import InputError
from journeysim.interop import read_paths
from journeysim.journeys import Journeys
from journeysim.markov import AbsorbingChain, count_transitions, solving

DOC = Path(__file__).parents[1] / "docs" / "attribution.md"


def journeys_of(rows, channels=None):
    """Journeys from (path as a list of names, conversions, nulls, value)."""
    channels = channels or tuple(sorted({name for path, *_ in rows for name in path}))
    codes = np.array([channels.index(name) for path, *_ in rows for name in path], dtype=np.int32)
    offsets = np.cumsum([0, *(len(path) for path, *_ in rows)], dtype=np.int64)
    weights = np.array([row[1:] for row in rows], dtype=float).reshape(-1, 3)
    return Journeys(channels, codes, offsets, *(weights[:, i].copy() for i in range(3)))


def rows_of(journeys):
    names = [journeys.channels[code] for code in journeys.codes]
    paths = [tuple(names[a:b]) for a, b in zip(journeys.offsets[:-1], journeys.offsets[1:], strict=True)]
    return list(zip(paths, journeys.conversions, journeys.nulls, journeys.value, strict=True))


def naive(rows, order, channels):
    """P, value per journey and both removal effects by re-solving x = r + Q x with each channel redirected to null.

    Dictionaries of tuples, one path at a time: shares nothing with the package but the convention.
    """
    moves, reward = defaultdict(float), defaultdict(lambda: np.zeros(2))
    for path, conversions, nulls, value in rows:
        if conversions + nulls == 0:
            continue
        grams = [path[i : i + order] for i in range(max(1, len(path) - order + 1))]
        walk = ["start", *(state for state, _ in groupby(grams)), "end"]
        for origin, target in pairwise(walk):
            moves[origin, target] += conversions + nulls
        reward[walk[-2]] += conversions, value
    states = ["start", *sorted({target for _, target in moves} - {"end"})]
    index = {state: i for i, state in enumerate(states)}
    Q, leaving = np.zeros((len(states), len(states))), np.zeros(len(states))
    for (origin, target), weight in moves.items():
        leaving[index[origin]] += weight
        if target != "end":
            Q[index[origin], index[target]] += weight
    r = np.array([reward[state] for state in states])
    Q, r = Q / leaving[:, None], r / leaving[:, None]

    def expected(kept):
        kept = np.array(kept)
        return np.linalg.solve(np.eye(len(kept)) - Q[np.ix_(kept, kept)], r[kept])[0]

    full = expected(range(len(states)))
    left = [expected([i for i, state in enumerate(states) if i == 0 or c not in state]) for c in channels]
    with np.errstate(invalid="ignore", divide="ignore"):
        return full, 1 - np.array(left) / full


def effects(journeys, order=1):
    return AbsorbingChain.from_counts(count_transitions(journeys, order)).removal_effects()


def any_touch(journeys):
    """Share of conversions whose path contains each channel."""
    rows = rows_of(journeys)
    return [sum(row[1] for row in rows if c in row[0]) / journeys.n_conversions for c in journeys.channels]


@pytest.fixture(scope="module")
def pathdata(shared_data):
    return read_paths(shared_data / "pathdata.csv")


@pytest.fixture(params=["inverse", "sweeps"])
def algorithm(request, monkeypatch):
    monkeypatch.setattr(solving, "DENSE_STATES", 10**9 if request.param == "inverse" else 0)
    return request.param


# --- worked by hand -----------------------------------------------------------------------------------------------


def table_after(heading):
    """The rows of the first table below a heading of docs/attribution.md, as lists of cells."""
    lines = DOC.read_text(encoding="utf-8").split(f"\n### {heading}\n", 1)[1].splitlines()
    rows = [line for line in lines[: next(i for i, x in enumerate(lines) if i and x.startswith("#"))] if "|" in line]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def test_the_worked_example_of_the_documentation_is_what_the_code_computes(algorithm):
    rows = [(path.split(" > "), *map(float, rest)) for path, *rest in table_after("The journeys")]
    journeys = journeys_of(rows, ("search", "email", "display"))
    got = effects(journeys)
    by_hand = {name: [float(Fraction(x)) for x in cells] for name, *cells in table_after("The result")}
    assert list(by_hand) == list(journeys.channels)
    want = np.array(list(by_hand.values()))
    np.testing.assert_allclose(got.by_conversions, want[:, 0], atol=1e-12)
    np.testing.assert_allclose(4 * got.by_conversions / got.by_conversions.sum(), want[:, 1], atol=1e-11)
    np.testing.assert_allclose(got.by_value, want[:, 2], atol=1e-12)
    np.testing.assert_allclose(54 * got.by_value / got.by_value.sum(), want[:, 3], atol=1e-10)
    assert got.p_conversion == pytest.approx(4 / 9, abs=1e-15)
    assert got.value_per_journey == pytest.approx(6, abs=1e-14)


def test_the_worked_example_is_complete():
    assert len(table_after("The journeys")) == 5
    assert re.findall(r"7/10|19/24|7/27", str(table_after("The result"))) == ["7/10", "19/24", "7/27"]


def test_order_two_example_by_hand(algorithm):
    """a>b>c converts 1 of 2, b>c 0 of 1, c>b>c 1 of 1.

    States ab, bc, cb; all meet in bc, which converts 2 of 4. Removing a leaves 2 of the 4 journeys, b and c none.
    """
    rows = [("abc", 1, 1, 0), ("bc", 0, 1, 0), ("cbc", 1, 0, 0)]
    got = effects(journeys_of(rows), order=2)
    assert got.p_conversion == pytest.approx(1 / 2)
    np.testing.assert_allclose(got.by_conversions, [1 / 2, 1, 1], atol=1e-12)


# --- oracles on real data -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2, 3])
def test_removal_effects_equal_naive_resolving(pathdata, order, algorithm):
    _, want = naive(rows_of(pathdata), order, pathdata.channels)
    got = effects(pathdata, order)
    np.testing.assert_allclose(got.by_conversions, want[:, 0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(got.by_value, want[:, 1], rtol=0, atol=1e-12)


def test_removal_effects_equal_naive_resolving_at_order_four(pathdata):
    few = pathdata.channels.index("alpha"), pathdata.channels.index("theta")  # each costs a dense solve of 3,975 states
    _, want = naive(rows_of(pathdata), 4, [pathdata.channels[c] for c in few])
    got = effects(pathdata, 4)
    np.testing.assert_allclose(got.by_conversions[list(few)], want[:, 0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(got.by_value[list(few)], want[:, 1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_conversion_probability_is_the_observed_rate_at_every_order(pathdata, order):
    rate = pathdata.n_conversions / (pathdata.n_conversions + pathdata.nulls.sum())
    chain = AbsorbingChain.from_counts(count_transitions(pathdata, order))
    assert chain.p_conversion == pytest.approx(rate, abs=1e-12)
    # The visits were counted, not solved for: they must solve the chain's equation all the same.
    np.testing.assert_allclose(chain.start + chain.moves.T @ chain.visits, chain.visits, rtol=1e-12)


def test_with_the_order_removal_effects_become_the_share_of_any_touch(pathdata):
    limit = any_touch(pathdata)
    distance = {order: abs(effects(pathdata, order).by_conversions - limit).max() for order in (1, 2, 4, 8, 16, 100)}
    assert list(distance.values()) == sorted(distance.values(), reverse=True)
    assert distance[1] > 0.01
    assert distance[100] < 1e-12  # the longest path has 89 touches: every path is a state of its own


def test_dropping_repeats_before_cutting_states_would_give_something_else(pathdata):
    rows = [(tuple(c for c, _ in groupby(path)), *rest) for path, *rest in rows_of(pathdata)]
    merged = journeys_of(rows, pathdata.channels)
    np.testing.assert_allclose(effects(merged).by_conversions, effects(pathdata).by_conversions, atol=1e-12)
    assert abs(effects(merged, 2).by_conversions - effects(pathdata, 2).by_conversions).max() > 1e-3


def test_the_published_convention_of_channelattribution_estimates_the_same_numbers():
    """ChannelAttribution walks through the chain at random, and counts the conversions whose walk met a channel.

    By value, a converting walk earns a value drawn from those seen to convert from its last state. Walks of our own,
    by that rule; Hoeffding bounds say how far luck may take them (1e-6 per number; they would catch .03 of RE).
    """
    rows = [("abca", 3, 1, 30), ("ba", 1, 2, 4), ("c", 0, 3, 0), ("cbb", 2, 2, 10), ("abab", 1, 1, 9)]
    got = effects(journeys_of(rows), order=2)
    rng, onward, n = np.random.default_rng(7), defaultdict(list), 40_000
    for path, conversions, nulls, value in rows:
        states = [s for s, _ in groupby(path[i : i + 2] for i in range(max(1, len(path) - 1)))]
        walk = ["", *states]
        for origin, target in pairwise(walk):
            onward[origin] += [(target, None)] * (conversions + nulls)
        onward[walk[-1]] += [(None, value / max(conversions, 1))] * conversions + [(None, None)] * nulls
    met, earned = np.zeros((n, 3)), np.full(n, np.nan)
    for i, draws in enumerate(rng.random((n, 60))):
        state, value = "", None
        for u in draws:
            state, value = onward[state][int(u * len(onward[state]))]
            if state is None:
                break
            met[i, ["abc".index(c) for c in state]] = 1
        if value is not None:
            earned[i] = value
    met, earned = met[~np.isnan(earned)], earned[~np.isnan(earned)]
    allowed = math.sqrt(math.log(2 / 1e-6) / (2 * len(met)))
    walked = met.mean(axis=0)
    assert allowed < 0.03
    assert (abs(walked - got.by_conversions) <= allowed).all()
    per_conversion = got.by_value * got.value_per_journey / got.p_conversion
    assert (abs((met * earned[:, None]).mean(axis=0) - per_conversion) <= 10 * allowed).all()  # values are in 0..10
    wrong = effects(journeys_of(rows), order=1).by_conversions  # negative control: another chain fails
    assert (abs(walked - wrong) > allowed).any()


# --- properties ---------------------------------------------------------------------------------------------------

weights = st.floats(0, 50, allow_nan=False).map(lambda x: round(x, 3))
row = st.tuples(st.lists(st.sampled_from("abcd"), min_size=1, max_size=7), weights, weights)
worlds = st.lists(row, min_size=1, max_size=12).filter(lambda rows: sum(r[1] for r in rows) > 0.1)


@settings(max_examples=60, deadline=None)
@given(worlds, st.integers(1, 5))
def test_both_algorithms_agree_with_naive_resolving_on_any_journeys(rows, order):
    rows = [(tuple(path), conversions, nulls, 3 * conversions) for path, conversions, nulls in rows]
    journeys = journeys_of(rows)
    chain = AbsorbingChain.from_counts(count_transitions(journeys, order))
    full, want = naive(rows, order, journeys.channels)
    assert chain.p_conversion == pytest.approx(full[0], rel=1e-9)
    rewards = chain.visits @ chain.rewards
    for left in (solving.by_elimination(chain, chain.contains), solving.by_sweeps(chain, chain.contains, rewards)):
        np.testing.assert_allclose(1 - left[:, 0] / rewards[0], want[:, 0], atol=1e-9)
        np.testing.assert_allclose(1 - left[:, 1] / rewards[1], want[:, 1], atol=1e-9)


def test_journeys_without_weight_make_no_states():
    rows = [("ab", 1, 1, 2), ("cb", 0, 0, 0)]
    counts = count_transitions(journeys_of(rows))
    assert sorted(counts.states[:, 0]) == [0, 1]
    assert effects(journeys_of(rows)).by_conversions[2] == 0


def test_value_without_weight_is_refused():
    with pytest.raises(InputError, match="Journey 1 has value 5 but neither conversions nor nulls"):
        count_transitions(journeys_of([("a", 1, 0, 1), ("b", 0, 0, 5)]))


def test_counts_weigh_conversions_and_nulls_fractions_included():
    counts = count_transitions(journeys_of([("aab", 0.25, 0.5, 7), ("b", 0.5, 0, 1)]))
    np.testing.assert_array_equal(counts.moves.toarray(), [[0, 0.75], [0, 0]])
    np.testing.assert_array_equal(counts.starts, [0.75, 0.5])
    np.testing.assert_array_equal(counts.conversions, [0, 0.75])
    np.testing.assert_array_equal(counts.nulls, [0, 0.5])
    np.testing.assert_array_equal(counts.value, [0, 8])


def test_states_show_their_touches_and_short_paths_are_short_states():
    counts = count_transitions(journeys_of([("aaab", 1, 0, 0), ("b", 1, 0, 0)]), order=3)
    assert sorted(map(tuple, counts.states)) == [(-1, -1, 1), (0, 0, 0), (0, 0, 1)]
    np.testing.assert_array_equal(counts.contains.sum(axis=0), [2, 2])


@pytest.mark.parametrize("order", [1, 2, 6, 40])
def test_one_channel_is_everything(order, algorithm):
    got = effects(journeys_of([("aaa", 1, 3, 2), ("a", 0, 1, 0)]), order)
    np.testing.assert_allclose(got.by_conversions, [1.0])
    np.testing.assert_allclose(got.by_value, [1.0])
    assert got.p_conversion == pytest.approx(0.2)


@pytest.mark.parametrize(("n_channels", "order"), [(2, 1), (2, 6), (12, 2), (12, 4), (50, 1), (50, 3), (50, 6)])
def test_a_path_of_ten_thousand_touches_is_no_trouble(n_channels, order):
    codes = np.random.default_rng(1).integers(0, n_channels, 10_000).astype(np.int32)
    one = np.ones(1)
    journeys = Journeys(
        tuple(f"c{i}" for i in range(n_channels)), codes, np.array([0, 10_000]), one, one.copy(), one.copy()
    )
    got = effects(journeys, order)
    assert got.p_conversion == pytest.approx(0.5, rel=1e-12)
    assert ((got.by_conversions > 0.9) & (got.by_conversions <= 1 + 1e-12)).all()


def test_orders_whose_states_overflow_a_power_of_channels_are_counted():
    codes = np.tile(np.arange(50, dtype=np.int32), 2)
    one = np.ones(1)
    journeys = Journeys(tuple(f"c{i}" for i in range(50)), codes, np.array([0, 100]), one, one.copy(), one.copy())
    counts = count_transitions(journeys, order=20)  # 50**20 is far beyond 64 bits
    assert len(counts.states) == 50
    np.testing.assert_array_equal(counts.contains.sum(axis=1), 20)


def test_the_same_journeys_give_the_same_bits(pathdata):
    first, second = effects(pathdata, 3), effects(pathdata, 3)
    assert first.by_conversions.tobytes() == second.by_conversions.tobytes()


# --- refusals -----------------------------------------------------------------------------------------------------


def test_sweeps_that_do_not_arrive_say_how_far_they_came(pathdata, monkeypatch):
    monkeypatch.setattr(solving, "DENSE_STATES", 0)
    monkeypatch.setattr(solving, "MAX_SWEEPS", 5)
    with pytest.raises(InputError, match=r"after 5 sweeps 12 channels are still uncertain by up to 0\.\d+"):
        effects(pathdata, 2)


def test_sweeping_in_blocks_changes_nothing(pathdata, monkeypatch):
    monkeypatch.setattr(solving, "DENSE_STATES", 0)
    whole = effects(pathdata, 2).by_conversions
    monkeypatch.setattr(solving, "BLOCK_ENTRIES", 300)
    np.testing.assert_allclose(effects(pathdata, 2).by_conversions, whole, atol=1e-12)


def test_impossible_requests_are_refused():
    with pytest.raises(InputError, match="order must be 1 or more, got 0"):
        count_transitions(journeys_of([("a", 1, 0, 0)]), 0)
    with pytest.raises(InputError, match="No journey converts"):
        effects(journeys_of([("a", 0, 1, 0)]))
    with pytest.raises(InputError, match="No journey has conversions or nulls"):
        effects(journeys_of([("a", 0, 0, 0)]))


def test_refunds_that_cancel_leave_no_removal_effect_by_value():
    assert effects(journeys_of([("ab", 1, 1, 5), ("b", 1, 0, -5)])).by_value is None
