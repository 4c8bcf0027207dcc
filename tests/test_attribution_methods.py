"""Rules and games: worked by hand, and against the definitions, looked up over all orders of arrival."""

from dataclasses import replace
from itertools import chain, combinations, groupby, pairwise, permutations
from math import factorial
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from journeysim.attribution import (
    AnyTouch,
    CustomWeights,
    LastNonDirect,
    MarkovShapley,
    OrderedShapley,
    SetShapley,
    SimpleProbabilistic,
    SimplifiedShapley,
    WShaped,
    method_table,
)
from journeysim.attribution.contract import make_journeys, small_journeys
from journeysim.attribution.shapley_value import exact_shapley
from journeysim.errors import InputError

ROWS = [("ab", 2, 1), ("ba", 1, 3), ("abcb", 1, 0), ("c", 1, 4), ("acd", 0.5, 2), ("d", 0, 3), ("bd", 1.5, 1)]


def journeys_of(rows, channels="abcd"):
    paths, conversions, nulls = zip(*rows, strict=True)
    value = [10 * c + len(p) * (c > 0) for p, c in zip(paths, conversions, strict=True)]
    return make_journeys([*map(list, paths)], conversions, nulls, value, channels=tuple(channels))


def shapley_by_orders(worth, players):
    """The definition: the mean gain from a player's arrival over all orders."""
    total = dict.fromkeys(players, 0.0)
    for order in permutations(players):
        for i, player in enumerate(order):
            total[player] += worth(frozenset(order[: i + 1])) - worth(frozenset(order[:i]))
    return np.array([total[player] / factorial(len(players)) for player in players])


def subsets(players):
    return map(frozenset, chain.from_iterable(combinations(players, n) for n in range(len(players) + 1)))


# --- rules --------------------------------------------------------------------------------------------------------


def of_one_path(method, path, channels="abcde"):
    return method.attribute(journeys_of([(path, 1, 1)], channels)).conversions


@pytest.mark.parametrize(
    ("method", "path", "want"),
    [
        (WShaped(), "a", [1, 0, 0, 0, 0]),
        (WShaped(), "ab", [0.5, 0.5, 0, 0, 0]),
        (WShaped(), "abc", [1 / 3, 1 / 3, 1 / 3, 0, 0]),
        (WShaped(), "abcd", [1 / 3, 1 / 6, 1 / 6, 1 / 3, 0]),
        (WShaped(), "abcde", [0.3, 0.05, 0.3, 0.05, 0.3]),
        (WShaped(), "abcdea", [0.6, 0.05, 0.15, 0.15, 0.05]),
        (WShaped(first=0.5, middle=0.2, last=0.1), "abc", [0.625, 0.25, 0.125, 0, 0]),
        (WShaped(first=0.5, middle=0, last=0.5), "abc", [0.5, 0, 0.5, 0, 0]),
        (LastNonDirect(direct=("d",)), "abd", [0, 1, 0, 0, 0]),
        (LastNonDirect(direct=("D", "c")), "abcd", [0, 1, 0, 0, 0]),
        (LastNonDirect(direct=("d",)), "dd", [0, 0, 0, 1, 0]),
        (LastNonDirect(direct=("d",)), "adb", [0, 1, 0, 0, 0]),
        (CustomWeights(lambda n: range(1, n + 1)), "abc", [1 / 6, 2 / 6, 3 / 6, 0, 0]),
        (CustomWeights(lambda n: [1] + [0] * (n - 1)), "abc", [1, 0, 0, 0, 0]),
    ],
)
def test_rules_split_one_journey_as_they_say(method, path, want):
    np.testing.assert_allclose(of_one_path(method, path), want, atol=1e-15)


def test_last_non_direct_does_not_look_into_the_journey_before():
    journeys = journeys_of([("ab", 1, 0), ("d", 3, 0), ("cd", 5, 0)])
    np.testing.assert_array_equal(LastNonDirect(direct=("d",)).attribute(journeys).conversions, [0, 1, 5, 3])


def test_last_non_direct_says_so_when_no_channel_is_direct():
    (note,) = LastNonDirect().attribute(small_journeys()).notes
    assert "No channel is called 'direct'" in note
    assert not LastNonDirect(direct=("mail",)).attribute(small_journeys()).notes


def test_any_touch_scales_the_conversions_that_a_channel_was_part_of():
    result = AnyTouch().attribute(journeys_of([("aab", 2, 9), ("b", 3, 0), ("ca", 1, 1)]))
    np.testing.assert_allclose(result.conversions, np.array([3, 5, 1, 0]) * 6 / 9)
    np.testing.assert_allclose(result.value, np.array([23 + 12, 23 + 31, 12, 0]) * 66 / 101)


def test_values_that_cancel_are_refused_and_none_are_nobodys():
    journeys = make_journeys([["a", "b"], ["b"]], [1, 1], [1, 1], [4, -3], channels=("a", "b"))
    result = AnyTouch().attribute(replace(journeys, value=np.array([4.0, -2.0])))
    np.testing.assert_allclose(result.value, [2 * 4 / 6, 2 * 2 / 6])
    with pytest.raises(InputError, match="cancel out or have the wrong sign"):
        AnyTouch().attribute(make_journeys([["a", "b"], ["c"]], [1, 1], [0, 0], [-2, 3], channels=("a", "b", "c")))
    none = AnyTouch().attribute(replace(journeys, value=np.array([4.0, -4.0])))
    np.testing.assert_array_equal(none.value, 0)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: WShaped(first=0.5, middle=0.5, last=0.5), "WShaped: first=0.5"),
        (lambda: WShaped(first=0, last=0), "first \\+ last > 0"),
        (lambda: LastNonDirect(direct="direct"), "must be a tuple"),
        (lambda: of_one_path(CustomWeights(lambda n: [1]), "ab"), "for 2 touches the function returned \\[1.0\\]"),
        (lambda: of_one_path(CustomWeights(lambda n: [1, -1]), "ab"), "finite weights >= 0"),
        (lambda: SetShapley(exact_up_to=21), "exact_up_to must be in 0..20"),
        (lambda: SetShapley(n_orders=5), "n_orders must be even"),
        (lambda: MarkovShapley(order=0), "order must be 1 or more"),
        (lambda: MarkovShapley(seed=-1), "seed must be"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, said):
    with pytest.raises(InputError, match=said):
        wrong()


# --- Shapley ------------------------------------------------------------------------------------------------------


def test_the_glove_game_has_its_published_value():
    """Two left gloves, one right: 1/6, 1/6, 2/3 (Shapley & Shubik; in any text on cooperative games)."""
    worths = [[0], [0], [0], [0], [0], [1], [1], [1]]  # players 0 and 1 hold left gloves, player 2 the right one
    np.testing.assert_allclose(exact_shapley(np.array(worths, float))[:, 0], [1 / 6, 1 / 6, 2 / 3])


def test_simplified_is_the_shapley_value_of_the_conversions_within_a_set():
    journeys = journeys_of(ROWS)
    worth = {s: sum(c for path, c, _ in ROWS if {*path} <= s) for s in subsets("abcd")}
    want = shapley_by_orders(worth.__getitem__, "abcd")
    np.testing.assert_allclose(SimplifiedShapley().attribute(journeys).conversions, want)


def test_set_based_is_the_shapley_value_of_the_observed_rates():
    journeys = journeys_of(ROWS)

    def rate(total):
        def worth(channels):
            inside = [row for row in ROWS if {*row[0]} <= channels]
            return sum(map(total, inside)) / sum(c + n for _, c, n in inside) if inside else 0.0

        return worth

    n_journeys = sum(c + n for _, c, n in ROWS)
    result = SetShapley().attribute(journeys)
    np.testing.assert_allclose(result.conversions, n_journeys * shapley_by_orders(rate(lambda row: row[1]), "abcd"))
    value = rate(lambda row: 10 * row[1] + len(row[0]) * (row[1] > 0))
    np.testing.assert_allclose(result.value, n_journeys * shapley_by_orders(value, "abcd"))


def test_set_based_credit_may_be_negative_and_says_so():
    result = SetShapley().attribute(journeys_of([("a", 9, 1), ("ab", 1, 9)]))
    np.testing.assert_allclose(result.conversions, [20 * 0.7, -20 * 0.2, 0, 0])  # v: a .9, b 0, ab .5
    assert any("negative for b" in note and "not clipped" in note for note in result.notes)


def test_a_model_of_the_user_decides_the_credit_and_is_asked_for_sets_of_names():
    asked = []

    def model(channels):
        asked.append(channels)
        return 0.1 + 0.3 * ("a" in channels) + 0.2 * ({"b", "c"} <= channels)

    journeys = journeys_of(ROWS)
    result = SetShapley(model=model).attribute(journeys)
    np.testing.assert_allclose(result.share, [0.6, 0.2, 0.2, 0], atol=1e-15)
    np.testing.assert_allclose(result.value, journeys.total_value * result.share, atol=1e-12)
    assert {*asked} == {*subsets("abcd")}
    assert "model" in result.settings


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (lambda channels: None, r"returned None for the channels \{\}"),
        (lambda channels: float("nan") if channels else 0, "returned nan for the channels {"),
        (lambda channels: 0.5, "converts 0 more with all channels than with none"),
        (lambda channels: -len(channels), "converts -4 more"),
    ],
)
def test_models_that_say_nothing_are_refused(model, said):
    with pytest.raises(InputError, match=said):
        SetShapley(model=model).attribute(journeys_of(ROWS))


def many_channels(n=16, rows=300, seed=4):
    rng = np.random.default_rng(seed)
    names = [f"c{i}" for i in range(n)]
    paths = [[names[i] for i in rng.integers(0, n, rng.integers(1, 4))] for _ in range(rows)]
    nulls = rng.integers(1, 9, rows)
    conversions = [rng.binomial(9, 0.6 if "c3" in path else 0.2) for path in paths]
    return make_journeys(paths, conversions, nulls, conversions, channels=tuple(names))


@pytest.mark.parametrize("method", [SetShapley, MarkovShapley])
def test_sampled_values_are_as_close_as_they_say(method):
    """A z test per channel with a false alarm of 1e-6 in all, as far as the central limit of 500 pairs holds."""
    journeys = many_channels(12)
    exact = method().attribute(journeys)
    sampled = method(exact_up_to=5, n_orders=1_000, seed=3).attribute(journeys)
    assert sampled.settings.items() >= {"n_orders": 1_000, "seed": 3}.items()
    note = sampled.notes[0]
    error = float(note.rsplit("at most ", 1)[1].rstrip("."))
    allowed = stats.norm.isf(1e-6 / 2 / 12) * error
    assert 0 < error < 0.05
    assert (abs(sampled.share - exact.share) <= allowed).all()
    wrong = np.roll(exact.share, 1)  # negative control
    assert (abs(sampled.share - wrong) > allowed).any()
    assert sampled.total_conversions == pytest.approx(journeys.n_conversions, rel=1e-12)


def test_sampling_all_channels_does_not_depend_on_names_and_numbers():
    journeys = many_channels(16)
    codes = np.random.default_rng(1).permutation(16)
    names = np.empty(16, dtype=object)
    names[codes] = [f"x{i}" for i in range(16)]
    renamed = replace(journeys, channels=tuple(names), codes=codes[journeys.codes].astype(np.int32))
    method = SetShapley(n_orders=20)
    want, got = method.attribute(journeys).conversions, method.attribute(renamed).conversions[codes]
    np.testing.assert_allclose(got, want, rtol=1e-9)
    assert abs(SetShapley(n_orders=20, seed=2).attribute(journeys).conversions - want).max() > 1e-3


def test_ordered_adds_up_to_simplified_and_tells_touchpoints_apart():
    journeys = journeys_of([("abab", 4, 1), ("ca", 1, 0), ("b", 0, 7)])
    table = OrderedShapley().by_touchpoint(journeys)
    found = {(channel, at): conversions for channel, at, conversions, _ in table.iter_rows()}
    assert found == {("a", 1): 1, ("a", 2): 0.5, ("a", 3): 1, ("b", 2): 1, ("b", 4): 1, ("c", 1): 0.5}
    result = OrderedShapley().attribute(journeys)
    simplified = SimplifiedShapley().attribute(journeys)
    np.testing.assert_allclose(result.conversions, simplified.conversions)
    by_channel = {name: table.filter(channel=name)["value"].sum() for name in journeys.channels}
    np.testing.assert_allclose([*by_channel.values()], simplified.value)


# --- Markov-Shapley -----------------------------------------------------------------------------------------------


def transitions(rows):
    """Weights of moves of the first-order chain, by hand: (from, to), with None for the start and bool for the end."""
    moves = {}
    for path, conversions, nulls in rows:
        states = [None, *(channel for channel, _ in groupby(path))]
        for move in pairwise(states):
            moves[move] = moves.get(move, 0) + conversions + nulls
        for end, weight in ((True, conversions), (False, nulls)):
            moves[states[-1], end] = moves.get((states[-1], end), 0) + weight
    leaving = {}
    for (origin, _), weight in moves.items():
        leaving[origin] = leaving.get(origin, 0) + weight
    return {move: weight / leaving[move[0]] for move, weight in moves.items()}


def p_conversion(p, channels):
    """Probability that the chain converts when only these channels lead on, by iteration."""
    x = dict.fromkeys("abcd", 0.0)
    for _ in range(400):
        x = {
            c: sum(q * (to is True) + q * x.get(to, 0.0) for (origin, to), q in p.items() if origin == c)
            if c in channels
            else 0.0
            for c in "abcd"
        }
    return sum(q * x[to] for (origin, to), q in p.items() if origin is None)


def test_markov_shapley_is_the_shapley_value_of_removal_by_definition():
    p = transitions(ROWS)
    worth = {s: p_conversion(p, s) for s in subsets("abcd")}
    want = shapley_by_orders(worth.__getitem__, "abcd")
    result = MarkovShapley().attribute(journeys_of(ROWS))
    n_journeys = sum(c + n for _, c, n in ROWS)
    assert want.sum() == pytest.approx(7 / n_journeys)  # P is the observed rate: nothing had to be normalised
    np.testing.assert_allclose(result.conversions, n_journeys * want, rtol=1e-9)


def test_markov_shapley_is_the_mean_of_one_over_the_channels_met_on_walks_of_the_chain():
    """The dividend form: follow walks with the set of channels met so far, and split each conversion equally."""
    p = transitions(ROWS)
    mass = {(None, frozenset()): 1.0}
    credit = dict.fromkeys("abcd", 0.0)
    for _ in range(400):
        onward = {}
        for (state, met), weight in mass.items():
            for (origin, to), q in p.items():
                if origin != state or weight == 0:
                    continue
                if to is True:
                    for channel in met:
                        credit[channel] += weight * q / len(met)
                elif to is not False:
                    key = (to, met | {to})
                    onward[key] = onward.get(key, 0.0) + weight * q
        mass = onward
    result = MarkovShapley().attribute(journeys_of(ROWS))
    np.testing.assert_allclose(result.conversions, sum(c + n for _, c, n in ROWS) * np.array([*credit.values()]))
    simplified = SimplifiedShapley().attribute(journeys_of(ROWS))  # the walks of the chain are not the journeys
    assert abs(result.conversions - simplified.conversions).max() > 0.05


def test_markov_shapley_becomes_simplified_shapley_when_states_remember_everything():
    journeys = journeys_of(ROWS)
    result, simplified = MarkovShapley(order=4).attribute(journeys), SimplifiedShapley().attribute(journeys)
    np.testing.assert_allclose(result.conversions, simplified.conversions)
    np.testing.assert_allclose(result.value, simplified.value)


def test_markov_shapley_refuses_chains_that_are_too_big_and_says_what_to_use(monkeypatch):
    from journeysim.attribution import markov_shapley

    monkeypatch.setattr(markov_shapley, "MAX_STATES", 3)
    with pytest.raises(InputError, match=r"at order 1 the chain has 4 states.*shapley_simplified"):
        MarkovShapley().attribute(journeys_of(ROWS))


# --- Shao and Li --------------------------------------------------------------------------------------------------


def test_the_simple_probabilistic_model_by_hand():
    """p(a) = 3/6, p(b) = 6/8, p(c) = 1/2; p(a, b) = 2/4, p(a, c) = p(b, c) = 1/2; abc: each of three pairs."""
    journeys = journeys_of([("a", 1, 1), ("ab", 1, 1), ("b", 4, 0), ("acb", 1, 1)])
    alone, pair = {"a": 3 / 6, "b": 6 / 8, "c": 1 / 2}, {"ab": 2 / 4, "ac": 1 / 2, "bc": 1 / 2}
    of_ab = {"a": alone["a"] + (pair["ab"] - 5 / 4) / 2, "b": alone["b"] + (pair["ab"] - 5 / 4) / 2}
    assert sum(of_ab.values()) == pytest.approx(pair["ab"])
    of_abc = {
        "a": 1 / 2 + (2 / 4 - 5 / 4) / 4 + (1 / 2 - 1) / 4,
        "b": 3 / 4 + (2 / 4 - 5 / 4) / 4 + (1 / 2 - 5 / 4) / 4,
        "c": 1 / 2 + (1 / 2 - 1) / 4 + (1 / 2 - 5 / 4) / 4,
    }
    assert sum(of_abc.values()) == pytest.approx(sum(pair.values()) / 2)
    want = [1 + of_ab["a"] / 0.5 + of_abc["a"] / 0.75, 4 + of_ab["b"] / 0.5 + of_abc["b"] / 0.75, of_abc["c"] / 0.75, 0]
    result = SimpleProbabilistic().attribute(journeys)
    np.testing.assert_allclose(result.conversions, want)
    assert not result.notes


def test_the_simple_probabilistic_model_says_when_a_score_is_negative():
    result = SimpleProbabilistic().attribute(journeys_of([("a", 9, 1), ("b", 0, 9), ("ab", 1, 9)]))
    score = 1 / 19 + (1 / 10 - 10 / 20 - 1 / 19) / 2  # of b; the two of ab add up to p(a, b) = .1
    np.testing.assert_allclose(result.conversions, [9 + 1 - score / 0.1, score / 0.1, 0, 0])
    assert score < 0
    assert any("b is negative" in note for note in result.notes)


# --- docs ---------------------------------------------------------------------------------------------------------


def test_the_page_has_every_method_with_the_lines_of_the_registry():
    text = (Path(__file__).parents[1] / "docs" / "attribution-methods.md").read_text(encoding="utf-8")
    for row in method_table().iter_rows(named=True):
        line = next(line for line in text.splitlines() if line.startswith(f"| `{row['method']}`"))
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[1:] == [row["paper"] or "–", row["assumes"], row["misleads"]]
