"""Controls: a guess scores as badly as a guess must, the truth perfectly, an experiment as its size allows."""

import numpy as np
import pytest
from benchmark_worlds import QUICK, quick_case, quick_plan, three_channels
from statistical import assert_mean, assert_proportion, assert_same_proportion

from journeysim import InputError, simulate
from journeysim.benchmark import (
    Answer,
    Contestant,
    Holdout,
    KnownTruth,
    Oracle,
    RandomShares,
    Sample,
    SkipError,
    random_case,
    run_benchmark,
    truth_of,
)
from journeysim.benchmark.budget import BudgetMoves, budget_moves, buyers, movable_spend, with_headroom
from journeysim.benchmark.known_truth import measure, truth_key
from journeysim.benchmark.scoring import score
from journeysim.scores import share_error
from journeysim.spec import Channel, WordOfMouth

SHARE = np.array([0.6, 0.25, 0.15, 0.0])


def known_truth(effect=SHARE, **parts):
    names = tuple(f"c{c}" for c in range(len(effect)))
    outcome = np.array([[0.10, 0.13, 0.11], [0.08, 0.10, 0.09], [0.09, 0.12, 0.10]])
    given = {
        "key": "",
        "channels": names,
        "effect": np.asarray(effect) * 0.4,
        "effect_error": np.full(len(effect), 0.001),
        "shapley": np.asarray(effect) * 0.4,
        "shapley_error": np.full(len(effect), 0.001),
        "conversion_rate": 0.1,
        "spend": np.array([1.0, 1.0, 1.0, 0.0]),
        "movable": np.array([1.0, 1.0, 1.0, 0.0]),
        "moves": BudgetMoves(names[:3], outcome, 0.0001),
        "n_customers": 1_000,
    }
    return KnownTruth(**(given | parts))


def sample(truth, seed=1, n_customers=1_000, world=None):
    return Sample(None, world, truth, None, None, n_customers, seed)


def test_a_guess_is_as_far_from_the_truth_as_a_guess_must_be():
    """E|X - p| = p - 1/C + 2 (1 - p)^C / C for the Beta(1, C - 1) share of a Dirichlet draw; half the sum over c."""
    n_channels = len(SHARE)
    expected = ((1 - SHARE) ** n_channels).sum() / n_channels
    truth = known_truth()
    errors = [score(RandomShares().answer(sample(truth, seed)), truth, 0.9)["share_error", ""] for seed in range(600)]
    assert_mean(errors, expected, 0, 1)
    with pytest.raises(AssertionError, match="want"):
        assert_mean(errors, 0.6 * expected, 0, 1)


def test_a_guess_finds_the_top_channel_one_time_in_as_many_as_there_are():
    truth = known_truth()
    found = [score(RandomShares().answer(sample(truth, seed)), truth, 0.9)["top_1", ""] for seed in range(600)]
    assert_proportion(int(sum(found)), len(found), 1 / len(SHARE))


def test_the_oracle_scores_perfectly():
    truth = known_truth()
    found = score(Oracle().answer(sample(truth)), truth, 0.9)
    zero = ("share_error", "share_error_shapley", "worst_channel", "negative_credit", "interval_width")
    assert [found[name, ""] for name in (*zero, "budget_regret", "budget_regret_relative")] == pytest.approx([0] * 7)
    one = ("rank_agreement", "top_1", "coverage", "return_rank_agreement")
    assert [found[name, ""] for name in one] == pytest.approx([1] * 4)
    assert [found["bias", name] for name in truth.channels] == pytest.approx([0] * 4)


def test_an_oracle_without_knowledge_of_moves_moves_as_its_credit_says():
    truth = known_truth()
    found = score(Oracle(effects_only=True).answer(sample(truth)), truth, 0.9)
    assert found["budget_regret", ""] == pytest.approx((0.13 - 0.09) / 0.10)  # from c2 to c0; the best is c0 to c1
    assert found["budget_regret_relative", ""] == pytest.approx(0.04 / 0.05)


def test_scores_of_an_answer_worked_by_hand():
    truth = known_truth()
    draws = np.array([[0.5, 0.3, 0.2, 0.0], [0.55, 0.2, 0.2, 0.05]])
    found = score(Answer(("c0", "c1", "c2", "c3"), np.array([5.0, 3.0, 3.0, -1.0]), draws), truth, 0.9)
    assert found["share_error", ""] == pytest.approx((abs(5 / 11 - 0.6) + 3 / 11 - 0.25 + 3 / 11 - 0.15) / 2)
    assert found["negative_credit", ""] == pytest.approx(1 / 11)
    assert found["coverage", ""] == 0.25  # c1 only: c0 is above, c2 and c3 below their draws
    assert found["bias", "c0"] == pytest.approx(5 / 11 - 0.6)


def test_the_truth_of_a_case_is_measured_once(tmp_path, monkeypatch):
    case = quick_case()
    first = truth_of(case, [tmp_path])
    assert len([*tmp_path.glob("*.json")]) == 1
    monkeypatch.setattr("journeysim.benchmark.known_truth.measure", None)  # calling it would fail
    again = truth_of(case, [tmp_path / "elsewhere", tmp_path])
    assert again.to_json() == first.to_json()
    np.testing.assert_array_equal(again.moves.outcome, first.moves.outcome)
    [file] = tmp_path.glob("*.json")
    file.write_text(file.read_text()[:100])
    with pytest.raises(InputError, match="remove it"):
        truth_of(case, [tmp_path])


def test_the_truth_finds_what_switching_off_loses_and_says_how_surely():
    case = quick_case()
    found = measure(case, truth_key(case))
    world, n = case.loaded(), 40_000
    with_all = buyers(simulate(world, n_customers=n, horizon_days=60, seed=99)).sum()
    without = buyers(simulate(world.without("ad"), n_customers=n, horizon_days=60, seed=98)).sum()
    rate = round(n * found.conversion_rate)
    assert_same_proportion(with_all, n, rate, n)
    assert_same_proportion(without, n, round(rate * (1 - found.effect[0])), n)
    assert found.share_error <= QUICK.share_error
    assert found.share.argmax() == 0
    assert found.smallest_judged == pytest.approx(10 * found.share_error)


def test_the_key_of_a_truth_changes_with_the_world_and_the_precision():
    keys = {truth_key(quick_case()), truth_key(quick_case(world=three_channels(satisfaction_effect=1)))}
    keys.add(truth_key(quick_case().model_copy(update={"truth": QUICK.model_copy(update={"share_error": 0.2})})))
    assert len(keys) == 3
    assert truth_key(quick_case(name="other")) in keys


def test_room_for_twice_the_contacts_changes_nothing_else():
    world, n = three_channels(), 20_000
    roomy = with_headroom(world, ("ad", "mail"))
    assert roomy != world
    one, other = (simulate(w, n_customers=n, horizon_days=60, seed=s) for w, s in ((world, 1), (roomy, 2)))
    assert_same_proportion(buyers(one).sum(), n, buyers(other).sum(), n)


def test_moves_cost_what_they_should_and_help_where_the_pull_is():
    world = three_channels()
    spend = np.array([1.0, 0.0, 0.8])
    found = budget_moves(world, spend, n_customers=20_000, seed=3)
    assert found.channels == ("ad", "shop")
    stay = found.outcome[0, 0]
    assert found.outcome[1, 1] == stay
    assert found.outcome[1, 0] > stay + 4 * found.error  # from the shop, which hardly pulls, to the ad
    assert found.outcome[0, 1] < stay - 4 * found.error
    assert budget_moves(world, np.array([1.0, 0.0, 0.0]), n_customers=100, seed=3) is None


def test_money_does_not_move_to_referrals_nor_to_channels_that_are_off():
    friends = Channel(name="friends", pull=0.2, cost_per_contact=1)
    world = three_channels()
    world = world.without("shop").model_copy(
        update={
            "channels": (*world.without("shop").channels, friends),
            "word_of_mouth": WordOfMouth(channel="friends", referrals_per_day=0.1),
        }
    )
    np.testing.assert_array_equal(movable_spend(world, np.ones(4)), [1, 1, 0, 0])


def test_a_holdout_finds_the_truth_where_it_is_large_enough():
    truth = measure(quick_case(), "")
    answer = Holdout(share=0.6).answer(sample(truth, n_customers=200_000, world=three_channels()))
    assert share_error(answer.credit / answer.credit.sum(), truth.share) < 0.15
    low, high = np.quantile(answer.draws, [1e-4, 1 - 1e-4], axis=0)
    assert ((low <= truth.effect) & (truth.effect <= high)).all()
    lost = answer.measured["experiment_lost_per_1000"]
    assert lost == pytest.approx(1_000 * 0.2 * truth.conversion_rate * truth.effect.sum(), rel=0.01)


def test_a_holdout_that_is_too_small_says_so():
    with pytest.raises(SkipError, match="too few"):
        Holdout(share=0.1).answer(sample(known_truth(), n_customers=20, world=three_channels()))
    with pytest.raises(InputError, match="above 0 and below 1"):
        Holdout(share=1.5)


def test_where_word_travels_parts_of_a_holdout_are_whole_markets():
    friends = Channel(name="friends", pull=0.3)
    world = three_channels(market_size=50)
    world = world.model_copy(
        update={
            "stages": (*world.stages[:2], world.stages[2].model_copy(update={"advocates": True})),
            "channels": (*world.channels, friends),
            "word_of_mouth": WordOfMouth(channel="friends", referrals_per_day=0.1),
        }
    )
    truth = known_truth()
    with pytest.raises(SkipError, match="two markets of 50"):
        Holdout(share=0.5).answer(sample(truth, n_customers=700, world=world))
    assert Holdout(share=0.5).answer(sample(truth, n_customers=900, world=world)).draws.shape == (500, 4)


def test_intervals_of_registered_methods_have_a_coverage(tmp_path):
    wanted = [
        Contestant(method="journeysim.benchmark:MarkovPosterior", name="posterior", settings={"n_draws": 50}),
        Contestant(method="journeysim.benchmark:Bootstrapped", name="boot", settings={"n_draws": 20}),
        Contestant(method="journeysim.benchmark:Oracle", name="oracle"),
        Contestant(method="journeysim.benchmark:EqualShares", name="equal"),
    ]
    rows = run_benchmark(quick_plan(wanted, seeds=(1,)), tmp_path)
    covered = dict(rows.filter(metric="coverage").select("method", "value").rows())
    assert {*covered} == {"posterior", "boot", "oracle"}
    assert covered["oracle"] == 1
    widths = dict(rows.filter(metric="interval_width").select("method", "value").rows())
    assert 0 < widths["boot"] < 0.5


def test_random_worlds_come_from_their_seed_and_mix_what_they_should():
    cases = [random_case(seed) for seed in range(200)]
    assert cases[7] == random_case(7)
    assert len({case.key for case in cases}) == len(cases)
    assert_proportion(sum("retargeting" in case.world.channel_names for case in cases), 200, 0.6)
    assert_proportion(sum("companion" in case.world.channel_names for case in cases), 200, 0.6)
    assert_proportion(sum(len(case.world.personas) == 2 for case in cases), 200, 0.6)
    assert_proportion(sum(any(c.synergy for c in case.world.channels) for case in cases), 200, 0.4)
    assert_proportion(sum(any(c.fatigue < 1 for c in case.world.channels) for case in cases), 200, 0.4)
    assert_proportion(sum(bool(case.defects) for case in cases), 200, 0.4)
    ordinary = [sum(n.startswith("channel_") for n in case.world.channel_names) for case in cases]
    assert {*ordinary} == {*range(4, 10)}
