"""Attribution with its uncertainty: draws against single chains, against closed forms, and against known chains."""

import pickle
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.sparse import csr_array

from journeysim.attribution import (
    Attribution,
    LastTouch,
    RemovalEffect,
    UncertainAttribution,
    attribute,
    bootstrap_attribution,
    methods,
    posterior_attribution,
)
from journeysim.attribution.bootstrap import Resampler, _small_chain
from journeysim.attribution.posterior import _Rows, _Worth
from journeysim.errors import InputError
from journeysim.journeys import Journeys
from journeysim.markov import AbsorbingChain, count_transitions
from tests.known_chains import random_chain
from tests.statistical import assert_distribution, assert_student

DOC = Path(__file__).parents[1] / "docs" / "attribution-uncertainty.md"


def make(rows, channels=("a", "b", "c")):
    """Journeys of (path, conversions, nulls, value), with ages."""
    codes = np.array([channels.index(name) for path, *_ in rows for name in path.split()], dtype=np.int32)
    offsets = np.cumsum([0, *(len(path.split()) for path, *_ in rows)], dtype=np.int64)
    weights = np.array([row[1:] for row in rows], dtype=float)
    return Journeys(channels, codes, offsets, *weights.T.copy(), ages_days=np.ones(len(codes)))


@pytest.fixture
def journeys():
    rows = [
        ("a b", 3, 4, 60),
        ("b a b c", 2, 1, 50),
        ("c", 1, 9, 5),
        ("a a c a", 0, 6, 0),
        ("b", 4, 2, 30),
        ("c b", 1, 0, 9),
    ]
    return make(rows)


@pytest.fixture(scope="module")
def simulated():
    rng = np.random.default_rng(3)
    return random_chain(rng).simulate(800, rng)


def single_chains(journeys, order, n_draws):
    """Drawn chains, and each again as an `AbsorbingChain` of its own."""
    counts = count_transitions(journeys, order)
    draws = _Rows.of(counts, 0.5, every_move=False).draw(np.random.default_rng(8), n_draws, _Worth.of(journeys, counts))
    singles = []
    for start, moves, rewards in zip(draws.start, draws.moves, draws.rewards, strict=True):
        p_end = 1 - moves.sum(axis=1)
        singles.append(
            AbsorbingChain(
                contains=counts.contains,
                start=start,
                visits=np.linalg.solve((np.eye(len(start)) - moves).T, start),
                moves=csr_array(moves),
                p_end=p_end,
                end_conversion=rewards[:, 0] / p_end,
                end_value=rewards[:, 1] / p_end,
            )
        )
    return draws, singles


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_batch_of_chains_has_the_removal_effects_of_its_chains(simulated, order):
    few = replace_rows(simulated, 100)  # so that order 3 stays small
    draws, singles = single_chains(few, order, 12)
    found = draws.removal_effects()
    for draw, single in enumerate(singles):
        want = single.removal_effects()
        np.testing.assert_allclose(found.p_conversion[draw], want.p_conversion, atol=1e-12)
        np.testing.assert_allclose(found.by_conversions[draw], want.by_conversions, atol=1e-12)
        np.testing.assert_allclose(found.by_value[draw], want.by_value, atol=1e-12)


def replace_rows(journeys, n):
    end = journeys.offsets[n]
    columns = {name: getattr(journeys, name)[:n] for name in ("conversions", "nulls", "value")}
    return replace(journeys, codes=journeys.codes[:end], offsets=journeys.offsets[: n + 1], **columns)


# --- the posterior ------------------------------------------------------------------------------------------------


def test_a_row_of_the_posterior_is_dirichlet():
    counts = count_transitions(make([("a", 2, 5, 0)], channels=("a",)), 1)
    worth = _Worth.of(make([("a", 2, 5, 0)], channels=("a",)), counts)
    p = _Rows.of(counts, 0.5, every_move=False).draw(np.random.default_rng(4), 20_000, worth).rewards[:, 0, 0]
    assert_distribution(p, stats.beta(2.5, 5.5).cdf)
    with pytest.raises(AssertionError, match="largest gap"):  # without the prior it would be another
        assert_distribution(p, stats.beta(2, 5).cdf)


def test_the_posterior_closes_in_on_the_chain_that_was_seen(journeys):
    many = replace(journeys, **{name: 1e8 * getattr(journeys, name) for name in ("conversions", "nulls", "value")})
    result = posterior_attribution(many, seed=1, n_draws=50)
    point = attribute(journeys)
    assert abs(result.removal_effects - point.removal_effects).max() < 1e-3
    assert abs(result.removal_effects_value - point.removal_effects_value).max() < 1e-3
    few = posterior_attribution(journeys, seed=1, n_draws=50)
    assert abs(few.removal_effects - point.removal_effects).max() > 0.1


def test_what_was_never_seen_is_possible_only_where_the_support_says_so():
    counts = count_transitions(make([("a b", 1, 1, 0), ("b", 0, 3, 0), ("c a", 0, 1, 0)]), 1)
    worth = _Worth.of(make([("a b", 1, 1, 0), ("b", 0, 3, 0), ("c a", 0, 1, 0)]), counts)
    a, b, c = (int(np.flatnonzero(counts.states[:, 0] == code)[0]) for code in range(3))
    for every_move in (False, True):
        draws = _Rows.of(counts, 0.5, every_move=every_move).draw(np.random.default_rng(1), 20, worth)
        assert (draws.moves[:, a, b] > 0).all()
        assert ((draws.moves[:, b, c] > 0) == every_move).all()
        assert (draws.moves[:, [a, b, c], [a, b, c]] == 0).all()  # a repeat is no move
        assert (draws.rewards[:, c, 0] > 0).all()  # any visit may convert, though none from c did
        np.testing.assert_allclose(draws.start.sum(axis=1), 1)


def test_without_nulls_the_posterior_has_none():
    result = posterior_attribution(make([("a b", 3, 0, 9), ("b", 1, 0, 3)]), seed=1, n_draws=20)
    a_met, b_met = result.removal_effects[:, 0], result.removal_effects[:, 1]
    np.testing.assert_allclose(np.maximum(a_met, b_met), result.removal_effects.max(axis=1))
    assert "no paths without a conversion" in str(result)
    np.testing.assert_array_equal(result.removal_effects[:, 2], 0)  # nobody met c


def test_aggregated_paths_and_single_journeys_have_one_posterior(journeys):
    rows = []
    for j in range(journeys.n_journeys):
        path = " ".join(journeys.channels[c] for c in journeys.codes[journeys.offsets[j] : journeys.offsets[j + 1]])
        n = journeys.conversions[j]
        rows += [(path, 1, 0, journeys.value[j] / max(n, 1))] * int(n) + [(path, 0, 1, 0)] * int(journeys.nulls[j])
    apart = posterior_attribution(make(rows), seed=1, n_draws=20)
    np.testing.assert_allclose(apart.share, posterior_attribution(journeys, seed=1, n_draws=20).share, atol=1e-12)


def test_values_that_differ_widen_the_intervals_of_value():
    alike = make([("a", 1, 3, 10.0)] * 20 + [("b", 1, 3, 10.0)] * 20)
    wild = replace(alike, value=np.tile([1.0, 19.0], 20))
    widths = [np.diff(posterior_attribution(j, seed=1).interval(of="value"), axis=0)[0, 0] for j in (alike, wild)]
    assert widths[1] > 1.2 * widths[0]


@pytest.mark.parametrize("run", [posterior_attribution, bootstrap_attribution])
def test_rows_of_several_conversions_are_said_to_hide_the_spread_of_their_values(run):
    journeys = make([("a b", 5, 4, 9), ("b a", 4, 1, 8)])
    assert "how much these differ cannot be seen" in str(run(journeys, seed=1, n_draws=5))
    assert "how much these differ" not in str(run(replace(journeys, value=np.zeros(2)), seed=1, n_draws=5))


# --- the bootstrap ------------------------------------------------------------------------------------------------


class Plain:
    """Hides from the bootstrap that it is a removal effect."""

    def __init__(self, order):
        self.order = order

    def attribute(self, journeys):
        return RemovalEffect(self.order).attribute(journeys)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("resampling", ["poisson", "multinomial"])
def test_counting_all_resamples_at_once_gives_what_each_gives(journeys, resampling, order):
    assert _small_chain(journeys, RemovalEffect(order)) is not None
    fast = bootstrap_attribution(journeys, RemovalEffect(order), seed=5, n_draws=25, resampling=resampling)
    slow = bootstrap_attribution(journeys, Plain(order), seed=5, n_draws=25, resampling=resampling)
    np.testing.assert_allclose(fast.share, slow.share, atol=1e-12)
    np.testing.assert_allclose(fast.removal_effects, slow.removal_effects, atol=1e-12)
    np.testing.assert_allclose(fast.value, slow.value, atol=1e-9)
    np.testing.assert_allclose(fast.removal_effects_value, slow.removal_effects_value, atol=1e-12)


def test_a_resample_depends_on_its_number_alone(journeys, monkeypatch):
    long = bootstrap_attribution(journeys, seed=5, n_draws=20)
    monkeypatch.setattr("journeysim.attribution.chain_draws.BLOCK_ENTRIES", 1)
    short = bootstrap_attribution(journeys, seed=5, n_draws=4)
    np.testing.assert_allclose(short.share, long.share[:4], atol=1e-14)
    assert abs(bootstrap_attribution(journeys, seed=6, n_draws=4).share - short.share).max() > 1e-3


def test_a_multinomial_draws_as_many_journeys_as_were_seen(journeys):
    again = Resampler.of(journeys, "multinomial", 1)
    for draw in range(20):
        conversions, nulls, value = again.draw(draw)
        assert conversions.sum() + nulls.sum() == journeys.conversions.sum() + journeys.nulls.sum()
        assert (conversions[journeys.conversions == 0] == 0).all()
        assert (nulls[journeys.nulls == 0] == 0).all()
        mean_value = journeys.value / np.maximum(journeys.conversions, 1)
        np.testing.assert_allclose(value, conversions * mean_value)


def test_a_fractional_weight_is_drawn_with_that_mean_and_variance():
    fractional = make([("a", 40.25, 0.6, 80.5), ("b", 3.5, 7, 7)])
    again = Resampler.of(fractional, "poisson", 1)
    draws = np.array([np.concatenate(again.draw(draw)[:2]) for draw in range(4_000)])
    for column, weight in zip(draws.T, [40.25, 3.5, 0.6, 7], strict=True):
        assert_student(column, weight)
        assert_student((column - weight) ** 2, weight)
        with pytest.raises(AssertionError, match="mean"):
            assert_student(column, 1.25 * weight)
        with pytest.raises(AssertionError, match="mean"):
            assert_student((column - weight) ** 2, 1.25 * weight)
    with pytest.raises(InputError, match=r"journey 0 has 40\.25 conversions .* Use resampling='poisson'"):
        bootstrap_attribution(fractional, seed=1, resampling="multinomial")


def test_last_touch_credit_of_a_multinomial_has_the_spread_of_a_multinomial():
    journeys = make([("a", 30, 0, 1), ("b", 10, 0, 1)], channels=("a", "b"))
    share = bootstrap_attribution(journeys, "last_touch", seed=2, resampling="multinomial", n_draws=2_000).share[:, 0]
    assert_student(share, 0.75)
    assert_student((share - 0.75) ** 2, 0.75 * 0.25 / 40)
    with pytest.raises(AssertionError, match="mean"):
        assert_student((share - 0.75) ** 2, 1.25 * 0.75 * 0.25 / 40)


def test_resamples_without_a_conversion_are_drawn_again():
    result = bootstrap_attribution(make([("a b", 1, 3, 2), ("c", 0, 3, 0)]), seed=1, n_draws=50)
    np.testing.assert_allclose(result.share.sum(axis=1), 1)
    with pytest.raises(InputError, match="too few for a bootstrap"):
        bootstrap_attribution(make([("a b", 1e-9, 3, 0)]), seed=1)


@pytest.mark.parametrize("method", [*methods(), RemovalEffect(order=2)], ids=str)
def test_every_method_has_intervals_and_every_draw_adds_up(journeys, method):
    seen = []
    result = bootstrap_attribution(journeys, method, seed=1, n_draws=30, on_progress=seen.append)
    assert seen[-1] == 30
    assert result.point.method in methods()
    np.testing.assert_allclose(result.conversions.sum(axis=1), journeys.n_conversions)
    np.testing.assert_allclose(result.value.sum(axis=1), journeys.total_value)
    low, high = result.interval(0.9, of="conversions")
    assert (low <= high).all()
    assert (low < high).any()
    assert (result.removal_effects is None) == (result.point.removal_effects is None)


@pytest.mark.parametrize("method", ["markov", "linear", RemovalEffect(order=2)], ids=str)
def test_journeys_with_little_or_no_value_can_be_drawn(method):
    few = make([("a b", 5, 5, 0), ("b c", 1, 5, 10)])
    result = bootstrap_attribution(few, method, seed=1, n_draws=40)
    np.testing.assert_allclose(result.value.sum(axis=1), 10)
    none = replace(few, value=np.zeros(2))
    for result in (
        bootstrap_attribution(none, method, seed=1, n_draws=5),
        posterior_attribution(none, seed=1, n_draws=5),
    ):
        np.testing.assert_array_equal(result.value, 0)
        assert "value" not in str(result)


# --- the result ---------------------------------------------------------------------------------------------------


@pytest.fixture
def by_hand():
    point = Attribution("last_touch", {}, ("[b]", "search", "email"), np.array([1.0, 5, 4]), np.array([10.0, 50, 40]))
    share = np.array([[0.1, 0.5, 0.4], [0.1, 0.4, 0.5], [0.2, 0.4, 0.4], [0.0, 0.7, 0.3]])
    return UncertainAttribution(point, "bootstrap", share, 100 * share, settings={"seed": 1})


def test_ranks_are_shares_of_the_draws(by_hand):
    assert by_hand.p_beats("search", "email") == 0.5
    assert by_hand.p_beats("email", "search") == 0.25  # the tie beats nobody
    assert by_hand.p_rank("search", 1) == 0.75
    assert by_hand.p_rank("email", 1) == 0.5  # and both come first in it
    assert by_hand.p_rank("[b]", 3) == 1


def test_intervals_are_quantiles_and_scale_with_the_totals(by_hand):
    np.testing.assert_allclose(by_hand.interval(0.5)[:, 1], np.quantile([0.5, 0.4, 0.4, 0.7], [0.25, 0.75]))
    np.testing.assert_allclose(by_hand.interval(0.5, of="conversions"), 10 * by_hand.interval(0.5))
    np.testing.assert_allclose(by_hand.interval(0.5, of="value"), 100 * by_hand.interval(0.5))


def test_intervals_of_few_conversions_are_expanded(by_hand):
    n_seen = np.array([0.0, 5, 1e9])
    expanded = replace(by_hand, n_seen=n_seen).interval(0.8)
    np.testing.assert_allclose(expanded[:, 2], by_hand.interval(0.8)[:, 2])
    tail = stats.norm.cdf(np.sqrt(5 / 4) * stats.t(4).ppf(0.1))
    assert tail < 0.05
    np.testing.assert_allclose(expanded[:, 1], np.quantile(by_hand.share[:, 1], [tail, 1 - tail]))
    np.testing.assert_allclose(expanded[:, 0], by_hand.share[[3, 2], 0], atol=1e-2)  # all of the draws
    with pytest.raises(InputError, match="between 0 and 1"):
        replace(by_hand, n_seen=n_seen).interval(90)
    with pytest.raises(InputError, match="n_seen has shape"):
        replace(by_hand, n_seen=np.ones(2))


def test_a_bootstrap_counts_the_conversions_that_met_a_channel(journeys):
    for method in ("markov", "last_touch"):
        np.testing.assert_array_equal(bootstrap_attribution(journeys, method, seed=1, n_draws=5).n_seen, [5, 10, 4])
    assert posterior_attribution(journeys, seed=1, n_draws=5).n_seen is None


def test_the_frame_has_bounds_beside_every_number(by_hand, journeys):
    frame = by_hand.to_frame(0.5)
    assert frame["channel"].to_list() == ["search", "email", "[b]"]
    assert frame["removal_effect_low"].null_count() == 3
    assert frame["p_first"].to_list() == [0.75, 0.5, 0]
    np.testing.assert_allclose(frame["share_high"], by_hand.interval(0.5)[1, [1, 2, 0]])
    markov = posterior_attribution(journeys, seed=1, n_draws=200).to_frame()
    for name in ("conversions", "share", "value", "removal_effect"):
        assert (markov[name + "_low"] < markov[name + "_high"]).all()


def test_the_table_is_read_without_help(by_hand, journeys):
    text = str(by_hand)
    assert "Attribution by last_touch, 4 draws of the bootstrap (seed=1)" in text
    assert re.search(r"\[b\] +1\.0 +0\.1 to 1\.8 +10\.0% +10 +1 to 18 +0%", text)
    assert "removal" not in text
    assert "removal" in str(posterior_attribution(journeys, seed=1, n_draws=20))


def test_results_are_frozen_and_pickle(by_hand):
    again = pickle.loads(pickle.dumps(by_hand))
    np.testing.assert_array_equal(again.share, by_hand.share)
    with pytest.raises(ValueError, match="read-only"):
        by_hand.share[0, 0] = 1


def test_the_same_seed_gives_the_same_bits(journeys):
    first, second = (posterior_attribution(journeys, seed=3, n_draws=20) for _ in range(2))
    assert first.share.tobytes() == second.share.tobytes()
    assert posterior_attribution(journeys, seed=4, n_draws=20).share.tobytes() != first.share.tobytes()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda j: posterior_attribution(j, seed=1, prior=-1), "prior must be a number >= 0, got -1"),
        (lambda j: posterior_attribution(j, seed=1, support="seen"), "'observed' or 'all', got 'seen'"),
        (lambda j: posterior_attribution(j, seed=1, support="all", order=2), "'all' is for order 1, got order 2"),
        (lambda j: posterior_attribution(j, seed=1, n_draws=1), "n_draws must be 2 or more, got 1"),
        (lambda j: posterior_attribution(j, seed=-1), "seed must be an integer >= 0, got -1"),
        (lambda j: bootstrap_attribution(j, seed=1, resampling="jackknife"), "'poisson' or 'multinomial', got 'jack"),
        (lambda j: bootstrap_attribution(j, "last_tuch", seed=1), "Did you mean 'last_touch'"),
        (lambda j: posterior_attribution(j, seed=1).interval(90), "between 0 and 1, such as 0.9; got 90"),
        (lambda j: posterior_attribution(j, seed=1).draws("cost"), "no draws of 'cost'; there are: conversions"),
        (lambda j: posterior_attribution(j, seed=1).p_rank("a", 4), r"rank must be in 1..3"),
        (lambda j: posterior_attribution(j, seed=1).p_beats("a", "radio"), "no channel 'radio'; there are: a, b, c"),
        (lambda j: bootstrap_attribution(j, LastTouch(), seed=1, n_draws=5).draws("removal_effect"), "last_touch has"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(journeys, call, message):
    with pytest.raises(InputError, match=message):
        call(journeys)


@pytest.mark.parametrize("run", [posterior_attribution, bootstrap_attribution])
def test_a_value_needs_a_conversion(run):
    with pytest.raises(InputError, match="Journey 1 has value 7 but no conversion"):
        run(make([("a", 1, 1, 2), ("b", 0, 1, 7)]), seed=1)


def test_draws_that_cannot_be_are_refused():
    point = attribute(make([("a", 1, 1, 2), ("b", 1, 1, 2)]))
    with pytest.raises(InputError, match="expected 2 or more draws of 3 channels"):
        UncertainAttribution(point, "bootstrap", np.ones((1, 3)), np.ones((1, 3)))
    value = np.ones((2, 3))
    value[1, 1] = np.nan
    with pytest.raises(InputError, match="value of 'b' is not finite in draw 1"):
        UncertainAttribution(point, "bootstrap", np.ones((2, 3)), value)


def test_refunds_that_cancel_are_refused():
    refunds = make([("a", 5, 5, 50), ("b", 5, 5, -50), ("c", 1, 1, 1)])
    with pytest.raises(InputError, match="cancel"):
        UncertainAttribution.from_effects(
            replace_point(attribute(refunds)), Cancelling(), source="bootstrap", settings={}
        )


def replace_point(point):
    return replace(point, value=np.array([1.0, 2, 3]))


class Cancelling:
    by_conversions = np.ones((2, 3))
    by_value = np.array([[1.0, -1, 0], [1, 2, 3]])


# --- coverage -----------------------------------------------------------------------------------------------------


def coverage(n_journeys, n_logs=300, seed=78):
    """(method, quantity, common or rare) -> shares of logs whose interval holds the truth: at 90%, and half as wide."""
    rng = np.random.default_rng(seed)
    hits, visits = {}, []
    for log in range(n_logs):
        chain = random_chain(rng)
        journeys = chain.simulate(n_journeys, rng)
        visits.append((journeys.codes == 5).sum())
        results = {
            "posterior": posterior_attribution(journeys, seed=log, n_draws=500),
            "bootstrap": bootstrap_attribution(journeys, seed=log, n_draws=300),
        }
        for name, result in results.items():
            for of, truth in (
                ("removal_effect", chain.removal_effects()),
                ("removal_effect_value", chain.removal_effects(True)),
            ):
                (low, high), (inner_low, inner_high) = result.interval(of=of), result.interval(0.59, of=of)
                inside = (low <= truth) & (truth <= high)
                half = (inner_low <= truth) & (truth <= inner_high)
                for kind, c in (("common", 0), ("rare", 5)):
                    hits.setdefault((name, of, kind), []).append((inside[c], half[c]))
    return {key: np.mean(column, axis=0) for key, column in hits.items()}, np.mean(visits)


def assert_between(share, n, low=0.87, high=0.93, false_alarm=1e-6):
    """Not surely outside [low, high]: exact binomial tails."""
    hits = round(share * n)
    assert stats.binom.cdf(hits, n, low) >= false_alarm, f"coverage {share:.1%} of {n}, want {low:.0%} or more"
    assert stats.binom.sf(hits - 1, n, high) >= false_alarm, f"coverage {share:.1%} of {n}, want {high:.0%} or less"


@pytest.mark.slow
@pytest.mark.parametrize("n_journeys", [500, 2_000])
def test_intervals_hold_the_truth_as_often_as_they_say_and_the_docs_show_it(n_journeys):
    found, visits = coverage(n_journeys)
    text = DOC.read_text(encoding="utf-8")
    told = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] == f"{n_journeys:,}":
            told[cells[2]] = [float(cell.rstrip("%")) / 100 for cell in cells[3:7]]
            assert float(cells[1]) == pytest.approx(visits, abs=1)
    for method in ("posterior", "bootstrap"):
        keys = [(method, of, kind) for of in ("removal_effect", "removal_effect_value") for kind in ("common", "rare")]
        for key, want in zip(keys, told[method], strict=True):
            assert found[key][0] == pytest.approx(want, abs=0.01)  # arithmetic of another machine may turn a log
            assert_between(found[key][0], 300)
            with pytest.raises(AssertionError, match="coverage"):
                assert_between(found[key][1], 300)


def test_the_examples_of_the_page_run(capsys):
    blocks = re.findall(r"```python\n(.*?)```", DOC.read_text(encoding="utf-8"), flags=re.DOTALL)
    names = {}
    for block in blocks:
        exec(compile(block, DOC.name, "exec"), names)
    assert "draws of the posterior" in capsys.readouterr().out


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_swept_draw_is_the_same_chain_as_one_of_a_block(simulated, order):
    counts = count_transitions(simulated, order)
    rows, worth = _Rows.of(counts, 0.5, every_move=False), _Worth.of(simulated, counts)
    for seed in range(5):
        block = rows.draw(np.random.default_rng(seed), 1, worth).removal_effects()
        swept = rows.swept(np.random.default_rng(seed), worth)
        for name in ("p_conversion", "by_conversions", "by_value"):
            np.testing.assert_allclose(getattr(swept, name), getattr(block, name), rtol=1e-9, atol=1e-11)
