"""Price, lapsed customers and audiences, alone in tiny worlds: what multiplies hazards and contacts, and what not."""

import math

import numpy as np
import polars as pl
import pytest
from log_tables import moves, table
from rule_calls import tables_of
from scipy import stats
from small_worlds import INSTANT, small_world
from statistical import assert_distribution, assert_proportion, assert_sharp_proportion

from journeysim.simulation.engine import simulate
from journeysim.spec import Basket, Channel, PainPoint, Persona, Trigger

N = 50_000


def run(world, days, n=N, seed=1):
    return table(simulate(world, n_customers=n, horizon_days=days, seed=seed))


def ends(events, origin):
    """How the first stay in a stage ends: customers by where they move, and all who move."""
    first = moves(events, origin).group_by("customer", maintain_order=True).first()
    return dict(first["stage"].value_counts().iter_rows()), first.height


# --- price ---------------------------------------------------------------------------------------------------------

PRICE = 1.25
CHEAP = Persona(name="cheap", share=0.5, price_elasticity=3.0, spending=2.0)
LOYAL = Persona(name="loyal", share=0.5, price_elasticity=0.0, spending=2.0)


@pytest.fixture(scope="module")
def dear():
    journey = {
        "look": {"weigh": 0.5, "lost": 0.5},
        "weigh": {"buy": 0.3, "look": 0.1, "lost": 0.2},
        "buy": {"use": 0.4, "lost": 0.2},
        "use": {"buy": 0.3, "lost": 0.3},
    }
    basket = Basket(median=10, log_sd=0.3)
    return run(small_world(journey, personas=[CHEAP, LOYAL], price=PRICE, basket=basket), 200.0, n=4 * N)


@pytest.mark.parametrize("persona", [CHEAP, LOYAL], ids=lambda p: p.name)
def test_hazards_of_moves_to_a_purchase_and_only_they_fall_with_the_price(dear, persona):
    own = dear.filter(persona=persona.name)
    factor = PRICE**-persona.price_elasticity
    for origin, to, share in (
        ("look", "weigh", 0.5),
        ("weigh", "buy", 0.3 * factor / (0.3 * factor + 0.3)),
        ("buy", "use", 0.4 / 0.6),
        ("use", "buy", 0.3 * factor / (0.3 * factor + 0.3)),
    ):
        ways, n = ends(own, origin)
        assert_sharp_proportion(ways[to], n, share)
    log_value = np.log(own.filter(kind="purchase")["value"].to_numpy())
    assert_distribution(log_value, stats.norm(math.log(10 * PRICE * persona.spending), 0.3).cdf)


def test_a_dear_product_weakens_the_pull_towards_a_purchase_and_only_there():
    pull, price, e = 0.4, 1.5, 2.0
    mail = Channel(
        name="mail", triggers=[Trigger(entering=s) for s in ("look", "weigh")], pull=pull, half_life_days=INSTANT
    )
    world = small_world(
        {"look": {"weigh": 0.0, "lost": 0.1}, "weigh": {"buy": 0.0, "lost": 0.1}, "buy": {}},
        channels=[mail],
        personas=[Persona(name="anyone", share=1, price_elasticity=e)],
        price=price,
    )
    events = run(world, 300.0)
    assert_sharp_proportion(moves(events, "look").filter(cause="mail").height, N, pull)
    weighed = moves(events, "look").filter(stage="weigh").height
    expected = 1 - (1 - pull) ** (price**-e)
    assert_sharp_proportion(moves(events, "weigh").filter(cause="mail").height, weighed, expected)


# --- lapsed customers ----------------------------------------------------------------------------------------------

WIN_BACK = {
    "look": {"buy": 1e3},
    "buy": {"use": 0.2, "lapsed": 0.1, "lost": 0.05},
    "use": {"buy": 1e-12},
    "lapsed": {"buy": 0.0, "use": 0.0, "lost": 0.04},
}


def won_back(**person):
    """Former customers are won back by an e-mail that acts at once, or by nothing."""
    mail = Channel(
        name="mail", contacts_per_day={"lapsed": 0.3}, pull=0.2, half_life_days=INSTANT, cost_per_contact=0.5
    )
    personas = [Persona(name="anyone", share=1, **person)]
    return small_world(WIN_BACK, channels=[mail], personas=personas, satisfaction_effect=1.5, price=1.2)


@pytest.mark.parametrize(
    "person",
    [
        {"price_elasticity": 0.0},
        {"pace": 2.0, "price_elasticity": 0.0},
        {"patience": 2.0, "price_elasticity": 0.0},
        {"satisfaction": 0.9, "price_elasticity": 0.0},
        {"price_elasticity": 4.0},
    ],
    ids=str,
)
def test_lapsing_is_an_exit_and_coming_back_is_forward_and_by_mail_only(person):
    events = run(won_back(**person), 1500.0)
    m = math.exp(1.5 * (person.get("satisfaction", 0.5) - 0.5))
    patience, pace = person.get("patience", 1.0), person.get("pace", 1.0)
    ways, n = ends(events, "buy")
    ahead, out = 0.2 * pace * m, 0.15 / patience / m
    assert_sharp_proportion(ways["use"], n, ahead / (ahead + out))
    assert_sharp_proportion(ways["lapsed"], n, out * 2 / 3 / (ahead + out))
    ways, n = ends(events, "lapsed")
    acts = 1 - 0.8 ** (m * 1.2 ** -person["price_elasticity"])  # all that multiplies forward hazards multiplies pull
    back, gone = 0.3 * acts, 0.04 / patience / m
    assert_sharp_proportion(ways["buy"], n, back / (back + gone))
    returned = moves(events, "lapsed").filter(pl.col("stage") != "lost")
    assert set(returned["stage"]) == {"buy"}
    assert set(returned["cause"]) == {"mail"}
    again = events.filter(kind="purchase").height - events["customer"].n_unique()
    assert again == returned.height  # a win-back is a purchase


def test_nobody_comes_back_without_the_mail_and_touches_cost():
    world = won_back(price_elasticity=0.0)
    off, on = run(world.without("mail"), 400.0, n=5000), run(world, 400.0, n=5000)
    assert set(moves(off, "lapsed")["stage"]) == {"lost"}
    assert off.filter(kind="touch").is_empty()
    touches = on.filter(kind="touch")
    assert set(touches["stage"]) == {"lapsed"}
    assert touches["cost"].sum() == 0.5 * touches.height > 0
    before_lapsing = pl.col("stage").eq("lapsed").fill_null(value=False).cum_max().over("customer")
    assert on.filter(~before_lapsing).equals(off.filter(~before_lapsing))


def test_a_pain_point_drives_into_lapsing_and_into_leaving_alike():
    world = small_world(
        {"look": {"buy": 1e3}, "buy": {"use": 0.2, "lapsed": 0.1, "lost": 0.05}, "use": {"buy": 1e-12}, "lapsed": {}},
        pain_points=[PainPoint(name="late", stage="buy", chance=1, loses=3)],
    )
    made = moves(run(world, 300.0), "buy")
    for to, share in (("use", 0.2 / 0.65), ("lapsed", 0.3 / 0.65), ("lost", 0.15 / 0.65)):
        assert_sharp_proportion(made.filter(stage=to).height, made.height, share)
        if to != "use":
            assert_sharp_proportion(made.filter(stage=to, cause="base").height, made.filter(stage=to).height, 1 / 3)


# --- audiences -----------------------------------------------------------------------------------------------------

FEW = Persona(name="few", share=0.4, reach={"ad": {"weigh": 3.0}, "mail": 0.5})
MANY = Persona(name="many", share=0.6, reach={"ad": {"look": 0.0, "weigh": 0.5}})


@pytest.fixture(scope="module")
def audiences():
    channels = [
        Channel(
            name="ad",
            contacts_per_day={"look": 0.2, "weigh": 0.2},
            triggers=[Trigger(entering="weigh", chance=0.25)],
        ),
        Channel(name="mail", contacts_per_day={"look": 0.3}, triggers=[Trigger(entering="look", chance=0.6)]),
    ]
    journey = {"look": {"weigh": 0.25}, "weigh": {"look": 0.25, "buy": 1e-12}, "buy": {}}
    return run(small_world(journey, channels=channels, personas=[FEW, MANY]), 12.0, n=2 * N)


@pytest.mark.parametrize("persona", [FEW, MANY], ids=lambda p: p.name)
def test_reach_multiplies_triggers_by_persona_and_stage(audiences, persona):
    own = audiences.filter(persona=persona.name)
    for channel, stage, chance in (("ad", "weigh", 0.25), ("mail", "look", 0.6)):
        first = own.filter(kind="stage", stage=stage).group_by("customer").agg(entry=pl.col("day").min())
        at_entry = own.join(first, on="customer").filter(pl.col("day") == pl.col("entry"))
        fired = at_entry.filter(kind="touch", channel=channel).height
        assert_sharp_proportion(fired, first.height, chance * persona.reach_of(channel, stage))


@pytest.mark.parametrize("persona", [FEW, MANY], ids=lambda p: p.name)
def test_reach_multiplies_contacts_by_persona_and_stage(audiences, persona):
    """What happens first after an entry is one of competing clocks; which one does not depend on when."""
    after = pl.col("kind", "channel", "day").shift(-1).over("customer").name.prefix("next_")
    entries = audiences.with_columns(after).filter(pl.col("kind") == "stage", pl.col("persona") == persona.name)
    waited = pl.col("next_day") - pl.col("day")
    soon = entries.filter(pl.col("day") < 10, waited > 0, waited <= 2)  # not a trigger, not the window's end
    for stage, per_day in (("look", {"ad": 0.2, "mail": 0.3}), ("weigh", {"ad": 0.2, "mail": 0.0})):
        rates = {channel: rate * persona.reach_of(channel, stage) for channel, rate in per_day.items()}
        here = soon.filter(stage=stage)
        for channel, rate in rates.items():
            met = here.filter(next_kind="touch", next_channel=channel).height
            fits = assert_sharp_proportion if rate else assert_proportion
            fits(met, here.height, rate / (0.25 + sum(rates.values())))


# --- the tables of it ----------------------------------------------------------------------------------------------


def test_tables_hold_hazards_pulls_and_rates_by_persona():
    personas = [
        Persona(
            name="a", share=0.5, pace=2, patience=4, price_elasticity=2, appeal={"ad": 1.5}, reach={"ad": {"look": 3}}
        ),
        Persona(name="b", share=0.5, talk=3),
    ]
    channels = [
        Channel(name="ad", contacts_per_day={"look": 0.2, "buy": 0.1}, pull={"look": 0.4, "buy": 0.3}),
        Channel(name="tv"),
    ]
    x = tables_of(
        {"look": {"buy": 0.6, "lost": 0.8}, "buy": {"look": 0.3, "lapsed": 0.4}, "lapsed": {"look": 0.5}},
        stages={"look": {"influence": 0.5}, "buy": {"purchase": True, "advocates": True}},
        personas=personas,
        channels=channels,
        price=2.0,
        basket=Basket(median=7),
        word_of_mouth={"channel": "tv", "referrals_per_day": 0.2, "delay_days": 3},
    )
    by_stage = [[[0.6 * 2 / 4, 0.2], [0.3, 0.1], [1.0, 0.0]], [[0.6 / 2, 0.8], [0.3, 0.4], [0.5, 0.0]]]
    np.testing.assert_allclose(x.move_rate, by_stage)
    np.testing.assert_allclose(x.influence, [[0.5 / 4, 1, 1], [0.5 / 2, 1, 1]])
    assert x.pushed[[0, 2]].tolist() == [1, 0]  # from buy nothing leads forward, so nothing pulls there
    np.testing.assert_allclose(x.contact_rate, [[0.6, 0.1, 0], [0.2, 0.1, 0]])
    np.testing.assert_allclose(x.pull[:, :, 0], [[0.6, 0, 0], [0.4, 0, 0]])
    np.testing.assert_allclose(x.referral_rate, [0.2, 0.6])
    assert (x.advocates.tolist(), x.word_of_mouth, x.referral_delay) == ([False, True, False], 1, 3.0)
    np.testing.assert_allclose(x.basket_median, [14, 14])
