"""The SimPy engine: the compiled engine's log to the bit, and queues that follow the theory of queues."""

import math
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from log_tables import table
from small_worlds import INSTANT, full_world, rich_world, small_world
from statistical import assert_mean, assert_proportion, assert_student

from journeysim import worlds
from journeysim.errors import InputError
from journeysim.parts import Desk, Shift
from journeysim.simulation import simulate
from journeysim.simulation.desks import staff_at
from journeysim.spec import Channel, PainPoint, Persona, Survey

TWINS = {
    "rich": (rich_world(), 400, 90.0),
    "full": (full_world(), 1200, 120.0),
    "full without word of mouth": (full_world().without("friends"), 300, 60.0),
    "many others tell": (full_world(market_size=40), 130, 200.0),
    **{name: (worlds.load(name), 150, 120.0) for name in worlds.names() if not worlds.load(name).has_desks},
}


@pytest.mark.parametrize("name", TWINS)
def test_both_engines_write_the_same_log(name):
    world, n, days = TWINS[name]
    compiled, simpy = (
        simulate(world, n_customers=n, horizon_days=days, seed=11, engine=e) for e in ("compiled", "simpy")
    )
    assert compiled.n_events > n
    assert table(simpy).equals(table(compiled))
    assert simpy.hash() == compiled.hash()


def test_other_draws_give_another_log():
    """Negative control of the comparison above."""
    world, n, days = TWINS["full"]
    compiled = simulate(world, n_customers=n, horizon_days=days, seed=11, engine="compiled")
    simpy = simulate(world, n_customers=n, horizon_days=days, seed=12, engine="simpy")
    assert simpy.hash() != compiled.hash()


def test_auto_takes_the_engine_that_can():
    with pytest.raises(InputError, match=r"desks \('phone'\).*Use the engine 'auto' or 'simpy'"):
        simulate(calls(Desk(staff=1, service_minutes=5)), n_customers=2, horizon_days=1, seed=1, engine="compiled")
    with pytest.raises(InputError, match="engine is 'fast'; it must be one of auto, compiled, simpy"):
        simulate(rich_world(), n_customers=2, horizon_days=1, seed=1, engine="fast")
    assert simulate(calls(Desk(staff=1, service_minutes=5)), n_customers=20, horizon_days=5, seed=1).n_events > 20


# --- queues ---------------------------------------------------------------------------------------------------------

MARKET = 40


def calls(desk, *, load=0.5, moves=None, personas=(), pull=0.0, pain_points=()):
    """Customers who do nothing but call, so often that each market offers `load` erlangs."""
    per_day = load / (desk.service_minutes / 1440) / MARKET
    moves = moves or {"home": {"buy": 1e-12}, "buy": {}}
    phone = Channel(
        name="phone", online=False, contacts_per_day={"home": per_day}, pull=pull, half_life_days=INSTANT, desk=desk
    )
    return small_world(moves, channels=[phone], personas=personas, pain_points=pain_points, market_size=MARKET)


def call_rows(world, *, n_markets, days, seed=1, warm_up=1.0):
    """Calls after the warm-up, with their market, minute of waiting and whether they waited."""
    log = simulate(world, n_customers=MARKET * n_markets, horizon_days=days, seed=seed)
    rows = table(log).filter((pl.col("kind") == "touch") & pl.col("value").is_not_null())
    start = log.start
    return rows.with_columns(
        market=pl.col("customer") // MARKET, day=(pl.col("time") - start).dt.total_microseconds() / 86400e6
    ).filter(
        (pl.col("day") > warm_up) & (pl.col("day") < days - 0.2)  # the last ones may still be waiting
    )


def stationary(load, staff, patience=math.inf):
    """Probabilities of n calls at the counter, M/M/c+M: per service time `load` arrive and 1 / patience hang up."""
    weights = [1.0]
    for n in range(1, 400):
        leaves = min(n, staff) + max(n - staff, 0) / patience
        weights.append(weights[-1] * load / leaves)
    return np.array(weights) / sum(weights)


def erlang_c(load, staff):
    """Probability of waiting in M/M/c (Erlang 1917), by the recursion of Erlang B."""
    b = 1.0
    for c in range(1, staff + 1):
        b = load * b / (c + load * b)
    return b / (1 - load / staff * (1 - b))


def test_erlang_c_is_the_share_of_time_that_all_staff_are_busy():
    assert stationary(1.6, 2)[2:].sum() == pytest.approx(erlang_c(1.6, 2), rel=1e-9)


@pytest.mark.parametrize(("staff", "load"), [(1, 0.6), (3, 2.4)])
def test_waiting_follows_erlang_c(staff, load):
    """Markets are independent: their means are a sample, tested by a t bound (Student, 1e-6)."""
    desk = Desk(staff=staff, service_minutes=10)
    rows = call_rows(calls(desk, load=load), n_markets=50, days=5)
    by_market = rows.group_by("market").agg(waited=(pl.col("value") > 1e-9).mean(), minutes=pl.col("value").mean())
    p_wait = erlang_c(load, staff)
    mean_minutes = p_wait * 10 / (staff - load)
    assert_student(by_market["waited"].to_numpy(), p_wait)
    assert_student(by_market["minutes"].to_numpy(), mean_minutes)
    with pytest.raises(AssertionError):  # negative control: one more at the counter
        assert_student(by_market["waited"].to_numpy(), erlang_c(load, staff + 1))


def test_those_who_hang_up_follow_erlang_a():
    """M/M/c+M: the share that hangs up is the mean number waiting over patience and arrivals (Palm 1957)."""
    load, staff, patience = 2.5, 2, 1.5  # patience in units of service
    world = calls(Desk(staff=staff, service_minutes=10, patience_minutes=15), load=load)
    log = simulate(world, n_customers=MARKET * 60, horizon_days=4, seed=2)
    days = (table(log)["time"] - log.start).dt.total_microseconds() / 86400e6
    rows = table(log).with_columns(market=pl.col("customer") // MARKET, day=days).filter(pl.col("day") > 1)
    share = rows.group_by("market").agg(share=(pl.col("kind") == "pain").sum() / (pl.col("kind") == "touch").sum())
    p = stationary(load, staff, patience)
    waiting = np.maximum(np.arange(len(p)) - staff, 0) @ p
    assert_student(share["share"].to_numpy(), waiting / patience / load)
    with pytest.raises(AssertionError):
        assert_student(share["share"].to_numpy(), waiting / patience / load * 1.2)
    assert set(rows.filter(kind="pain")["pain_point"]) == {"delayed answers"}


def test_without_staff_nobody_is_served_and_all_hang_up_after_their_patience():
    world = calls(Desk(staff=0, service_minutes=10, patience_minutes=30, loses=1.0), load=0.5)
    log = simulate(world, n_customers=MARKET * 20, horizon_days=3, seed=3)
    rows = table(log)
    early = rows.filter((pl.col("kind") == "touch") & (pl.col("time") < log.end - timedelta(hours=15)))
    waits = early["value"].fill_null(0.0).to_numpy()  # who is gone before the call is over leaves the line
    assert_mean(waits[waits > 0], 30, 0, 900)
    lost = rows.filter(kind="lost")
    assert len(lost) > 300
    assert set(lost["cause"]) == {"delayed answers"}


def test_a_call_counts_from_the_end_of_its_service():
    world = calls(Desk(staff=MARKET, service_minutes=240), load=5.0, pull=1 - 1e-12)
    rows = table(simulate(world, n_customers=MARKET * 10, horizon_days=30, seed=4))
    first_call = rows.filter(kind="touch").group_by("customer").agg(pl.col("time").min())
    bought = rows.filter(kind="purchase").join(first_call, on="customer", suffix="_of_call")
    minutes = (bought["time"] - bought["time_of_call"]).dt.total_microseconds().to_numpy() / 60e6
    assert len(minutes) > 300
    # the first of several calls that is over ends the stay, so most but not all take a whole service
    assert minutes.min() > 0
    alone = rows.filter(kind="touch").group_by("customer").len().filter(pl.col("len") == 1)
    whole = bought.filter(pl.col("customer").is_in(alone["customer"].implode()))
    assert len(whole) > 50
    assert minutes.mean() > 60


def test_some_who_hang_up_never_call_again():
    desk = Desk(staff=0, service_minutes=10, patience_minutes=60, loses=0.3)
    rows = table(simulate(calls(desk, load=3.0), n_customers=MARKET * 50, horizon_days=20, seed=5))
    hung_up, lost = rows.filter(kind="pain"), rows.filter(kind="lost", cause="delayed answers")
    assert_proportion(len(lost), len(hung_up), 0.3)
    with pytest.raises(AssertionError):
        assert_proportion(len(lost), len(hung_up), 0.25)


def test_waiting_takes_from_satisfaction_by_the_hour():
    """Net promoter scores are Binomial(10, satisfaction), and satisfaction is known from the minutes in the log."""
    moves = {"home": {"buy": 5.0}, "buy": {}}
    desk = Desk(staff=0, service_minutes=10, patience_minutes=60, hurts_per_hour=0.25)
    sure = [Persona(name="anyone", share=1, satisfaction=1.0)]
    world = calls(desk, load=10.0, moves=moves, personas=sure)
    asked = [stage.model_copy(update={"surveys": (Survey(kind="nps"),)}) for stage in world.stages]
    world = world.model_copy(update={"stages": (world.stages[0], asked[1])})
    rows = table(simulate(world, n_customers=MARKET * 100, horizon_days=5, seed=5))
    scores = rows.filter(kind="nps").select("customer", "time", score="value")
    over = rows.filter(pl.col("kind") == "touch").with_columns(
        ended=pl.col("time") + pl.duration(microseconds=pl.col("value") * 60e6)
    )
    waited = over.join(scores, on="customer").filter(pl.col("ended") < pl.col("time_right"))
    hours = waited.group_by("customer").agg(hours=pl.col("value").sum() / 60)
    both = scores.join(hours, on="customer", how="left").with_columns(pl.col("hours").fill_null(0.0))
    satisfaction = np.maximum(1 - 0.25 * both["hours"].to_numpy(), 0)
    assert (satisfaction < 0.9).sum() > 200
    assert_student((both["score"].to_numpy() / 10 - satisfaction)[satisfaction < 0.99], 0.0)
    less = np.maximum(1 - 0.2 * both["hours"].to_numpy(), 0)
    with pytest.raises(AssertionError):
        assert_student((both["score"].to_numpy() / 10 - less)[satisfaction < 0.99], 0.0)


def test_desks_of_other_markets_do_not_matter():
    world = calls(Desk(staff=1, service_minutes=10, patience_minutes=20), load=0.9)
    few = simulate(world, n_customers=MARKET * 2, horizon_days=3, seed=6)
    many = simulate(world, n_customers=MARKET * 5, horizon_days=3, seed=6)
    assert many.only(few.customers["customer"].combine_chunks()).equals(few)


def test_the_log_of_a_world_with_desks_does_not_depend_on_chunks_and_threads():
    world = calls(Desk(staff=1, service_minutes=10, patience_minutes=20), load=0.9)
    logs = [
        simulate(world, n_customers=MARKET * 5, horizon_days=3, seed=6, threads=threads, chunk_customers=chunk)
        for threads, chunk in ((1, 10_000), (2, 1), (2, 79))
    ]
    assert len({log.hash() for log in logs}) == 1


SHIFTS = (
    Shift(from_hour=9, until_hour=17, staff=5, weekdays=("mon", "tue", "wed", "thu", "fri")),
    Shift(from_hour=10, until_hour=14, staff=2, weekdays=("sat",)),
)


@pytest.mark.parametrize(
    ("weekday", "day", "staff"),
    [(0, 9 / 24, 5), (0, 8.99 / 24, 1), (0, 17 / 24, 1), (4, 1 + 12 / 24, 2), (4, 2 + 12 / 24, 1), (3, 4.5, 5)],
)
def test_shifts_say_who_is_there(weekday, day, staff):
    assert staff_at(Desk(staff=1, service_minutes=5, shifts=SHIFTS), weekday, day) == staff


def test_calls_outside_the_hours_wait_for_the_morning():
    desk = Desk(staff=0, service_minutes=1, shifts=(Shift(from_hour=9, until_hour=17, staff=50),))
    rows = call_rows(calls(desk, load=0.05), n_markets=10, days=6, warm_up=0.0)
    hour = rows["day"].to_numpy() % 1 * 24
    minutes = rows["value"].to_numpy()
    at_work = (hour >= 9) & (hour < 16.9)
    assert at_work.sum() > 100
    assert (minutes[at_work] < 15).mean() > 0.9  # who called by night is served first
    night = (hour > 17.2) | (hour < 9)
    to_nine = (9 - hour[night]) % 24 * 60
    assert (minutes[night] >= to_nine - 1e-6).all()
    assert (minutes[night] <= to_nine + 15).all()


@pytest.mark.parametrize("hour", range(24))
def test_windows_may_begin_at_any_hour(hour):
    """The clock may be an instant before midnight when the day begins: shifts are kept from any start on."""
    world = calls(Desk(staff=0, service_minutes=5, shifts=[Shift(from_hour=9, until_hour=17, staff=2)]), load=0.2)
    start = datetime(2026, 1, 1, hour)
    log = simulate(world, n_customers=MARKET, horizon_days=20, seed=1, start=start)
    rows = table(log).filter(pl.col("kind") == "touch").filter(pl.col("value") < 1e-9)  # served at once
    hours = rows["time"].dt.hour()
    assert len(rows) > 20
    assert hours.is_between(9, 16).all()


def test_a_pain_point_and_a_desk_keep_their_causes_apart():
    moves = {"home": {"buy": 0.1, "lost": 0.05}, "buy": {}}
    pain = PainPoint(name="noise", stage="home", chance=0.5, loses=5)
    world = calls(
        Desk(staff=0, service_minutes=10, patience_minutes=60, loses=0.5), moves=moves, load=1.0, pain_points=[pain]
    )
    log = simulate(world, n_customers=MARKET * 20, horizon_days=10, seed=7)
    assert set(table(log).filter(kind="lost")["cause"]) == {"base", "noise", "delayed answers"}
    assert set(table(log)["pain_point"].drop_nulls()) == {"noise", "delayed answers"}
