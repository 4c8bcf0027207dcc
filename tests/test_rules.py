"""Each rule alone: exact values, edges, and the distribution of what it draws."""

import itertools
import math

import numpy as np
import pytest
from rule_calls import NO_STAY, NO_VISIT, SEED, U64, each, plain, tables_of
from scipy import stats
from statistical import assert_counts, assert_distribution, assert_mean, assert_proportion

from journeysim.simulation import people, rules
from journeysim.simulation.rules import CSAT_QUESTION, NPS_QUESTION
from journeysim.spec import Basket, Channel, Irritation, PainPoint, Persona, ProductExperience, Survey, Trigger

N = 20_000
HERE = (NO_VISIT, NO_STAY)
TWO = (Persona(name="few", share=0.25, reach={"ad": 0.5}), Persona(name="many", share=0.75, reach={"ad": 2.0}))


def assert_independent(a, b):
    """Uniform numbers of one customer do not hang together."""
    assert_mean((a - 0.5) * (b - 0.5), 0, -0.25, 0.25)


# --- personas, money, satisfaction ---------------------------------------------------------------------------------


def test_personas_come_by_their_shares():
    shares = {"a": 0.1, "b": 0.6, "c": 0.3}
    x = tables_of(personas=[Persona(name=name, share=share) for name, share in shares.items()])
    drawn = each(N, lambda a: plain(rules.pick_persona)(x, SEED, a))
    assert_counts(np.bincount(drawn, minlength=3), list(shares.values()))
    with pytest.raises(AssertionError):
        assert_counts(np.bincount(drawn, minlength=3), [0.11, 0.66, 0.23])


def test_a_basket_is_log_normal_around_median_times_spending_times_price():
    rich = [Persona(name="rich", share=0.5, spending=2.0), Persona(name="plain", share=0.5)]
    x = tables_of(personas=rich, basket=Basket(median=40, log_sd=0.6), price=1.5)
    for p, median in enumerate((120, 60)):
        values = each(N, lambda a, p=p: plain(rules.basket_value)(x, SEED, a, p, U64(0)))
        assert_distribution(np.log(values), stats.norm(math.log(median), 0.6).cdf)
    with pytest.raises(AssertionError):
        assert_distribution(np.log(values), stats.norm(math.log(66), 0.6).cdf)
    certain = tables_of(personas=rich, basket=Basket(median=40, log_sd=0))
    assert plain(rules.basket_value)(certain, SEED, U64(7), 0, U64(3)) == 80


@pytest.mark.parametrize(("x", "kept"), [(-0.1, 0.0), (0.0, 0.0), (0.3, 0.3), (1.0, 1.0), (1.7, 1.0)])
def test_satisfaction_is_kept_between_0_and_1(x, kept):
    assert plain(rules.within_bounds)(x) == kept


def test_the_experience_adds_a_normal():
    x = tables_of(product_experience=ProductExperience(mean_shift=0.1, sd=0.05))
    after = each(N, lambda a: plain(rules.after_experience)(x, SEED, a, *HERE, 0.4))
    assert_distribution(after, stats.norm(0.5, 0.05).cdf)
    sure = tables_of(product_experience=ProductExperience(mean_shift=-0.25))
    assert plain(rules.after_experience)(sure, SEED, U64(1), *HERE, 0.75) == 0.5
    assert plain(rules.after_experience)(sure, SEED, U64(1), *HERE, 0.125) == 0.0


def test_pain_is_met_by_chance_times_sensitivity_at_most_surely():
    x = tables_of(
        personas=[Persona(name="thin", share=0.5, pain=2.0), Persona(name="thick", share=0.5, pain=0.5)],
        pain_points=[
            PainPoint(name="a", stage="look", chance=0.3),
            PainPoint(name="b", stage="look", chance=0.7),
            PainPoint(name="c", stage="look", chance=0),
        ],
    )
    met = {
        (p, k): each(N, lambda a, p=p, k=k: plain(rules.meets_pain)(x, SEED, a, p, *HERE, k, k))
        for p in range(2)
        for k in range(3)
    }
    for (p, k), chance in {(0, 0): 0.6, (0, 1): 1.0, (0, 2): 0.0, (1, 0): 0.15, (1, 1): 0.35}.items():
        assert_proportion(int(met[p, k].sum()), N, chance)
    assert_proportion(int((met[1, 0] & met[1, 1]).sum()), N, 0.15 * 0.35)


@pytest.mark.parametrize("n", [4, 10])
def test_a_score_is_the_binomial_of_its_uniform_number(n):
    for p in (0.0, 1e-9, 0.2, 0.5, 0.77, 1 - 1e-9, 1.0):
        for u in (1e-12, 0.003, 0.1, 0.5, 0.9, 0.999, 1 - 1e-12):
            assert plain(rules.binomial)(u, n, p) == max(stats.binom.ppf(u, n, p), 0), (u, p)


def asked(csat=None, nps=None):
    answers = [Survey(kind=kind, response=share) for kind, share in (("csat", csat), ("nps", nps)) if share is not None]
    return tables_of(stages={"look": {"surveys": answers}})


def test_surveys_ask_those_they_should_and_some_do_not_answer():
    x = asked(csat=0.3)
    score = lambda x, a, question, satisfaction: plain(rules.survey_score)(x, SEED, a, 0, *HERE, question, satisfaction)  # noqa: E731
    csat = each(N, lambda a: score(x, a, CSAT_QUESTION, 0.6))
    assert_proportion(int((csat >= 0).sum()), N, 0.3)
    assert {*csat[csat >= 0]} == {1, 2, 3, 4, 5}
    assert {*each(50, lambda a: score(x, a, NPS_QUESTION, 0.6))} == {-1}
    assert plain(rules.survey_score)(x, SEED, U64(1), 1, *HERE, CSAT_QUESTION, 0.6) == -1  # not in the other stage


@pytest.mark.parametrize(("question", "lowest", "highest"), [(CSAT_QUESTION, 1, 5), (NPS_QUESTION, 0, 10)])
def test_scores_follow_satisfaction(question, lowest, highest):
    x = asked(csat=1.0, nps=1.0)
    score = lambda a, satisfaction: plain(rules.survey_score)(x, SEED, a, 0, *HERE, question, satisfaction)  # noqa: E731
    assert {*each(50, lambda a: score(a, 0.0))} == {lowest}
    assert {*each(50, lambda a: score(a, 1.0))} == {highest}
    n = highest - lowest
    drawn = np.bincount(each(N, lambda a: score(a, 0.6)) - lowest, minlength=n + 1)
    assert_counts(drawn, stats.binom.pmf(range(n + 1), n, 0.6))
    with pytest.raises(AssertionError):
        assert_counts(drawn, stats.binom.pmf(range(n + 1), n, 0.66))


def test_whether_and_what_customers_answer_are_independent():
    x = asked(csat=0.5, nps=0.5)
    both = each(N, lambda a: [plain(rules.survey_score)(x, SEED, a, 0, *HERE, q, 0.5) for q in range(2)])
    answered = both >= 0
    assert_proportion(int(answered.all(axis=1).sum()), N, 0.25)
    assert_counts(np.bincount(both[answered[:, 1], 1], minlength=11), stats.binom.pmf(range(11), 10, 0.5))


@pytest.mark.parametrize("satisfaction", [0.0, 0.5, 0.8, 1.0])
def test_the_satisfaction_factor_is_1_in_the_middle(satisfaction):
    x = tables_of(satisfaction_effect=2.5)
    expected = math.exp(2.5 * (satisfaction - 0.5))
    assert plain(rules.satisfaction_factor)(x, satisfaction) == pytest.approx(expected, rel=1e-15)


# --- clocks --------------------------------------------------------------------------------------------------------


def test_clocks_are_unit_exponentials_and_no_two_of_a_stay_are_the_same():
    first, second = each(N, lambda a: plain(rules.two_clocks)(SEED, a, *HERE, 0)).T
    pain = each(N, lambda a: plain(rules.pain_clock)(SEED, a, *HERE, 0, 0))
    for clock in (first, second, pain):
        assert_distribution(clock, stats.expon.cdf)
    assert_independent(np.exp(-first), np.exp(-second))
    stays = [U64(s << 16) for s in (0, 1, 119)]
    moves = [
        c for stay in stays for pair in range(60) for c in plain(rules.two_clocks)(SEED, U64(1), U64(0), stay, pair)
    ]
    pains = [
        plain(rules.pain_clock)(SEED, U64(1), U64(0), stay, place, way_out)
        for stay in stays
        for place in range(120)
        for way_out in range(3)
    ]
    assert len({*moves, *pains}) == len(moves) + len(pains) == 3 * (120 + 360)


@pytest.mark.parametrize("multiplier", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("pull", [0.01, 0.3, 0.95])
def test_influence_is_the_inverse_of_its_survival_function(pull, multiplier):
    """By day t with probability 1 - exp(-A (1 - 2 ** (-t / half_life))), A = -ln(1 - pull) multiplier."""
    mean_life, A = 3 / math.log(2), -math.log1p(-pull) * multiplier
    for t in (0.001, 0.5, 3.0, 20.0):
        w = -math.expm1(-A * (1 - 2 ** (-t / 3)))
        assert plain(rules.influence_time)(w, pull, multiplier, mean_life) == pytest.approx(t, rel=1e-9)
    ever = 1 - (1 - pull) ** multiplier
    assert plain(rules.influence_time)(ever * (1 + 1e-9), pull, multiplier, mean_life) == math.inf
    assert plain(rules.influence_time)(ever * (1 - 1e-9), pull, multiplier, mean_life) < math.inf


@pytest.mark.parametrize(("pull", "multiplier"), [(0.0, 1.0), (0.5, 0.0), (0.0, 3.0)])
def test_what_has_no_influence_never_acts(pull, multiplier):
    for w in (2.0**-53, 0.5, 1 - 2.0**-53):
        assert plain(rules.influence_time)(w, pull, multiplier, 1.0) == math.inf


# --- contacts ------------------------------------------------------------------------------------------------------


def test_triggers_fire_by_chance_times_reach_and_do_what_they_do_independently():
    mail = Channel(name="ad", triggers=[Trigger(entering="look", chance=0.4), Trigger(entering="look", chance=0.9)])
    x = tables_of(channels=[mail], personas=TWO)
    fires = {
        (p, j): each(N, lambda a, p=p, j=j: plain(rules.trigger_fires)(x, SEED, a, p, *HERE, j, j))
        for p in range(2)
        for j in range(2)
    }
    for case, chance in {(0, 0): 0.2, (0, 1): 0.45, (1, 0): 0.8, (1, 1): 1.0}.items():
        assert_proportion(int(fires[case].sum()), N, chance)
    assert_proportion(int((fires[0, 0] & fires[0, 1]).sum()), N, 0.2 * 0.45)
    effect = each(N, lambda a: plain(rules.trigger_effect)(SEED, a, *HERE, 0))
    assert_distribution(effect, stats.uniform.cdf)
    assert_distribution(effect[fires[0, 0]], stats.uniform.cdf)


def test_contacts_draw_gap_channel_and_effect_independently():
    n = rules.CONTACTS_AT_ONCE
    gaps, effects, words = np.empty((400, n)), np.empty((400, n)), np.empty((400, n), U64)
    for a in range(400):
        plain(rules.draw_contacts)(SEED, U64(a), U64(n), gaps[a], words[a], effects[a])
    gap, effect, channel = np.exp(-gaps.ravel()), effects.ravel(), words.ravel() * 2.0**-32
    for drawn in (gap, effect, channel):
        assert_distribution(drawn, stats.uniform.cdf)
        assert drawn.min() > 0
        assert drawn.max() < 1
    for one, other in itertools.combinations((gap, effect, channel), 2):
        assert_independent(one, other)
    bits = (effect * 2**43 - 0.5).astype(np.int64)
    low = bits & 0x7FF  # the bits that the gap left
    assert_proportion(int((low == bits >> 11 & 0x7FF).sum()), len(bits), 1 / 2048)
    assert_counts(np.bincount(low // 128, minlength=16), np.full(16, 1 / 16))
    later = np.empty(n), np.empty(n, U64), np.empty(n)
    plain(rules.draw_contacts)(SEED, U64(3), U64(n + 1), *later)  # drawn by number, not by batch
    np.testing.assert_array_equal(later[0][:-1], gaps[3, 1:])
    np.testing.assert_array_equal(later[1][:-1], words[3, 1:])
    np.testing.assert_array_equal(later[2][:-1], effects[3, 1:])


def test_a_word_picks_a_channel_in_proportion_to_its_rate():
    rates = [0.3, 0.0, 2.0, 0.7, 0.05]
    channels = [Channel(name=f"c{i}", contacts_per_day={"look": rate}) for i, rate in enumerate(rates)]
    x = tables_of(
        channels=[*channels[:3], Channel(name="ad", contacts_per_day={"look": 1.0}), *channels[3:]], personas=TWO
    )
    words = (np.arange(2**14, dtype=U64) << U64(18)) + U64(2**17)  # evenly spaced: counting them is exact
    for p, reach in enumerate((0.5, 2.0)):
        weights = np.array([*rates[:3], reach, *rates[3:]])
        picked = np.bincount([plain(rules.contact_channel)(x, p, 0, word) for word in words], minlength=6)
        np.testing.assert_allclose(picked / len(words), weights / weights.sum(), atol=2 * 6 / len(words))
        assert picked[1] == 0


def test_the_first_contact_with_a_channel_and_only_the_first_changes_the_pull_of_others():
    x = tables_of(
        channels=[
            Channel(name="tv"),
            Channel(name="search", synergy={"tv": 1.5, "ad": 0.5}),
            Channel(name="ad", synergy={"tv": 3}),
        ]
    )
    met, fresh = np.zeros(3, bool), np.array([1.0, 0.8, 0.5])
    for c, expected in ((0, [1, 1.2, 1.5]), (0, [1, 1.2, 1.5]), (2, [1, 0.6, 1.5]), (1, [1, 0.6, 1.5])):
        plain(rules.meet_first)(x, c, met, fresh)
        np.testing.assert_allclose(fresh, expected, rtol=1e-15)
    assert met.all()


def irritating(loses=0.3, half_life_days=2.0):
    irritation = Irritation(tolerated=1.5, forgotten_days=4, loses=loses, hurts=0.1)
    channel = Channel(name="ad", half_life_days=half_life_days, irritation=irritation)
    return tables_of(channels=[Channel(name="calm", half_life_days=50), channel])


@pytest.mark.parametrize(("pressure", "days", "after"), [(0, 0, 1), (3, 4, 2.5), (3, 8, 1.75), (2, 0, 3)])
def test_pressure_halves_with_time_and_grows_by_1(pressure, days, after):
    assert plain(rules.pressure_after)(irritating(), 1, pressure, days) == pytest.approx(after, rel=1e-15)


@pytest.mark.parametrize("out", [0.5, 1.0, 2.0])
def test_an_irritating_contact_loses_as_a_decaying_exit_hazard(out):
    x, A = irritating(), -math.log(0.7) * out
    days = each(N, lambda a: plain(rules.irritation_time)(x, SEED, a, 1, U64(0), out))
    lost = days[np.isfinite(days)]
    assert_proportion(len(lost), N, 1 - 0.7**out)
    by = lambda t: -np.expm1(-A * (1 - 2 ** (-t / 2))) / (1 - 0.7**out)  # noqa: E731
    assert_distribution(lost, by)
    with pytest.raises(AssertionError):
        assert_distribution(lost, lambda t: by(t / 1.3))


# --- referrals -----------------------------------------------------------------------------------------------------


def test_gaps_between_referrals_are_unit_exponentials():
    gaps = each(N, lambda a: plain(rules.referral_gap)(SEED, a, U64(2)))
    assert_distribution(gaps, stats.expon.cdf)


def test_a_referral_names_one_of_the_others_of_the_market_evenly():
    x = tables_of(market_size=4)
    named, effect = each(N, lambda a: plain(rules.referral)(x, SEED, U64(9), a, 1000)).T  # by number: customer 9 only
    assert {*named} == {8, 10, 11}
    assert_counts(np.bincount(named.astype(int))[[8, 10, 11]], [1 / 3] * 3)
    assert_distribution(effect, stats.uniform.cdf)
    for friend in (8, 11):
        assert_distribution(effect[named == friend], stats.uniform.cdf)
    for sender in range(12):
        others = {int(plain(rules.referral)(x, SEED, U64(sender), U64(n), 1000)[0]) for n in range(100)}
        assert others == {*range(sender // 4 * 4, sender // 4 * 4 + 4)} - {sender}


@pytest.mark.parametrize(("sender", "population", "others"), [(5, 6, {4}), (4, 6, {5}), (4, 7, {5, 6}), (4, 5, {-1})])
def test_in_a_last_market_that_is_small_a_referral_stays_within_it(sender, population, others):
    x = tables_of(market_size=4)
    named = {int(plain(rules.referral)(x, SEED, U64(sender), U64(n), population)[0]) for n in range(60)}
    assert named == others


# --- keys ----------------------------------------------------------------------------------------------------------

KEYED = tables_of(
    {"look": {"buy": 0.1}, "buy": {}},
    channels=[
        Channel(
            name="ad",
            triggers=[Trigger(entering="look", chance=0.5)] * 2,
            contacts_per_day={"look": 1.0},
            volume=0.5,
            irritation=Irritation(tolerated=0, loses=0.9),
        ),
        Channel(name="other", volume=0.5, irritation=Irritation(tolerated=0, loses=0.9)),
    ],
    pain_points=[PainPoint(name=name, stage="look", chance=0.5) for name in "ab"],
    stages={"look": {"surveys": [Survey(kind="csat", response=0.9), Survey(kind="nps", response=0.9)]}},
    personas=[Persona(name=name, share=0.5) for name in "ab"],
    product_experience=ProductExperience(sd=0.1),
    market_size=1000,
)
# what each rule's draw is counted by, besides seed and customer: (call of two whole numbers, what they are)
CALLS = {
    "pick_persona": lambda s, a, i, j: plain(rules.pick_persona)(KEYED, s, a),
    "basket_value": lambda s, a, i, j: plain(rules.basket_value)(KEYED, s, a, 0, U64(i)),
    "after_experience": lambda s, a, i, j: plain(rules.after_experience)(KEYED, s, a, U64(i), U64(j << 16), 0.5),
    "meets_pain": lambda s, a, i, j: plain(rules.meets_pain)(KEYED, s, a, 0, U64(i), U64(j << 16), 0, 0),
    "meets_pain by place": lambda s, a, i, j: plain(rules.meets_pain)(KEYED, s, a, 0, U64(0), U64(0), 0, 2 * i + j),
    "survey_score": lambda s, a, i, j: plain(rules.survey_score)(KEYED, s, a, 0, U64(i), U64(j << 16), 1, 0.5),
    "two_clocks": lambda s, a, i, j: plain(rules.two_clocks)(s, a, U64(i), U64(j << 16), 0),
    "two_clocks by pair": lambda s, a, i, j: plain(rules.two_clocks)(s, a, U64(0), U64(0), 2 * i + j),
    "pain_clock": lambda s, a, i, j: plain(rules.pain_clock)(s, a, U64(i), U64(j << 16), 0, 0),
    "pain_clock by place": lambda s, a, i, j: plain(rules.pain_clock)(s, a, U64(0), U64(0), i, j),
    "trigger_fires": lambda s, a, i, j: plain(rules.trigger_fires)(KEYED, s, a, 0, U64(i), U64(j << 16), 0, 0),
    "trigger_fires by place": lambda s, a, i, j: plain(rules.trigger_fires)(
        KEYED, s, a, 0, U64(0), U64(0), 0, 2 * i + j
    ),
    "trigger_effect": lambda s, a, i, j: plain(rules.trigger_effect)(s, a, U64(i), U64(j << 16), 0),
    "trigger_effect by place": lambda s, a, i, j: plain(rules.trigger_effect)(s, a, U64(0), U64(0), 2 * i + j),
    "is_open": lambda s, a, i, j: plain(rules.is_open)(KEYED, s, a, 0, 3.0, U64(2 * i + j)),
    "irritation_time": lambda s, a, i, j: plain(rules.irritation_time)(KEYED, s, a, j, U64(i), 1.0),
    "referral_gap": lambda s, a, i, j: plain(rules.referral_gap)(s, a, U64(2 * i + j)),
    "referral": lambda s, a, i, j: plain(rules.referral)(KEYED, s, a, U64(2 * i + j), 1000),
}
COUNTED_BY = {"pick_persona": 0, "basket_value": 1}  # the others by two


@pytest.mark.parametrize("rule", CALLS)
def test_draws_differ_by_all_that_they_are_counted_by(rule):
    """Same key, same draw; another seed, customer, visit, stage or place, another draw."""
    draws = {
        (seed, shift, i, j): str([CALLS[rule](U64(seed), U64(a + shift), i, j) for a in range(64)])
        for seed, shift in ((5, 0), (5 + 2**32, 0), (5, 100), (6, 0))
        for i, j in itertools.product(range(2), range(2))
    }
    assert draws[5, 0, 0, 0] == str([CALLS[rule](U64(5), U64(a), 0, 0) for a in range(64)])
    assert len({*draws.values()}) == 4 * 2 ** COUNTED_BY.get(rule, 2)


def test_no_two_rules_share_a_draw():
    """At the same counters: whether each uniform number is below 1/2, by customer. No two rules agree or disagree on
    nearly all of 64 customers, nor do two numbers of one rule.
    """
    x = tables_of(
        channels=[Channel(name="ad", volume=0.5, triggers=[Trigger(entering="look", chance=0.5)])],
        personas=[Persona(name=name, share=0.5) for name in "ab"],
        pain_points=[PainPoint(name="maze", stage="look", chance=0.5)],
        stages={"look": {"surveys": [Survey(kind="csat", response=0.5)]}},
        product_experience=ProductExperience(sd=0.1),
        basket=Basket(median=1, log_sd=1),
        market_size=1000,
    )
    sure = x._replace(survey_response=np.ones_like(x.survey_response), irritation_loses=np.array([1 - 1e-12]))
    half_of_csat = 1 - 0.5**0.25  # satisfaction at which half say 1
    half = x.mean_life[0] * 0.0254  # days after which half are lost: -ln(1 - ln 2 / ln 1e12) mean lives
    gaps, words, effects = np.empty(16), np.empty(16, U64), np.empty(16)

    def below_half(a):
        plain(rules.draw_contacts)(SEED, a, U64(0), gaps, words, effects)
        named, effect = plain(rules.referral)(x, SEED, a, U64(0), 1000)
        at = (SEED, a, *HERE)
        return [
            plain(rules.pick_persona)(x, SEED, a) == 0,
            plain(rules.basket_value)(x, SEED, a, 0, U64(0)) < 1,
            plain(rules.after_experience)(x, *at, 0.5) < 0.5,
            plain(rules.meets_pain)(x, SEED, a, 0, *HERE, 0, 0),
            plain(rules.survey_score)(x, SEED, a, 0, *HERE, CSAT_QUESTION, 0.5) >= 0,
            plain(rules.survey_score)(sure, SEED, a, 0, *HERE, CSAT_QUESTION, half_of_csat) == 1,
            *(clock > math.log(2) for clock in plain(rules.two_clocks)(*at, 0)),
            plain(rules.trigger_fires)(x, SEED, a, 0, *HERE, 0, 0),
            plain(rules.trigger_effect)(*at, 0) < 0.5,
            gaps[0] > math.log(2),
            words[0] < 2**31,
            effects[0] < 0.5,
            plain(rules.is_open)(x, SEED, a, 0, 3.0, U64(0)),
            plain(rules.irritation_time)(sure, SEED, a, 0, U64(0), 1.0) < half,
            plain(rules.referral_gap)(SEED, a, U64(0)) > math.log(2),
            named < 500,
            effect < 0.5,
            people.pick_values(SEED, int(a), np.zeros(1, np.uint8), 0, np.array([[0.5, 1.0]]))[0] == 0,
        ]

    answers = each(64, below_half).astype(bool).T
    for one, other in itertools.combinations(answers, 2):
        assert 8 <= (one != other).sum() <= 56  # fails by luck once in 1e11: binomial(64, 1/2)
