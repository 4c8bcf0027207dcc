"""Word of mouth against a simulation that shares no code and no idea with ours: one queue of events for all customers.

Its influence is a Poisson number of points, each an exponential time away, of which the first acts; its contacts are
heard when the queue comes to them; its draws are those of Python.
"""

import heapq
import itertools
import math
import random

import numpy as np
import polars as pl
import pytest
from log_tables import table
from scipy import stats
from small_worlds import small_world
from statistical import assert_same_distribution, assert_same_mean

from journeysim.simulation.engine import simulate
from journeysim.spec import Channel, Persona, WordOfMouth

SIZE, MARKETS, DAYS = 200, 300, 60.0
MOVES = {
    "look": {"buy": 0.001, "lost": 0.004},
    "buy": {"rest": 0.15, "lost": 0.03},
    "rest": {"buy": 0.01, "lost": 0.02},
}
TELLS, DELAY, PULL, HALF_LIFE, FATIGUE = 0.7, 3.0, 0.45, 2.0, 0.7
LOUD, LOUD_SHARE = 2.0, 0.3


def ours(seed):
    friends = Channel(name="friends", kind="earned", pull=PULL, half_life_days=HALF_LIFE, fatigue=FATIGUE)
    world = small_world(
        MOVES,
        stages={"buy": {"purchase": True, "advocates": True}},
        channels=[friends],
        personas=[Persona(name="loud", share=LOUD_SHARE, talk=LOUD), Persona(name="plain", share=1 - LOUD_SHARE)],
        word_of_mouth=WordOfMouth(channel="friends", referrals_per_day=TELLS, delay_days=DELAY),
        market_size=SIZE,
    )
    events = table(simulate(world, n_customers=SIZE * MARKETS, horizon_days=DAYS, seed=seed))
    events = events.with_columns(market=pl.col("customer") // SIZE)
    adopters = events.filter(kind="purchase").group_by("customer").agg(pl.col("market", "day").first())
    return {
        "adopters": per_market(adopters),
        "middle day": adopters.group_by("market").agg(pl.col("day").median())["day"].to_numpy(),
        "purchases": per_market(events.filter(kind="purchase")),
        "referrals": per_market(events.filter(kind="referral")),
        "touches": per_market(events.filter(kind="touch")),
        "lost": per_market(events.filter(kind="lost")),
        "by friends": per_market(events.filter(cause="friends")),
    }


def per_market(rows):
    return np.bincount(rows["market"].to_numpy(), minlength=MARKETS).astype(float)


def market(rng, tells=TELLS, delay=DELAY, pull=PULL):
    """One market, event by event: counts by name."""
    count = dict.fromkeys(("purchases", "referrals", "touches", "lost", "by friends"), 0)
    stage, stay = ["look"] * SIZE, [0] * SIZE  # a change of `stay` makes what was planned for the last one void
    heard, bought_on = [0] * SIZE, [math.inf] * SIZE
    talk = [tells * (LOUD if rng.random() < LOUD_SHARE else 1.0) for _ in range(SIZE)]
    queue, ticket = [], itertools.count()

    def plan(time, who, what, how=None):
        if time < DAYS:
            heapq.heappush(queue, (time, next(ticket), who, stay[who], what, how))

    def enter(now, who):
        for to, rate in MOVES[stage[who]].items():
            plan(now + rng.expovariate(rate), who, "move", (to, "base"))
        if stage[who] == "buy":
            plan(now + rng.expovariate(talk[who]), who, "tell")

    for who in range(SIZE):
        enter(0.0, who)
    while queue:
        now, _, who, planned_in, what, how = heapq.heappop(queue)
        if what == "hear":  # comes in any stay but not to the lost
            if stage[who] == "lost":
                continue
            count["touches"] += 1
            strength = -math.log(1 - pull * FATIGUE ** heard[who])
            heard[who] += 1
            points, unit = [], rng.expovariate(strength)  # a Poisson number of points, counted in unit time
            while unit < 1:
                points.append(rng.expovariate(math.log(2) / HALF_LIFE))
                unit += rng.expovariate(strength)
            if points:
                pushed = "rest" if stage[who] == "buy" else "buy"
                plan(now + min(points), who, "move", (pushed, "friends"))
        elif planned_in != stay[who]:
            continue
        elif what == "tell":
            count["referrals"] += 1
            named = rng.choice([other for other in range(SIZE) if other != who])
            plan(now + delay, named, "hear")
            plan(now + rng.expovariate(talk[who]), who, "tell")
        else:
            stage[who], cause = how
            stay[who] += 1
            count["by friends"] += cause == "friends"
            if stage[who] == "lost":
                count["lost"] += 1
                continue
            if stage[who] == "buy":
                count["purchases"] += 1
                bought_on[who] = min(bought_on[who], now)
            enter(now, who)
    adopted = [day for day in bought_on if day < math.inf]
    return {**count, "adopters": len(adopted), "middle day": float(np.median(adopted)) if adopted else math.nan}


def theirs(seed, **changes):
    rng = random.Random(seed)
    markets = [market(rng, **changes) for _ in range(MARKETS)]
    return {name: np.array([m[name] for m in markets], float) for name in markets[0]}


@pytest.fixture(scope="module")
def both():
    return ours(1), theirs(2)


NAMES = ("adopters", "middle day", "purchases", "referrals", "touches", "lost", "by friends")


@pytest.mark.parametrize("name", NAMES)
def test_markets_are_as_those_of_one_queue_of_events(both, name):
    mine, other = (values[name][np.isfinite(values[name])] for values in both)
    assert len(other) > 0.99 * MARKETS
    assert_same_mean(mine, other)
    jitter = np.random.default_rng(3).random((2, MARKETS))  # the same for both: counts as a continuous sample
    assert_same_distribution(mine + jitter[0, : len(mine)], other + jitter[1, : len(other)])


@pytest.mark.parametrize("change", [{"tells": 0.8 * TELLS}, {"delay": 1.6 * DELAY}, {"pull": 0.8 * PULL}], ids=str)
def test_another_word_of_mouth_is_noticed(both, change):
    """Negative control: some figure of such a market tells it from ours."""
    mine, other = both[0], theirs(4, **change)
    p_values = [stats.ttest_ind(mine[name], other[name], nan_policy="omit", equal_var=False).pvalue for name in NAMES]
    assert min(p_values) < 1e-6
