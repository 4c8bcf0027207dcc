"""Word of mouth: closed forms of small markets, letters reconstructed one by one, a mean field, and edges."""

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from log_tables import moves, never_touched_by, table
from rule_calls import U64, plain
from scipy import linalg
from small_worlds import INSTANT, full_world, small_world
from statistical import (
    assert_counts,
    assert_distribution,
    assert_proportion,
    assert_sharp_proportion,
    assert_student,
)

from journeysim.simulation import rules, word_of_mouth
from journeysim.simulation.engine import simulate
from journeysim.simulation.recipe import Recipe
from journeysim.simulation.tables import tables
from journeysim.spec import Channel, Persona, WordOfMouth

BASE, TELLS, PULL, DELAY = 0.1, 0.6, 0.5, 2.0


def gossip(moves_per_day, *, advocates, tells=TELLS, pull=PULL, delay=DELAY, half_life=INSTANT, **parts):
    """A world in which friends are the only contacts."""
    marked = {stage: {"advocates": True, **({"purchase": True} if stage == "buy" else {})} for stage in advocates}
    friends = Channel(name="friends", kind="earned", pull=pull, half_life_days=half_life, cost_per_contact=0.25)
    talk = WordOfMouth(channel="friends", referrals_per_day=tells, delay_days=delay)
    return small_world(moves_per_day, stages=marked, channels=[friends], word_of_mouth=talk, **parts)


def run(world, n, days, seed=1):
    return table(simulate(world, n_customers=n, horizon_days=days, seed=seed))


# --- two customers -------------------------------------------------------------------------------------------------

PAIRS = 6000


@pytest.fixture(scope="module")
def pairs():
    """Markets of two: whoever buys first tells the other, who buys at the first referral that acts."""
    world = gossip({"look": {"buy": BASE}, "buy": {}}, advocates=["buy"], market_size=2)
    events = run(world, 2 * PAIRS, 40.0).with_columns(market=pl.col("customer") // 2)
    bought = events.filter(kind="stage", stage="buy").group_by("market", maintain_order=True)
    return events, bought.agg(first=pl.col("day").min(), second=pl.col("day").max(), n=pl.len())


def gap(t, tells=TELLS, delay=DELAY, pull=PULL):
    """The second purchase after the first: base hazard, and from the delay on that of referrals that act."""
    return -np.expm1(-BASE * t - tells * pull * np.maximum(t - delay, 0))


def test_the_second_of_two_follows_the_first_as_the_closed_form_says(pairs):
    _, bought = pairs
    early = bought.filter(pl.col("first") < 15)
    assert_sharp_proportion(early.height, PAIRS, -np.expm1(-2 * BASE * 15))
    soon = early.filter(pl.col("n") == 2, pl.col("second") - pl.col("first") < 20)
    assert_proportion(soon.height, early.height, gap(20))
    gaps = (soon["second"] - soon["first"]).to_numpy()
    assert_distribution(gaps, lambda t: gap(t) / gap(20))
    for wrong in ({"delay": 1.1 * DELAY}, {"tells": 0.8 * TELLS}, {"pull": 0.8 * PULL}):
        with pytest.raises(AssertionError):
            assert_distribution(gaps, lambda t, wrong=wrong: gap(t, **wrong) / gap(20, **wrong))


def test_friends_cause_their_share_of_second_purchases(pairs):
    events, bought = pairs
    early = bought.filter(pl.col("first") < 15)
    both = early.filter(pl.col("n") == 2, pl.col("second") - pl.col("first") < 20)
    told = moves(events).join(both, left_on=["market", "day"], right_on=["market", "second"])
    assert told.height == both.height
    # P(a friend did it) = P(no base move within the delay) times the share of the hazard from then on
    by_friends = np.exp(-BASE * DELAY) * TELLS * PULL / (BASE + TELLS * PULL) * -np.expm1(-(BASE + TELLS * PULL) * 18)
    assert_sharp_proportion(told.filter(cause="friends").height, early.height, by_friends)


def test_nothing_is_heard_before_the_delay_and_every_contact_costs(pairs):
    events, bought = pairs
    touches = events.filter(kind="touch").join(bought, on="market")
    assert (touches["day"] - touches["first"]).min() > DELAY
    assert set(touches["cost"]) == {0.25}
    referrals = events.filter(kind="referral")
    assert set(referrals["stage"]) == {"buy"}
    assert referrals["channel"].null_count() == referrals["value"].null_count() == referrals.height
    heard = referrals.filter(pl.col("day") < 40 - DELAY - 1e-9).height
    assert touches.height == heard  # with one other customer in the market, who never leaves, all are heard


def test_the_pull_of_a_referral_is_the_share_that_acts(pairs):
    events, _ = pairs
    looking = events.filter(kind="touch", stage="look").group_by("customer").first()
    moved = looking.join(moves(events, "look").filter(cause="friends"), on="customer", suffix="_of_move")
    at_first = moved.filter((pl.col("day_of_move") - pl.col("day")).abs() < 1e-6)
    assert_sharp_proportion(at_first.height, looking.height, PULL)


# --- who tells, and how often --------------------------------------------------------------------------------------


def test_referrals_come_at_the_rate_of_an_advocate_times_talk():
    """The clock is spent in advocating stages only and runs on across stays: a chain killed at the first referral."""
    people = [Persona(name="quiet", share=0.5, talk=0.5), Persona(name="loud", share=0.5, talk=3.0)]
    journey = {"buy": {"rest": 0.4}, "rest": {"buy": 0.2, "tell": 0.3}, "tell": {"rest": 0.5}}
    n, days = 40_000, 10.0
    world = gossip(journey, advocates=["buy", "tell"], tells=0.2, pull=0.0, personas=people, market_size=5000)
    events = run(world, n, days)
    grid = np.linspace(0, days, 401)
    for persona in people:
        own = events.filter(persona=persona.name)
        rate = 0.2 * persona.talk
        Q = np.array([[-0.4 - rate, 0.4, 0], [0.2, -0.5, 0.3], [0, 0.5, -0.5 - rate]])
        first = own.filter(kind="referral").group_by("customer").agg(pl.col("day").min())["day"].to_numpy()
        told_by = np.array([1 - linalg.expm(Q * t)[0].sum() for t in grid])
        assert_sharp_proportion(len(first), own["customer"].n_unique(), told_by[-1])
        assert_distribution(first, lambda t, told_by=told_by: np.interp(t, grid, told_by / told_by[-1]))


def test_quiet_personas_never_refer():
    people = [Persona(name="quiet", share=0.5, talk=0.0), Persona(name="loud", share=0.5)]
    events = run(
        gossip({"buy": {"rest": 0.1}, "rest": {}}, advocates=["buy"], personas=people, market_size=50), 500, 20.0
    )
    assert set(events.filter(kind="referral")["persona"]) == {"loud"}
    assert set(events.filter(kind="touch")["persona"]) == {"quiet", "loud"}


# --- whom ----------------------------------------------------------------------------------------------------------


def test_all_others_of_the_market_are_named_alike():
    size, markets = 5, 800
    world = gossip({"buy": {"rest": 1e-12}, "rest": {}}, advocates=["buy"], tells=0.5, pull=0.0, market_size=size)
    events = run(world, size * markets, 20.0).with_columns(market=pl.col("customer") // size)
    told = events.filter(kind="referral").with_columns(pl.col("time") + pl.duration(days=DELAY)).sort("time")
    heard = events.filter(kind="touch").sort("time").select("market", "time", named="customer")
    # a referral and its hearing are rounded to microseconds each
    pairs = told.join_asof(heard, on="time", by="market", strategy="nearest", tolerance="2us").drop_nulls("named")
    assert pairs.height == heard.height > 20_000
    for sender in range(size):
        named = pairs.filter(pl.col("customer") % size == sender)["named"].to_numpy() % size
        counts = np.bincount(named, minlength=size)
        assert counts[sender] == 0
        assert_counts(np.delete(counts, sender), np.full(size - 1, 1 / (size - 1)))


LIVELY = {
    "busy": full_world(market_size=60, word_of_mouth=WordOfMouth(channel="friends", referrals_per_day=2.0)),
    "deep": gossip(
        {"look": {"buy": 0.01, "lost": 0.03}, "buy": {"rest": 0.2, "lost": 0.05}, "rest": {"buy": 0.0, "lost": 0.1}},
        advocates=["buy"],
        tells=1.5,
        delay=0.3,
        half_life=1.0,
        market_size=75,
    ),
}


@pytest.mark.parametrize("name", LIVELY)
def test_what_is_heard_is_what_was_told_letter_by_letter(name):
    """The log is the one solution: its contacts are those that its own referrals make, each a delay later.

    What a customer hears depends on referrals before only, so a log of which this is true is the exact one: from day to
    day it can only go on as it does. The lost are the only ones who hear nothing.
    """
    world, n, days, seed = LIVELY[name], 590, 150.0, 5  # the last market is smaller than the others
    log = simulate(world, n_customers=n, horizon_days=days, seed=seed)
    x, events = tables(Recipe(world, n, days, seed)), table(log)
    lost = dict(events.filter(kind="lost").select("customer", "day").iter_rows())
    expected, to_the_lost, n_told = [], 0, np.zeros(n, int)
    for sender, day in events.filter(kind="referral").select("customer", "day").iter_rows():
        named, _ = plain(rules.referral)(x, U64(seed), U64(sender), U64(n_told[sender]), n)
        n_told[sender] += 1
        assert named // world.market_size == sender // world.market_size
        at = day + world.word_of_mouth.delay_days
        if at >= lost.get(named, days):
            to_the_lost += at < days
        else:
            expected.append((named, at))
    heard = [*events.filter(kind="touch", channel="friends").select("customer", "day").iter_rows()]
    assert len(heard) > n
    assert to_the_lost > 20
    assert len(heard) == len(expected)
    for mine, theirs in zip(sorted(expected), sorted(heard), strict=True):
        assert mine == (theirs[0], pytest.approx(theirs[1], abs=3e-11))


@pytest.mark.parametrize("name", LIVELY)
def test_both_engines_agree_where_much_is_told(name):
    logs = [
        simulate(LIVELY[name], n_customers=140, horizon_days=90, seed=8, engine=engine)
        for engine in ("compiled", "simpy")
    ]
    assert (table(logs[0])["channel"] == "friends").sum() > 30
    assert logs[0].equals(logs[1])


# --- large markets -------------------------------------------------------------------------------------------------


def mean_field(days, tells, step=0.01):
    """Shares who have bought, by day: s' = -s (base + tells pull a(t - delay)), a = 1 - s, by the midpoint rule."""
    lag, n = round(DELAY / step), round(days / step)
    s = np.ones(n + 1)
    for i in range(n):
        past = (s[max(i - lag, 0)] + s[max(i - lag + 1, 0)]) / 2
        hazard = 0.004 + tells * PULL * (1 - past)
        s[i + 1] = s[i] * np.exp(-hazard * step)
    return lambda t: 1 - s[round(t / step)]


def test_large_markets_follow_the_mean_field():
    """Markets are independent; at 2,000 customers the bias of the mean field is far below the error of their mean."""
    size, markets, days = 2000, 30, 30.0
    world = gossip({"look": {"buy": 0.004}, "buy": {}}, advocates=["buy"], tells=TELLS, market_size=size)
    events = run(world, size * markets, days)
    bought = events.filter(kind="purchase").with_columns(market=pl.col("customer") // size)
    exact, wrong = mean_field(days, TELLS), mean_field(days, 0.9 * TELLS)
    for day in (5.0, 15.0, 20.0):
        by_market = bought.filter(pl.col("day") <= day).group_by("market").len()["len"].to_numpy() / size
        assert len(by_market) == markets
        assert_student(by_market, exact(day))
    with pytest.raises(AssertionError):
        assert_student(by_market, wrong(day))


# --- edges ---------------------------------------------------------------------------------------------------------


def test_without_its_channel_customers_still_tell_but_nobody_hears():
    world = full_world(market_size=60)
    with_, off = (simulate(w, n_customers=300, horizon_days=90, seed=5) for w in (world, world.without("friends")))
    assert set(table(with_).filter(pl.col("channel") == "friends")["kind"]) == {"touch"}
    events = table(off)
    assert events.filter(kind="referral").height > 0
    assert not {"friends"} & {*events["channel"], *events["cause"]}
    alone = with_.only(never_touched_by(with_, "friends"))
    assert 0 < alone.n_customers < 300
    assert alone.equals(off.only(never_touched_by(with_, "friends")))


def test_who_is_in_a_stage_where_friends_are_silent_hears_nothing_there():
    world = gossip({"look": {"buy": 0.05}, "buy": {}}, advocates=["buy"], pull=0.0, market_size=40)
    before, after = run(world, 400, 30.0), run(world.without("friends", stages=["buy"]), 400, 30.0)
    assert before.filter(kind="touch", stage="buy").height > 400
    silent = (pl.col("kind") == "touch") & (pl.col("stage") == "buy")
    assert after.drop("origin").equals(before.filter(~silent).drop("origin"))


def test_customers_of_whole_markets_do_not_change_with_the_population_or_the_chunks():
    world = full_world(market_size=50)
    some = simulate(world, n_customers=120, horizon_days=90, seed=6)
    more = simulate(world, n_customers=230, horizon_days=90, seed=6, chunk_customers=60)
    whole = pa.array(np.arange(100))
    assert more.only(whole).equals(some.only(whole))
    assert not more.only(pa.array(np.arange(120))).equals(some)  # the third market has grown


def test_memory_that_is_too_small_is_doubled_and_changes_nothing(monkeypatch):
    world = gossip({"look": {"buy": 0.1}, "buy": {}}, advocates=["buy"], tells=3.0, market_size=30)
    roomy = simulate(world, n_customers=90, horizon_days=60, seed=7)
    assert table(roomy).filter(kind="referral").height > 16 * 90  # twice doubled: four per customer to begin with
    monkeypatch.setattr(word_of_mouth, "ROWS_AT_FIRST", 5)
    assert simulate(world, n_customers=90, horizon_days=60, seed=7).equals(roomy)


def test_a_referral_too_late_to_be_heard_is_told_all_the_same():
    world = gossip(
        {"buy": {"rest": 1e-12}, "rest": {}}, advocates=["buy"], tells=1.0, pull=0.0, delay=9.0, market_size=10
    )
    events = run(world, 1000, 10.0)
    told, heard = events.filter(kind="referral"), events.filter(kind="touch")
    assert heard.height == told.filter(pl.col("day") + 9 < 10).height
    assert heard["day"].min() >= 9
