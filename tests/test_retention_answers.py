"""Answers of retention posteriors against simulation, published closed forms and each other."""

import dataclasses

import numpy as np
import polars as pl
import pytest
from known_customers import cohort_history, purchase_history
from scipy.special import betaln, hyp2f1
from statistical import assert_mean, assert_proportion

from journeysim.bayes.retention import ChurnPosterior, Money, PurchasePosterior, RetentionChange, RetentionModel
from journeysim.bayes.retention.expectations import active_at, beta_nodes, purchases_until
from journeysim.bayes.retention.purchase_posterior import p_active
from journeysim.bayes.retention.simulation import purchase_times
from journeysim.errors import InputError
from journeysim.retention_plots import retention_fan

R, ALPHA, A, B = 0.243, 4.414, 0.793, 2.426  # CDNOW


@pytest.fixture(scope="module")
def purchases():
    rng = np.random.default_rng(1)
    history = purchase_history(
        [0.2, 0.1], [0.6, 1.0], [0.2, 0.1], [2.0, 4.0], spend=([30.0, 50.0], [5.0, 4.0], [3.0, 4.0]), n=60, rng=rng
    )
    return RetentionModel().fit(history, seed=1, draws=150, warmup=200)


@pytest.fixture(scope="module")
def contracts():
    history = cohort_history([0.3, 0.15], [1.5, 4.0], rng=np.random.default_rng(2))
    return RetentionModel().fit(history, seed=1, draws=150, warmup=200)


def test_expected_purchases_equal_the_closed_form_of_the_paper():
    """Fader, Hardie & Lee (2005), eq. 9 (a new customer) and eq. 10 (given x, t_x, T)."""
    times = np.array([1.0, 39.0, 500.0])
    for x, age in ((0, 0.0), (0, 38.9), (2, 38.9), (29, 38.9)):
        p, weight = beta_nodes(np.float64(A), np.float64(B + x))
        found = purchases_until(times, np.float64(R + x), np.float64(ALPHA + age), p, weight)
        z = times / (ALPHA + age + times)
        series = hyp2f1(R + x, B + x, A + B + x - 1, z)
        closed = (A + B + x - 1) / (A - 1) * (1 - ((ALPHA + age) / (ALPHA + age + times)) ** (R + x) * series)
        assert (np.abs(found / closed - 1) < [1e-9, 1e-7, 1e-4]).all()  # 500 weeks are a hundred alphas
    odds = A / (B + 1) * ((ALPHA + 38.86) / (ALPHA + 30.43)) ** (R + 2)
    assert p_active(2, 30.43, 38.86, R, ALPHA, A, B) == pytest.approx(1 / (1 + odds))


def test_nodes_integrate_the_survival_of_contracts_exactly():
    a, b = np.array([0.668, 5.0, 300.0]), np.array([3.806, 0.2, 40.0])
    p, weight = beta_nodes(a, b)
    for t in (1, 12, 40):
        np.testing.assert_allclose((weight * (1 - p) ** t).sum(-1), np.exp(betaln(a, b + t) - betaln(a, b)), rtol=1e-8)


@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_purchases_and_activity_agree_with_simulated_customers(factor):
    """40,000 customers by a simulator that shares no formula; also with every chance to be gone halved."""
    rng = np.random.default_rng(4)
    n, end = 40_000, 30.0
    p = rng.beta(A, B, n) * factor
    who, _ = purchase_times(rng, rng.gamma(2.0, 1 / 10.0, n), p, np.full(n, end))
    nodes, weight = beta_nodes(np.float64(A), np.float64(B))
    expected = purchases_until(np.array([end]), np.float64(2.0), np.float64(10.0), nodes * factor, weight)[0]
    counts = np.minimum(np.bincount(who, minlength=n), 60)
    assert_mean(counts, expected, 0, 60)
    with pytest.raises(AssertionError):
        assert_mean(counts, 1.1 * expected, 0, 60)
    gone = sum(1 for i in range(2000) if _is_gone(rng, 2.0, 10.0, A, B, factor, end))
    assert_proportion(
        gone, 2000, 1 - active_at(np.array([end]), np.float64(2), np.float64(10), nodes * factor, weight)[0]
    )


def _is_gone(rng, shape, rate, a, b, factor, end):
    pace, p, now = rng.gamma(shape, 1 / rate), factor * rng.beta(a, b), 0.0
    while (now := now + rng.exponential(1 / pace)) < end:
        if rng.random() < p:
            return True
    return False


def test_answers_are_consistent(purchases):
    curve = purchases.retention([0, 10, 52]).draws
    np.testing.assert_allclose(curve[..., 0], 1.0)
    assert (np.diff(curve) < 0).all()
    no_discount = purchases.lifetime_value(52, money=Money(yearly_discount=0.0, value=2.0)).draws
    np.testing.assert_allclose(no_discount, 2 * purchases.purchases([52]).draws, rtol=1e-9)
    discounted = purchases.lifetime_value(52, money=Money(yearly_discount=0.1, value=2.0)).draws
    assert ((discounted < no_discount) & (discounted > no_discount / 1.1)).all()
    assert (purchases.active_time(52).draws < 52).all()
    own = purchases.lifetime_value(52).to_frame()
    assert own.columns == ["segment", "time", "mean", "low", "high"]


def test_every_customer_gets_an_answer_with_its_bounds(purchases):
    table = purchases.customers(26)
    assert table["customer"].to_list() == purchases.history.customers.tolist()
    for name in ("p_active", "purchases", "value"):
        assert (table[f"{name}_low"] <= table[name] + 1e-12).all()
        assert (table[name] <= table[f"{name}_high"] + 1e-12).all()
    new = purchases.history.frequency == 0
    assert (table["p_active"].to_numpy()[new] == 1).all()
    assert (table["p_active"].to_numpy()[~new] < 1).all()


def test_survival_of_contracts_equals_the_recursion_of_the_paper(contracts):
    """Fader & Hardie (2007), eq. 7: r(t) = (b + t - 1) / (a + b + t - 1); those who stayed are the more faithful."""
    a, b = contracts.beta()
    rates = contracts.renewal_rate([1, 2, 9]).draws
    for i, t in enumerate((1, 2, 9)):
        np.testing.assert_allclose(rates[..., i], (b + t - 1) / (a + b + t - 1), rtol=1e-8)
    older = contracts.renewal_rate([1], age=8).draws[..., 0]
    np.testing.assert_allclose(older, rates[..., 2], rtol=1e-8)
    stays = contracts.retention(np.arange(1, 7)).draws
    np.testing.assert_allclose(contracts.renewals(6).draws[..., 0], stays.sum(axis=-1), rtol=1e-12)
    value = contracts.lifetime_value(6, money=Money(value=10.0, yearly_discount=0.0, margin=0.5)).draws[..., 0]
    np.testing.assert_allclose(value, 5 * stays.sum(axis=-1), rtol=1e-12)


def test_what_ifs_share_each_draw(purchases, contracts):
    better = RetentionChange("better service", churn=0.8, segment="a")
    same = RetentionChange("nothing")
    for posterior, outcome, settings in (
        (purchases, "purchases", {"who": "new"}), (purchases, "purchases", {"who": "current"}),
        (contracts, "renewals", {"money": Money(value=10.0)}),
    ):  # fmt: skip
        result = posterior.what_if([better, same], horizon=12, **settings)
        assert (result.difference("better service", outcome, segment="a") > 0).all()
        assert not result.difference("better service", outcome, segment="b").any()
        assert not result.difference("nothing").any()
        assert result.probability_it_pays("better service", cost=0.0) == 1
        assert result.probability_it_pays("better service", cost=1e9) == 0
        table = result.to_frame()
        assert table.filter(change="better service", segment="a")["p_better"].to_list() == [1.0] * 3
        assert table.filter(change="better service", segment="b")["p_better"].to_list() == [None] * 3
        assert table.filter(change="nothing")["p_better"].is_null().all()
    faster = purchases.what_if([RetentionChange("x2", purchase_rate=2.0, spend=1.5)], horizon=12)
    np.testing.assert_allclose(
        faster.changed[0]["purchases"], purchases.purchases([24]).draws[..., 0], rtol=1e-9
    )  # twice as fast is twice as long


def test_no_change_leaves_current_customers_as_the_table_says(purchases):
    result = purchases.what_if([RetentionChange("nothing")], horizon=26, who="current")
    assert result.to_frame().schema["p_better"] == pl.Float64  # though all are null
    table = purchases.customers(26)
    of_a = table.filter(segment="a")["purchases"].mean()
    assert result.baseline["purchases"][:, 0].mean() == pytest.approx(of_a)


def test_posteriors_are_saved_and_loaded_to_the_last_bit(purchases, contracts, tmp_path):
    for posterior, kind in ((purchases, PurchasePosterior), (contracts, ChurnPosterior)):
        file = tmp_path / f"{kind.__name__}.nc"
        posterior.save(file)
        again = kind.load(file)
        for name in ("values", "typical", "spread", "coefficients", "diverging"):
            np.testing.assert_array_equal(getattr(again.parameters, name), getattr(posterior.parameters, name))
        assert again.parameters.parameters == posterior.parameters.parameters
        for field in dataclasses.fields(posterior.history):
            np.testing.assert_array_equal(getattr(again.history, field.name), getattr(posterior.history, field.name))
        assert (again.seed, again.versions) == (posterior.seed, posterior.versions)
        with pytest.raises(InputError, match="exists"):
            posterior.save(file)
    with pytest.raises(InputError, match="format"):
        PurchasePosterior.load(tmp_path / "ChurnPosterior.nc")


def test_arviz_takes_the_draws(contracts):
    posterior = contracts.to_arviz()["posterior"]
    assert posterior["churn"].shape == contracts.parameters.values.shape[:3]
    assert set(contracts.summary()["segment"]) == {"a", "b", "(typical)", "(spread)"}


def test_wrong_questions_are_refused(purchases, contracts):
    for ask, message in (
        (lambda: purchases.retention([-1]), "times must be numbers >= 0"),
        (lambda: contracts.retention([1.5]), "renewals are counted"),
        (lambda: contracts.lifetime_value(5, money=Money()), r"pass money=Money\(value"),
        (lambda: Money(yearly_discount=-0.1), "yearly_discount is -0.1"),
        (lambda: RetentionChange("x", churn=-1.0), "churn is a factor such as 0.9"),
        (lambda: purchases.what_if([RetentionChange("x", segment="z")], horizon=5), "no segment 'z'; found: a, b"),
        (lambda: purchases.what_if([], horizon=5), "at least one change"),
        (lambda: contracts.what_if([RetentionChange("x", purchase_rate=2.0)], horizon=5), "which a contract does not"),
        (lambda: purchases.what_if([RetentionChange("x")], horizon=5).difference("y"), "no change 'y'; found: x"),
    ):
        with pytest.raises(InputError, match=message):
            ask()


def test_a_fan_draws_a_line_per_segment_and_what_was_observed(contracts):
    answer = contracts.retention(np.arange(9))
    axes = retention_fan(answer, observed={"a": (np.arange(3.0), np.array([1.0, 0.7, 0.5]))}).axes[0]
    np.testing.assert_allclose(axes.lines[1].get_ydata(), np.median(answer.draws[:, 1], axis=0))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b", "observed"]
