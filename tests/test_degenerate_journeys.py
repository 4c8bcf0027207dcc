"""Every method, order and kind of uncertainty on journeys at the edge: the right answer, or a message that says why."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array
from test_markov import journeys_of

from journeysim.attribution import (
    RemovalEffect,
    attribute,
    bootstrap_attribution,
    method_info,
    methods,
    posterior_attribution,
)
from journeysim.attribution.contract import make_journeys, small_journeys
from journeysim.errors import InputError
from journeysim.journeys import Journeys
from journeysim.markov import AbsorbingChain, count_transitions, removal_effect_of, solving

METHODS = [*methods(), *(RemovalEffect(order) for order in (2, 3, 4))]
every_method = pytest.mark.parametrize("method", METHODS, ids=str)
SLOW_BY_DESIGN = {"markov_shapley": "more than the 400"}
"""Methods that refuse big input, and what they say."""


def coded(codes, lengths, conversions, n_channels):
    conversions = np.asarray(conversions, dtype=float)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ages = np.concatenate([np.arange(n, 0, -1.0) for n in lengths]) if len(lengths) < 10_000 else np.ones(len(codes))
    names = tuple(f"c{i}" for i in range(n_channels))
    return Journeys(names, codes.astype(np.int32), offsets, conversions, 1 - conversions, 2 * conversions, ages)


def credit_or_refusal(journeys, method):
    """Credit that adds up, or None where the method refuses as it announces."""
    try:
        result = attribute(journeys, method)
    except InputError as error:
        assert SLOW_BY_DESIGN[method] in str(error)  # noqa: PT017
        return None
    assert result.total_conversions == pytest.approx(journeys.n_conversions, rel=1e-9)
    assert result.total_value == pytest.approx(journeys.total_value, rel=1e-9)
    return result.conversions


@every_method
def test_no_conversion_is_refused(method):
    with pytest.raises(InputError, match=r"None of the \d+ journeys with touches converts"):
        attribute(make_journeys([["a", "b"], ["b"]], [0, 0], [3, 1], [0, 0], channels=("a", "b")), method)


@every_method
def test_if_all_convert_credit_adds_up_or_the_method_says_that_it_compares(method):
    journeys = make_journeys([["a", "b"], ["b"]], [3, 1], [0, 0], [3, 1], channels=("a", "b"))
    if isinstance(method, str) and "nulls" in method_info(method).needs:
        with pytest.raises(InputError, match="all of these convert"):
            attribute(journeys, method)
    else:
        assert credit_or_refusal(journeys, method) is not None


@every_method
def test_one_channel_gets_all(method):
    journeys = make_journeys([["a"] * 5, ["a"]], [2, 1], [3, 1], [4, 5], channels=("a",))
    np.testing.assert_allclose(credit_or_refusal(journeys, method), [3.0])


@every_method
def test_a_channel_that_never_converts_gets_nothing(method):
    paths = [["a", "b"], ["b"], ["never"], ["never", "never"], ["a"]]
    journeys = make_journeys(paths, [3, 1, 0, 0, 1], [2, 4, 7, 1, 5], [3, 1, 0, 0, 1], channels=("a", "b", "never"))
    got = credit_or_refusal(journeys, method)[2]
    if isinstance(method, str) and method_info(method).may_be_negative:
        assert got <= 1e-12
    else:
        assert got == pytest.approx(0, abs=1e-12)


@every_method
def test_going_round_in_loops_changes_nothing_for_whom_order_and_number_do_not_count(method):
    paths = [["a", "b"] * 200, ["b", "a"] * 150, ["c"]]
    journeys = make_journeys(paths, [1, 1, 1], [2, 2, 2], [1, 1, 1], channels=("a", "b", "c"))
    got = credit_or_refusal(journeys, method)
    assert np.isfinite(got).all()
    once = make_journeys([["a", "b"], ["b", "a"], ["c"]], [1, 1, 1], [2, 2, 2], [1, 1, 1], channels=("a", "b", "c"))
    if method in ("any_touch", "shapley", "shapley_simplified", "logistic", "probabilistic"):
        np.testing.assert_allclose(got, attribute(once, method).conversions)
    if isinstance(method, RemovalEffect) or method == "markov":
        assert got[0] == pytest.approx(got[1])  # a and b stand in for each other


@every_method
def test_a_path_of_a_hundred_thousand_touches(method):
    codes = np.random.default_rng(1).integers(0, 6, 100_003)
    journeys = coded(codes, [100_000, 1, 1, 1], [1, 0, 1, 1], 6)
    if isinstance(method, RemovalEffect) and method.order == 4:  # 1,296 states: more than are solved directly
        rare = replace(
            journeys, channels=(*journeys.channels, "rare"), codes=np.where(codes > 5, 5, codes).astype("i4")
        )
        rare.codes.setflags(write=True)
        rare.codes[50_000] = 6  # without it the others go round for 100,000 touches
        with pytest.raises(InputError, match=r"some journeys go on for very long\. Use a lower order"):
            attribute(rare, method)
        return
    credit_or_refusal(journeys, method)


@pytest.mark.parametrize(
    "method",
    [pytest.param(m, marks=pytest.mark.slow) if m in ("propensity", "logistic") else m for m in METHODS],
    ids=str,
)
def test_five_hundred_channels(method):
    rng = np.random.default_rng(4)
    lengths = rng.geometric(0.4, 1_500)
    codes = rng.integers(0, 500, lengths.sum())
    credit_or_refusal(coded(codes, lengths, rng.random(1_500) < 0.3, 500), method)


@every_method
def test_names_that_contain_each_other_or_are_not_ascii_are_only_names(method):
    journeys = small_journeys()
    want = attribute(journeys, method)
    for names in (("a", "aa", "aaa", "a > a"), ("Büro", "廣告", "🛒", "é"), ("(start)", "null", "", " ")):
        got = attribute(replace(journeys, channels=names), method)
        assert got.channels == names
        np.testing.assert_allclose(got.conversions, want.conversions, rtol=1e-7, atol=1e-9)
        assert names[0] in str(got)


@every_method
def test_fractions_of_journeys_weigh_as_much_and_rows_without_weight_nothing(method):
    journeys = small_journeys()
    want = attribute(journeys, method).share
    tenth = replace(
        journeys, conversions=journeys.conversions / 10, nulls=journeys.nulls / 10, value=journeys.value / 10
    )
    np.testing.assert_allclose(attribute(tenth, method).share, want, rtol=1e-6, atol=1e-9)
    dead = make_journeys([["beta", "eta", "beta"]], [0], [0], [0], channels=journeys.channels)
    more = Journeys(
        journeys.channels,
        np.concatenate([dead.codes, journeys.codes]),
        np.concatenate([[0], journeys.offsets + 3]),
        *(np.concatenate([[0.0], column]) for column in (journeys.conversions, journeys.nulls, journeys.value)),
        ages_days=np.concatenate([dead.ages_days, journeys.ages_days]),
    )
    np.testing.assert_allclose(attribute(more, method).share, want, rtol=1e-7, atol=1e-9)


@pytest.mark.slow
@every_method
def test_a_million_distinct_rows_of_one_touch(method):
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 12, 1_000_000)
    journeys = coded(codes, np.ones(1_000_000, dtype=int), rng.random(1_000_000) < 0.1, 12)
    got = credit_or_refusal(journeys, method)
    if not (isinstance(method, str) and method == "shapley"):  # each conversion has one touch: all must agree
        np.testing.assert_allclose(got, np.bincount(codes, journeys.conversions), rtol=1e-6)


# --- uncertainty --------------------------------------------------------------------------------------------------


def posterior(journeys, order):
    return posterior_attribution(journeys, order=order, seed=1, n_draws=20)


def bootstrap(journeys, order):
    return bootstrap_attribution(journeys, RemovalEffect(order), seed=1, n_draws=20)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("run", [posterior, bootstrap])
def test_draws_of_journeys_at_the_edge_add_up(run, order):
    edges = {
        "all convert": journeys_of([("ab", 3, 0, 3), ("c", 1, 0, 1)]),
        "one channel": journeys_of([("aaa", 2, 3, 2), ("a", 1, 1, 0)]),
        "never converts": journeys_of([("ab", 5, 3, 4), ("xx", 0, 7, 0), ("bx", 0, 2, 0)]),
        "loops": journeys_of([("ab" * 100, 5, 3, 4), ("ba" * 80, 3, 7, 1)]),
        "one long path": journeys_of([("abcdef" * 500, 4, 2, 3), ("a", 3, 1, 2)]),
        "fractions": journeys_of([("ab", 2.5, 3.25, 4), ("b", 3.1, 0.7, 1)]),
        "a row without weight": journeys_of([("ab", 3, 3, 4), ("bab", 0, 0, 0), ("b", 2, 1, 1)]),
        "names": journeys_of([(("a", "aa", "ä"), 3, 3, 4), (("🛒", "a"), 2, 1, 1)]),
    }
    for name, journeys in edges.items():
        result = run(journeys, order)
        np.testing.assert_allclose(result.share.sum(axis=1), 1, err_msg=name)
        np.testing.assert_allclose(result.draws("conversions").sum(axis=1), journeys.n_conversions, err_msg=name)
        assert np.isfinite(result.removal_effects).all(), name
    with pytest.raises(InputError, match="converts"):
        run(journeys_of([("ab", 0, 3, 0)]), order)


# --- the bound of the error ---------------------------------------------------------------------------------------


def round_and_round(p_leave, n=4):
    """n states in a ring, one of them with channel 0; left with a tiny probability, half of the time to convert."""
    contains = np.zeros((n, n), dtype=bool)
    contains[np.arange(n), np.arange(n)] = True
    moves = np.roll(np.eye(n), 1, axis=1) * (1 - p_leave)
    start, p_end, half = np.full(n, 1 / n), np.full(n, p_leave), np.full(n, 0.5)
    N = solving.fundamental(moves, p_end)
    return AbsorbingChain(contains, start, start @ N, csr_array(moves), p_end, half, half)


@pytest.mark.parametrize("p_leave", [1e-2, 1e-4, 1e-6])
def test_sweeping_a_nearly_endless_chain_is_right_to_its_bound_or_says_that_it_is_not(p_leave, monkeypatch):
    """All that is lost without a channel of the ring: who does not end before it is reached, in closed form."""
    chain = round_and_round(p_leave)
    q, n = 1 - p_leave, 4
    kept = sum(sum(p_leave * q**i for i in range(m)) for m in range(n)) / n / 1  # begins m steps before the channel
    want = 1 - kept
    np.testing.assert_allclose(chain.removal_effects().by_conversions, want, atol=1e-12)  # elimination
    monkeypatch.setattr(solving, "DENSE_STATES", 0)
    np.testing.assert_allclose(chain.removal_effects().by_conversions, want, atol=1e-12)  # sweeping
    nothing = np.zeros((n, 1), dtype=bool)
    nothing[0] = True
    unreachable = AbsorbingChain(
        np.vstack([chain.contains, np.eye(1, n, dtype=bool)]),
        np.append(chain.start, 0.0),
        np.append(chain.visits, 0.0),
        type(chain.moves)(np.pad(chain.moves.toarray(), ((0, 1), (0, 1)))),
        np.append(chain.p_end, 1.0),
        np.append(chain.end_conversion, 0.5),
        np.append(chain.end_value, 0.5),
    )
    only_there = np.zeros((n + 1, 1), dtype=bool)
    only_there[n] = True  # removing what nobody reaches: the others go round until they end, 1 / p_leave steps
    if p_leave > 1e-3:
        np.testing.assert_allclose(unreachable.removal_effects(only_there).by_conversions, 0, atol=1e-12)
    else:
        with pytest.raises(InputError, match=r"still uncertain by up to \S+, not the 1e-12 asked for"):
            unreachable.removal_effects(only_there)
    monkeypatch.undo()
    np.testing.assert_allclose(unreachable.removal_effects(only_there).by_conversions, 0, atol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_visits_and_removals_do_not_depend_on_the_names_or_the_order_of_rows(order):
    rows = [("abcab", 2.5, 3, 7), ("aab", 1, 6, 1), ("c", 3, 2, 2), ("bcbcbc", 4, 0.5, 9), ("ca", 0, 5, 0)]
    one = removal_effect_of(journeys_of(rows), "a", order=order)
    again = removal_effect_of(journeys_of(rows[::-1], ("c", "b", "a")), "a", order=order)
    np.testing.assert_allclose(again.by_conversions, one.by_conversions, atol=1e-12)
    np.testing.assert_allclose(again.by_value, one.by_value, atol=1e-12)
    assert count_transitions(journeys_of(rows), order).starts.sum() == pytest.approx(27)


def test_a_million_channels_are_refused_before_memory_is():
    codes = np.arange(1_000_000, dtype=np.int32)
    n = len(codes)
    names = tuple(map(str, range(n)))
    journeys = Journeys(names, codes, np.arange(n + 1), np.ones(n), np.ones(n), np.zeros(n))
    with pytest.raises(InputError, match="1,000,000 channels in 1,000,000 states are too many"):
        RemovalEffect().attribute(journeys)
