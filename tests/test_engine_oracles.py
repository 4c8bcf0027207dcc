"""Simulations against closed forms: Markov chains, survival functions and integrals that share no code with them."""

import math

import numpy as np
import polars as pl
import pytest
from log_tables import first_entry, moves, stage_at, table
from scipy import integrate, linalg, stats
from small_worlds import INSTANT, small_world
from statistical import assert_distribution, assert_mean, assert_proportion

from journeysim.simulation.engine import simulate
from journeysim.spec import Basket, Channel, PainPoint, Persona, ProductExperience, Trigger

N = 100_000
LN2 = math.log(2)


def run(world, days, n=N, seed=1):
    return table(simulate(world, n_customers=n, horizon_days=days, seed=seed))


def count(events, **where):
    return events.filter(*(pl.col(name) == value for name, value in where.items())).height


# --- Markov chains -------------------------------------------------------------------------------------------------

JOURNEY = {
    "look": {"weigh": 0.12, "buy": 0.01, "lost": 0.03},
    "weigh": {"buy": 0.10, "look": 0.08, "lost": 0.05},
    "buy": {"use": 0.20},
    "use": {"buy": 0.03, "weigh": 0.02, "lost": 0.01},
}
STATES = [*JOURNEY, "lost"]
QUICK = Persona(name="quick", share=0.35, pace=1.7, patience=0.6, reach={"ad": 0.4}, appeal={"search": 1.5})
CALM = Persona(name="calm", share=0.65, pace=0.8, patience=1.5, reach={"search": 1.3})
TIMES = (2.0, 10.0, 30.0)


def generator(persona, pushes=None):
    """Generator matrix of the journey; `pushes` adds hazards by (stage, target)."""
    Q = np.zeros((len(STATES), len(STATES)))
    for i, (origin, rates) in enumerate(JOURNEY.items()):
        for to, rate in rates.items():
            j = STATES.index(to)
            factor = 1 / persona.patience if to == "lost" else persona.pace if j > i or to == "buy" else 1
            Q[i, j] = rate * factor + (pushes or {}).get((origin, to), 0.0)
    return Q - np.diag(Q.sum(axis=1))


def assert_follows_chain(events, persona, Q):
    """Where a persona's customers are at several times, and who has bought by then."""
    own = events.filter(persona=persona.name)
    n = own["customer"].n_unique()
    buying = Q.copy()
    buying[STATES.index("buy")] = 0
    bought = first_entry(own, "buy")
    for t in TIMES:
        at_t = linalg.expm(Q * t)[0]
        now = stage_at(own, t)
        for state, p in zip(STATES, at_t, strict=True):
            assert_proportion(count(now, stage=state), n, p)
        assert_proportion(int((bought <= t).sum()), n, linalg.expm(buying * t)[0, STATES.index("buy")])


@pytest.fixture(scope="module")
def without_contacts():
    silent = [Channel(name="ad"), Channel(name="search")]
    return run(small_world(JOURNEY, personas=[QUICK, CALM], channels=silent), days=30)


@pytest.mark.parametrize("persona", [QUICK, CALM], ids=lambda p: p.name)
def test_without_contacts_stages_follow_the_matrix_exponential(without_contacts, persona):
    assert_follows_chain(without_contacts, persona, generator(persona))


def test_a_hazard_that_is_10_percent_off_is_caught(without_contacts):
    Q = generator(CALM)
    Q[0, 1] *= 1.1
    Q[0, 0] -= Q[0, 1] / 11
    with pytest.raises(AssertionError, match="want"):
        assert_follows_chain(without_contacts, CALM, Q)


def test_days_spent_in_each_stage_match_the_integral_of_the_matrix_exponential(without_contacts):
    own = without_contacts.filter(persona="calm")
    days, k = 30.0, len(STATES)
    block = np.block([[generator(CALM), np.eye(k)], [np.zeros((k, 2 * k))]])
    expected = linalg.expm(block * days)[0, k:]
    stays = own.filter(pl.col("kind") == "stage").with_columns(
        left=pl.col("day").shift(-1, fill_value=days).over("customer")
    )
    gone = own.filter(kind="lost").select("customer", lost="day")
    stays = stays.join(gone, on="customer", how="left").with_columns(
        spent=pl.min_horizontal("left", pl.col("lost").fill_null(days)) - pl.col("day")
    )
    by_customer = stays.pivot("stage", index="customer", values="spent", aggregate_function="sum").fill_null(0)
    for stage, mean in zip(JOURNEY, expected, strict=False):
        assert_mean(by_customer[stage], mean, 0, days + 1e-6)


def test_shares_of_personas(without_contacts):
    quick = without_contacts.filter(persona="quick")["customer"].n_unique()
    assert_proportion(quick, N, QUICK.share)


CHANNELS = [
    Channel(name="ad", contacts_per_day={"look": 0.5, "weigh": 0.2}, pull={"look": 0.1, "weigh": 0.3}),
    Channel(name="search", contacts_per_day={"weigh": 0.4}, pull=0.25),
    Channel(name="banner", contacts_per_day={"look": 1.0, "use": 0.5}),  # no pull
]
AT_ONCE = [channel.model_copy(update={"half_life_days": INSTANT}) for channel in CHANNELS]


def pushes(persona):
    """Extra hazards by (stage, target) and channel when contacts act at once: rate x reach x pull x appeal."""
    reach_ad, reach_search = persona.reach.get("ad", 1), persona.reach.get("search", 1)
    appeal = persona.appeal.get("search", 1)
    return {
        ("look", "weigh"): {"ad": 0.5 * reach_ad * 0.1},
        ("weigh", "buy"): {"ad": 0.2 * reach_ad * 0.3, "search": 0.4 * reach_search * 0.25 * appeal},
    }


@pytest.fixture(scope="module")
def acting_at_once():
    return run(small_world(JOURNEY, personas=[QUICK, CALM], channels=AT_ONCE), days=30, seed=2)


@pytest.mark.parametrize("persona", [QUICK, CALM], ids=lambda p: p.name)
def test_contacts_that_act_at_once_thin_into_a_markov_chain(acting_at_once, persona):
    extra = {move: sum(by_channel.values()) for move, by_channel in pushes(persona).items()}
    assert_follows_chain(acting_at_once, persona, generator(persona, extra))


@pytest.mark.parametrize("persona", [QUICK, CALM], ids=lambda p: p.name)
def test_causes_share_a_move_in_proportion_to_their_hazards(acting_at_once, persona):
    Q = generator(persona)
    for (origin, to), by_channel in pushes(persona).items():
        made = moves(acting_at_once.filter(persona=persona.name), origin).filter(stage=to)
        hazards = {"base": Q[STATES.index(origin), STATES.index(to)], **by_channel, "banner": 0.0}
        for cause, hazard in hazards.items():
            assert_proportion(count(made, cause=cause), made.height, hazard / sum(hazards.values()))


def test_a_pull_that_is_10_percent_off_is_caught(acting_at_once):
    extra = {move: sum(by_channel.values()) * 1.1 for move, by_channel in pushes(CALM).items()}
    with pytest.raises(AssertionError, match="want"):
        assert_follows_chain(acting_at_once, CALM, generator(CALM, extra))


# --- contacts ------------------------------------------------------------------------------------------------------


def test_contacts_are_a_poisson_process_shared_among_channels():
    rates = {"ad": 0.3, "search": 0.1, "banner": 0.0, "radio": 0.15}
    channels = [Channel(name=name, contacts_per_day={"look": rate}) for name, rate in rates.items()]
    person = Persona(name="anyone", share=1, reach={"ad": 0.5, "radio": 2})
    world = small_world({"look": {"buy": 1e-9}, "buy": {}}, channels=channels, personas=[person])
    touches = run(world, days=10).filter(kind="touch")
    expected = {"ad": 1.5, "search": 1.0, "radio": 3.0}
    assert set(touches["channel"]) == set(expected)
    for channel, mean in expected.items():
        per_customer = touches.filter(channel=channel).group_by("customer").len()["len"]
        for k in range(1, 6):
            assert_proportion(int((per_customer == k).sum()), N, stats.poisson.pmf(k, mean))
    assert_distribution(touches["day"].to_numpy() / 10, stats.uniform.cdf)
    assert_proportion(count(touches, channel="ad"), touches.height, 1.5 / 5.5)


def test_the_contact_clock_runs_on_across_stages_at_the_rate_of_each():
    world = small_world(
        {"look": {"weigh": 0.5}, "weigh": {"look": 0.3, "buy": 1e-9}, "buy": {}},
        channels=[Channel(name="ad", contacts_per_day={"look": 0.2, "weigh": 1.5})],
    )
    events = run(world, days=8)
    first_touch = events.filter(kind="touch").group_by("customer").first()["day"].to_numpy()
    Q = np.array([[-0.5, 0.5], [0.3, -0.3]]) - np.diag([0.2, 1.5])  # killed at the first contact
    reached = 1 - linalg.expm(Q * 8)[0].sum()
    assert_proportion(len(first_touch), N, reached)
    grid = np.linspace(0, 8, 2001)
    cdf = np.array([1 - linalg.expm(Q * t)[0].sum() for t in grid]) / reached
    assert_distribution(first_touch, lambda t: np.interp(t, grid, cdf))


def test_every_contact_costs_what_its_channel_says():
    costs = {"ad": 0.25, "search": 1.5, "mail": 0.0}
    channels = [Channel(name=k, contacts_per_day={"look": 0.5}, cost_per_contact=c) for k, c in costs.items()]
    events = run(small_world({"look": {"buy": 0.1}, "buy": {}}, channels=channels), days=20, n=1000)
    touches = events.filter(kind="touch")
    assert touches["cost"].to_list() == [costs[name] for name in touches["channel"]]
    assert events.filter(pl.col("kind") != "touch")["cost"].null_count() == events.height - touches.height


def test_a_trigger_fires_by_chance_and_reach_after_its_delay_if_the_customer_is_still_there():
    leave, delay = 0.3, 1.5
    channels = [
        Channel(name="mail", triggers=[Trigger(entering="weigh", chance=0.4, after_days=delay)]),
        Channel(name="sure", triggers=[Trigger(entering="weigh", chance=0.6)]),
        Channel(name="never", triggers=[Trigger(entering="weigh")]),
    ]
    person = Persona(name="anyone", share=1, reach={"mail": 1.5, "sure": 2, "never": 0})
    moves_per_day = {"look": {"weigh": 5.0}, "weigh": {"buy": leave}, "buy": {}}
    events = run(small_world(moves_per_day, channels=channels, personas=[person]), days=60)
    entered = events.filter(kind="stage", stage="weigh").select("customer", entry="day")
    touches = events.filter(kind="touch").join(entered, on="customer")
    assert_proportion(count(touches, channel="mail"), N, 0.4 * 1.5 * math.exp(-leave * delay))
    assert count(touches, channel="sure") == entered.height
    assert count(touches, channel="never") == 0
    waited = (touches["day"] - touches["entry"]).to_numpy()
    expected = np.where(touches["channel"] == "mail", delay, 0.0)
    np.testing.assert_allclose(waited, expected, atol=2e-11)  # a microsecond is 1.2e-11 days


def test_triggers_of_a_stage_are_independent_however_many_there_are():
    channels = [
        Channel(name=f"c{k}", triggers=[Trigger(entering="weigh", chance=0.5, after_days=0.01)] * 100) for k in range(3)
    ]
    world = small_world({"look": {"weigh": 1e4}, "weigh": {"buy": 1e-9}, "buy": {}}, channels=channels)
    touches = run(world, days=1, n=2000).filter(kind="touch")
    per_customer = touches.group_by("customer").len()["len"].to_numpy().astype(float)
    assert_mean((per_customer - 150) ** 2, 300 / 4, 0, 150**2)  # variance of a binomial(300, 1/2)


# --- influence -----------------------------------------------------------------------------------------------------


class Influence:
    """Base hazard h, and contacts (day, A, d) that each add the hazard A d exp(-d (t - day)) from their day on."""

    def __init__(self, h, contacts):
        self.h, self.contacts = h, contacts

    def survival(self, t):
        spent = self.h * t
        for day, A, d in self.contacts:
            spent = spent + A * -np.expm1(-d * np.maximum(t - day, 0))
        return np.exp(-spent)

    def share(self, k, horizon):
        """Share of the moves within the horizon that contact k causes."""
        day, A, d = self.contacts[k]
        if day >= horizon:
            return 0.0
        hazard = lambda t: A * d * math.exp(-d * (t - day))  # noqa: E731
        days = [c[0] for c in self.contacts if day < c[0] < horizon]
        caused, _ = integrate.quad(lambda t: hazard(t) * self.survival(t), day, horizon, points=days or None)
        return caused / (1 - self.survival(horizon))


HALF_LIFE = {"mail": 1.5, "call": 4.0}
PULL = {"mail": 0.5, "call": 0.3}


def influenced(*, mail_day, call_day, influence=1.0, slows=1.0, appeal=1.0, pace=1.0):
    world = small_world(
        {"look": {"buy": 0.05, "lost": 0.0}, "buy": {}},
        stages={"look": {"influence": influence}},
        channels=[
            Channel(
                name=name,
                triggers=[Trigger(entering="look", after_days=day)],
                pull=PULL[name],
                half_life_days=HALF_LIFE[name],
            )
            for name, day in (("mail", mail_day), ("call", call_day))
        ],
        personas=[Persona(name="anyone", share=1, appeal={"mail": appeal}, pace=pace)],
        pain_points=[PainPoint(name="maze", stage="look", chance=1, slows=slows)],
    )
    strength = influence * slows
    exact = Influence(
        0.05 * pace * slows,
        [
            (mail_day, -math.log(1 - PULL["mail"] * appeal) * strength, LN2 / HALF_LIFE["mail"]),
            (call_day, -math.log(1 - PULL["call"]) * strength, LN2 / HALF_LIFE["call"]),
        ],
    )
    return run(world, days=12), exact


def assert_follows(events, exact, horizon=12):
    days = first_entry(events, "buy")
    reached = 1 - exact.survival(horizon)
    assert_proportion(len(days), N, reached)
    assert_distribution(days, lambda t: (1 - exact.survival(t)) / reached)
    for k, channel in enumerate(HALF_LIFE):
        assert_proportion(count(moves(events), cause=channel), len(days), exact.share(k, horizon))


def test_a_decaying_influence_follows_its_survival_function_and_causes_its_share():
    events, exact = influenced(mail_day=0, call_day=100)
    assert_follows(events, exact)
    for wrong in ((0, 1.1 * exact.contacts[0][1], exact.contacts[0][2]), (0, exact.contacts[0][1], LN2 / 1.65)):
        with pytest.raises(AssertionError):
            assert_follows(events, Influence(exact.h, [wrong, exact.contacts[1]]))


def test_influences_of_several_contacts_add_up():
    assert_follows(*influenced(mail_day=0, call_day=2))


def test_stage_pain_appeal_and_pace_scale_influence_as_they_should():
    """A stage's influence and a pain point scale the extra hazard, appeal the pull, pace only the base hazard."""
    events, exact = influenced(mail_day=0.5, call_day=2, influence=2.5, slows=0.7, appeal=1.4, pace=3)
    assert_follows(events, exact)
    unscaled = Influence(exact.h, [(day, A / 1.1, d) for day, A, d in exact.contacts])
    with pytest.raises(AssertionError):
        assert_follows(events, unscaled)


def test_influence_ends_with_the_stay():
    """A contact with a very long memory does nothing any more after the customer left its stage."""
    world = small_world(
        {"look": {"weigh": 1e3}, "weigh": {"buy": 0.1}, "buy": {}},
        channels=[Channel(name="mail", triggers=[Trigger(entering="look")], pull=0.99, half_life_days=1000)],
    )
    made = moves(run(world, days=50))
    stays = made.with_columns(stay=pl.col("day").diff().over("customer")).filter(stage="buy")
    reached = stats.expon(scale=10).cdf(49.9)
    assert_proportion(int((stays["stay"] < 49.9).sum()), N, reached)
    assert_distribution(stays["stay"].to_numpy(), lambda t: stats.expon(scale=10).cdf(t) / reached)
    assert set(stays["cause"]) == {"base"}


def test_pull_times_fatigue_per_earlier_contact():
    pull, fatigue, rate = 0.3, 0.7, 4.0
    world = small_world(
        {"look": {"buy": 0.0}, "buy": {}},
        channels=[
            Channel(name="ad", contacts_per_day={"look": rate}, pull=pull, fatigue=fatigue, half_life_days=INSTANT),
            Channel(name="noise", contacts_per_day={"look": 2.0}, fatigue=0.5),
        ],
    )
    events = run(world, days=12)
    bought = events.filter(kind="stage", stage="buy")["customer"]
    contacts = events.filter(kind="touch", channel="ad").group_by("customer").len()
    contacts = contacts.filter(pl.col("customer").is_in(bought.implode()))["len"].to_numpy()
    still_there = 1.0
    for n in range(200):
        acts = pull * fatigue**n
        if n < 8:
            assert_proportion(int((contacts == n + 1).sum()), N, still_there * acts)
        still_there *= 1 - acts
    assert_proportion(len(bought), N, 1 - still_there)
    with pytest.raises(AssertionError):
        assert_proportion(int((contacts == 2).sum()), N, (1 - pull) * pull * fatigue * 1.1)


def test_contacts_push_along_the_move_that_is_named():
    moves_per_day = {
        "look": {"weigh": 0.1, "buy": 0.1},
        "weigh": {},
        "buy": {"late": 0.1, "later": 0.2},
        "late": {},
        "later": {},
    }
    ad = Channel(name="ad", contacts_per_day={"look": 1.0, "buy": 1.0}, pull=0.5, half_life_days=INSTANT)
    for named, pushed in (({}, "weigh"), ({"pushes_to": "buy"}, "buy")):
        world = small_world(moves_per_day, stages={"look": named}, channels=[ad])
        made = moves(run(world, days=40, n=20_000), "look")
        assert set(made.filter(cause="ad")["stage"]) == {pushed}
        assert_proportion(count(made, stage=pushed), made.height, 0.6 / 0.7)


# --- pain points and satisfaction ----------------------------------------------------------------------------------

FORWARD, OUT = 0.2, 0.1
AFTER = {"look": {"buy": FORWARD, "lost": OUT}, "buy": {"use": FORWARD, "lost": OUT}, "use": {}}


def odds(factor=1.0, loses=1.0, slows=1.0):
    """Probability of the forward move where satisfaction has this factor."""
    ahead, away = FORWARD * factor * slows, OUT / factor * loses
    return ahead / (ahead + away)


def test_pain_points_are_met_by_chance_slow_and_lose_with_their_causes():
    maze = PainPoint(name="maze", stage="look", chance=0.4, slows=0.5, loses=2.0)
    costs = PainPoint(name="costs", stage="look", chance=0.3, slows=0.8, loses=3.0)
    elsewhere = PainPoint(name="elsewhere", stage="buy", chance=1.0)
    person = Persona(name="anyone", share=1, pain=1.5, patience=0.8)
    world = small_world(AFTER, personas=[person], pain_points=[elsewhere, costs, maze])
    events = run(world, days=300)
    met = {pain: set(events.filter(pain_point=pain)["customer"]) for pain in ("maze", "costs")}
    assert_proportion(len(met["maze"]), N, 0.6)
    assert_proportion(len(met["costs"]), N, 0.45)
    assert_proportion(len(met["maze"] & met["costs"]), N, 0.6 * 0.45)
    assert set(events.filter(pain_point="elsewhere")["stage"]) == {"buy"}

    for hit in ({"maze"}, {"costs"}, {"maze", "costs"}, set()):
        group = set(range(N)).intersection(*(met[pain] for pain in hit)).difference(*(met[p] for p in met.keys() - hit))
        own = moves(events, "look").filter(pl.col("customer").is_in(group))
        slows = math.prod(p.slows for p in (maze, costs) if p.name in hit)
        loses = math.prod(p.loses for p in (maze, costs) if p.name in hit)
        ahead, away = FORWARD * slows, OUT / 0.8 * loses
        assert_distribution(own["day"].to_numpy(), stats.expon(scale=1 / (ahead + away)).cdf)
        assert_proportion(count(own, stage="buy"), own.height, ahead / (ahead + away))
        lost = own.filter(stage="lost")
        assert_proportion(count(lost, cause="base"), lost.height, 1 / loses)
        if len(hit) == 1:
            assert_proportion(count(lost, cause=next(iter(hit))), lost.height, 1 - 1 / loses)
        assert set(lost["cause"]) == hit | {"base"}
    both = moves(events, "look").filter(pl.col("customer").is_in(met["maze"] & met["costs"]), pl.col("stage") == "lost")
    first_listed, second = both.filter(cause="costs").height, both.filter(cause="maze").height
    assert_proportion(first_listed, both.height, (3 - 1) / 6)  # its own (loses - 1) of the exit hazard
    assert_proportion(second, both.height, 3 * (2 - 1) / 6)  # on top of what the first made of it


def test_satisfaction_acts_after_the_first_purchase_and_pain_takes_from_it():
    g = 1.2
    person = Persona(name="anyone", share=1, satisfaction=0.9)
    late = PainPoint(name="late", stage="buy", chance=0.5, hurts=0.6)
    events = run(small_world(AFTER, personas=[person], pain_points=[late], satisfaction_effect=g), days=300)
    first = moves(events, "look")
    assert_proportion(count(first, stage="buy"), first.height, odds())  # nothing was bought yet
    hurt = set(events.filter(kind="pain")["customer"])
    for satisfaction, group in ((0.9, set(range(N)) - hurt), (0.3, hurt)):
        made = moves(events, "buy").filter(pl.col("customer").is_in(group))
        factor = math.exp(g * (satisfaction - 0.5))
        assert_proportion(count(made, stage="use"), made.height, odds(factor))
        with pytest.raises(AssertionError):
            assert_proportion(count(made, stage="use"), made.height, odds(math.exp(1.2 * g * (satisfaction - 0.5))))


def test_satisfaction_scales_influence_too():
    g, pull, half_life = 1.2, 0.6, 2.0
    mail = Channel(name="mail", triggers=[Trigger(entering="buy")], pull=pull, half_life_days=half_life)
    person = Persona(name="anyone", share=1, satisfaction=0.8)
    journey = {"look": {"buy": 1e4}, "buy": {"use": 0.05}, "use": {}}
    events = run(small_world(journey, personas=[person], channels=[mail], satisfaction_effect=g), days=20)
    factor = math.exp(g * 0.3)
    exact = Influence(0.05 * factor, [(0.0, -math.log(1 - pull) * factor, LN2 / half_life)])
    made = moves(events, "buy")
    assert_proportion(count(made, cause="mail"), made.height, exact.share(0, 20))


def test_product_experience_moves_satisfaction_by_a_normal_kept_between_0_and_1():
    g, start, shift, sd = 2.0, 0.7, 0.1, 0.4
    world = small_world(
        AFTER,
        stages={"buy": {"purchase": True, "experience": True}},
        personas=[Persona(name="anyone", share=1, satisfaction=start)],
        product_experience=ProductExperience(mean_shift=shift, sd=sd),
        satisfaction_effect=g,
    )
    made = moves(run(world, days=400), "buy")
    drawn = stats.norm(start + shift, sd)
    forward = lambda x: odds(math.exp(g * (x - 0.5)))  # noqa: E731
    inside, _ = integrate.quad(lambda x: forward(x) * drawn.pdf(x), 0, 1)
    expected = inside + drawn.cdf(0) * forward(0) + drawn.sf(1) * forward(1)
    assert_proportion(count(made, stage="use"), made.height, expected)
    with pytest.raises(AssertionError):
        assert_proportion(count(made, stage="use"), made.height, forward(start + shift))


# --- money ---------------------------------------------------------------------------------------------------------


def test_baskets_are_log_normal_and_independent():
    world = small_world(
        {"look": {"buy": 1.0}, "buy": {"look": 1.0}},
        personas=[Persona(name="rich", share=0.5, spending=2.5), Persona(name="plain", share=0.5)],
        basket=Basket(median=40, log_sd=0.6),
    )
    bought = run(world, days=20, n=50_000).filter(kind="purchase")
    for persona, median in (("rich", 100), ("plain", 40)):
        log_value = np.log(bought.filter(persona=persona)["value"].to_numpy())
        assert_distribution(log_value, stats.norm(math.log(median), 0.6).cdf)
    by_customer = bought.filter(persona="plain").group_by("customer").agg(pl.col("value").log().head(2))
    pairs = np.array([pair for pair in by_customer["value"].to_list() if len(pair) == 2])
    z = np.clip((pairs - math.log(40)) / 0.6, -5, 5)
    assert_mean(z[:, 0] * z[:, 1], 0, -25, 25)
