"""Methods that fit a model: against closed forms, other optimisers, and worlds whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize

from journeysim.attribution import AdditiveHazard, BackwardsElimination, BaggedLogistic, PropensityWeighted
from journeysim.attribution.coalitions import Coalitions
from journeysim.attribution.contract import make_journeys, small_journeys
from journeysim.attribution.regression import fit_logistic
from journeysim.errors import InputError
from journeysim.journeys import Journeys


def confounded(scale=1.0):
    """Expected weights of a world, no sampling: everybody meets b, half meet x, and x is what converts (.1 to .3).

    c does nothing, but it follows those who met x: 80% of them, and 20% of the others.
    """
    rows = []
    for x, rate in ((0, 0.1), (1, 0.3)):
        for c in (0, 1):
            weight = scale * 0.5 * (0.8 if x == c else 0.2)
            rows.append((["b", *["x"] * x, *["c"] * c], weight * rate, weight * (1 - rate)))
    paths, conversions, nulls = zip(*rows, strict=True)
    return make_journeys(paths, conversions, nulls, conversions, channels=("b", "x", "c"))


def naive_difference(journeys, channel):
    coalitions = Coalitions.of(journeys)
    met = coalitions.members[:, journeys.channels.index(channel)]
    rates = [coalitions.conversions[part].sum() / coalitions.weight[part].sum() for part in (met, ~met)]
    return rates[0] - rates[1]


# --- logistic regression ------------------------------------------------------------------------------------------


def test_logistic_regression_finds_what_another_optimiser_finds():
    rng = np.random.default_rng(2)
    x, successes, failures = rng.integers(0, 2, (40, 5)) * 1.0, rng.random(40) * 3, rng.random(40) * 5
    fit = fit_logistic(x, successes, failures, ridge=0.05)

    def objective(theta):
        log_odds = theta[0] + x @ theta[1:]
        loss = successes @ np.logaddexp(0, -log_odds) + failures @ np.logaddexp(0, log_odds)
        rate = successes.sum() / (successes + failures).sum()
        return loss / (successes + failures).sum() + 0.025 * rate * (1 - rate) * theta[1:] @ theta[1:]

    found = optimize.minimize(objective, np.zeros(6), method="BFGS", options={"gtol": 1e-9}).x
    np.testing.assert_allclose([fit.intercept, *fit.coefficients], found, atol=1e-6)


def test_two_groups_give_the_log_odds_ratio():
    fit = fit_logistic(np.array([[0.0], [1.0]]), np.array([1.0, 3.0]), np.array([4.0, 2.0]), ridge=1e-12)
    assert fit.intercept == pytest.approx(np.log(1 / 4), rel=1e-6)
    assert fit.coefficients[0] == pytest.approx(np.log(3 / 2) - np.log(1 / 4), rel=1e-6)


def test_a_channel_that_separates_the_outcomes_and_tiny_rates_are_no_trouble():
    fit = fit_logistic(np.array([[0.0], [1.0]]), np.array([0.0, 1.0]), np.array([1e6, 0.0]), ridge=1e-4)
    assert 10 < fit.coefficients[0] < 100
    with pytest.raises(InputError, match="needs both outcomes"):
        fit_logistic(np.ones((1, 1)), np.ones(1), np.zeros(1), ridge=1)


def test_logistic_gives_nothing_to_a_channel_that_only_follows_another():
    journeys = confounded()
    plain = BaggedLogistic(channel_share=1, ridge=1e-9).coefficients(journeys)
    np.testing.assert_allclose(plain[1:], [np.log(0.3 / 0.7) - np.log(0.1 / 0.9), 0], atol=1e-5)
    assert naive_difference(journeys, "c") > 0.1  # the difference of rates is fooled
    bagged = BaggedLogistic().coefficients(journeys)  # and so are bags without x: the price of stability
    assert 0.1 < bagged[2] < bagged[1]


def test_bags_average_the_regressions_they_consist_of():
    journeys = confounded()
    method = BaggedLogistic(n_bags=12, seed=5)
    coalitions = Coalitions.of(journeys)
    bags = method._bags(coalitions)
    total = np.zeros(3)
    for bag in bags:
        x = coalitions.members[:, bag].astype(float)
        total[bag] += fit_logistic(x, coalitions.conversions, coalitions.nulls, ridge=1e-4).coefficients
    np.testing.assert_allclose(method.coefficients(journeys), total / bags.sum(axis=0), rtol=1e-9)
    other = BaggedLogistic(n_bags=12, seed=6).coefficients(journeys)
    assert abs(other - method.coefficients(journeys)).max() > 1e-3
    assert 0.3 < BaggedLogistic(n_bags=2000)._bags(coalitions).mean() < 0.7


def test_logistic_splits_each_journey_by_coefficients_and_names_harmful_channels():
    journeys = make_journeys(
        [["a", "b"], ["a"], ["b", "c"], ["c"]], [9, 4, 1, 1], [1, 2, 3, 9], [18, 8, 2, 2], channels="abc"
    )
    method = BaggedLogistic(channel_share=1)
    coefficients = method.coefficients(journeys)
    result = method.attribute(journeys)
    assert coefficients[0] > coefficients[1] > 0 > coefficients[2]
    share = coefficients[:2] / coefficients[:2].sum()
    np.testing.assert_allclose(result.conversions, [4 + 9 * share[0], 1 + 9 * share[1], 1])
    np.testing.assert_allclose(result.value, 2 * result.conversions)
    assert "The coefficient is negative for c (" in result.notes[0]
    assert result.notes[1].startswith("1 conversions are split equally")


# --- propensity ---------------------------------------------------------------------------------------------------


def test_propensity_weighting_sees_through_a_channel_that_only_follows_another():
    journeys = confounded()
    effects = PropensityWeighted(ridge=1e-9).effects(journeys)
    assert np.isnan(effects[0])  # everybody met b: nobody to compare with
    np.testing.assert_allclose(effects[1:], [0.2, 0], atol=1e-6)
    assert naive_difference(journeys, "c") == pytest.approx(0.12)
    result = PropensityWeighted(ridge=1e-9).attribute(journeys)
    assert result.conversions[1] == pytest.approx(
        0.15, rel=1e-4
    )  # every conversion with x; .05 without are b's or split
    assert any("Without comparable journeys, and counted as no effect: b." in note for note in result.notes)


def test_propensity_by_hand_with_one_other_channel():
    """Among those with x, e = 3/4; among those with y, 1/4. The unexposed weigh e / (1 - e): 3 and 1/3."""
    paths = [["x", "c"], ["x"], ["y", "c"], ["y"]]
    journeys = make_journeys(paths, [15, 2, 1, 6], [15, 8, 9, 24], [0] * 4, channels="xyc")
    exposed = (15 + 1) / 40
    unexposed = (10 * 3 * 0.2 + 30 / 3 * 0.2) / (10 * 3 + 30 / 3)
    effect = PropensityWeighted(ridge=1e-7).effects(journeys)[2]
    assert effect == pytest.approx(exposed - unexposed, rel=1e-5)


def test_journeys_without_overlap_are_left_out_of_the_comparison():
    paths = [["x", "c"], ["x"], ["y", "c"], ["y"]]
    journeys = make_journeys(paths, [15, 2, 0, 600], [15, 8, 1, 2400], [0] * 4, channels="xyc")
    trimmed = PropensityWeighted(ridge=1e-7, trim=0.01).effects(journeys)[2]
    assert trimmed == pytest.approx(0.5 - 0.2, rel=1e-5)
    assert PropensityWeighted(ridge=1e-7, trim=0).effects(journeys)[2] < trimmed


# --- backwards elimination ----------------------------------------------------------------------------------------


def test_backwards_elimination_by_hand():
    worth = {"": 0.05, "a": 0.15, "b": 0.35, "ab": 0.45, "c": 0.01, "ac": 0.2}
    journeys = make_journeys(
        [["a", "b", "a"], ["b", "a"], ["c", "a"], ["c"]], [1, 2, 4, 8], [1] * 4, [0] * 4, channels="abc"
    )
    result = BackwardsElimination(model=lambda channels: worth["".join(sorted(channels))]).attribute(journeys)
    # ab: .1 and .3; ba: b .3, a .1; ca: c loses, a gains; c: loses, so there is nobody else
    np.testing.assert_allclose(result.conversions, [0.25 + 2 * 0.25 + 4, 0.75 + 2 * 0.75, 8])
    assert result.notes[0].startswith("In the journeys of 12 conversions adding c lowers")
    assert result.notes[1].startswith("8 conversions are split equally")


def test_backwards_elimination_gives_repeated_effects_to_who_came_first():
    saturates = BackwardsElimination(model=lambda channels: 0.1 if channels else 0.0)
    journeys = make_journeys([["a", "b"], ["b", "a"]], [3, 1], [1, 1], [0, 0], channels="ab")
    np.testing.assert_allclose(saturates.attribute(journeys).conversions, [3, 1])


def test_backwards_elimination_by_default_uses_the_ridge_regression():
    journeys = small_journeys()
    coalitions = Coalitions.of(journeys)
    fit = fit_logistic(coalitions.members * 1.0, coalitions.conversions, coalitions.nulls, ridge=1e-4)

    def model(channels):
        log_odds = fit.intercept + sum(fit.coefficients[journeys.channels.index(name)] for name in channels)
        return 1 / (1 + np.exp(-log_odds))

    want = BackwardsElimination(model=model).attribute(journeys)
    got = BackwardsElimination().attribute(journeys)
    np.testing.assert_allclose(got.conversions, want.conversions, rtol=1e-9)
    np.testing.assert_allclose(got.value, want.value, rtol=1e-9)
    assert got.notes == want.notes


# --- additive hazard ----------------------------------------------------------------------------------------------


def timed(rows, channels):
    """Journeys from (path, ages, conversions, nulls)."""
    paths, ages, conversions, nulls = zip(*rows, strict=True)
    journeys = make_journeys(paths, conversions, nulls, conversions, channels=channels)
    return replace(journeys, ages_days=np.concatenate([*map(np.array, ages)]).astype(float))


HAZARD_ROWS = [
    ("ab", [9, 1], 3, 1),
    ("b", [4], 1, 6),
    ("aa", [12, 5], 2, 2),
    ("ba", [7, 2], 1, 0.5),
    ("a", [20], 0, 3),
    ("cb", [3, 3], 0.5, 4),
]


def log_likelihood(journeys, strength, half_life):
    omega, total = np.log(2) / np.asarray(half_life), 0.0
    for j in range(journeys.n_journeys):
        touches = slice(journeys.offsets[j], journeys.offsets[j + 1])
        c, age = journeys.codes[touches], journeys.ages_days[touches]
        hazard = (strength[c] * omega[c] * np.exp(-omega[c] * age)).sum()
        cumulative = (strength[c] * (1 - np.exp(-omega[c] * age))).sum()
        total += (journeys.conversions[j] * np.log(hazard)) if journeys.conversions[j] else 0.0
        total -= (journeys.conversions[j] + journeys.nulls[j]) * cumulative
    return total


def test_the_hazard_of_one_channel_has_a_closed_form():
    journeys = timed([("a", [3], 2, 1), ("a", [8], 1, 5)], ("a",))
    fit = AdditiveHazard(half_life_days=4).fit(journeys)
    at_risk = 3 * (1 - 2 ** (-3 / 4)) + 6 * (1 - 2 ** (-8 / 4))
    assert fit.strength[0] == pytest.approx(3 / at_risk)


@pytest.mark.parametrize("half_life", [3.0, None])
def test_em_reaches_the_likelihood_that_another_optimiser_reaches_and_never_falls(half_life):
    journeys = timed(HAZARD_ROWS, ("a", "b", "c"))
    fit = AdditiveHazard(half_life_days=half_life).fit(journeys)
    assert (np.diff(fit.log_likelihood) >= -1e-9).all()

    def objective(theta):
        lives = np.exp(theta[3:]) if half_life is None else np.full(3, half_life)
        return -log_likelihood(journeys, np.exp(theta[:3]), lives)

    bounds = [(-25, 8)] * 3 + [(np.log(0.05), np.log(365))] * (3 if half_life is None else 0)
    own = np.log(np.maximum(np.append(fit.strength, fit.half_life_days), 1e-10))[: len(bounds)]
    starts = [own, *np.random.default_rng(1).uniform(-1, 2, (3, len(bounds)))]
    best = min(optimize.minimize(objective, start, bounds=bounds).fun for start in starts)
    assert fit.log_likelihood[-1] == pytest.approx(-best, abs=2e-5)


def test_responsibilities_are_the_terms_of_the_hazard():
    journeys = timed(HAZARD_ROWS, ("a", "b", "c"))
    fit = AdditiveHazard(half_life_days=3).fit(journeys)
    terms = fit.strength[[0, 1]] * 2.0 ** (-np.array([9, 1]) / 3)
    np.testing.assert_allclose(fit.responsibility[:2], terms / terms.sum(), rtol=1e-4)
    result = AdditiveHazard(half_life_days=3).attribute(journeys)
    want = np.zeros(3)
    for j in range(journeys.n_journeys):
        for touch in range(journeys.offsets[j], journeys.offsets[j + 1]):
            want[journeys.codes[touch]] += journeys.conversions[j] * fit.responsibility[touch]
    np.testing.assert_allclose(result.conversions, want)


def simulated(strength, half_life, n, seed):
    """Journeys of the model itself: each customer meets each channel once at a random time of 60 days.

    Each contact leads to a conversion after an exponential time with probability 1 - exp(-strength); the first counts.
    """
    rng = np.random.default_rng(seed)
    met = rng.uniform(0, 60, (n, len(strength)))
    budget = rng.exponential(size=(n, len(strength))) / strength
    wait = np.where(budget < 1, -np.log1p(-np.minimum(budget, 1 - 1e-12)) / (np.log(2) / half_life), np.inf)
    ends = np.minimum((met + wait).min(axis=1), 60)
    rows = [
        (order, ends[i] - met[i][order], float(ends[i] < 60))
        for i in range(n)
        if len(order := [c for c in np.argsort(met[i]) if met[i][c] < ends[i]])
    ]
    codes, ages, converted = zip(*rows, strict=True)
    converted = np.array(converted)
    return Journeys(
        ("a", "b", "c"),
        np.concatenate(codes).astype(np.int32),
        np.concatenate([[0], np.cumsum([*map(len, codes)])]),
        converted,
        1 - converted,
        converted.copy(),
        np.concatenate(ages),
    )


def test_em_finds_the_strengths_and_half_lives_that_made_the_journeys():
    """Within five standard errors, from the curvature of the likelihood: a false alarm of 6e-7 for each of six."""
    strength, half_life = np.array([0.3, 0.05, 0.6]), np.array([2.0, 6.0, 10.0])
    journeys = simulated(strength, half_life, 3_000, seed=1)
    fit = AdditiveHazard().fit(journeys)
    truth = np.log([*strength, *half_life])
    found = np.log([*fit.strength, *fit.half_life_days])

    def vectorised(theta):
        s, omega = np.exp(theta[:3]), np.log(2) / np.exp(theta[3:])
        c, age = journeys.codes, journeys.ages_days
        starts, owner = journeys.offsets[:-1], np.repeat(np.arange(journeys.n_journeys), np.diff(journeys.offsets))
        hazard = np.add.reduceat(s[c] * omega[c] * np.exp(-omega[c] * age), starts)
        return (journeys.conversions * np.log(hazard)).sum() + (s[c] * np.expm1(-omega[c] * age))[owner >= 0].sum()

    h, n = 1e-3, 6
    eye = h * np.eye(n)
    curvature = np.array(
        [
            [
                vectorised(found + eye[i] + eye[j])
                - vectorised(found + eye[i] - eye[j])
                - vectorised(found - eye[i] + eye[j])
                + vectorised(found - eye[i] - eye[j])
                for j in range(n)
            ]
            for i in range(n)
        ]
    ) / (4 * h * h)
    error = np.sqrt(np.diagonal(np.linalg.inv(-curvature)))
    assert (error < 0.5).all()
    assert (abs(found - truth) <= 5 * error).all(), (found - truth) / error
    assert (abs(found - truth[[1, 2, 0, 4, 5, 3]]) > 5 * error).any()  # negative control: other channels' numbers


def test_very_old_touches_do_not_underflow():
    journeys = timed([("ab", [1e6 + 7, 1e6], 1, 1), ("a", [3], 1, 1)], ("a", "b"))
    result = AdditiveHazard(half_life_days=7).attribute(journeys)
    assert result.total_conversions == pytest.approx(2)


@pytest.mark.parametrize("path", ["a", "aba", "abbcb", "abcabcabcabc"])
@pytest.mark.parametrize("nulls", [0, 3])
def test_one_repeated_path_leaves_half_lives_open_and_a_note_says_so(path, nulls):
    """The likelihood of one path rises up to the bound, and is all but flat there: ten thousand plain sweeps crawl."""
    journeys = timed([(path, [*range(len(path), 0, -1)], 5, nulls)], tuple(sorted({*path})))
    fit = AdditiveHazard().fit(journeys)
    assert fit.at_bound.any()
    assert len(fit.log_likelihood) < 5_000
    result = AdditiveHazard().attribute(journeys)
    assert result.total_conversions == pytest.approx(5)
    (note,) = (note for note in result.notes if "leave the half-lives of" in note)
    assert "0.05 to 365 days" in note
    given = AdditiveHazard(half_life_days=365).fit(journeys)  # no half-life to find: nothing is open
    assert not given.at_bound.any()
    assert fit.log_likelihood[-1] >= given.log_likelihood[-1] - 1e-6 * 5


def test_half_lives_that_the_data_tell_are_not_called_open():
    journeys = simulated(np.array([0.3, 0.05, 0.6]), np.array([2.0, 6.0, 10.0]), 3_000, seed=1)
    assert not any("open" in note for note in AdditiveHazard().attribute(journeys).notes)


def test_hazards_that_cannot_be_fitted_say_why():
    journeys = timed(HAZARD_ROWS, ("a", "b", "c"))
    with pytest.raises(InputError, match=r"AdditiveHazard needs the days .* no times"):
        AdditiveHazard().fit(replace(journeys, ages_days=None))
    with pytest.raises(InputError, match="every touch on 'b' has age 0"):
        AdditiveHazard().fit(timed([("ab", [3, 0], 1, 1), ("b", [0], 1, 0)], ("a", "b")))
    with pytest.raises(InputError, match="EM has not settled after 2 sweeps"):
        AdditiveHazard(max_sweeps=2).fit(journeys)
    with pytest.raises(InputError, match="has none for channel 'c'"):
        AdditiveHazard(half_life_days={"a": 1, "b": 2}).fit(journeys)
    given = AdditiveHazard(half_life_days={"a": 1, "b": 2, "c": 3}).fit(journeys)
    np.testing.assert_allclose(given.half_life_days, [1, 2, 3])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: AdditiveHazard(half_life_days=0), "half_life_days must be positive"),
        (lambda: AdditiveHazard(half_life_days={"a": -1}), "half_life_days must be positive"),
        (lambda: BaggedLogistic(ridge=0), "ridge must be a positive number"),
        (lambda: BaggedLogistic(n_bags=0), "n_bags must be 1 or more"),
        (lambda: BaggedLogistic(channel_share=0), "channel_share must be in"),
        (lambda: BackwardsElimination(ridge=float("nan")), "ridge must be a positive number"),
        (lambda: PropensityWeighted(trim=0.5), "trim must be in"),
        (lambda: BaggedLogistic(n_bags=1, channel_share=1e-9).attribute(confounded()), "is in none of the 1 bags"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, said):
    with pytest.raises(InputError, match=said):
        wrong()
