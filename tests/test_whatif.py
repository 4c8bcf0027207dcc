import numpy as np
import pytest
from closed_forms import conversion_and_retention
from scipy import stats

from journeysim.errors import InputError
from journeysim.scenario import (
    Scenario,
    StageChange,
    change_cost,
    change_price,
    drop_channel,
    improve_stage,
    staff_desk,
)
from journeysim.simulation import changes_table, simulate_changes, tasks, whatif
from journeysim.simulation.whatif import _standard_error
from journeysim.spec import Channel, World

WORLD = World.from_yaml("""
name: tiny
stages:
  - {name: look, moves_per_day: {cart: 0.3, lost: 0.1}}
  - {name: cart, moves_per_day: {look: 0.2, buy: 0.3, lost: 0.1}}
  - {name: buy, purchase: true, moves_per_day: {use: 0.5}}
  - {name: use, moves_per_day: {buy: 0.1, lost: 0.05}}
personas: [{name: quick, share: 0.4, pace: 2, patience: 0.5}, {name: slow, share: 0.6}]
basket: {median: 10}
""")
PLAN = Scenario(name="plan", changes=(StageChange(stage="cart", forward=1.5), StageChange(stage="use", exit=0.5)))
DAYS = {"conversion_days": 10, "retention_days": 20}
FALSE_ALARM = 1e-6


@pytest.fixture(scope="module")
def truth():
    """(2, 2) conversion and retention without and with the plan, in closed form."""
    return np.array([conversion_and_retention(world, *DAYS.values()) for world in (WORLD, PLAN.apply(WORLD))])


def test_simulated_changes_agree_with_the_closed_form(truth):
    n = 200_000
    (change,) = simulate_changes(WORLD, [PLAN], n_customers=n, seed=1, **DAYS)
    allowed = stats.norm.isf(FALSE_ALARM / 2)  # four comparisons, each fails a right program with this chance
    for m, measure in enumerate(("conversion", "retention")):
        baseline, difference = truth[0, m], truth[1, m] - truth[0, m]
        error = np.sqrt(baseline * (1 - baseline) / (n if measure == "conversion" else n * truth[0, 0]))
        assert abs(getattr(change, f"{measure}_baseline") - baseline) < allowed * error
        claimed = getattr(change, f"{measure}_error")
        assert abs(getattr(change, measure) - difference) < allowed * claimed
        assert difference > 10 * claimed, "too blunt to tell the plan from nothing"
    assert change.scenario == "plan"


def test_standard_errors_are_honest(truth):
    seeds = range(60)
    changes = [simulate_changes(WORLD, [PLAN], n_customers=3_000, seed=seed, **DAYS)[0] for seed in seeds]
    for m, measure in enumerate(("conversion", "retention")):
        found = np.array([getattr(change, measure) for change in changes])
        claimed = np.array([getattr(change, f"{measure}_error") for change in changes])
        chi_square = (((found - (truth[1, m] - truth[0, m])) / claimed) ** 2).sum()
        low, high = stats.chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], len(seeds))
        assert low < chi_square < high
        # an error claimed twice as large, or half as large, would be found out
        assert chi_square / 4 < low
        assert chi_square * 4 > high


def test_shared_draws_make_the_difference_sharper(truth):
    (change,) = simulate_changes(WORLD, [PLAN], n_customers=3_000, seed=1, **DAYS)
    independent = np.sqrt((truth[:, 0] * (1 - truth[:, 0])).sum() / 3_000)
    assert change.conversion_error < 0.5 * independent


def test_no_change_is_no_difference_and_has_no_error():
    (change,) = simulate_changes(WORLD, [improve_stage("look")], n_customers=500, seed=1, **DAYS)
    assert (change.conversion, change.conversion_error, change.retention, change.retention_error) == (0, 0, 0, 0)


def test_retention_of_nobody_is_unknown():
    (change,) = simulate_changes(WORLD, [PLAN], n_customers=5, conversion_days=1e-6, retention_days=1, seed=1)
    assert (change.conversion_baseline, change.conversion) == (0, 0)
    assert np.isnan([change.retention_baseline, change.retention, change.retention_error]).all()


# --- money ----------------------------------------------------------------------------------------------------------

SHOP = World.from_yaml("""
name: shop
stages:
  - {name: look, moves_per_day: {buy: 0.1}}
  - {name: buy, purchase: true}
channels: [{name: ad, contacts_per_day: {look: 0.5, buy: 0.2}, cost_per_contact: 0.5}]
personas: [{name: anyone, share: 1, price_elasticity: 0}]
basket: {median: 10, log_sd: 0}
""")


def test_money_follows_price_and_cost_exactly():
    dearer, cheaper = change_price(times=1.2), change_cost("ad", times=0.5)
    price, cost, either = simulate_changes(SHOP, [dearer, cheaper, dearer + cheaper], n_customers=4_000, seed=1, **DAYS)
    p_bought = 1 - np.exp(-3)  # within 30 days; 0.5 contacts a day until then, and 0.2 after it
    error = 10 * np.sqrt(p_bought * (1 - p_bought) / 4_000)
    assert abs(price.revenue_baseline - 10 * p_bought) < stats.norm.isf(FALSE_ALARM / 2) * error
    assert price.revenue == pytest.approx(0.2 * price.revenue_baseline)
    assert price.revenue_error == pytest.approx(0.2 * error, rel=0.1)
    assert (price.cost, price.cost_error, price.conversion) == (0, 0, 0)
    assert cost.cost == pytest.approx(-0.5 * cost.cost_baseline)
    assert 0 < cost.cost_error < 0.05 * cost.cost_baseline
    assert (cost.revenue, cost.revenue_error) == (0, 0)
    assert cost.profit == pytest.approx(-cost.cost)
    assert either.profit == pytest.approx(price.profit + cost.profit)
    for change in (price, cost, either):
        assert change.profit_baseline == pytest.approx(change.revenue_baseline - change.cost_baseline)
        assert change.profit == pytest.approx(change.revenue - change.cost)


def test_what_an_ad_costs_is_its_contacts():
    """Expected contacts in T days: 0.5 E[min(X, T)] + 0.2 (T - E[min(X, T)]), X exponential with rate 0.1."""
    (change,) = simulate_changes(SHOP, [drop_channel("ad")], n_customers=20_000, seed=2, **DAYS)
    looking = (1 - np.exp(-3)) / 0.1
    expected = 0.5 * (0.5 * looking + 0.2 * (30 - looking))
    assert change.cost == pytest.approx(-change.cost_baseline)
    assert abs(change.cost_baseline - expected) < stats.norm.isf(FALSE_ALARM / 2) * change.cost_error
    assert change.cost_error < expected / 100


def test_scores_of_surveys_are_no_revenue():
    asked = SHOP.stages[1].model_dump() | {"surveys": [{"kind": "nps"}]}
    world = World.model_validate(SHOP.model_dump() | {"stages": [SHOP.stages[0], asked]})
    runs = [simulate_changes(w, [change_price(times=2)], n_customers=200, seed=1, **DAYS)[0] for w in (SHOP, world)]
    assert runs[0] == runs[1]


def test_the_table_has_a_row_for_each_measure():
    changes = simulate_changes(SHOP, [drop_channel("ad"), change_price(times=2)], n_customers=200, seed=1, **DAYS)
    frame = changes_table(changes)
    assert frame["measure"].to_list() == ["conversion", "retention", "purchases", "revenue", "cost", "profit"] * 2
    row = frame.filter(scenario="price x2", measure="revenue").row(0, named=True)
    assert row["changed"] == row["baseline"] + row["difference"]
    assert (row["difference"], row["standard_error"]) == (changes[1].revenue, changes[1].revenue_error)


# --- markets --------------------------------------------------------------------------------------------------------

TALK = World.from_yaml("""
name: talk
stages:
  - {name: look, moves_per_day: {buy: 1.0e-4}}
  - {name: buy, purchase: true, advocates: true}
channels:
  - {name: friends, pull: 0.8, half_life_days: 0.5}
  - {name: phone, contacts_per_day: {look: 0.02}, pull: 0.2}
personas: [{name: anyone, share: 1}]
basket: {median: 10}
market_size: 20
word_of_mouth: {channel: friends, referrals_per_day: 1}
""")
QUIETER = drop_channel("phone")  # the one who bought first tells the others: a market buys as a whole or not at all


def test_the_error_of_groups_is_the_error_of_their_sums():
    rng = np.random.default_rng(3)
    values = rng.normal(size=600)
    by_hand = values.reshape(60, 10).mean(axis=1)
    assert _standard_error(values, 10) == pytest.approx(by_hand.std(ddof=1) / np.sqrt(60))
    assert _standard_error(values, 1) == pytest.approx(values.std(ddof=1) / np.sqrt(600))
    same = np.repeat(rng.normal(size=60), 10)  # all of a group alike: as good as 60 customers
    assert _standard_error(same, 10) == pytest.approx(same[::10].std(ddof=1) / np.sqrt(60))
    last = np.concatenate([values, [1.0, 2.0, 3.0]])  # the last market is a small one
    sums = np.array([*(last - last.mean())[:600].reshape(60, 10).sum(axis=1), (last - last.mean())[600:].sum()])
    assert _standard_error(last, 10) == pytest.approx(np.sqrt(61 / 60 * (sums**2).sum()) / 603)


def test_errors_are_honest_where_word_travels(monkeypatch):
    """Estimates scatter over seeds as the errors say; errors of customers taken for independent are found out."""
    n, seeds = 1_200, range(60)
    changes = [simulate_changes(TALK, [QUIETER], n_customers=n, seed=seed, **DAYS)[0] for seed in seeds]
    assert {change.n_independent for change in changes} == {60}
    monkeypatch.setattr(whatif, "_group_size", lambda *_: 1)
    (naive,) = simulate_changes(TALK, [QUIETER], n_customers=n, seed=0, **DAYS)
    low, high = stats.chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], len(seeds) - 1)
    for measure in ("conversion", "revenue", "profit"):
        found = np.array([getattr(change, measure) for change in changes])
        claimed = np.array([getattr(change, f"{measure}_error") for change in changes])
        scatter = ((found - found.mean()) ** 2).sum()
        assert low < scatter / (claimed**2).mean() < high
        assert scatter / getattr(naive, f"{measure}_error") ** 2 > high


def test_customers_are_independent_where_neither_world_couples_them():
    mute = World.model_validate({**dict(SHOP), "market_size": 20})
    (change,) = simulate_changes(mute, [change_price(times=2)], n_customers=200, seed=1, **DAYS)
    assert change.n_independent == 200


def test_a_desk_that_is_opened_couples_customers_and_changes_what_they_do():
    """One person for twenty callers a market who never gets anybody through in time: the calls no longer sell."""
    stages = [stage | {"advocates": False} for stage in TALK.model_dump()["stages"]]
    more = Channel(name="phone", contacts_per_day={"look": 0.2}, pull=0.3)
    silent = World.model_validate(TALK.model_dump() | {"word_of_mouth": None, "stages": stages, "channels": [more]})
    busy = staff_desk("phone", staff=1, service_minutes=50_000)
    (change,) = simulate_changes(silent, [busy], n_customers=200, seed=1, **DAYS)
    assert change.n_independent == 10
    assert change.conversion < -5 * change.conversion_error < 0


def test_one_market_is_too_few():
    message = r"n_customers is 20, all in one market of 20 \(market_size of world 'talk'\).*simulate 200 customers"
    with pytest.raises(InputError, match=message):
        simulate_changes(TALK, [QUIETER], n_customers=20, seed=1, **DAYS)


def test_scenarios_must_have_names_of_their_own():
    with pytest.raises(InputError, match="Two scenarios share a name, 'plan'; give"):
        simulate_changes(WORLD, [PLAN, PLAN], n_customers=9, seed=1, **DAYS)


def test_progress_counts_customers_of_all_versions_and_moves_within_each(monkeypatch):
    monkeypatch.setattr(whatif, "CHUNK_CUSTOMERS", 4)
    done = []
    simulate_changes(WORLD, [PLAN, improve_stage("look")], n_customers=9, seed=1, **DAYS, on_progress=done.append)
    assert done == [4, 8, 9, 13, 17, 18, 22, 26, 27]


def test_with_desks_progress_moves_market_by_market():
    done = []
    busy = staff_desk("phone", staff=1, service_minutes=30)
    simulate_changes(TALK, [busy], n_customers=50, seed=1, **DAYS, threads=1, on_progress=done.append)
    assert done == [50, 70, 90, 100]


def test_who_does_the_work_changes_no_number():
    scenarios = [QUIETER, staff_desk("phone", staff=1, service_minutes=30)]
    expected = repr(simulate_changes(TALK, scenarios, n_customers=100, seed=1, **DAYS, threads=1))  # NaN is not NaN
    assert repr(simulate_changes(TALK, scenarios, n_customers=100, seed=1, **DAYS, threads=2)) == expected
    with tasks.processes(1) as pool:
        assert repr(simulate_changes(TALK, scenarios, n_customers=100, seed=1, **DAYS, executor=pool)) == expected
        with pytest.raises(InputError, match="executor and threads=1 were both given"):
            simulate_changes(TALK, scenarios, n_customers=100, seed=1, **DAYS, executor=pool, threads=1)


@pytest.mark.parametrize("scenario", [PLAN, improve_stage("crat")])
def test_what_is_wrong_is_told_before_anything_is_simulated(scenario, monkeypatch):
    monkeypatch.setattr(whatif, "simulate", lambda *_, **__: pytest.fail("simulated in vain"))
    with pytest.raises(InputError):
        simulate_changes(WORLD, [scenario], n_customers=9, conversion_days=10, retention_days=1e9, seed=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"conversion_days": -1}, "conversion_days is -1; it must be a positive number of days"),
        ({"retention_days": 0}, "retention_days is 0; it must be"),
        ({"retention_days": float("nan")}, "retention_days is nan; it must be"),
        ({"n_customers": 1}, "n_customers is 1; a standard error needs two"),
        ({"conversion_days": 1e9}, "horizon_days is .*at most 36500"),
    ],
)
def test_wrong_numbers_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        simulate_changes(WORLD, [PLAN], **{"n_customers": 9, "seed": 1} | DAYS | options)


def test_an_unknown_stage_is_refused():
    with pytest.raises(InputError, match="changes stage 'crat'"):
        simulate_changes(WORLD, [improve_stage("crat")], n_customers=9, seed=1, **DAYS)
