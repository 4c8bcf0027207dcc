"""Calendars: weekdays, months and flights of channels (thinned contacts) and seasons of stages (a change of time)."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from log_tables import first_entry, table
from rule_calls import SEED, U64, each, plain, tables_of
from scipy import stats
from small_worlds import full_world, small_world
from statistical import assert_counts, assert_distribution, assert_proportion

from journeysim.simulation import rules
from journeysim.simulation.engine import simulate
from journeysim.spec import Calendar, Channel, Flight, Persona, Trigger

N = 20_000
MONDAY = datetime(2026, 1, 26, tzinfo=UTC)
WEEK = {"mon": 2.0, "tue": 0.5, "sat": 0.0, "sun": 3.0}
WEEKLY = np.array([2.0, 0.5, 1, 1, 1, 0, 3])  # from Monday on


def run(world, days, n=N, seed=1, start=MONDAY):
    return table(simulate(world, n_customers=n, horizon_days=days, seed=seed, start=start))


def watched(days, *channels, start=MONDAY):
    """Touches of customers who stay where they are."""
    return run(small_world({"look": {"buy": 1e-12}, "buy": {}}, channels=channels), days, start=start).filter(
        kind="touch"
    )


def assert_rates(touches, channel, per_day, n=N):
    """Contacts per day are Poisson with their means: sums of Poissons are, so each day is tested by exact tails."""
    day = np.floor(touches.filter(channel=channel)["day"].to_numpy()).astype(int)
    counts = np.bincount(day, minlength=len(per_day))
    for found, rate in zip(counts, per_day, strict=True):
        tails = 2 * min(stats.poisson.cdf(found, rate * n), stats.poisson.sf(found - 1, rate * n))
        assert tails >= 1e-6, f"{found} contacts, want {rate * n:.0f}; p-value {tails:.1e}"


# --- days and their factors ----------------------------------------------------------------------------------------


def factors(calendar, days, start):
    """What a stage's calendar says of each day of a window: the steps of its integral."""
    return np.diff(tables_of(stages={"look": {"calendar": calendar}}, days=days, start=start).demand[0])


@pytest.mark.parametrize(
    ("start", "days", "n_days"), [(MONDAY, 7.0, 8), (MONDAY, 6.9, 7), (MONDAY + timedelta(hours=18), 6.3, 8)]
)
def test_a_window_touches_days_in_utc(start, days, n_days):
    found = factors(Calendar(weekdays=WEEK), days, start)
    np.testing.assert_allclose(found, np.resize(WEEKLY, n_days))


def test_months_are_those_of_the_calendar_leap_years_included():
    calendar = Calendar(months={"feb": 3.0, "dec": 0.5})
    found = factors(calendar, 800, datetime(2023, 11, 20, 15, tzinfo=UTC))
    days = [datetime(2023, 11, 20) + timedelta(days=d) for d in range(len(found))]
    np.testing.assert_allclose(found, [{2: 3.0, 12: 0.5}.get(day.month, 1.0) for day in days])
    assert (found == 3).sum() == 29 + 28


def test_weekdays_months_and_flights_multiply():
    flights = [Flight(from_day=1, until_day=3), Flight(from_day=5, until_day=7, times=4)]
    calendar = Calendar(weekdays=WEEK, months={"feb": 10.0}, flights=flights, outside_flights=0.25)
    expected = WEEKLY[[0, 1, 2, 3, 4, 5, 6, 0]] * [0.25, 1, 1, 0.25, 0.25, 4, 4, 0.25] * [1, 1, 1, 1, 1, 1, 10, 10]
    np.testing.assert_allclose(factors(calendar, 7.5, MONDAY), expected)
    silent = calendar.model_copy(update={"outside_flights": 0.0})
    assert (factors(silent, 7.5, MONDAY) > 0).tolist() == [False, True, True, False, False, False, True, False]


def test_a_contact_is_kept_with_the_share_of_the_highest_factor_that_its_day_has():
    x = tables_of(channels=[Channel(name="ad", calendar=Calendar(weekdays=WEEK))], start=MONDAY + timedelta(hours=12))
    for t, share in ((0.0, 2 / 3), (0.499, 2 / 3), (0.5, 1 / 6), (1.6, 1 / 3), (4.6, 0.0), (5.51, 1.0), (13.4, 1.0)):
        kept = each(3000, lambda a, t=t: plain(rules.is_open)(x, SEED, a, 0, t, U64(0)))
        assert_proportion(int(kept.sum()), 3000, share)


# --- contacts ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weekly():
    calendar = Calendar(weekdays=WEEK)
    return watched(
        14.0,
        Channel(name="ad", contacts_per_day={"look": 0.4}, calendar=calendar),
        Channel(name="plain", contacts_per_day={"look": 0.3}),
    )


def test_contacts_per_weekday_are_poisson_with_their_means(weekly):
    assert_rates(weekly, "ad", np.tile(WEEKLY, 2) * 0.4)
    assert_rates(weekly, "plain", np.full(14, 0.3))
    with pytest.raises(AssertionError, match="want"):
        assert_rates(weekly, "ad", np.tile(WEEKLY, 2) * 0.44)


def test_thinned_contacts_are_independent_and_even_within_days(weekly):
    ad = weekly.filter(channel="ad")
    sunday = ad.filter(pl.col("day").floor() == 6)
    per_customer = np.bincount(sunday["customer"].to_numpy(), minlength=N)
    assert_counts(
        np.bincount(np.minimum(per_customer, 6), minlength=7),
        [*stats.poisson.pmf(range(6), 1.2), stats.poisson.sf(5, 1.2)],
    )
    with pytest.raises(AssertionError):
        assert_counts(
            np.bincount(np.minimum(per_customer, 6), minlength=7),
            [*stats.poisson.pmf(range(6), 1.32), stats.poisson.sf(5, 1.32)],
        )
    assert_distribution(ad["day"].to_numpy() % 1, stats.uniform.cdf)


def test_flights_and_months_reach_contacts_and_days_begin_at_midnight():
    calendar = Calendar(months={"feb": 0.5}, flights=[Flight(from_day=2, until_day=9, times=2)], outside_flights=0.3)
    noon = MONDAY + timedelta(hours=12)
    touches = watched(11.5, Channel(name="ad", contacts_per_day={"look": 0.5}, calendar=calendar), start=noon)
    since_midnight = touches.with_columns(day=pl.col("day") + 0.5)
    per_day = np.array([0.15, 0.3, 2, 2, 2, 2, 1, 1, 1, 0.15, 0.15, 0.15])
    per_day[:2] = 0.3
    per_day[0] /= 2  # half a day
    assert_rates(since_midnight, "ad", per_day * 0.5)
    with pytest.raises(AssertionError, match="want"):
        assert_rates(touches.with_columns(day=pl.col("day") + 0.4), "ad", per_day * 0.5)


def test_triggers_know_no_calendar():
    ad = Channel(
        name="ad",
        triggers=[{"entering": "look", "after_days": 5.5}],
        calendar=Calendar(weekdays=dict.fromkeys(WEEK, 0.0)),
    )
    assert watched(7.0, ad).height == N


# --- seasons -------------------------------------------------------------------------------------------------------


def passed(per_day, fraction=0.0):
    """F(t): the integral of a factor from a window's start on, given day by day from the midnight before."""
    at_midnight = np.concatenate([[0], np.cumsum(per_day)])
    integral = lambda y: np.interp(y, np.arange(len(at_midnight)), at_midnight)  # noqa: E731
    return lambda t: integral(np.asarray(t) + fraction) - integral(fraction)


@pytest.mark.parametrize("hour", [0, 7, 23.9])
def test_a_clock_runs_at_the_speed_of_the_season(hour):
    calendar = Calendar(weekdays=WEEK, months={"feb": 1.7})
    x = tables_of(stages={"look": {"calendar": calendar}}, days=20.0, start=MONDAY + timedelta(hours=hour))
    per_day = np.resize(WEEKLY, 22) * np.where(np.arange(22) < 6, 1, 1.7)
    F = passed(per_day, hour / 24)
    for begin in (0.0, 0.4, 5.2, 5.999, 13.0, 19.5):
        for amount in (0.0, 1e-9, 0.3, 4.0, 8.8):
            end = plain(rules.time_spent)(x, 0, begin, amount, True)
            if F(begin) + amount > F(20.0):
                assert end >= 20.0
            else:
                assert end >= begin
                assert F(end) - F(begin) == pytest.approx(amount, abs=1e-9)
                if amount > 0:  # nothing happens on days without hazard
                    assert per_day[int(end + hour / 24 - 1e-12)] > 0
            assert plain(rules.time_spent)(x, 0, begin, amount, False) == begin + amount
            assert plain(rules.time_spent)(x, 1, begin, amount, True) == begin + amount  # a stage without calendar
    assert plain(rules.time_spent)(x, 0, 3.0, 1e6, True) == math.inf


SEASON = Calendar(weekdays=WEEK, months={"feb": 1.7})
JOURNEY = {"weigh": {"look": 0.1}, "look": {"buy": 0.08, "weigh": 0.03, "lost": 0.05}, "buy": {}}


def test_a_seasonal_hazard_has_the_survival_function_of_its_integral():
    start = MONDAY + timedelta(hours=18)
    world = small_world({"look": {"buy": 0.15}, "buy": {}}, stages={"look": {"calendar": SEASON}})
    events = run(world, 21.0, n=3 * N, start=start)
    per_day = np.resize(WEEKLY, 23) * np.where(np.arange(23) < 6, 1, 1.7)
    F, at_6_in_the_morning = passed(per_day, 0.75), passed(per_day, 0.25)
    days = first_entry(events, "buy")
    reached = -math.expm1(-0.15 * F(21.0))
    assert_proportion(len(days), 3 * N, reached)
    assert_distribution(days, lambda t: -np.expm1(-0.15 * F(t)) / reached)
    with pytest.raises(AssertionError):
        assert_distribution(days, lambda t: -np.expm1(-0.15 * at_6_in_the_morning(t)) / reached)
    with pytest.raises(AssertionError):
        assert_proportion(len(days), 3 * N, -math.expm1(-0.165 * F(21.0)))


def test_seasons_multiply_forward_hazards_only_and_begin_anywhere_in_a_journey():
    """Stages entered at different days; base moves back and out keep their pace. Hazards integrated step by step."""
    pace, patience = 1.3, 0.8
    world = small_world(
        JOURNEY,
        stages={"look": {"calendar": SEASON}},
        personas=[Persona(name="anyone", share=1, pace=pace, patience=patience)],
    )
    events = run(world, 20.0, n=60_000)
    steps = 400
    state, by = np.array([1.0, 0, 0, 0]), {}
    factor = np.resize(WEEKLY, 20) * np.where(np.arange(20) < 6, 1, 1.7)
    for day in range(20):
        Q = np.zeros((4, 4))  # weigh, look, buy, lost
        Q[0, 1] = 0.1 * pace
        Q[1, [2, 0, 3]] = 0.08 * pace * factor[day], 0.03, 0.05 / patience
        Q -= np.diag(Q.sum(axis=1))
        for _ in range(steps):  # classical Runge-Kutta, exact to far below the noise
            h = 1 / steps
            k1 = state @ Q
            k2 = (state + h / 2 * k1) @ Q
            k3 = (state + h / 2 * k2) @ Q
            state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + (state + h * k3) @ Q)
        by[day + 1] = state
    for day in (6, 7, 13, 20):
        bought = int((first_entry(events, "buy") <= day).sum())
        lost = events.filter(pl.col("kind") == "lost", pl.col("day") <= day).height
        assert_proportion(bought, 60_000, by[day][2])
        assert_proportion(lost, 60_000, by[day][3])
    with pytest.raises(AssertionError):
        assert_proportion(bought, 60_000, by[20][2] * 1.1)


# --- volume, silence -----------------------------------------------------------------------------------------------


def loud(volume, seed=1):
    channels = [
        Channel(
            name="ad", contacts_per_day={"look": 0.5}, triggers=[{"entering": "look", "chance": 0.4}], volume=volume
        ),
        Channel(name="mail", contacts_per_day={"look": 0.2}),
    ]
    world = small_world({"look": {"weigh": 0.2}, "weigh": {"buy": 1e-12}, "buy": {}}, channels=channels)
    return run(world, 10.0, seed=seed)


def touches_of(events, channel):
    return events.filter(kind="touch", channel=channel).select("customer", "time")


def test_volume_below_1_drops_contacts_and_leaves_the_rest_alone():
    whole, half = loud(1.0), loud(0.5)
    kept, all_ = touches_of(half, "ad"), touches_of(whole, "ad")
    assert kept.join(all_, on=["customer", "time"], how="anti").is_empty()
    assert_proportion(len(kept), len(all_), 0.5)
    with pytest.raises(AssertionError):
        assert_proportion(len(kept), len(all_), 0.55)
    rest = [events.filter(pl.col("channel").fill_null("") != "ad").drop("origin") for events in (whole, half)]
    assert rest[0].equals(rest[1])
    assert touches_of(loud(0.0), "ad").is_empty()


def test_volume_above_1_multiplies_contacts_and_triggers():
    touches = loud(2.0).filter(kind="touch", channel="ad")
    at_entry = touches.filter(pl.col("day") == 0)
    assert_proportion(len(at_entry), N, 0.8)
    days_in_look = -math.expm1(-0.2 * 10) / 0.2
    expected = N * 1.0 * days_in_look  # Poisson given the days, so a little more variable: allow for it
    spread = math.sqrt(expected + N * 16)  # the variance of a stay is below 4**2
    assert abs(len(touches) - len(at_entry) - expected) < stats.norm.isf(5e-7) * spread
    assert abs(len(touches) - len(at_entry) - expected * 1.1) > stats.norm.isf(5e-7) * spread


def test_a_channel_is_silent_where_it_is_said_to_be():
    channels = [
        Channel(name="ad", contacts_per_day={"look": 0.3, "weigh": 0.3}, triggers=[{"entering": "weigh"}]),
        Channel(name="mail", contacts_per_day={"look": 0.2, "weigh": 0.2}),
    ]
    world = small_world({"look": {"weigh": 0.2}, "weigh": {"buy": 0.1}, "buy": {}}, channels=channels)
    before, after = run(world, 15.0), run(world.without("ad", stages=["weigh"]), 15.0)
    gone = (pl.col("channel") == "ad").fill_null(value=False) & (pl.col("stage") == "weigh")
    assert before.filter(gone).height > N / 2
    assert after.drop("origin").equals(before.filter(~gone).drop("origin"))


# --- common draws --------------------------------------------------------------------------------------------------


def test_another_schedule_of_the_same_height_leaves_all_other_draws_alone():
    channels = [
        Channel(
            name="ad", contacts_per_day={"look": 0.3}, calendar=Calendar(flights=[Flight(from_day=2, until_day=5)])
        ),
        Channel(name="mail", contacts_per_day={"look": 0.2}),
    ]
    for flight in (Flight(from_day=7, until_day=9), Flight(from_day=30, until_day=40)):  # the latter after the window
        later = [channels[0].model_copy(update={"calendar": Calendar(flights=[flight])}), channels[1]]
        one, other = (touches_of(watched(10.0, *both), "mail") for both in (channels, later))
        assert len(one) > N
        assert one.equals(other)


@pytest.mark.parametrize("days", [38.0, 65.0])
def test_a_longer_window_only_adds_events_whatever_its_calendars_hold(days):
    """The flight that doubles and the months with other seasons begin after the shorter windows end."""
    short, long = (
        simulate(full_world(), n_customers=1000, horizon_days=d, seed=3, start=MONDAY - timedelta(days=20))
        for d in (days, 120.0)
    )
    assert long.n_events > short.n_events
    assert table(long).filter(pl.col("time") <= short.end).equals(table(short))


def test_a_season_beyond_the_window_does_not_change_a_bit_of_a_clock():
    late = {"look": {"calendar": Calendar(months={"dec": 2.0})}}
    seven = MONDAY + timedelta(hours=7)
    short, long = (tables_of(stages=late, days=days, start=seven) for days in (100.0, 400.0))
    for t, amount in np.random.default_rng(1).uniform(0, 50, (200, 2)):
        assert plain(rules.time_spent)(short, 0, t, amount, True) == plain(rules.time_spent)(long, 0, t, amount, True)


def test_a_volume_below_1_halves_triggered_contacts_of_everybody():
    """Also of a persona who is reached more than surely: chance times reach is cut at 1 before the volume acts."""
    world = small_world(
        {"look": {"buy": 1e-6}, "buy": {}},
        channels=[Channel(name="mail", triggers=[Trigger(entering="look")], volume=0.5)],
        personas=[Persona(name="reached", share=1.0, reach={"mail": 2.0})],
    )
    n = 20_000
    log = simulate(world, n_customers=n, horizon_days=1, seed=1)
    touches = int((log.codes("kind", ["touch"]) == 0).sum())
    assert_proportion(touches, n, 0.5)
    with pytest.raises(AssertionError):
        assert_proportion(touches, n, 0.55)
