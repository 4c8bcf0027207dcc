"""Decisions against counting by hand; forecasts over simulated worlds against closed forms."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from closed_forms import conversion_and_retention
from scipy.stats import chi2
from statistical import FALSE_ALARM
from test_forecast_money import assert_z
from test_forecasts import DAYS, DRAWS

from journeysim import InputError, improve_stage
from journeysim.forecasts import (
    Cost,
    Forecast,
    Measures,
    choose_within_budget,
    decide,
    forecast,
    forecast_worlds,
    gains_over_time_of_worlds,
)
from journeysim.forecasts import decisions as module
from journeysim.spec import World

BASE = Measures(np.zeros(4), np.ones(4), {"profit": np.zeros(4)})


def made(*gains):
    changed = tuple(Measures(np.zeros(4), np.ones(4), {"profit": np.array(gain, float)}) for gain in gains)
    names = tuple("abcdef"[: len(gains)])
    return Forecast(30, 30, BASE, names, changed, ((),) * len(gains), horizon_days=60, currency="EUR")


def test_a_decision_is_what_counting_finds():
    found = decide(made([1, 2, -1, 4], [3, 0, 0, 1]), population=100, costs={"a": Cost(20, 0.3)})
    assert found.scenarios == ("a", "b")
    a = np.array([1, 2, -1, 4]) * 100.0 - 50
    b = np.array([3, 0, 0, 1]) * 100.0
    np.testing.assert_allclose(found.net, np.column_stack([a, b]))
    rows = {row["scenario"]: row for row in found.to_frame().iter_rows(named=True)}
    best = np.maximum(np.maximum(a, b), 0)
    assert (rows["a"]["p_helps"], rows["a"]["p_pays"]) == (0.75, 0.75)
    assert rows["a"]["regret"] == pytest.approx((best - a).mean())
    assert rows["change nothing"]["regret"] == pytest.approx(best.mean())
    assert rows["a"]["p_best"] == 0.5
    assert rows["b"]["p_best"] == pytest.approx((1 + 0.5) / 4)  # in the third draw b ties with changing nothing
    assert max(map(len, str(found).splitlines())) <= 80
    dear = decide(made([1, 2, -1, 4]), population=100, costs={"a": Cost(1_000)})
    assert dear.best == "change nothing"


def test_retention_is_worth_the_buyers_who_are_retained():
    """A scenario that wins more buyers and keeps the same share of them retains more."""
    found = forecast(DRAWS, [SCENARIOS[0], SCENARIOS[2]], **DAYS)
    decision = decide(found, population=1_000, costs={"c": Cost(3)}, measure="retention", worth=7.0)
    assert decision.measure == "retained buyers"
    before = found.baseline.conversion * found.baseline.retention
    for name, after, cost in zip("ac", found.changed, (0, 3), strict=True):
        expected = 7 * 1_000 * (after.conversion * after.retention - before) - cost
        np.testing.assert_allclose(decision.net[:, decision.scenarios.index(name)], expected)
        shares = 7 * 1_000 * found.difference(name, "retention") - cost  # of buyers, not of all who start
        assert not np.allclose(shares, expected, rtol=0.2)
    by = found.baseline.of("retained buyers", 1)
    np.testing.assert_allclose(by, found.baseline.of("conversion", 1) * found.baseline.of("retention", 1))
    assert "retained buyers of 1,000 customers" in str(decision)


def test_a_simulation_counts_retained_buyers_and_their_noise():
    """Of 1,000 customers 40 worlds: the noise of the product is that of a share of all customers."""
    n = 40
    ask = {"n_customers": 1_000, "conversion_days": 20, "retention_days": 10}
    found = forecast_worlds([{"x": world(1)}] * n, np.ones((n, 1)), [SCENARIOS[0]], seed=3, **ask)
    before, after = (conversion_and_retention(w, 20, 10) for w in (world(1), SCENARIOS[0].apply(world(1))))
    truth = after[0] * after[1] - before[0] * before[1]
    noise = found.noise["a", "retained buyers"]
    raw = found.changed[0].of("retained buyers") - found.baseline.of("retained buyers")
    assert_z(raw.mean() - truth, noise / n**0.5)
    low, high = chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], n)
    squares = ((raw - truth) ** 2).sum()
    assert low < squares / noise**2 < high
    assert not low < squares / (noise / 4) ** 2 < high


SCENARIOS = [improve_stage("look", forward=1.5, name="a"), improve_stage("cart", forward=1.5, name="b"),
             improve_stage("use", exit=0.5, name="c")]  # fmt: skip
COSTS = {"a": Cost(3), "b": Cost(4), "c": Cost(6)}


def choose(budget, scenarios=SCENARIOS, **more):
    return choose_within_budget(
        scenarios, lambda some: forecast(DRAWS, some, horizon_days=60, **DAYS), budget=budget, population=1_000,
        costs=COSTS, measure="purchases", **more,
    )  # fmt: skip


@pytest.mark.slow
def test_sets_within_a_budget_are_forecast_jointly():
    found = choose(9)
    assert Counter(found.scenarios) == Counter(["a", "b", "c", "a + b", "a + c"])
    both = forecast(DRAWS, [SCENARIOS[0] + SCENARIOS[1]], horizon_days=60, **DAYS).difference("a + b", "purchases")
    np.testing.assert_allclose(found.gross[:, found.scenarios.index("a + b")], 1_000 * both)
    assert found.note == ""
    with pytest.raises(InputError, match="No scenario is within the budget of 1"):
        choose(1)


def test_a_greedy_choice_says_so_and_is_as_good_here(monkeypatch):
    every = choose(100)
    monkeypatch.setattr(module, "MOST_SETS", 3)
    greedy = choose(100)
    assert greedy.note.startswith("Greedy search: ")
    assert greedy.scenarios[0].split(" + ").sort() == every.scenarios[0].split(" + ").sort()
    assert greedy.net[:, 0].mean() == pytest.approx(every.net[:, 0].mean())


def test_bad_decisions_are_refused():
    for population in (0, -1, np.nan, np.inf):
        with pytest.raises(InputError, match=f"population is {population}"):
            decide(made([1, 1, 1, 1]), population=population, costs={})
    with pytest.raises(InputError, match="worth is nan"):
        decide(made([1, 1, 1, 1]), population=1, costs={}, worth=np.nan)
    with pytest.raises(InputError, match="costs names 'z'"):
        decide(made([1, 1, 1, 1]), population=1, costs={"z": Cost(1)})
    with pytest.raises(InputError, match="fixed is -1"):
        Cost(-1)


def world(pace):
    return World.from_yaml(f"""
name: tiny
stages:
  - {{name: look, moves_per_day: {{buy: {0.05 * pace}, lost: 0.05}}}}
  - {{name: buy, purchase: true, moves_per_day: {{lost: 0.03}}}}
personas: [{{name: one, share: 1}}]
basket: {{median: 10}}
""")


def test_simulated_worlds_agree_with_closed_forms_and_tell_noise_apart():
    rng, n = np.random.default_rng(2), 30
    paces = rng.uniform(0.3, 1.7, size=(n, 2)) * [1, 2]
    worlds = [{"slow": world(a), "quick": world(b)} for a, b in paces]
    weights = np.tile([0.25, 0.75], (n, 1))
    plan = improve_stage("look", forward=1.5, name="plan")
    days = {"conversion_days": 20, "retention_days": 10}
    found = forecast_worlds(worlds, weights, [plan], n_customers=1_600, seed=1, **days)
    assert found.source == "simulated"
    assert found.segments == ("slow", "quick")

    def exact(of):
        by = [[conversion_and_retention(of(w), *days.values())[0] for w in draw.values()] for draw in worlds]
        return np.sum(weights * by, axis=1)

    truth = exact(plan.apply) - exact(lambda w: w)
    raw = found.changed[0].conversion - found.baseline.conversion
    noise = found.noise["plan", "conversion"]
    assert_z(found.difference("plan", "conversion").mean() - truth.mean(), noise / n**0.5)
    # the residuals are noise of the size that is told: their sum of squares is chi-square
    low, high = chi2.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], n)
    squares = ((raw - truth) ** 2).sum()
    assert low < squares / noise**2 < high
    assert not low < squares / (noise / 4) ** 2 < high
    assert found.difference("plan", "conversion").std() < raw.std()
    assert "noise" in str(found)
    assert max(map(len, str(found).splitlines())) <= 80


def test_simulated_purchases_and_discounted_value_agree_with_the_closed_form_at_every_day():
    """A first purchase with hazard a, a loss with hazard 0.05; what comes at u is worth exp(-d u)."""
    n, n_customers, days, yearly = 4, 4_000, np.linspace(0, 30, 7), 3.0
    worlds, weights = [{"slow": world(1), "quick": world(2)}] * n, np.tile([0.25, 0.75], (n, 1))
    plan = improve_stage("look", forward=1.5, name="plan")
    ask = {"n_customers": n_customers, "seed": 4, "yearly_discount": yearly}
    found = forecast_worlds(worlds, weights, [plan], conversion_days=20, retention_days=10, **ask)
    gains = gains_over_time_of_worlds(worlds, weights, [plan], days, **ask)

    def expected(times, discount):
        a, gone = np.array([0.05, 0.1]) * times, 0.05 + discount
        return a / (a + gone) * (1 - np.exp(-np.outer(days, a + gone))) @ [0.25, 0.75]

    value = 10 * np.exp(0.5**2 / 2)
    for measure, discount, worth in (
        ("purchases", 0.0, 1.0),
        ("revenue", 0.0, value),
        ("clv", np.log1p(yearly) / 365, value),
    ):
        truth = worth * (expected(1.5, discount) - expected(1.0, discount))
        simulated = gains.gains["plan", measure].mean(axis=0)
        assert simulated[0] == 0
        error = found.noise["plan", measure] / n**0.5
        assert_z(simulated[-1] - truth[-1], error)
        assert_z(found.difference("plan", measure).mean() - truth[-1], error)
        assert found.difference("plan", measure).mean() == pytest.approx(simulated[-1])
        assert (np.abs(simulated - truth) <= 6 * error).all()  # gains by earlier days are less noisy
        assert not np.abs(simulated[1] - truth[2]) <= 6 * error  # a day off would be found out
    assert gains.gains["plan", "conversion"].mean(axis=0) == pytest.approx(
        gains.gains["plan", "purchases"].mean(axis=0)
    )
    # all draws are the same world: what spread there is, is noise, by the same rule in both
    np.testing.assert_allclose(gains.gains["plan", "purchases"][:, -1], found.difference("plan", "purchases"))


def test_worlds_that_do_not_fit_are_refused():
    draw = {"a": world(1)}
    ask = {"n_customers": 50, "seed": 1, **DAYS}
    plan = [improve_stage("look", forward=2)]
    with pytest.raises(InputError, match="two draws"):
        forecast_worlds([draw], np.ones((1, 1)), plan, **ask)
    with pytest.raises(InputError, match="weights have shape"):
        forecast_worlds([draw, draw], np.ones((1, 1)), plan, **ask)
    with pytest.raises(InputError, match="draw 1 has segments b"):
        forecast_worlds([draw, {"b": world(1)}], np.ones((2, 1)), plan, **ask)
    with pytest.raises(InputError, match="no scenario"):
        forecast_worlds([draw, draw], np.ones((2, 1)), [], **ask)
    with pytest.raises(InputError, match="yearly_discount is -1"):
        forecast_worlds([draw, draw], np.ones((2, 1)), plan, yearly_discount=-1, **ask)
    size = {"n_customers": 50, "seed": 1}
    with pytest.raises(InputError, match="linspace"):
        gains_over_time_of_worlds([draw, draw], np.ones((2, 1)), plan, np.array([1.0, 2]), **size)
    with pytest.raises(InputError, match="two draws"):
        gains_over_time_of_worlds([draw], np.ones((1, 1)), plan, np.array([0.0, 2]), **size)


def test_charts_show_what_the_tables_hold():
    from journeysim.forecast_plots import decision_chart, gains_chart
    from journeysim.forecasts import gains_over_time

    found = choose(9)
    axes = decision_chart(found).axes[0]
    shown = [point[0] for point in axes.collections[-1].get_offsets()]
    np.testing.assert_allclose(shown[::-1], found.net.mean(axis=0))
    assert not any("%" in label.get_text() for label in axes.get_xticklabels())
    figure = decision_chart(replace(found, scenarios=("long " * 30, *found.scenarios[1:]), net=1e6 * found.net))
    figure.canvas.draw()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
    assert len(boxes) > 1
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
    gains = gains_over_time(DRAWS, SCENARIOS, np.linspace(0, 30, 4))
    axes = gains_chart(gains).axes[0]
    lines = [line for line in axes.lines if len(line.get_xdata()) == 4]
    np.testing.assert_allclose(lines[1].get_ydata(), 100 * gains.gains["b", "conversion"].mean(axis=0))
    with pytest.raises(InputError, match="no gains of 'clv'"):
        gains_chart(gains, "clv")
