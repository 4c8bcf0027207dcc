"""Purchases and money of a forecast: against matrix exponentials, the simulator and logs added up by hand."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from closed_forms import Draws
from scipy.linalg import expm
from scipy.stats import norm
from statistical import FALSE_ALARM
from test_forecasts import DAYS, DRAWS, PLAN, STAGES

from journeysim import EventLog, InputError, simulate, to_stage_history
from journeysim.forecasts import forecast, gains_over_time
from journeysim.forecasts.chains import MOST_JUMPS
from journeysim.spec import World
from journeysim.stage_money import StageMoney, to_stage_money

SURE = StageMoney(
    segments=DRAWS.segments, stages=STAGES, n_purchases=np.array([9.0, 9]), mean_value=np.array([10.0, 30]),
    sd_value=np.zeros(2), cost=np.arange(10.0).reshape(2, 5), cost_squared=np.zeros((2, 5)), days=np.full((2, 5), 4.0),
    currency="EUR",
)  # fmt: skip


def assert_z(difference, error):
    """A difference is 0 but for a normal error."""
    assert abs(difference) < norm.isf(FALSE_ALARM / 2) * error


def by_hand(n, g, factors, days, rate):
    """Purchases and days in stages of one chain, discounted."""
    Q = DRAWS.generator(n, g, factors)
    size = len(Q)
    both = np.block([[Q - rate * np.eye(size), np.eye(size)], [np.zeros((size, 2 * size))]])
    start = np.append(DRAWS.starts[g], 0) / DRAWS.starts[g].sum()
    spent = start @ expm(both * days)[:size, size:]
    into = [Q[:, STAGES.index(stage)] * (np.arange(size) != STAGES.index(stage)) for stage in ("buy", "renew")]
    return spent @ sum(into) + start[2] + start[4], spent[:-1]


def test_money_is_that_of_matrix_exponentials():
    found = forecast(DRAWS, [PLAN], money=SURE, horizon_days=100, yearly_discount=0.2, **DAYS)
    assert found.baseline.names == ("conversion", "retention", "purchases", "revenue", "cost", "profit", "clv")
    factors = PLAN.hazard_factors(DRAWS.moves, stages=STAGES, purchase_stages=DRAWS.purchase_stages)
    shares = DRAWS.starts.sum(axis=1) / DRAWS.starts.sum()
    for measures, by in ((found.baseline, 1.0), (found.changed[0], factors)):
        for n in range(5):
            total = 0.0
            for g in range(2):
                purchases, days = by_hand(n, g, by, 100, 0.0)
                later_purchases, later_days = by_hand(n, g, by, 100, np.log(1.2) / 365)
                value, cost = SURE.mean_value[g], SURE.cost[g] / 4
                clv = later_purchases * value - later_days @ cost
                assert measures.of("purchases", g)[n] == pytest.approx(purchases, rel=1e-9)
                assert measures.of("profit", g)[n] == pytest.approx(purchases * value - days @ cost, rel=1e-9)
                assert measures.of("clv", g)[n] == pytest.approx(clv, rel=1e-9)
                total += shares[g] * clv
            assert measures.of("clv")[n] == pytest.approx(total, rel=1e-9)
    lines = str(found).splitlines()
    assert max(map(len, lines)) <= 80
    assert any("EUR" in line for line in lines)
    rows = found.to_frame(by_segment=True)
    assert rows["segment"].unique(maintain_order=True).to_list() == list(DRAWS.segments)


@pytest.mark.slow
def test_equal_bins_of_time_in_stage_change_no_money():
    binned = replace(DRAWS, edges_days=(0.0, 2.0), later=np.ones((5, 1, 11)))
    a, b = (forecast(d, [PLAN], money=SURE, yearly_discount=0.2, **DAYS).changed[0] for d in (DRAWS, binned))
    for measure in ("purchases", "revenue", "cost", "clv"):
        np.testing.assert_allclose(a.of(measure), b.of(measure), rtol=1e-3)


def test_gains_over_time_end_where_the_forecast_does():
    days = np.linspace(0, 30, 7)
    gains = gains_over_time(DRAWS, [PLAN], days, money=SURE)
    found = forecast(DRAWS, [PLAN], money=SURE, conversion_days=30, retention_days=30, horizon_days=30)
    for measure in ("conversion", "purchases", "revenue", "clv"):
        gain = gains.gains["plan", measure]
        np.testing.assert_allclose(gain[:, -1], found.difference("plan", measure), atol=1e-9)
        assert not gain[:, 0].any()
    middle = gains.half_by("plan", "conversion")
    mean = gains.gains["plan", "conversion"].mean(axis=0)
    assert mean[list(days).index(middle)] >= mean[-1] / 2 > mean[list(days).index(middle) - 1]
    assert gains.to_frame().height == 6 * 7
    with pytest.raises(InputError, match="days are"):
        gains_over_time(DRAWS, [PLAN], np.array([1.0, 2]))


def test_a_chain_too_fast_for_vectors_is_squared():
    fast = replace(DRAWS, hazards=DRAWS.hazards * 4_000)
    assert fast.hazards.max() * 30 > MOST_JUMPS
    slow = forecast(DRAWS, [], conversion_days=30 * 4_000 / 1_000, retention_days=9).baseline.conversion
    found = forecast(fast, [], conversion_days=30 / 1_000, retention_days=90).baseline.conversion
    np.testing.assert_allclose(found, slow, rtol=1e-9)


def test_money_of_a_log_is_what_adding_up_finds():
    rows = [
        ("a", 0, "stage", "look", None, None, None), ("a", 1, "touch", None, "tv", None, 0.5),
        ("a", 2, "stage", "buy", None, None, None), ("a", 2, "purchase", "buy", None, 20.0, None),
        ("a", 3, "touch", None, "tv", None, 2.0), ("b", 0, "touch", None, "tv", None, 7.0),
        ("b", 1, "stage", "look", None, None, None), ("b", 3, "stage", "buy", None, None, None),
        ("b", 3, "purchase", "buy", None, 40.0, None), ("b", 4, "lost", None, None, None, None),
    ]  # fmt: skip
    names = ["customer", "time", "kind", "stage", "channel", "value", "cost"]
    frame = pl.DataFrame(rows, schema=names, orient="row").with_columns(
        (pl.datetime(2024, 1, 1) + pl.duration(days=pl.col("time"))).alias("time")
    )
    log = EventLog.from_frame(frame, stages=["look", "buy"], purchase_stages=["buy"])
    money = to_stage_money(log)
    assert money.cost.tolist() == [[0.5, 2.0]]
    assert money.days.tolist() == [[4.0, 3.0]]  # a: 2 + 2, b: 2 + 1; b's first contact is before any stage
    assert (money.n_purchases[0], money.mean_value[0], money.sd_value[0]) == (2, 30, pytest.approx(200**0.5))
    value, cost = money.draws(200_000, seed=1)
    assert_z(value.mean() - 30, 10 / 200_000**0.5)
    assert value.std() == pytest.approx(10, rel=0.02)
    assert cost.mean(axis=0)[0] == pytest.approx([0.125, 2 / 3], rel=0.02)


def test_a_forecast_with_money_meets_the_log_that_it_came_from():
    world = World.from_yaml("""
name: shop
stages:
  - {name: look, moves_per_day: {buy: 0.1, lost: 0.05}}
  - {name: buy, purchase: true, moves_per_day: {look: 0.2, lost: 0.02}}
channels: [{name: mail, cost_per_contact: 0.3, contacts_per_day: {look: 0.4, buy: 0.1}}]
personas: [{name: all, share: 1}]
basket: {median: 10}
""")
    n = 20_000
    log = simulate(world, n_customers=n, horizon_days=60, seed=4)
    history, money = to_stage_history(log), to_stage_money(log)
    hazards = np.repeat((history.counts / history.exposure_days[:, history.origins])[None], 2, axis=0)
    draws = Draws(hazards, history.moves, history.stages, history.purchase_stages, history.starts)
    sure = replace(money, segments=draws.segments, sd_value=money.sd_value * 0, cost_squared=money.cost_squared * 0)
    found = forecast(draws, [], conversion_days=60, retention_days=30, horizon_days=60, money=sure).baseline
    events = pl.DataFrame(log.events)
    bought = events.filter(pl.col("kind") == "purchase")
    each = bought.group_by("customer").agg(pl.col("value").sum())["value"].to_numpy()
    error = np.concatenate([each, np.zeros(n - len(each))]).std() / n**0.5
    assert_z(found.of("revenue")[0] - each.sum() / n, error)
    spent = events.filter(pl.col("kind") == "touch")["cost"].sum() / n
    assert found.of("cost")[0] == pytest.approx(spent, rel=0.03)
    assert found.of("cost")[0] * 1.5 != pytest.approx(spent, rel=0.03)


def test_what_money_cannot_be_is_refused():
    with pytest.raises(InputError, match="make both of the same log"):
        forecast(DRAWS, [], money=replace(SURE, segments=("x", "y")), **DAYS)
    with pytest.raises(InputError, match="yearly_discount is -1"):
        forecast(DRAWS, [], money=SURE, yearly_discount=-1, **DAYS)
    with pytest.raises(InputError, match="horizon_days is 0"):
        forecast(DRAWS, [], horizon_days=0, **DAYS)
    with pytest.raises(InputError, match="This forecast has no 'clv'"):
        forecast(DRAWS, [PLAN], **DAYS).difference("plan", "clv")
