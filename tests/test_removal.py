"""Kinds of removal, sets, sequences and positions: against algebra by hand, re-solving, and what paths must give."""

from fractions import Fraction
from itertools import groupby

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_markov import effects, journeys_of, naive, row, rows_of, table_after

from journeysim import simulate, worlds
from journeysim.attribution import Linear, RemovalEffect, attribute
from journeysim.errors import InputError
from journeysim.interop import read_paths
from journeysim.journey_segments import split_journeys
from journeysim.journeys import to_journeys
from journeysim.markov import (
    AbsorbingChain,
    Position,
    Sequence,
    count_transitions,
    removal_effect_of,
    removal_table,
    solving,
    transition_matrix,
    transition_table,
)

worlds_of_rows = st.lists(row, min_size=1, max_size=12).filter(lambda rows: sum(r[1] for r in rows) > 0.1)


def valued(rows):
    return [(tuple(path), conversions, nulls, 3 * conversions) for path, conversions, nulls in rows]


@pytest.fixture(scope="module")
def pathdata(shared_data):
    return read_paths(shared_data / "pathdata.csv")


def one(journeys, what, **settings):
    return removal_effect_of(journeys, what, **settings).by_conversions[0]


def share(journeys, holds):
    """Share of conversions whose path, as a tuple of names, holds a condition."""
    return sum(c for path, c, *_ in rows_of(journeys) if holds(path)) / journeys.n_conversions


# --- detour -------------------------------------------------------------------------------------------------------


def censored(chain, inside):
    """P without the states inside, by building the whole chain that is seen outside them and solving it anew."""
    Q, K, A = chain.moves.toarray(), ~inside, inside
    through = np.linalg.inv(np.eye(A.sum()) - Q[np.ix_(A, A)])
    moves = Q[np.ix_(K, K)] + Q[np.ix_(K, A)] @ through @ Q[np.ix_(A, K)]
    start = chain.start[K] + chain.start[A] @ through @ Q[np.ix_(A, K)]
    ends = chain.p_end[K] + Q[np.ix_(K, A)] @ through @ chain.p_end[A]
    np.testing.assert_allclose(moves.sum(axis=1) + ends, 1)  # nothing is lost on the way, only skipped
    known = np.where(chain.p_end > 0, chain.end_conversion, chain.p_conversion)[K]
    return start @ np.linalg.solve(np.eye(K.sum()) - moves, ends * known)


@pytest.mark.parametrize("dense", [0, 10**9])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_detour_is_the_chain_that_is_seen_outside_the_channel(pathdata, order, dense, monkeypatch):
    chain = AbsorbingChain.from_counts(count_transitions(pathdata, order))
    few = [pathdata.channels.index(name) for name in ("alpha", "theta")]
    want = [1 - censored(chain, chain.contains[:, c]) / chain.p_conversion for c in few]
    monkeypatch.setattr(solving, "DENSE_STATES", dense if order < 3 else 0)
    got = chain.detour_effects(chain.contains[:, few])
    np.testing.assert_allclose(got.by_conversions, want, atol=1e-12)
    assert abs(got.by_conversions - effects(pathdata, order).by_conversions[few]).min() > 0.01


@settings(max_examples=25, deadline=None)
@given(worlds_of_rows, st.integers(1, 4))
def test_both_algorithms_of_detours_agree_on_any_journeys(rows, order):
    chain = AbsorbingChain.from_counts(count_transitions(journeys_of(valued(rows)), order))
    dense, n_dense = chain.detour_effects(), solving.DENSE_STATES
    try:
        solving.DENSE_STATES = 0
        swept = chain.detour_effects()
    finally:
        solving.DENSE_STATES = n_dense
    np.testing.assert_allclose(swept.by_conversions, dense.by_conversions, atol=1e-11)
    np.testing.assert_allclose(swept.by_value, dense.by_value, atol=1e-11)
    want = [1 - censored(chain, inside) / chain.p_conversion for inside in chain.contains.T]
    np.testing.assert_allclose(dense.by_conversions, want, atol=1e-9)


def test_the_table_of_the_documentation_is_what_the_kinds_of_removal_give():
    rows = [(path.split(" > "), *map(float, rest)) for path, *rest in table_after("The journeys")]
    journeys = journeys_of(rows, ("search", "email", "display"))
    cells = {name: [float(Fraction(x)) for x in rest] for name, *rest in table_after("The kinds of removal compared")}
    assert list(cells) == list(journeys.channels)
    for column, removal in enumerate(("null", "detour", "refit")):
        got = attribute(journeys, RemovalEffect(removal=removal)).removal_effects
        np.testing.assert_allclose(got, [cells[name][column] for name in cells], atol=1e-12)


# --- refit --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_refit_is_the_chain_that_is_fitted_to_journeys_without_the_touches(pathdata, order):
    total = pathdata.n_conversions + pathdata.nulls.sum()
    for name in ("alpha", "iota"):
        rest = [([x for x in path if x != name], *rest) for path, *rest in rows_of(pathdata)]
        kept = journeys_of([row for row in rest if row[0]])
        chain = AbsorbingChain.from_counts(count_transitions(kept, order))
        left = chain.p_conversion * (kept.n_conversions + kept.nulls.sum()) / total
        want = 1 - left / (pathdata.n_conversions / total)
        got = one(pathdata, name, order=order, removal="refit")
        assert got == pytest.approx(want, abs=1e-12)
        assert got == pytest.approx(share(pathdata, lambda path, name=name: set(path) == {name}), abs=1e-12)
        assert got > 1e-3


def test_refit_may_let_empty_journeys_convert_like_customers_without_touches():
    rows = [("a", 2, 2, 8), ("ab", 1, 5, 6)]
    journeys = journeys_of(rows)
    base = type(journeys)(
        journeys.channels, journeys.codes, journeys.offsets, journeys.conversions, journeys.nulls, journeys.value,
        untouched_conversions=1.0, untouched_value=2.0, untouched_nulls=9.0,
    )  # fmt: skip
    null = removal_effect_of(base, "a", removal="refit")
    like_base = removal_effect_of(base, "a", removal="refit", empty="base")
    assert null.by_conversions[0] == pytest.approx(2 / 3)
    assert like_base.by_conversions[0] == pytest.approx(1 - (1 + 4 * 0.1) / 3)
    assert like_base.by_value[0] == pytest.approx(1 - (6 + 4 * 0.2) / 14)
    with pytest.raises(InputError, match="needs customers without any touch"):
        removal_effect_of(journeys, "a", removal="refit", empty="base")


# --- sets ---------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(worlds_of_rows, st.integers(1, 4))
def test_a_set_is_removed_as_naive_resolving_removes_it(rows, order):
    rows = valued(rows)
    journeys = journeys_of(rows, tuple("abcd"))
    merged = [(tuple("a" if x == "b" else x for x in path), *rest) for path, *rest in rows]
    got = one(journeys, {"a", "b"}, order=order)
    each = [one(journeys, name, order=order) for name in "ab"]
    assert max(each) - 1e-9 <= got <= min(sum(each), 1) + 1e-9
    assert one(journeys, {"a"}, order=order) == pytest.approx(each[0], abs=1e-12)
    assert one(journeys, set("abcd"), order=order) == pytest.approx(1)
    _, alone = naive(rows, order, "ab")
    np.testing.assert_allclose(each, alone[:, 0], atol=1e-9)
    if order >= max(len(path) for path, *_ in rows):  # every path is a state: merging the names changes nothing
        limit = one(journeys_of(merged, tuple("abcd")), "a", order=order)
        assert got == pytest.approx(limit, abs=1e-9)


def test_a_set_on_real_data_equals_resolving_with_all_its_states_led_to_null(pathdata):
    chain = AbsorbingChain.from_counts(count_transitions(pathdata, 2))
    names = {"alpha", "iota", "eta"}  # "eta" is part of the names beta, zeta and theta, too
    inside = chain.contains[:, [pathdata.channels.index(name) for name in names]].any(axis=1)
    K = ~inside
    Q = chain.moves.toarray()[np.ix_(K, K)]
    left = chain.start[K] @ np.linalg.solve(np.eye(K.sum()) - Q, chain.rewards[K, 0])
    assert one(pathdata, names, order=2) == pytest.approx(1 - left / chain.p_conversion, abs=1e-12)


# --- sequences and positions --------------------------------------------------------------------------------------


def test_a_sequence_at_order_one_is_the_move_led_to_null(pathdata):
    chain = AbsorbingChain.from_counts(count_transitions(pathdata))
    a, b = (pathdata.channels.index(name) for name in ("alpha", "iota"))
    Q = chain.moves.toarray()
    Q[a, b] = 0
    left = chain.start @ np.linalg.solve(np.eye(len(Q)) - Q, chain.rewards[:, 0])
    got = one(pathdata, Sequence("alpha", "iota"))
    assert got == pytest.approx(1 - left / chain.p_conversion, abs=1e-12)
    assert got > 0.01


@pytest.mark.parametrize("order", [2, 3])
def test_a_sequence_within_the_memory_is_the_states_that_contain_it(pathdata, order):
    counts = count_transitions(pathdata, order)
    a, b = (pathdata.channels.index(name) for name in ("alpha", "iota"))
    inside = ((counts.states[:, :-1] == a) & (counts.states[:, 1:] == b)).any(axis=1)
    want = AbsorbingChain.from_counts(counts).removal_effects(inside[:, None])
    got = removal_effect_of(pathdata, Sequence("alpha", "iota"), order=order)
    np.testing.assert_allclose(got.by_conversions, want.by_conversions, atol=1e-11)
    np.testing.assert_allclose(got.by_value, want.by_value, atol=1e-11)


def test_a_sequence_with_gaps_at_order_one_is_two_first_passages(pathdata):
    """First to a, from there to b, from there to a conversion: f(s,a) f(a,b) x(b) / P, all from N."""
    chain = AbsorbingChain.from_counts(count_transitions(pathdata))
    a, b = (pathdata.channels.index(name) for name in ("alpha", "iota"))
    N = np.linalg.inv(np.eye(len(chain.start)) - chain.moves.toarray())
    x = N @ chain.rewards[:, 0]
    want = (chain.start @ N)[a] / N[a, a] * N[a, b] / N[b, b] * x[b] / chain.p_conversion
    assert one(pathdata, Sequence("alpha", "iota", gaps=True)) == pytest.approx(want, abs=1e-12)


def contains_run(path, wanted):
    return any(path[i : i + len(wanted)] == tuple(wanted) for i in range(len(path)))


def contains_in_order(path, wanted):
    rest = iter(path)
    return all(name in rest for name in wanted)


@settings(max_examples=30, deadline=None)
@given(worlds_of_rows, st.lists(st.sampled_from("abcd"), min_size=1, max_size=4))
def test_with_the_whole_path_remembered_sequences_and_positions_are_those_of_the_paths(rows, wanted):
    journeys = journeys_of(valued(rows), tuple("abcd"))
    order = 8  # longer than any path
    for gaps, holds in ((False, contains_run), (True, contains_in_order)):
        got = one(journeys, Sequence(*wanted, gaps=gaps), order=order)
        assert got == pytest.approx(share(journeys, lambda path, holds=holds: holds(path, wanted)), abs=1e-9)
    for k in (1, 2, 3):
        got = one(journeys, Position(wanted[0], k), order=order)
        assert got == pytest.approx(share(journeys, lambda path, k=k: path[k - 1 : k] == (wanted[0],)), abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(worlds_of_rows, st.lists(st.sampled_from("abc"), min_size=1, max_size=4), st.integers(1, 3))
def test_sequences_within_the_memory_are_states_on_any_journeys(rows, wanted, more):
    order = len(wanted) - 1 + more
    journeys = journeys_of(valued(rows), tuple("abcd"))
    counts = count_transitions(journeys, order)
    codes = tuple("abcd".index(name) for name in wanted)
    inside = np.array([[contains_run(tuple(state), codes)] for state in counts.states])
    want = AbsorbingChain.from_counts(counts).removal_effects(inside).by_conversions[0]
    assert one(journeys, Sequence(*wanted), order=order) == pytest.approx(want, abs=1e-9)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_the_last_touch_removed_is_the_share_of_last_touch_at_every_order(pathdata, order):
    for name in pathdata.channels[:3]:
        got = one(pathdata, Position(name, -1), order=order)
        assert got == pytest.approx(share(pathdata, lambda path, name=name: path[-1] == name), abs=1e-12)


def test_the_second_touch_removed_at_order_one_is_two_steps_of_the_chain(pathdata):
    chain = AbsorbingChain.from_counts(count_transitions(pathdata))
    N = np.linalg.inv(np.eye(len(chain.start)) - chain.moves.toarray())
    x = N @ chain.rewards[:, 0]
    for c in (0, 4):
        second = (chain.start @ chain.moves.toarray())[c] * x[c] / chain.p_conversion
        assert one(pathdata, Position(pathdata.channels[c], 2)) == pytest.approx(second, abs=1e-12)
        assert one(pathdata, Position(pathdata.channels[c], 1)) == pytest.approx(
            chain.start[c] * x[c] / chain.p_conversion, abs=1e-12
        )


def test_a_table_of_removals_ranks_them_and_counts_what_is_lost():
    journeys = journeys_of([("ab", 2, 1, 4), ("ba", 1, 1, 2), ("c", 1, 0, 1)])
    table = removal_table(journeys, ["a", {"a", "b"}, Sequence("a", "b"), Position("c", -1)], order=2)
    assert dict(zip(table["removed"], table["removal_effect"], strict=True)) == pytest.approx(
        {"a": 0.75, "a, b": 0.75, "a > b": 0.5, "c as last touch": 0.25}
    )
    np.testing.assert_allclose(table["conversions_lost"], [3, 3, 2, 1])
    np.testing.assert_allclose(table["removal_effect_value"], [6 / 7, 6 / 7, 4 / 7, 1 / 7])


# --- what must not matter -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("removal", ["null", "detour", "refit"])
def test_names_order_of_rows_and_units_of_weight_do_not_matter(removal):
    rows = [("ab", 3.5, 2, 3), ("a", 2, 1.25, 1), ("cab", 1, 1, 2), ("b", 0.5, 0.25, 1), ("c", 1, 1, 5)]
    names = {"a": "eta", "b": "beta", "c": "eta 2"}  # one contains the other
    for order in (1, 2, 3):
        method = RemovalEffect(order=order, removal=removal)
        plain = attribute(journeys_of(rows), method)
        want = dict(zip(plain.channels, plain.share, strict=True))
        renamed = journeys_of([([names[x] for x in path], *rest) for path, *rest in rows[::-1]])
        got = attribute(renamed, method)
        doubled = attribute(journeys_of([(path, 2 * c, 2 * n, 2 * v) for path, c, n, v in rows]), method)
        split = [row for path, c, n, v in rows for row in ((path, c / 3, n, v), (path, c - c / 3, 0, 0))]
        for channel in "abc":
            assert got.share[got.channels.index(names[channel])] == pytest.approx(want[channel], abs=1e-12)
        np.testing.assert_allclose(doubled.share, plain.share, atol=1e-12)
        np.testing.assert_allclose(attribute(journeys_of(split), method).share, plain.share, atol=1e-12)
        assert plain.conversions.sum() == pytest.approx(8)


@pytest.mark.parametrize("removal", ["null", "detour", "refit"])
def test_a_channel_that_nobody_met_loses_exactly_nothing(removal):
    rows = [("ab", 3, 2, 3), ("a", 2, 1, 1), ("bab", 1, 1, 2), ("b", 5, 1, 1)]
    for order in (1, 2, 9):
        more = attribute(journeys_of(rows, tuple("abx")), RemovalEffect(order, removal))
        assert (more.removal_effects[2], more.conversions[2], more.value[2]) == (0, 0, 0)
        less = attribute(journeys_of(rows, tuple("ab")), RemovalEffect(order, removal))
        np.testing.assert_allclose(more.conversions[:2], less.conversions, rtol=1e-12)


def test_repeated_touches_change_nothing_at_order_one():
    rows = [("aabb", 1, 2, 3), ("cab", 1, 4, 2), ("bbb", 1, 1, 1)]
    merged = [("".join(x for x, _ in groupby(path)), *rest) for path, *rest in rows]
    for removal in ("null", "detour", "refit"):
        np.testing.assert_allclose(
            attribute(journeys_of(rows), RemovalEffect(removal=removal)).removal_effects,
            attribute(journeys_of(merged), RemovalEffect(removal=removal)).removal_effects,
        )


# --- tables -------------------------------------------------------------------------------------------------------


def test_the_transition_table_has_the_counts_of_the_worked_example():
    rows = [(path.split(" > "), *map(float, rest)) for path, *rest in table_after("The journeys")]
    counts = count_transitions(journeys_of(rows, ("search", "email", "display")))
    table = transition_table(counts)
    weights = {(o, t): w for o, t, _, w in table.iter_rows()}
    assert weights == {
        ("(start)", "search"): 3, ("(start)", "email"): 2, ("(start)", "display"): 4, ("search", "email"): 3,
        ("search", "(conversion)"): 1, ("search", "(null)"): 2, ("email", "search"): 1, ("email", "(conversion)"): 3,
        ("email", "(null)"): 1, ("display", "search"): 2, ("display", "(null)"): 2,
    }  # fmt: skip
    assert table["origin"][0] == "(start)"
    assert table.filter(origin="email", target="(conversion)")["probability"][0] == pytest.approx(3 / 5)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_matrix_table_and_chain_say_the_same(pathdata, order):
    counts = count_transitions(pathdata, order)
    chain = AbsorbingChain.from_counts(counts)
    matrix, table = transition_matrix(counts), transition_table(counts)
    numbers = matrix.drop("origin").to_numpy()
    np.testing.assert_allclose(numbers.sum(axis=1), 1)
    np.testing.assert_allclose(numbers[1:, :-2], chain.moves.toarray(), atol=1e-15)
    np.testing.assert_allclose(numbers[0, :-2], chain.start)
    np.testing.assert_allclose(table.group_by("origin").agg(pl.col("probability").sum())["probability"], 1)
    assert table.filter(target="(conversion)")["weight"].sum() == pytest.approx(pathdata.n_conversions)


def test_tables_refuse_what_could_not_be_read():
    with pytest.raises(InputError, match=r"'\(start\)' in a table; rename"):
        transition_table(count_transitions(journeys_of([(("(start)", "a"), 1, 0, 0)])))
    many = journeys_of([((f"c{i}",), 1, 0, 0) for i in range(2001)])
    with pytest.raises(InputError, match="2,001 states is too wide"):
        transition_matrix(count_transitions(many))


# --- segments -----------------------------------------------------------------------------------------------------


def test_journeys_per_persona_are_those_of_its_customers_and_add_up():
    log = simulate(worlds.load("considered-purchase"), n_customers=2_000, horizon_days=120.0, seed=1)
    parts, whole = split_journeys(log, by="persona"), to_journeys(log)
    assert set(parts) == set(log.customers["persona"].to_pylist())
    assert all(part.channels == whole.channels for part in parts.values())
    assert sum(part.n_conversions for part in parts.values()) == whole.n_conversions
    by_method = [attribute(part, Linear()).conversions for part in parts.values()]
    np.testing.assert_allclose(sum(by_method), attribute(whole, Linear()).conversions)
    effect = [one(part, "email") for part in parts.values()]
    assert max(effect) - min(effect) > 0.01
    with pytest.raises(InputError, match="no column 'colour'"):
        split_journeys(log, by="colour")


# --- refusals -----------------------------------------------------------------------------------------------------


def test_impossible_removals_are_refused():
    journeys = journeys_of([("ab", 1, 1, 0), ("ab", 1, 0, 0)])
    with pytest.raises(InputError, match=r"no channel 'alfa'"):
        removal_effect_of(journeys, "alfa")
    with pytest.raises(InputError, match="set of channels to remove is empty"):
        removal_effect_of(journeys, set())
    with pytest.raises(InputError, match=r"a > a: a chain of order 1 .* Use order=2"):
        removal_effect_of(journeys, Sequence("a", "a"))
    with pytest.raises(InputError, match="defined for channels and sets"):
        removal_effect_of(journeys, Sequence("a", "b"), removal="detour")
    with pytest.raises(InputError, match=r"position must be 1, 2, \.\.\. or -1"):
        Position("a", 0)
    with pytest.raises(InputError, match="names of one or more channels"):
        Sequence()
    with pytest.raises(InputError, match="removal is 'drop'; it must be one of null, detour, refit"):
        removal_effect_of(journeys, "a", removal="drop")
    with pytest.raises(InputError, match="removal is 'drop'"):
        RemovalEffect(removal="drop")
    with pytest.raises(InputError, match="empty='base' belongs to removal='refit'"):
        RemovalEffect(empty="base")
    with pytest.raises(InputError, match="on the whole nothing is lost"):
        attribute(journeys, RemovalEffect(removal="refit"))  # no journey has one channel only
    with pytest.raises(InputError, match="No journey converts"):
        removal_effect_of(journeys_of([("a", 0, 1, 0)]), "a", removal="refit")


def test_negative_credit_of_a_detour_is_named():
    journeys = journeys_of([("a", 9, 1, 0), ("ab", 1, 9, 0), ("c", 5, 1, 0)])
    result = attribute(journeys, RemovalEffect(removal="detour"))
    assert result.conversions[1] < 0
    assert any("Negative credit" in note and "without b" in note for note in result.notes)
    assert result.conversions.sum() == pytest.approx(15)
