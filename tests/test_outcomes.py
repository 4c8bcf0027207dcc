"""Outcomes and twins against the logs that they do without."""

import numpy as np
import polars as pl
import pytest
from coupled_worlds import desk_world
from log_tables import table
from small_worlds import full_world, rich_world, small_world

from journeysim import worlds
from journeysim.simulation import outcomes as outcomes_module
from journeysim.simulation import simulate
from journeysim.simulation.recipe import Recipe
from journeysim.simulation.tables import tables
from journeysim.simulation.twin_runs import Population, Switch, Twins, meets_in, switched_off
from journeysim.spec import Channel, WordOfMouth

N, DAYS, SEED = 400, 80.0, 5
MEASURES = ("bought", "revenue", "cost")


WORLDS = {
    "independent": (rich_world(), N),
    "word of mouth": (full_world(market_size=200), N),
    "desk": (desk_world(), 100),
}


def twins_of(world, n):
    return Twins(Population(Recipe(world, n, DAYS, SEED)), 0, n)


def by_hand(world, n):
    """Measures, contacts and credits of each customer, from the rows of a log in plain Python."""
    log = simulate(world, n_customers=n, horizon_days=DAYS, seed=SEED)
    measures, contacts = np.zeros((n, 3)), np.zeros((n, len(world.channels)))
    causes = ["base", *world.channel_names]
    credited = np.zeros((n, len(causes), 4))
    stage, path = None, []
    who = None
    for row in table(log).iter_rows(named=True):
        k = row["customer"]
        if k != who:
            who, stage, path = k, None, []
        if row["kind"] == "touch":
            contacts[k, world.channel_names.index(row["channel"])] += 1
            measures[k, 2] += row["cost"]
        elif row["kind"] == "stage":
            if stage is not None and world.direction(stage, row["stage"]) == "forward":
                path.append(causes.index(row["cause"]))
            stage = row["stage"]
        elif row["kind"] == "purchase":
            measures[k, :2] = 1, measures[k, 1] + row["value"]
            credited[k, path[-1], :2] += 1, row["value"]
            for cause in path:
                credited[k, cause, 2:] += np.array([1, row["value"]]) / len(path)
            path = []
    return measures, contacts, credited


@pytest.mark.parametrize("name", WORLDS)
def test_outcomes_are_what_the_log_says(name):
    world, n = WORLDS[name]
    found = twins_of(world, n).everything_on()
    measures, contacts, credited = by_hand(world, n)
    assert measures[:, 0].sum() > n / 20
    assert (credited.sum(axis=(0, 2)) > 0).sum() > 2
    np.testing.assert_allclose(found.measures, measures, rtol=1e-12)
    np.testing.assert_array_equal(found.contacts, contacts)
    np.testing.assert_allclose(found.credited, credited, rtol=1e-12)
    log = simulate(world, n_customers=n, horizon_days=DAYS, seed=SEED)
    personas = [world.personas[p].name for p in found.persona]
    assert personas == pl.DataFrame(pl.from_arrow(log.customers))["persona"].cast(pl.String).to_list()


@pytest.mark.parametrize("name", WORLDS)
def test_a_twin_is_the_world_without_the_channel(name):
    world, n = WORLDS[name]
    twins = twins_of(world, n)
    full = twins.everything_on()
    several = Switch(("ad", "email"))
    for switch in (Switch(("search",)), several, Switch(("search",), "decision"), Switch(world.channel_names)):
        found = twins.without(switch, full)
        stages = None if switch.stage is None else [switch.stage]
        measures, contacts, _ = by_hand(world.without(*switch.channels, stages=stages), n)
        np.testing.assert_allclose(found.measures, measures, rtol=1e-12)
        np.testing.assert_array_equal(found.contacts, contacts)
        assert (found.measures != full.measures).any()


@pytest.mark.parametrize("channel", ["display", "review_site", "support"])
def test_common_draws_make_effects_ten_times_as_precise(channel):
    """The channels with the most, the median and the fewest contacts in considered-purchase.

    With 60,000 customers the variances are known to 5% or better (hundreds of customers differ for the commonest), and
    the least ratio is 14: to fall below 10 by luck it would have to miss by six of its standard errors.
    """
    world = worlds.load("considered-purchase")
    twins = Twins(Population(Recipe(world, 60_000, 180.0, SEED)), 0, 60_000)
    full = twins.everything_on()
    met = full.contacts.mean(axis=0)
    rank = np.argsort(-met).tolist().index(world.channel_names.index(channel))
    assert abs(rank - {"display": 0, "review_site": 5, "support": 9}[channel]) <= 1  # two in the middle are nearly even
    on = full.measures[:, 0]
    off = twins.without(Switch((channel,)), full).measures[:, 0]
    kept = off.mean() / on.mean()
    assert kept < 1
    independent = off.var() + kept**2 * on.var()
    assert independent > 10 * (off - kept * on).var()


def test_only_customers_whom_the_channel_met_are_simulated_again(monkeypatch):
    twins = twins_of(rich_world(), N)
    full = twins.everything_on()
    chosen = []
    monkeypatch.setattr(Twins, "simulate_again", lambda self, outcomes, x, who: chosen.extend(who))
    twins.without(Switch(("email",)), full)
    assert chosen == np.flatnonzero(full.contacts[:, 2]).tolist()
    assert 0 < len(chosen) < N


def test_buffers_that_are_too_small_change_nothing(monkeypatch):
    twins = twins_of(rich_world(), N)
    roomy = twins.everything_on()
    monkeypatch.setattr(outcomes_module, "ROWS_AT_FIRST", 8)
    tight = twins.everything_on()
    np.testing.assert_array_equal(tight.measures, roomy.measures)
    np.testing.assert_array_equal(tight.credited, roomy.credited)


@pytest.mark.parametrize("stages", [None, ["decision"]])
def test_tables_with_a_channel_switched_off_are_those_of_the_world_without_it(stages):
    world = full_world()
    x = tables(Recipe(world, N, DAYS, SEED))
    numbers = [world.channel_names.index(name) for name in ("search", "friends")]
    stage = None if stages is None else world.stage_names.index(stages[0])
    found = switched_off(x, numbers, stage)
    expected = tables(Recipe(world.without("search", "friends", stages=stages), N, DAYS, SEED))
    for name, a, b in zip(x._fields, found, expected, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=name)
    assert (x.channel_active != found.channel_active).any()


def test_a_purchase_without_a_move_is_caused_by_base():
    world = small_world({"buy": {"look": 1.0}, "look": {"buy": 0.5}}, channels=[Channel(name="ad")])
    found = twins_of(world, 50).everything_on()
    assert (found.credited.sum(axis=(0,))[1] == 0).all()
    assert (found.credited[:, 0, 0] >= 1).all()
    np.testing.assert_array_equal(found.credited[:, 0, 0], found.credited[:, 0, 2])


def test_where_a_channel_is_met():
    world = full_world()
    assert meets_in(world, "search") == ["interest", "decision"]
    assert meets_in(world, "email") == ["decision", "use", "loyal", "lapsed"]
    assert meets_in(world, "friends") == list(world.stage_names)
    assert world.word_of_mouth == WordOfMouth(channel="friends", referrals_per_day=0.2)
