"""The hidden Markov method: its likelihood and score by other means, its answers where they are known."""

from dataclasses import replace

import numpy as np
import pytest
from small_worlds import small_world

from journeysim import InputError, simulate, to_journeys
from journeysim.attribution import HiddenMarkov, attribute, method_info
from journeysim.attribution.contract import make_journeys, small_journeys
from journeysim.attribution.hidden_draws import _coordinates, _funnel, _score
from journeysim.attribution.hidden_funnel import (
    Gaps,
    HiddenFunnel,
    expectation,
    first_guess,
    lost_without,
    maximisation,
)
from journeysim.spec import Channel


def some_funnel(n_kinds=2, n_stages=3, n_channels=2, seed=1):
    rng = np.random.default_rng(seed)
    start = rng.dirichlet(np.ones(n_kinds * n_stages)).reshape(n_kinds, n_stages)
    return HiddenFunnel(
        start=start,
        forward=rng.uniform(0.05, 0.3, n_stages),
        lost=rng.uniform(0.02, 0.2, n_stages),
        pace=rng.uniform(0.5, 2, n_kinds),
        contacts=rng.uniform(0.1, 0.6, (n_channels, n_stages)),
        reach=rng.uniform(0.5, 2, (n_kinds, n_channels)),
        pull=rng.uniform(0.05, 0.5, n_channels),
        onward=0.7,
    )


def daily_journeys():
    """Every gap is a day, which is a point of the grid, so that nothing is rounded."""
    paths = [["a"], ["a", "b"], ["b", "b", "a"], ["b"], ["a", "a"]]
    return make_journeys(paths, [1, 2, 0.5, 0, 1], [3, 0, 1.5, 4, 2], [0] * 5, channels=("a", "b"))


def by_small_steps(funnel, journeys, steps=400):
    """The log-likelihood by a walk of many small steps of time through the rules of the model."""
    n_kinds, n_stages = funnel.start.shape
    dt, total = 1 / steps, 0.0
    rate = np.einsum("gc,cs->gcs", funnel.reach, funnel.contacts)
    on = funnel.pace[:, None] * funnel.forward

    def a_day(plain, waiting, lost):
        for _ in range(steps):
            bought = (plain * on)[:, -1] + (waiting * (on + funnel.onward))[:, -1]
            moved = plain * on + waiting * (on + funnel.onward)
            gone = (plain + waiting) * funnel.lost
            plain, waiting = (
                plain * np.exp(-dt * (on + funnel.lost + rate.sum(axis=1))),
                waiting * np.exp(-dt * (on + funnel.onward + funnel.lost + rate.sum(axis=1))),
            )
            plain = plain.copy()
            plain[:, 1:] += dt * moved[:, :-1]
            lost = lost + dt * gone.sum()
        del bought
        return plain, waiting, lost

    for j in range(journeys.n_journeys):
        codes = journeys.codes[journeys.offsets[j] : journeys.offsets[j + 1]]
        first = rate[:, codes[0]] / rate.sum(axis=1)
        plain, waiting, lost = funnel.start * first, np.zeros((n_kinds, n_stages)), 0.0
        for i, c in enumerate(codes):
            if i:
                plain, waiting, lost = plain * rate[:, c], waiting * rate[:, c], 0.0
            plain, waiting = plain * (1 - funnel.pull[c]), waiting + plain * funnel.pull[c]
            plain, waiting, lost = a_day(plain, waiting, lost)
        buys = (plain * on)[:, -1].sum() + (waiting * (on + funnel.onward))[:, -1].sum()
        total += journeys.conversions[j] * np.log(buys)
        total += journeys.nulls[j] * np.log(plain.sum() + waiting.sum() + lost)
    return total


def test_the_likelihood_is_that_of_the_rules_followed_step_by_step():
    funnel, journeys = some_funnel(), daily_journeys()
    found = expectation(funnel, Gaps.of(journeys, journeys.ages_days)).log_likelihood
    coarse, fine = by_small_steps(funnel, journeys, 400), by_small_steps(funnel, journeys, 800)
    assert found == pytest.approx(2 * fine - coarse, abs=1e-4)  # the error of a step is of first order
    wrong = replace(funnel, pull=funnel.pull[::-1].copy())
    assert expectation(wrong, Gaps.of(journeys, journeys.ages_days)).log_likelihood != pytest.approx(found, abs=0.01)


def test_the_expected_counts_are_the_slope_of_the_likelihood():
    funnel, journeys = some_funnel(seed=2), small_journeys()
    gaps = Gaps.of(journeys, journeys.ages_days)
    funnel = some_funnel(n_channels=4, seed=2)
    at, slope = _coordinates(funnel), _score(funnel, expectation(funnel, gaps))
    for i in range(len(at)):
        step = np.zeros(len(at))
        step[i] = 1e-5
        up, down = (expectation(_funnel(at + s, funnel), gaps).log_likelihood for s in (step, -step))
        assert slope[i] == pytest.approx((up - down) / 2e-5, abs=2e-5)


def test_sweeps_never_lower_the_likelihood_by_more_than_the_prior_counts():
    journeys = small_journeys()
    gaps = Gaps.of(journeys, journeys.ages_days)
    funnel = first_guess(journeys, journeys.ages_days, n_stages=3, n_kinds=2)
    likelihood = []
    for _ in range(40):
        seen = expectation(funnel, gaps)
        likelihood.append(seen.log_likelihood)
        funnel = maximisation(funnel, seen, gaps.n)
    assert np.diff(likelihood).min() > -1e-3
    assert likelihood[-1] > likelihood[0] + 1


def test_what_is_lost_without_a_channel_has_a_closed_form_with_one_stage():
    """Contacts act at once: the hazard to buy is f + sum r p, and the first touch buys with its pull."""
    funnel = HiddenFunnel(
        start=np.ones((1, 1)),
        forward=np.array([0.02]),
        lost=np.array([0.03]),
        pace=np.ones(1),
        contacts=np.array([[0.1], [0.3]]),
        reach=np.ones((1, 2)),
        pull=np.array([0.4, 0.1]),
        onward=1e6,
    )
    days = 20.0

    def converts(pull):
        buy = 0.02 + (np.array([0.1, 0.3]) * pull).sum()
        at_once = (np.array([0.25, 0.75]) * pull).sum()
        return at_once + (1 - at_once) * buy / (buy + 0.03) * (1 - np.exp(-(buy + 0.03) * days))

    effect, share = lost_without(funnel, np.full(3, days), np.ones(3))
    whole = converts(funnel.pull)
    assert share == pytest.approx(whole, abs=1e-5)
    want = [1 - converts(funnel.pull * keep) / whole for keep in ([0, 1], [1, 0])]
    np.testing.assert_allclose(effect, want, atol=1e-5)


MOVES = {
    "unaware": {"interest": 0.02, "lost": 0.005},
    "interest": {"decision": 0.05, "lost": 0.05},
    "decision": {"buy": 0.1, "lost": 0.05},
    "buy": {"lost": 0.01},
}


def late_channel_log(n=6_000, seed=1):
    """Two channels that work alike, and one that does nothing and meets those who have decided."""
    plain = {"unaware": 0.02, "interest": 0.2, "decision": 0.2}
    channels = [
        Channel(name="ad", contacts_per_day=plain, pull=0.2, half_life_days=1),
        Channel(name="mail", contacts_per_day=plain, pull=0.2, half_life_days=1),
        Channel(name="late", contacts_per_day={"decision": 1.5}, pull=0.0, half_life_days=1),
    ]
    world = small_world(MOVES, channels=channels, horizon_days=120)
    return simulate(world, n_customers=n, horizon_days=120, seed=seed)


def test_a_channel_that_meets_ready_buyers_gets_little():
    """The truth is 0; removal effects give it a quarter and last touch more than half."""
    journeys = to_journeys(late_channel_log())
    late = journeys.channels.index("late")
    found = HiddenMarkov(stages=3, kinds=1).attribute(journeys)
    assert found.share[late] < 0.1
    assert attribute(journeys, "markov").share[late] > 0.25
    assert attribute(journeys, "last_touch").share[late] > 0.5


def test_draws_lie_around_the_answer_and_come_from_the_seed():
    journeys = to_journeys(late_channel_log(500))
    method = HiddenMarkov(stages=3, kinds=1, sweeps=30)
    found = method.posterior(journeys, seed=1, n_draws=50)
    assert (found.share == method.posterior(journeys, seed=1, n_draws=50).share).all()
    assert (found.share != method.posterior(journeys, seed=2, n_draws=50).share).any()
    assert (found.point.conversions == method.attribute(journeys).conversions).all()
    np.testing.assert_allclose(found.share.sum(axis=1), 1)
    low, high = found.interval(0.999)
    assert (low <= found.point.share).all()
    assert (found.point.share <= high).all()
    assert (high - low > 0.01).all()


def test_it_says_what_it_cannot_do():
    journeys = small_journeys()
    with pytest.raises(InputError, match="all of these convert"):
        HiddenMarkov().attribute(replace(journeys, nulls=np.zeros(journeys.n_journeys)))
    with pytest.raises(InputError, match="no times"):
        HiddenMarkov().attribute(replace(journeys, ages_days=None))
    with pytest.raises(InputError, match="stages must be from 1 to 12, got 0"):
        HiddenMarkov(stages=0)
    with pytest.raises(InputError, match="n_draws must be 2 or more"):
        HiddenMarkov().posterior(journeys, seed=1, n_draws=1)
    assert "are few to tell 4 hidden stages" in str(HiddenMarkov().attribute(journeys).notes)
    assert method_info("hidden_markov").needs == {"times", "nulls"}


def test_a_gap_that_the_model_takes_for_impossible_breaks_nothing():
    journeys = make_journeys([["a"] * 30, ["a", "b"], ["b"]], [1, 0, 1], [0, 2, 2], [0] * 3, channels=("a", "b"))
    ages = journeys.ages_days.copy()
    ages[0] = 5_000.0  # after years, thirty touches in a month
    found = HiddenMarkov().attribute(replace(journeys, ages_days=ages))
    assert found.total_conversions == pytest.approx(2)


def test_one_stage_is_enough():
    found = HiddenMarkov(stages=1, kinds=1).posterior(small_journeys(), seed=1, n_draws=3)
    assert found.point.total_conversions == pytest.approx(small_journeys().n_conversions)
    np.testing.assert_allclose(found.share.sum(axis=1), 1)


def test_journeys_without_a_conversion_may_end_at_their_last_touch():
    """They are then watched for no time at all, in which nobody buys."""
    paths = [["a", "b"], ["b"], ["a"], ["b"]]
    journeys = make_journeys(paths, [1, 2, 0, 0], [0, 0, 4, 5], [0] * 4, channels=("a", "b"))
    ages = np.where(journeys.nulls[journeys.owner] > 0, 0.0, journeys.ages_days)
    found = HiddenMarkov().attribute(replace(journeys, ages_days=ages))
    assert found.total_conversions == pytest.approx(3)
