"""Choice of the order: against a dictionary's arithmetic, the chain's own likelihood, and chains of a known order."""

from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from test_markov import any_touch, effects, journeys_of, rows_of

from journeysim.attribution import RemovalEffect, attribute
from journeysim.errors import InputError
from journeysim.interop import read_paths
from journeysim.markov import AbsorbingChain, choose_order, count_transitions, order, order_drift, repeats
from journeysim.markov_plots import drift_chart, order_chart

ROWS = [("abcab", 2.5, 3, 0), ("aab", 1, 6, 0), ("c", 3, 2, 0), ("bcbcbc", 4, 0.5, 0), ("ca", 0, 5, 0), ("ba", 2, 2, 0)]


@pytest.fixture(scope="module")
def pathdata(shared_data):
    return read_paths(shared_data / "pathdata.csv")


def steps(path, k):
    """(context, outcome) of each touch of a path, and the context of its end; as padded tuples."""
    padded = ("^",) * k + tuple(path)
    contexts = [padded[i : i + k] for i in range(len(path) + 1)]
    return list(zip(contexts, path, strict=False)), contexts[-1]


def counted(rows, weights, k):
    counts = defaultdict(lambda: defaultdict(float))
    for (path, *_), (conversions, nulls) in zip(rows, weights, strict=True):
        touches, end = steps(path, k)
        for context, outcome in touches:
            counts[context][outcome] += conversions + nulls
        counts[end]["conversion"] += conversions
        counts[end]["null"] += nulls
    return counts


def log_likelihood(rows, weights, k, predict):
    total = 0.0
    for (path, *_), (conversions, nulls) in zip(rows, weights, strict=True):
        touches, end = steps(path, k)
        total += (conversions + nulls) * sum(np.log(predict(*step)) for step in touches)
        total += conversions * np.log(predict(end, "conversion")) if conversions else 0
        total += nulls * np.log(predict(end, "null")) if nulls else 0
    return total


def test_held_out_likelihood_is_what_a_dictionary_computes():
    journeys = journeys_of(ROWS)
    deal = order._dealt(journeys, 3, 7, 1)
    np.testing.assert_allclose(deal.sum(axis=2), [journeys.conversions, journeys.nulls])
    curve = choose_order(journeys, max_order=4, folds=3, seed=7, copies=1).curve
    for k in range(1, 5):
        total = 0.0
        for fold in range(3):
            held, known = deal[:, :, fold].T, np.delete(deal, fold, axis=2).sum(axis=2).T
            tables = [counted(ROWS, known, j) for j in range(k + 1)]

            def predict(context, outcome, tables=tables):
                p = 1 / 5
                for j, table in enumerate(tables):
                    seen = table[context[len(context) - j :]]
                    p = (seen[outcome] + p) / (sum(seen.values()) + 1)
                return p

            total += log_likelihood(ROWS, held, k, predict)
        per_journey = total / (journeys.conversions + journeys.nulls).sum()
        assert curve["log_likelihood"][k - 1] == pytest.approx(per_journey, rel=1e-12)


def test_bic_is_what_a_dictionary_computes():
    weights = [row[1:3] for row in ROWS]
    events = sum((c + n) * (len(path) + 1) for path, c, n, _ in ROWS)
    curve = choose_order(journeys_of(ROWS), max_order=4).curve
    for k in range(1, 5):
        table = counted(ROWS, weights, k)
        fit = log_likelihood(ROWS, weights, k, lambda c, y, table=table: table[c][y] / sum(table[c].values()))
        parameters = 4 * len(table) - 2
        assert curve["n_parameters"][k - 1] == parameters
        assert curve["bic"][k - 1] == pytest.approx(-2 * fit + parameters * np.log(events), rel=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_likelihood_is_that_of_the_absorbing_chain(k):
    """Walk each path through the fitted chain: no state of these paths follows itself, so nothing is dropped."""
    rows = [("abcab", 2, 3, 0), ("ab", 1, 6, 0), ("c", 3, 2, 0), ("bcbcbc", 4, 1, 0), ("ca", 0, 5, 0)]
    counts = count_transitions(journeys_of(rows), k)
    chain = AbsorbingChain.from_counts(counts)
    number = {tuple("abc"[c] for c in state if c >= 0): i for i, state in enumerate(counts.states)}
    Q, total = chain.moves.toarray(), 0.0
    for path, conversions, nulls, _ in rows:
        walk = [number[tuple(path[i : i + k])] for i in range(max(1, len(path) - k + 1))]
        p = chain.start[walk[0]] * np.prod([Q[a, b] for a, b in pairwise(walk)])
        p *= chain.p_end[walk[-1]]
        g = chain.end_conversion[walk[-1]]
        total += (conversions + nulls) * np.log(p)
        total += (conversions * np.log(g) if conversions else 0) + (nulls * np.log(1 - g) if nulls else 0)
    curve = choose_order(journeys_of(rows), max_order=3).curve
    events = sum((c + n) * (len(path) + 1) for path, c, n, _ in rows)
    fit = -(curve["bic"][k - 1] - curve["n_parameters"][k - 1] * np.log(events)) / 2
    assert fit == pytest.approx(total, rel=1e-12)


def walks(k, n, rng, n_channels=5):
    """Journeys of a chain that remembers exactly k touches: random tables of what follows each k of them."""
    table = rng.dirichlet(np.full(n_channels, 0.5), (n_channels,) * k)
    converts = rng.beta(1, 2, (n_channels,) * k)
    lengths = k - 1 + rng.geometric(0.2, n)  # after k touches, each may be the last
    paths = np.full((n, lengths.max()), -1)
    paths[:, :k] = rng.integers(0, n_channels, (n, k))
    for i in range(k, lengths.max()):
        going = np.flatnonzero(lengths > i)
        p = table[tuple(paths[going, i - k : i].T)]
        paths[going, i] = (rng.random((len(going), 1)) > p.cumsum(axis=1)).sum(axis=1).clip(max=n_channels - 1)
    rows = []
    for path, length in zip(paths, lengths, strict=True):
        won = rng.random() < converts[tuple(path[length - k : length])]
        rows.append(("".join("abcde"[c] for c in path[:length]), float(won), float(not won), 0))
    return journeys_of(rows, tuple("abcde"))


@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_order_of_a_known_chain_is_found_by_both(k):
    """A higher order has 100 and more parameters too many, which cost about one half each (less one by one in the
    held-out fit) with a standard deviation of 8: to prefer it takes 6 deviations."""
    choice = choose_order(walks(k, 20_000, np.random.default_rng(5)), max_order=4)
    assert choice.curve.filter("best_cross_validation")["order"].to_list() == [k]
    assert choice.curve.filter("best_bic")["order"].to_list() == [k]
    assert choice.order == k
    assert choice.copies == 1  # these journeys are independent


def test_a_log_that_was_multiplied_is_no_more_evidence():
    """Seven of each journey: copies in the other folds reward whoever remembers most, unless they stay together."""
    journeys = walks(2, 5_000, np.random.default_rng(5))
    seven = replace(journeys, conversions=7 * journeys.conversions, nulls=7 * journeys.nulls)
    choice = choose_order(seven)
    assert choice.copies == 7
    assert choice.order == choose_order(journeys).order == 2
    assert "Equal journeys went to the folds 7 at a time" in str(choice)
    again = choose_order(journeys_of([row for row in rows_of(journeys) for _ in range(7)], journeys.channels))
    assert (again.copies, again.order) == (7, 2)  # seven rows are one row of seven
    fooled = choose_order(seven, copies=1)  # negative control
    assert fooled.order == 5
    assert "copies" not in str(fooled)


def test_real_paths_that_recur_do_not_drive_the_order_up(pathdata):
    choice = choose_order(pathdata, max_order=8)
    assert 4 <= choice.copies <= 8  # rare paths come six times, where a chain of order 2 gives one in a hundred
    assert choice.order == 3
    assert choice.curve.filter("best_bic")["order"].to_list() == [2]
    assert choose_order(pathdata, max_order=8, copies=30).order == 2
    assert choose_order(pathdata, max_order=8, copies=1).order == 8  # as if journeys were independent: they are not


@pytest.mark.parametrize("k", [1, 2])
def test_the_expected_number_of_equal_journeys_is_that_of_the_chain(k):
    """Rare paths of a dictionary's chain, and how many took each."""
    rows = [(path, 30 * c, 30 * n, 0) for path, c, n, _ in ROWS] + [
        ("abcabcabcabc", 2, 3, 0),
        ("ccbbaaccbbaa", 1, 0, 0),
    ]
    table = counted(rows, [row[1:3] for row in rows], k)
    n_journeys, taken = sum(c + n for _, c, n, _ in rows), []
    for path, c, n, _ in rows:
        touches, end = steps(path, k)
        p = np.prod([table[x][y] / sum(table[x].values()) for x, y in touches])
        p *= (table[end]["conversion"] + table[end]["null"]) / sum(table[end].values())
        taken += [c + n] if n_journeys * p < repeats.RARE else []
    assert taken
    seen = order._Steps.of(journeys_of(rows), k)
    cell = seen.contexts[k] * 4 + seen.code
    got = repeats.copies_of_rare_paths(journeys_of(rows), seen.contexts[k], cell)
    assert got == pytest.approx(sum(w * w for w in taken) / sum(taken))


def test_rows_that_stand_for_many_are_the_same_as_many_rows():
    rows = [(path, round(c), round(n), 0) for path, c, n, _ in ROWS]
    expanded = [(path, *one, 0) for path, c, n, _ in rows for one in [(1, 0)] * c + [(0, 1)] * n]
    np.testing.assert_allclose(
        choose_order(journeys_of(rows)).curve["bic"], choose_order(journeys_of(expanded)).curve["bic"]
    )
    weights = order._dealt(journeys_of([("a", 100_000, 0, 0)]), 5, 1, 1)[0, 0]
    assert (weights == np.floor(weights)).all()
    assert abs(weights - 20_000).max() < 700  # five deviations of a binomial count: dealt one by one, not in one piece


def test_the_same_seed_gives_the_same_choice_and_names_do_not_matter():
    journeys = journeys_of(ROWS)
    first, second = choose_order(journeys, seed=3), choose_order(journeys, seed=3)
    assert first.curve.equals(second.curve)
    assert not first.curve.equals(choose_order(journeys, seed=4).curve)
    renamed = choose_order(replace(journeys, channels=("eta", "beta", "zeta")), seed=3)
    assert renamed.curve.equals(first.curve)


def test_auto_takes_the_order_that_is_found_and_says_why():
    journeys = walks(2, 5_000, np.random.default_rng(1))
    result = attribute(journeys, RemovalEffect(order="auto"))
    np.testing.assert_array_equal(result.removal_effects, attribute(journeys, RemovalEffect(order=2)).removal_effects)
    told = [note for note in result.notes if note.startswith("Order 2 of 1 to 5 predicts held-out journeys best (-")]
    assert len(told) == 1
    assert "BIC would take 2" in told[0]
    assert "order=auto" in str(result)


def test_the_highest_order_tried_is_not_taken_for_the_best_there_is():
    choice = choose_order(walks(3, 20_000, np.random.default_rng(5)), max_order=2, criterion="bic")
    assert "Order 2 of 1 to 2 has the lowest BIC" in str(choice)
    assert "2 is the highest that was tried" in str(choice)


def test_the_drift_ends_at_any_touch(pathdata):
    drift = order_drift(pathdata, (1, 3, 100))
    at = {k: drift.filter(order=k) for k in (1, 3, 100)}
    np.testing.assert_allclose(at[1]["any_touch"], any_touch(pathdata))
    np.testing.assert_allclose(at[100]["removal_effect"], at[100]["any_touch"], atol=1e-12)
    np.testing.assert_array_equal(at[3]["removal_effect"], effects(pathdata, 3).by_conversions)
    gaps = [abs(at[k]["removal_effect"] - at[k]["any_touch"]).max() for k in (1, 3, 100)]
    assert gaps == sorted(gaps, reverse=True)


def test_a_path_that_repeats_a_channel_touches_it_once():
    journeys = journeys_of([("aab", 2, 1, 0), ("b", 1, 0, 0)])
    assert order_drift(journeys, (1,))["any_touch"].to_list() == pytest.approx([2 / 3, 1])
    assert any_touch(journeys) == pytest.approx([2 / 3, 1])
    assert len(rows_of(journeys)) == 2


def test_charts_draw_their_tables():
    journeys = walks(2, 2_000, np.random.default_rng(1))
    curve, drift = choose_order(journeys, max_order=4).curve, order_drift(journeys, (1, 2, 30))
    left, right = order_chart(curve).axes
    best = curve["log_likelihood"].max()
    np.testing.assert_allclose(left.lines[0].get_ydata(), curve["log_likelihood"] - best)
    np.testing.assert_allclose(right.lines[0].get_ydata(), curve["bic"] - curve["bic"].min())
    (axes,) = drift_chart(drift).axes
    drawn = {tuple(line.get_ydata()) for line in axes.lines if len(line.get_xdata()) == 3}
    assert drawn == {tuple(part["removal_effect"]) for part in drift.partition_by("channel")}


def test_impossible_choices_are_refused():
    journeys = journeys_of(ROWS)
    with pytest.raises(InputError, match="max_order must be 1 or more, got 0"):
        choose_order(journeys, max_order=0)
    with pytest.raises(InputError, match="folds must be 2 or more, got 1"):
        choose_order(journeys, folds=1)
    with pytest.raises(InputError, match="copies must be 1 or more, got 0"):
        choose_order(journeys, copies=0)
    with pytest.raises(InputError, match="criterion is 'aic'; it must be one of cross_validation, bic"):
        choose_order(journeys, criterion="aic")
    with pytest.raises(InputError, match="no order to choose"):
        choose_order(journeys_of([("a", 0, 0, 0)]))
    with pytest.raises(InputError, match="order must be 1 or more, or 'auto', got 'best'"):
        RemovalEffect(order="best")


def test_no_order_beyond_the_longest_path_is_chosen():
    journeys = journeys_of([("a", 5, 95, 0), ("b", 10, 90, 0), ("c", 0, 50, 0)])
    for criterion in ("cross_validation", "bic"):
        assert choose_order(journeys, criterion=criterion).order == 1
