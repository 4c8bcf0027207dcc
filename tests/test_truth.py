"""The truth about channels: closed forms where contacts act at once, honest errors, and a precision that is kept."""

import sys

import numpy as np
import pytest
from coupled_worlds import desk_world, talkative_world
from scipy import stats
from small_worlds import INSTANT, full_world, rich_world, small_world

from journeysim.errors import InputError
from journeysim.simulation import incremental_effects, simulate, truth
from journeysim.simulation.estimates import N, TruthPlan, estimate
from journeysim.simulation.recipe import Recipe
from journeysim.simulation.truth_frames import MEASURES
from journeysim.simulation.twin_runs import Population, Switch
from journeysim.spec import Channel, Persona, World

WORLD = World.from_yaml("""
name: tiny
stages:
  - {name: look, moves_per_day: {buy: 0.05, lost: 0.1}}
  - {name: buy, purchase: true}
channels:
  - {name: ad, contacts_per_day: {look: 0.4}, pull: 0.25, half_life_days: 1.0e-9, cost_per_contact: 2}
  - {name: noise, contacts_per_day: {look: 1}, pull: 0, cost_per_contact: 0.5}
personas: [{name: anyone, share: 1}]
basket: {median: 10}
""")
truth_module = sys.modules["journeysim.simulation.truth"]  # the package has a function of this name
FALSE_ALARM = 1e-6
ALLOWED = stats.norm.isf(FALSE_ALARM / 2)
DAYS = 15


def converted(with_ad):
    """Share converted in closed form: a contact acts at once with the chance `pull`, so it adds rate x pull."""
    forward, out = 0.05 + 0.4 * 0.25 * with_ad, 0.1
    return forward / (forward + out) * -np.expm1(-(forward + out) * DAYS)


def days_looking(with_ad):
    """Mean days in `look` within the window."""
    leave = 0.15 + 0.1 * with_ad
    return -np.expm1(-leave * DAYS) / leave


EFFECT = 1 - converted(0) / converted(1)


def assert_near(found, expected):
    """A number and its error fit what is expected; half of that, and an error ten times as large, would not do."""
    value, error = found
    assert abs(value - expected) < ALLOWED * error, (value, error, expected)
    assert abs(expected) / 2 > ALLOWED * error


# --- incremental_effects -------------------------------------------------------------------------------------------


def test_the_effect_of_an_instant_channel_has_the_closed_form():
    effects = incremental_effects(WORLD, n_customers=100_000, horizon_days=DAYS, seed=1)
    share = effects.n_conversions / 100_000
    assert abs(share - converted(1)) < ALLOWED * np.sqrt(converted(1) * (1 - converted(1)) / 100_000)
    assert abs(effects.effect[0] - EFFECT) < ALLOWED * effects.standard_error[0]
    assert effects.standard_error[0] < EFFECT / 50
    assert effects.conversions[0] == round(effects.effect[0] * effects.n_conversions)


def test_a_channel_without_pull_has_no_effect_at_all():
    effects = incremental_effects(WORLD, n_customers=5_000, horizon_days=DAYS, seed=1)
    assert effects.channels == ("ad", "noise")
    assert (effects.effect[1], effects.standard_error[1], effects.conversions[1]) == (0, 0, 0)
    assert effects.share.tolist() == [1, 0]


def test_standard_errors_are_honest():
    runs = [incremental_effects(WORLD, n_customers=2_000, horizon_days=DAYS, seed=seed) for seed in range(60)]
    chi_square = sum(((run.effect[0] - EFFECT) / run.standard_error[0]) ** 2 for run in runs)
    low, high = stats.chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], len(runs))
    assert low < chi_square < high
    # an error claimed twice as large, or half as large, would be found out
    assert chi_square / 4 < low
    assert chi_square * 4 > high


@pytest.mark.parametrize("world", [rich_world(), full_world(market_size=30)], ids=["independent", "word of mouth"])
def test_effects_are_the_differences_of_two_logs(world):
    """Also of a population that ends in the middle of a market."""
    how = {"n_customers": 1_615, "horizon_days": 60, "seed": 3}

    def buyers(version):
        log = simulate(version, **how)
        return np.isin(np.arange(log.n_customers), log.customer_codes()[log.codes("kind", ["purchase"]) == 0])

    found = incremental_effects(world, **how)
    full = buyers(world)
    clusters = np.arange(full.size) // (world.market_size if world.word_of_mouth else 1)
    m = clusters[-1] + 1
    for c, channel in enumerate(world.channel_names):
        lost = full.astype(float) - buyers(world.without(channel))
        assert found.conversions[c] == lost.sum()
        np.testing.assert_allclose(found.effect[c], lost.mean() / full.mean(), rtol=1e-12)
        residuals = np.bincount(clusters, lost - found.effect[c] * full)
        error = np.sqrt(m / (m - 1) * (residuals**2).sum()) / full.sum()
        np.testing.assert_allclose(found.standard_error[c], error, rtol=1e-9, atol=1e-12)


def test_a_few_markets_have_no_error():
    effects = incremental_effects(full_world(market_size=100), n_customers=1_900, horizon_days=60, seed=1)
    assert np.isnan(effects.standard_error).all()
    assert np.isfinite(effects.effect).all()


def test_progress_is_told_and_the_frame_names_the_channels():
    told = []
    effects = incremental_effects(WORLD, n_customers=50, horizon_days=DAYS, seed=1, on_progress=told.append)
    assert told == [1, 2, 3]
    frame = effects.to_frame()
    assert frame.columns == ["channel", "conversions", "share", "effect", "standard_error"]
    assert frame["channel"].to_list() == ["ad", "noise"]


def test_without_conversions_effects_are_unknown():
    effects = incremental_effects(WORLD, n_customers=3, horizon_days=1e-6, seed=1)
    assert np.isnan(effects.effect).all()
    assert effects.n_conversions == 0


def test_a_world_without_channels_has_no_effects():
    effects = incremental_effects(WORLD.model_copy(update={"channels": ()}), n_customers=300, horizon_days=DAYS, seed=1)
    assert effects.effect.shape == effects.standard_error.shape == (0,)
    assert effects.n_conversions > 0


@pytest.mark.parametrize(("n", "days"), [(1, 5), (0, 5), (9, 0)])
def test_wrong_numbers_are_refused(n, days):
    with pytest.raises(InputError, match=r"(n_customers|horizon_days) is [01]; "):
        incremental_effects(WORLD, n_customers=n, horizon_days=days, seed=1)


# --- truth: closed forms -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found():
    return truth(WORLD, horizon_days=DAYS, seed=1, precision=0.0015)


def test_effects_on_conversions_and_revenue_have_the_closed_form(found):
    """Baskets do not depend on what led to them, so revenue falls like conversions."""
    assert_near(found.find("incremental", "conversions", "ad"), EFFECT)
    assert_near(found.find("incremental", "revenue", "ad"), EFFECT)
    basket = 10 * np.exp(0.5**2 / 2)
    assert_near(found.find("incremental", "revenue_per_customer", "ad"), EFFECT * converted(1) * basket)
    assert_near(found.find("world", "conversion_rate"), converted(1))
    assert_near(found.find("world", "revenue_per_customer"), converted(1) * basket)


def test_costs_include_what_other_channels_cost_less_or_more(found):
    """Without the ad customers look longer and meet more noise."""
    own = 2 * 0.4 * days_looking(1)
    change = own - 0.5 * 1.0 * (days_looking(0) - days_looking(1))
    assert_near(found.find("world", "cost_per_customer"), own + 0.5 * 1.0 * days_looking(1))
    assert_near(found.find("incremental", "own_cost_per_customer", "ad"), own)
    assert_near(found.find("incremental", "cost_per_customer", "ad"), change)
    lost = EFFECT * converted(1)
    assert_near(found.find("incremental", "cost_per_conversion", "ad"), change / lost)
    assert_near(found.find("incremental", "return_on_spend", "ad"), lost * 10 * np.exp(0.5**2 / 2) / change)


def test_a_channel_without_pull_costs_and_does_nothing(found):
    for measure in ("conversions", "revenue", "revenue_per_customer", "return_on_spend"):
        assert found.find("incremental", measure, "noise") == (0, 0)
    cost = 0.5 * days_looking(1)
    assert_near(found.find("incremental", "cost_per_customer", "noise"), cost)
    np.testing.assert_allclose(*(found.find("incremental", f"{m}_per_customer", "noise") for m in ("cost", "own_cost")))
    assert found.find("incremental", "cost_per_conversion", "noise") == (None, None)


def test_causes_compete_in_proportion_to_their_hazards(found):
    for measure in MEASURES["causal"]:
        assert_near(found.find("causal", measure, "ad"), 0.1 / 0.15)
        assert_near(found.find("causal", measure, "base"), 0.05 / 0.15)
        assert found.find("causal", measure, "noise") == (0, 0)


def test_the_path_shares_a_purchase_among_its_moves():
    """The ad causes 2 of 3 first moves and no last one: half of 2/3 by path, nothing by last move."""
    world = small_world(
        {"look": {"try": 0.05, "lost": 0.1}, "try": {"buy": 0.5}, "buy": {}},
        channels=[Channel(name="ad", contacts_per_day={"look": 0.4}, pull=0.25, half_life_days=INSTANT)],
    )
    found = truth(world, horizon_days=DAYS, seed=1, precision=0.003)
    assert_near(found.find("causal", "purchases_path", "ad"), 1 / 3)
    assert_near(found.find("causal", "revenue_path", "ad"), 1 / 3)
    assert found.find("causal", "purchases_last_move", "ad") == (0, 0)
    assert found.find("causal", "purchases_last_move", "base") == (1, 0)


@pytest.mark.parametrize("measure", MEASURES["causal"])
def test_causal_shares_add_up_to_one(measure):
    found = truth(rich_world(), horizon_days=60, seed=1, precision=0.05)
    shares = [row.value for row in found.rows if row.measure == measure]
    assert len(shares) == 4
    assert min(shares) >= 0
    assert sorted(shares)[1] > 0  # no ad stands before the last move
    np.testing.assert_allclose(sum(shares), 1)


def test_the_joint_effect_has_the_closed_form():
    """Two channels in one stage: their hazards add up."""
    ads = [Channel(name=n, contacts_per_day={"look": 0.4}, pull=0.25, half_life_days=INSTANT) for n in ("a", "b", "c")]
    world = small_world({"look": {"buy": 0.05, "lost": 0.1}, "buy": {}}, channels=ads)

    def share(n_on):
        forward = 0.05 + 0.1 * n_on
        return forward / (forward + 0.1) * -np.expm1(-(forward + 0.1) * DAYS)

    found = truth(world, horizon_days=DAYS, seed=1, precision=0.002, together=[["b", "a"]])
    assert_near(found.find("incremental", "conversions", "c"), 1 - share(2) / share(3))
    assert_near(found.find("incremental", "conversions", "a + b"), 1 - share(1) / share(3))
    assert_near(found.find("incremental", "conversions", "all channels"), 1 - share(0) / share(3))


# --- by persona, by stage ------------------------------------------------------------------------------------------


def test_personas_add_up_to_everybody():
    world = full_world(market_size=50)
    population = Population(Recipe(world, 1_000, 60.0, 1))
    plan = TruthPlan((Switch(("ad",)), Switch(("friends",))), by_persona=True)
    everybody, *personas = estimate(population, plan, 0, 1_000).effects
    assert len(personas) == 2
    np.testing.assert_allclose(sum(p.totals for p in personas), everybody.totals)
    assert all(0 < p.totals[0, N] < 1_000 for p in personas)
    assert {m.n_units for m in (everybody, *personas)} == {20}


def test_a_channel_acts_on_the_persona_that_it_appeals_to():
    deaf = Persona(name="deaf", share=0.5, appeal={"ad": 0})
    world = WORLD.model_copy(update={"personas": (deaf, Persona(name="open", share=0.5))})
    found = truth(world, horizon_days=DAYS, seed=1, precision=0.003, by="persona")
    assert found.find("incremental", "conversions", "ad", persona="deaf") == (0, 0)
    assert_near(found.find("incremental", "conversions", "ad", persona="open"), EFFECT)
    assert_near(found.find("causal", "purchases_path", "ad", persona="open"), 0.1 / 0.15)
    assert_near(found.find("world", "conversion_rate", persona="deaf"), converted(0))


def test_a_channel_met_in_one_stage_acts_there():
    found = truth(rich_world(), horizon_days=60, seed=1, precision=0.05, by="stage")
    met = {(row.channel, row.stage) for row in found.rows if row.stage}
    assert met == {
        *(("ad", stage) for stage in ("unaware", "interest")),
        *(("search", stage) for stage in ("interest", "decision")),
        *(("email", stage) for stage in ("decision", "use", "loyal")),
    }
    everywhere = truth(WORLD, horizon_days=DAYS, seed=1, precision=0.05, by="stage")
    for measure in ("conversions", "revenue", "cost_per_customer"):
        alone = everywhere.find("incremental", measure, "ad", stage="look")
        assert alone == everywhere.find("incremental", measure, "ad")
    assert everywhere.find("incremental", "own_cost_per_customer", "ad", stage="look") == (None, None)


# --- precision -----------------------------------------------------------------------------------------------------


def test_it_stops_at_the_precision_and_says_with_how_many_customers():
    told = []
    found = truth(
        WORLD, horizon_days=DAYS, seed=2, precision=0.002, on_progress=lambda done, goal: told.append((done, goal))
    )
    assert found.reached
    assert found.largest_error <= 0.002
    assert found.find("incremental", "conversions", "ad")[1] == found.largest_error
    assert found.largest_error > 0.0017  # not many more than needed
    assert found.n_customers == told[-1][0]
    assert 0.7 * found.n_customers < found.customers_needed <= found.n_customers
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert all(done <= goal for done, goal in told)
    assert f"after {found.n_customers:,} customers" in found.status


def test_at_the_limit_it_says_that_the_precision_was_not_reached():
    short = truth(WORLD, horizon_days=DAYS, seed=2, precision=0.002, max_customers=20_000)
    assert not short.reached
    assert short.n_customers == 20_000
    assert short.largest_error > 0.002
    assert "NOT as precise as asked" in short.status
    assert "NOT as precise as asked" in str(short)
    enough = truth(WORLD, horizon_days=DAYS, seed=2, precision=0.002)
    assert short.customers_needed == pytest.approx(enough.customers_needed, rel=0.2)


def test_with_few_conversions_an_effect_that_was_not_seen_is_not_called_nothing():
    """No customer tells a weak channel: its estimated error is 0, which is not a reason to stop."""
    weak = WORLD.model_copy(
        update={"channels": (Channel(name="weak", contacts_per_day={"look": 0.01}, pull=0.01, half_life_days=1),)}
    )
    stopped = truth(weak, horizon_days=0.2, seed=1, precision=0.005, max_customers=16_384)
    assert stopped.largest_error == 0
    assert stopped.n_conversions < 3 / (1.96 * 0.005)
    assert not stopped.reached


def test_nobody_converts():
    found = truth(WORLD, horizon_days=1e-6, seed=1, max_customers=3)
    assert not found.reached
    assert found.customers_needed is None
    assert "nobody converted among 3 customers" in found.status
    assert found.find("incremental", "conversions", "ad") == (None, None)


def test_threads_do_not_change_a_number():
    how = {"horizon_days": 60, "seed": 1, "precision": 0.02, "shapley": True, "by": "persona"}
    one, three = (truth(rich_world(), threads=threads, **how) for threads in (1, 3))
    assert one.rows == three.rows


def test_stopping_does_not_spoil_the_errors(monkeypatch):
    """Sequential stopping favours samples whose error looks small. Here with steps of 16 customers from 512 on, much
    finer than in use, and still too little to see: the squares of the standardised errors sum to a chi-square.
    """
    monkeypatch.setattr(truth_module, "FIRST_ROUND", 512)
    monkeypatch.setattr(truth_module, "customers_at_once", lambda population, plan: 16)
    runs = [truth(WORLD, horizon_days=DAYS, seed=seed, precision=0.02, threads=1) for seed in range(100)]
    assert len({run.n_customers for run in runs}) > 5
    pairs = [run.find("incremental", "conversions", "ad") for run in runs]
    chi_square = sum(((value - EFFECT) / error) ** 2 for value, error in pairs)
    low, high = stats.chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], len(runs))
    assert low < chi_square < high
    assert chi_square / 4 < low  # errors twice as large, or half as large, would be found out
    assert chi_square * 4 > high


# --- markets -------------------------------------------------------------------------------------------------------


def test_customers_who_talk_are_counted_by_market():
    found = truth(talkative_world(), horizon_days=40, seed=1, precision=0.05)
    assert found.unit == "market"
    assert found.n_units == found.n_customers / 60
    assert "errors are those of" in str(found)
    assert truth(WORLD, horizon_days=DAYS, seed=1, precision=0.05).unit == "customer"


def test_desks_couple_customers_too():
    """The line takes calls: its effect, as two logs of the SimPy engine say, by market."""
    world = desk_world()
    found = truth(world, horizon_days=20, seed=1, max_customers=1_000)
    assert (found.unit, found.n_units, found.n_customers) == ("market", 20, 1_000)

    def n_buyers(version):
        log = simulate(version, n_customers=1_000, horizon_days=20, seed=1)
        return np.unique(log.customer_codes()[log.codes("kind", ["purchase"]) == 0]).size

    full = n_buyers(world)
    value, error = found.find("incremental", "conversions", "line")
    np.testing.assert_allclose(value, (full - n_buyers(world.without("line"))) / full, rtol=1e-12)
    assert 0 < error < 1


def test_too_few_markets_are_refused():
    with pytest.raises(InputError, match=r"an honest error needs 20 markets of 60 customers.*1,200 at least"):
        truth(talkative_world(), seed=1, max_customers=1_199)
    found = truth(talkative_world(), seed=1, horizon_days=5, max_customers=1_259)
    assert (found.n_customers, found.n_units) == (1_200, 20)  # whole markets
    assert found.customers_needed >= 1_200


def test_errors_of_markets_are_honest_and_those_of_customers_would_not_be():
    """The effect of the ad in 80 independent populations: they scatter as their errors say. The chi-square of their
    distances from their mean has 79 degrees of freedom; errors that take customers as independent fail.
    """
    world = talkative_world()
    n = 60 * 60
    runs = [incremental_effects(world, n_customers=n, horizon_days=40, seed=seed) for seed in range(80)]
    effects, errors = (np.array([getattr(run, name)[1] for run in runs]) for name in ("effect", "standard_error"))
    low, high = stats.chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], len(runs) - 1)
    weights = errors**-2.0
    centre = (weights * effects).sum() / weights.sum()
    assert low < (weights * (effects - centre) ** 2).sum() < high

    def naive_error(seed):
        bought = []
        for version in (world, world.without("ad")):
            log = simulate(version, n_customers=n, horizon_days=40, seed=seed)
            bought.append(np.isin(np.arange(n), log.customer_codes()[log.codes("kind", ["purchase"]) == 0]))
        lost = bought[0].astype(float) - bought[1]
        return (lost - lost.sum() / bought[0].sum() * bought[0]).std(ddof=1) / np.sqrt(n) / bought[0].mean()

    naive = np.mean([naive_error(seed) for seed in range(8)])
    assert ((effects - effects.mean()) ** 2).sum() / naive**2 > high


# --- arguments and frame -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"precision": 0}, "precision is 0; it must be a share"),
        ({"precision": 1}, "precision is 1; "),
        ({"max_customers": 1}, "max_customers is 1; "),
        ({"by": "channel"}, "by is 'channel'; it must be 'persona', 'stage'"),
        ({"threads": 0}, "threads is 0; "),
        ({"horizon_days": -1}, "horizon_days is -1"),
        ({"together": [["ad", "add"]]}, "no channel 'add'"),
        ({"together": [["ad"]]}, "two different channels"),
        ({"together": ["ad"]}, "list of lists"),
        ({"shapley": "some"}, "shapley is 'some'; "),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        truth(WORLD, **{"seed": 1, "max_customers": 100, **arguments})


def test_a_world_without_channels_has_no_truth_to_tell():
    with pytest.raises(InputError, match="World 'tiny' has no channels"):
        truth(WORLD.model_copy(update={"channels": ()}), seed=1)


def test_the_frame_is_tidy(found):
    frame = found.to_frame()
    assert frame.columns == ["question", "channel", "stage", "persona", "measure", "unit", "value", "standard_error"]
    assert frame.drop("value", "standard_error", "unit").is_unique().all()
    units = {(q, m): unit for q, measures in MEASURES.items() for m, (unit, _) in measures.items()}
    assert all(units[q, m] == unit for q, m, unit in frame.select("question", "measure", "unit").iter_rows())
    assert set(frame["question"]) == {"world", "incremental", "causal"}
    with pytest.raises(InputError, match="There is no number for"):
        found.find("shapley", "conversions", "ad")


def test_the_page_says_it_all():
    page = str(truth(rich_world(), horizon_days=60, seed=1, precision=0.05, shapley=True, by="stage"))
    for text in ("search", "all channels", "base", "Shapley", "By stage", "Precise as asked", "EUR per"):
        assert text in page
    assert max(map(len, page.splitlines())) <= 100


def test_the_horizon_is_that_of_the_world_unless_told_otherwise():
    assert truth(WORLD, seed=1, precision=0.05).horizon_days == WORLD.horizon_days
