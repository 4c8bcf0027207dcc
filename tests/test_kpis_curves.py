"""Curves over time against lifelines, closed forms and hand counts; lifetime value against its definition."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hand_logs import hand_log
from scipy import stats
from small_worlds import full_world, small_world
from statistical import assert_proportion

from journeysim.errors import InputError
from journeysim.kpis import (
    KaplanMeier,
    clv_curve,
    conversion_curve,
    converted_within,
    retained_after,
    retention_curve,
    survival,
    time_to_purchase,
)
from journeysim.kpis.observed import observe
from journeysim.kpis.value import Buyers
from journeysim.simulation import simulate

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what lifelines imports warns of its own future
    from lifelines import KaplanMeierFitter
    from lifelines.utils import median_survival_times

DAYS = np.arange(0.0, 91.0, 5.0)


def by_lifelines(days, ended, at):
    """Survival and its log-log band at some days, by lifelines."""
    fit = KaplanMeierFitter().fit(days, ended)
    band = fit.confidence_interval_
    k = np.searchsorted(band.index, at, side="right") - 1
    return fit, np.column_stack([fit.survival_function_at_times(at), band.to_numpy()[k]])


@pytest.fixture(scope="module")
def log():
    return simulate(full_world(), n_customers=3_000, horizon_days=120, seed=7)


@pytest.mark.parametrize("seed", range(5))
def test_kaplan_meier_of_random_censored_durations_equals_lifelines(seed):
    rng = np.random.default_rng(seed)
    days, censored = rng.exponential(30, 300), rng.exponential(50, 300)
    observed = np.minimum(days, censored).round(seed % 3)  # with many ties, with some, with none to speak of
    ended = days <= censored
    at = np.unique(observed)[:-1]
    found = KaplanMeier.fit(observed, ended).survival(at)
    _, expected = by_lifelines(observed, ended, at)
    np.testing.assert_allclose(found.value, expected[:, 0], rtol=1e-12)
    inner = (found.value > 0) & (found.value < 1)
    assert inner.sum() > 30
    np.testing.assert_allclose(np.column_stack(found[1:])[inner], expected[inner, 1:], rtol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_the_median_and_its_bounds_equal_lifelines(seed):
    rng = np.random.default_rng(seed)
    days, ended = rng.exponential(30, 200).round(1), rng.random(200) < 0.7
    fit, _ = by_lifelines(days, ended, np.zeros(1))
    bounds = median_survival_times(fit.confidence_interval_).to_numpy().ravel()
    expected = (fit.median_survival_time_, *bounds)
    found = KaplanMeier.fit(days, ended).quantile(0.5)
    assert tuple(np.inf if x is None else x for x in found) == pytest.approx(expected)


def test_the_curves_of_a_log_equal_lifelines(log):
    observed = observe(log)
    for curve, durations, shift in (
        (retention_curve, observed.as_customer(), False),
        (conversion_curve, observed.to_purchase(), True),
    ):
        _, days, ended = durations
        frame = curve(log, DAYS)
        _, expected = by_lifelines(days, ended, DAYS)
        found = frame.select("value", "low", "high").to_numpy()
        if shift:
            found = 1 - found[:, [0, 2, 1]]
        np.testing.assert_allclose(found[1:], expected[1:], rtol=1e-9)
        assert frame["at_risk"].to_list() == [int((days >= day).sum()) for day in DAYS]


def test_the_order_of_customers_changes_no_curve():
    rng = np.random.default_rng(1)
    days, ended, units = rng.exponential(9, 50).round(), rng.random(50) < 0.5, rng.integers(0, 9, 50)
    order = rng.permutation(50)
    here = KaplanMeier.fit(days, ended).survival(DAYS[:4])
    there = KaplanMeier.fit(days[order], ended[order]).survival(DAYS[:4])
    np.testing.assert_array_equal(np.array(here), np.array(there))
    assert KaplanMeier.fit(days, ended, units).survival(DAYS[:4]).low[1] < here.value[1]


def test_survival_of_a_textbook() -> None:
    # remission in weeks of 21 patients on 6-MP: Freireich et al. (1963), estimates as in Kleinbaum & Klein, ch. 2
    weeks = np.array([6, 6, 6, 7, 10, 13, 16, 22, 23, 6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35], dtype=float)
    ended = np.arange(21) < 9
    for week, expected in ((5, 1.0), (6, 0.8571), (7, 0.8067), (10, 0.7529), (13, 0.6902), (16, 0.6275), (23, 0.4482)):
        assert survival(week, weeks, ended)[0] == pytest.approx(expected, abs=5e-5)
    _, low, high = survival(10, weeks, ended)
    assert (low, high) == (
        pytest.approx(0.5032, abs=5e-4),
        pytest.approx(0.8894, abs=5e-4),
    )  # survfit, conf.type log-log
    assert survival(36, weeks, ended) == (None, None, None)


def test_without_censoring_survival_is_the_share_left() -> None:
    days = np.random.default_rng(1).exponential(30, 500).round()  # rounded: many ties
    for day in (0, 10, 50):
        assert survival(day, days, np.ones(500, bool))[0] == pytest.approx((days > day).mean())


def test_every_customer_as_a_cluster_gives_greenwoods_band():
    rng = np.random.default_rng(3)
    days, ended = rng.exponential(30, 4_000), rng.random(4_000) < 0.6
    plain = KaplanMeier.fit(days, ended).survival(DAYS[1:])
    clustered = KaplanMeier.fit(days, ended, np.arange(4_000)).survival(DAYS[1:])
    np.testing.assert_allclose(clustered.value, plain.value)
    np.testing.assert_allclose(clustered.high - clustered.low, plain.high - plain.low, rtol=0.01)


def test_customers_who_were_copied_tell_no_more_than_the_originals():
    rng = np.random.default_rng(4)
    days, ended = rng.exponential(30, 500), rng.random(500) < 0.6
    once = KaplanMeier.fit(days, ended, np.arange(500)).survival(DAYS[1:])
    copied = KaplanMeier.fit(np.tile(days, 4), np.tile(ended, 4), np.tile(np.arange(500), 4)).survival(DAYS[1:])
    np.testing.assert_allclose(copied.high - copied.low, once.high - once.low, rtol=0.03)


# --- what ends a customer's time ---


def test_retention_ends_with_the_first_loss_or_lapse_after_the_first_purchase():
    log = hand_log(
        *((0, 0, "lost"), (0, 5, "purchase"), (0, 12, "lost")),  # lost before the purchase does not count
        *((1, 0, "purchase"), (1, 20, "stage", "lapsed"), (1, 21, "stage", "buy"), (1, 30, "lost")),
        (2, 0, "purchase"),
        (3, 0, "touch", "ad"),
        days=50,
        stages=["buy", "lapsed"],
    )
    _, days, gone = observe(log).as_customer()
    assert days.tolist() == [7, 20, 50]
    assert gone.tolist() == [True, True, False]
    assert retained_after(log, 7)[0] == pytest.approx(2 / 3)
    assert retention_curve(log, [0, 6, 7, 20, 51])["value"].to_list() == [
        *(1, 1, pytest.approx(2 / 3), pytest.approx(1 / 3)), None
    ]  # fmt: skip


def test_the_lost_never_convert_and_stay_in_the_denominator():
    log = hand_log((0, 0, "touch", "ad"), (0, 4, "purchase"), (1, 0, "touch", "ad"), (1, 1, "lost"), days=10)
    assert converted_within(log, 5)[0] == 0.5
    assert conversion_curve(log, [3, 4, 11])["value"].to_list() == [0, 0.5, None]


def test_a_curve_has_every_whole_day_of_the_window_in_each_segment(log):
    frame = retention_curve(log, by="persona", cluster="market")
    assert set(frame["segment"]) == {"quick", "careful"}
    assert frame.filter(segment="quick")["day"].to_list() == list(range(121))
    for (_,), part in frame.group_by("segment"):
        assert (np.diff(part["value"].drop_nulls().to_numpy()) <= 0).all()


def test_days_must_be_numbers_from_zero_on(log):
    for wrong in ([-1], [np.nan], [[1, 2]]):
        with pytest.raises(InputError, match="must be numbers >= 0"):
            retention_curve(log, wrong)


def test_curves_of_nobody_and_of_one():
    nobody = hand_log((0, 0, "touch", "ad"))
    for curve in (retention_curve, clv_curve):
        assert curve(nobody, [0, 5]).drop("segment").rows() == [(0, None, None, None, 0), (5, None, None, None, 0)]
    assert conversion_curve(nobody, [5])["value"].to_list() == [0]
    one = hand_log((0, 2, "purchase", None, 30.0), days=10)
    assert retention_curve(one, [8, 9])["value"].to_list() == [1, None]
    assert clv_curve(one, [0, 8, 9]).drop("segment").rows() == [
        (0, 30, None, None, 1), (8, 30, None, None, 1), (9, None, None, None, 0)
    ]  # fmt: skip
    assert time_to_purchase(one, [0.5]).row(0)[1:] == (0.5, 0, None, None, 0)


def test_quantiles_of_the_time_to_purchase(log):
    frame = time_to_purchase(log, (0.1, 0.2, 0.9), by="persona")
    curve = conversion_curve(log, frame.filter(segment="quick", quantile=0.2)["days"], by="persona")
    assert curve.filter(segment="quick")["value"][0] == pytest.approx(0.2, abs=0.002)
    assert frame.filter(quantile=0.9)["days"].null_count() == 2  # so many never buy
    assert frame["days_of_buyers"].null_count() == 0
    with pytest.raises(InputError, match="quantile 1 is not between 0 and 1"):
        time_to_purchase(log, [1])


def test_conversion_follows_its_closed_form():
    log = simulate(
        small_world({"look": {"buy": 0.05}, "buy": {"look": 0.1}}), n_customers=4_000, horizon_days=30, seed=8
    )
    value = conversion_curve(log, [10])["value"][0]
    assert_proportion(round(value * 4_000), 4_000, stats.expon(scale=20).cdf(10))


# --- lifetime value ---


def test_lifetime_value_by_hand():
    log = hand_log(
        *((0, 0, "purchase", None, 10.0), (0, 5, "purchase", None, 20.0), (0, 15, "purchase", None, 30.0)),
        (1, 10, "purchase", None, 40.0),  # observed for ten days only
        (2, 1, "touch", "ad"),
        days=20,
    )
    found = clv_curve(log, [15, 0, 10])
    assert found["value"].to_list() == [65, 25, 35]  # 25, then 20 / 2 on day 5, then 30 / 1 on day 15
    assert found["at_risk"].to_list() == [1, 2, 2]
    half = clv_curve(log, [15], yearly_discount=1.0)["value"][0]
    assert half == pytest.approx(25 + 10 * 2 ** (-5 / 365) + 30 * 2 ** (-15 / 365))
    with pytest.raises(InputError, match=r"yearly_discount is -0\.1"):
        clv_curve(log, yearly_discount=-0.1)


def test_without_censoring_lifetime_value_is_the_mean_with_its_standard_error():
    rng = np.random.default_rng(9)
    n, k = 200, 900
    who, day, value = rng.integers(0, n, k), np.sort(rng.uniform(0, 50, k)), rng.lognormal(3, 1, k)
    buyers = Buyers(np.full(n, 60.0), np.arange(n), who, day, value)
    found = buyers.mean_cumulative(np.array([20.0, 50.0]))
    for t, upto in enumerate((20, 50)):
        sums = np.bincount(who, value * (day <= upto), n)
        factor = np.exp(stats.t.ppf(0.975, n - 1) * stats.sem(sums) / sums.mean())
        expected = (sums.mean(), sums.mean() / factor, sums.mean() * factor)
        assert (found.value[t], found.low[t], found.high[t]) == pytest.approx(expected)


def test_the_influences_of_buyers_under_censoring_are_those_of_the_definition():
    rng = np.random.default_rng(10)
    followed = rng.uniform(10, 60, 40)
    who = rng.integers(0, 40, 300)
    day = rng.uniform(0, 60, 300)
    keep = np.flatnonzero(day <= followed[who])
    keep = keep[np.argsort(day[keep])]
    who, day, value = who[keep], day[keep], rng.lognormal(3, 1, len(keep))
    mean, squares = 0.0, np.zeros(40)
    for i, u, v in zip(who, day, value, strict=True):
        if u <= 30:
            at_risk = followed >= u
            mean += v / at_risk.sum()
            squares -= at_risk * v / at_risk.sum() ** 2
            squares[i] += v / at_risk.sum()
    error = np.sqrt(40 / 39 * (squares**2).sum())
    found = Buyers(followed, np.arange(40), who, day, value).mean_cumulative(np.array([30.0]))
    assert found.value[0] == pytest.approx(mean)
    assert np.log(found.high[0] / mean) == pytest.approx(stats.t.ppf(0.975, 39) * error / mean)
