"""Costs and returns reconcile to the cent; journeys by segment and period; drift flags what changed, rarely else."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from journeysim.attribution import Attribution, RemovalEffect, UncertainAttribution, attribute, posterior_attribution
from journeysim.attribution.cents import whole_cents
from journeysim.attribution.money import costs_of, returns
from journeysim.attribution.over_time import drift, journeys_between, journeys_by_period, journeys_by_segment
from journeysim.errors import InputError
from journeysim.events import EventLog
from journeysim.journeys import to_journeys
from tests.known_chains import random_chain

START = datetime(2026, 1, 5, tzinfo=UTC)


def log_of(n_customers=400, seed=1):
    """Two or three touches in the first days of a week of twenty, then perhaps a purchase."""
    rng = np.random.default_rng(seed)
    events, people = [], []
    for customer in range(n_customers):
        time = START + timedelta(days=7 * int(rng.integers(20)))
        people.append((customer, "new" if rng.random() < 0.4 else "old"))
        for _ in range(rng.integers(2, 4)):
            time += timedelta(hours=float(rng.uniform(1, 30)))
            channel = ("search", "email", "display")[rng.integers(3)]
            events.append((customer, time, "touch", channel, None, round(float(rng.uniform(0, 2)), 3)))
        if rng.random() < 0.5:
            events.append(
                (customer, time + timedelta(hours=1), "purchase", None, round(float(rng.gamma(2, 30)), 2), None)
            )
    names = ["customer", "time", "kind", "channel", "value", "cost"]
    frame = pl.DataFrame(events, schema=names, orient="row")
    return EventLog.from_frame(frame, customers=pl.DataFrame(people, schema=["customer", "segment"], orient="row"))


@pytest.fixture(scope="module")
def log():
    return log_of()


def test_costs_and_values_reconcile_to_the_cent(log):
    journeys = to_journeys(log)
    costs = costs_of(log)
    frame = returns(posterior_attribution(journeys, seed=1, n_draws=100), costs).to_frame()
    events = log.to_polars()
    channels, total = frame.filter(pl.col("channel") != "(total)"), frame.row(-1, named=True)
    spent, earned = events["cost"].sum(), events["value"].sum()
    for name, want in (("cost", spent), ("value", earned)):
        cents = [round(100 * amount) for amount in channels[name]]
        np.testing.assert_allclose(channels[name], np.array(cents) / 100, atol=1e-9)
        assert sum(cents) == round(100 * total[name]) == round(100 * want)
    assert total["conversions"] == pytest.approx((events["kind"] == "purchase").sum())
    assert total["cost_per_conversion"] == pytest.approx(spent / total["conversions"])
    assert total["return_on_spend"] == pytest.approx(earned / spent)


def test_a_cost_per_conversion_is_lowest_where_the_credit_is_highest(log):
    found = posterior_attribution(to_journeys(log), seed=1, n_draws=200)
    frame = returns(found, costs_of(log)).to_frame(0.8)
    assert frame["cost"].head(3).is_sorted(descending=True)
    low, high = found.interval(0.8, of="conversions")
    for row in frame.head(3).iter_rows(named=True):
        c, cost = found.channels.index(row["channel"]), costs_of(log)[row["channel"]]
        assert row["cost_per_conversion_low"] == pytest.approx(cost / high[c])
        assert row["cost_per_conversion_high"] == pytest.approx(cost / low[c])
        assert row["cost_per_conversion_low"] < row["cost_per_conversion"] < row["cost_per_conversion_high"]
        assert row["return_on_spend_low"] < row["return_on_spend"] < row["return_on_spend_high"]


def test_free_channels_have_no_return_and_channels_without_credit_no_bound():
    point = Attribution("last_touch", {}, ("free", "idle"), np.array([10.0, 0]), np.array([100.0, 0]))
    share = np.array([[1.0, 0], [1, 0]])
    frame = returns(UncertainAttribution(point, "bootstrap", share, 100 * share), {"free": 0, "idle": 5}).to_frame()
    free, idle = (frame.row(by_predicate=pl.col("channel") == name, named=True) for name in ("free", "idle"))
    assert free["cost_per_conversion"] == 0
    assert free["return_on_spend"] is None
    assert idle["cost_per_conversion"] == np.inf
    assert idle["return_on_spend"] == 0


def test_the_table_of_returns_is_read_without_help(log):
    text = str(returns(posterior_attribution(to_journeys(log), seed=1, n_draws=50), {**costs_of(log), "email": 0}))
    per_conversion, on_spend = (line.split() for line in text.splitlines() if line.strip().startswith("email"))
    assert per_conversion[1] == on_spend[1] == "0.00"
    assert on_spend[-1] == "-"  # no return without spend
    spent = sum(cost for channel, cost in costs_of(log).items() if channel != "email")
    totals = [line.split()[1] for line in text.splitlines() if line.strip().startswith("total")]
    assert totals == [f"{spent:,.2f}"] * 2
    assert "not the return on the next spend" in text


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_whole_cents_add_up_and_are_nearly_the_amounts(amounts):
    amounts = np.array(amounts)
    cents = whole_cents(amounts)
    assert cents.sum() == round(float(amounts.sum()) * 100)
    assert (abs(cents - 100 * amounts) < 1.001).all()


def test_costs_that_do_not_fit_are_refused(log):
    found = posterior_attribution(to_journeys(log), seed=1, n_draws=5)
    with pytest.raises(InputError, match="no cost for channel 'email'"):
        returns(found, {"search": 1, "display": 2})
    with pytest.raises(InputError, match="channel 'radio', which is not among"):
        returns(found, {**costs_of(log), "radio": 1})
    with pytest.raises(InputError, match="cost of channel 'email' is nan"):
        returns(found, {**costs_of(log), "email": float("nan")})
    frame = log.to_polars().with_columns(cost=pl.when(pl.col("channel") != "email").then("cost"))
    with pytest.raises(InputError, match="touches have no cost, the first on channel 'email'"):
        costs_of(EventLog.from_frame(frame))


# --- by segment and period ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "split",
    [lambda log: journeys_by_segment(log, "segment"), journeys_by_period, lambda log: journeys_by_period(log, "week")],
)
def test_parts_hold_every_journey_once(log, split):
    whole, parts = to_journeys(log), split(log)
    assert len(parts) > 1
    for name in ("conversions", "nulls", "value"):
        together = sum(getattr(part, name).sum() for part in parts.values())
        assert together == pytest.approx(getattr(whole, name).sum())
    assert sum(len(part.codes) for part in parts.values()) == len(whole.codes)
    assert sum(attribute(part).total_value for part in parts.values()) == pytest.approx(attribute(whole).total_value)


def test_a_period_is_the_week_or_month_in_which_the_journey_ended():
    rows = [
        ("a", "2026-01-31T23:00", "touch", "x"), ("a", "2026-02-01T01:00", "purchase", None),
        ("a", "2026-03-01", "touch", "x"),
        ("b", "2026-01-02", "touch", "x"), ("b", "2026-01-31", "touch", "y"),
        ("c", "2026-01-01", "purchase", None), ("c", "2026-01-20", "touch", "x"),
        ("d", "2026-02-10", "touch", "x"),
    ]  # fmt: skip
    log = EventLog.from_frame(pl.DataFrame(rows, schema=["customer", "time", "kind", "channel"], orient="row"))
    parts = journeys_by_period(log)
    assert {name: (part.conversions.sum(), part.nulls.sum()) for name, part in parts.items()} == {
        "2026-01-01": (0, 1),
        "2026-02-01": (1, 1),
    }
    assert [*journeys_by_period(log, "week")] == ["2026-01-26", "2026-02-09"]  # Mondays


def test_parts_that_cannot_be_made_are_refused(log):
    with pytest.raises(InputError, match="no segment 'persona'; the customers have: segment"):
        journeys_by_segment(log, "persona")
    with pytest.raises(InputError, match="'week' or 'month', got 'year'"):
        journeys_by_period(log, "year")


# --- drift --------------------------------------------------------------------------------------------------------


def periods(chains, n_journeys, rng):
    return {f"period {p}": chain.simulate(n_journeys, rng) for p, chain in enumerate(chains)}


def test_a_channel_that_gains_is_flagged_and_the_frame_says_so():
    rng = np.random.default_rng(2)
    before = random_chain(rng)
    p_convert = before.p_convert * np.array([0.2, 1, 1, 1, 1, 1])
    after = replace(before, p_convert=p_convert)
    found = drift(periods([before, before, after], 1_500, rng), seed=1, n_permutations=199)
    assert "channel 0" in found.drifting
    assert found.share[2, 0] < found.share[0, 0]
    frame = found.to_frame()
    assert frame.height == 6 * 3
    assert set(frame.filter("drifts")["channel"]) == set(found.drifting)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_drift_compares_the_shares_of_any_order(order):
    rng = np.random.default_rng(6)
    chain = random_chain(rng)
    parts = periods([chain, chain], 400, rng)
    found = drift(parts, seed=1, order=order, n_permutations=99)
    for got, part in zip(found.share, parts.values(), strict=True):
        np.testing.assert_allclose(got, attribute(part, RemovalEffect(order)).share, atol=1e-12)
    assert found.p_value.min() > 0.01 == found.false_alarm  # nothing changed, and it does not say so
    changed = replace(chain, p_convert=chain.p_convert * np.array([0.05, 1, 1, 1, 1, 1]))
    assert "channel 0" in drift(periods([chain, changed], 1_500, rng), seed=1, order=order, n_permutations=99).drifting


@pytest.mark.slow
def test_drift_raises_no_more_false_alarms_than_it_says():
    rng = np.random.default_rng(3)
    chain = random_chain(rng)
    alarms = 0
    for seed in range(400):
        parts = periods([chain, chain, chain], 80, rng)
        alarms += bool(drift(parts, seed=seed, false_alarm=0.1, n_permutations=49).drifting)
    assert stats.binom.sf(alarms - 1, 400, 0.1) >= 1e-6, f"{alarms} of 400 are more than 10%"
    assert stats.binom.cdf(alarms, 400, 0.1) >= 1e-6, f"{alarms} of 400 are less than 10%: the test has lost its power"


def test_periods_that_cannot_be_compared_are_refused():
    rng = np.random.default_rng(4)
    chain = random_chain(rng)
    parts = periods([chain, chain], 50, rng)
    with pytest.raises(InputError, match="there is 1 period"):
        drift({"only": parts["period 0"]}, seed=1)
    with pytest.raises(InputError, match=r"false_alarm is 0\.01; with 19 permutations it can be from 0\.05"):
        drift(parts, seed=1, n_permutations=19)
    with pytest.raises(InputError, match="order must be 1 or more, got 0"):
        drift(parts, seed=1, order=0)
    many = periods([chain, chain], 4_000, rng)
    with pytest.raises(InputError, match=r"at order 5 the chain has [\d,]+ states, more than the 500 .* lower order"):
        drift(many, seed=1, order=5)
    one = parts["period 1"]
    with pytest.raises(InputError, match="rows that are several journeys"):
        drift({**parts, "period 1": replace(one, nulls=2 * one.nulls)}, seed=1)
    with pytest.raises(InputError, match="no journey of period 'period 1' converts"):
        drift({**parts, "period 1": replace(one, conversions=0 * one.conversions, nulls=1 + 0 * one.nulls)}, seed=1)
    with pytest.raises(InputError, match="'period 1' has other channels"):
        drift({**parts, "period 1": replace(one, channels=tuple("abcdef"))}, seed=1)


def test_journeys_between_two_days_are_those_of_their_weeks(log):
    weeks = journeys_by_period(log, "week")
    first, second = list(weeks.values())[3:5]
    monday = date.fromisoformat(list(weeks)[3])
    found = journeys_between(log, monday, monday + timedelta(days=13))
    assert found.channels == first.channels
    assert found.n_journeys == first.n_journeys + second.n_journeys
    assert found.n_conversions == first.n_conversions + second.n_conversions
    assert found.total_value == pytest.approx(first.total_value + second.total_value)
    assert journeys_between(log, monday, monday + timedelta(days=6)).n_journeys == first.n_journeys
    with pytest.raises(InputError, match="No journey of the log ended from 2020-01-01 to 2020-01-02"):
        journeys_between(log, date(2020, 1, 1), date(2020, 1, 2))
