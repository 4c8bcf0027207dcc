import re
from dataclasses import replace

import numpy as np
import pytest
from closed_forms import Draws, converted_and_retained

from journeysim.errors import InputError
from journeysim.forecasts import Forecast, Measures, conversion_curve, forecast, retention_curve, signed
from journeysim.scenario import Scenario, StageChange, change_price, drop_channel, improve_stage

STAGES = ("look", "cart", "buy", "use", "renew")
MOVES = (
    ("look", "cart"),
    ("look", "lost"),
    ("cart", "look"),
    ("cart", "buy"),
    ("cart", "lost"),
    ("buy", "use"),
    ("use", "renew"),
    ("use", "lost"),
    ("renew", "use"),
    ("renew", "lost"),
    ("look", "renew"),
)
STARTS = np.array([[30.0, 10, 2, 0, 0], [50, 0, 0, 8, 0]])
DRAWS = Draws(np.random.default_rng(7).gamma(2, 0.05, size=(5, 2, 11)), MOVES, STAGES, ("buy", "renew"), STARTS)
PLAN = Scenario(name="plan", changes=(StageChange(stage="look", forward=2), StageChange(stage="use", exit=0.5)))
DAYS = {"conversion_days": 30, "retention_days": 90}


def by_hand(draws, conversion_days, retention_days, factors=1.0):
    """(N, 2) conversion and retention, one draw and segment at a time."""
    weights = np.hstack([draws.starts, [[0], [0]]]) / draws.starts.sum()
    purchases = [STAGES.index(name) for name in draws.purchase_stages]
    return np.array(
        [
            (
                total := sum(
                    np.array(
                        converted_and_retained(
                            draws.generator(n, g, factors), purchases, weights[g], conversion_days, retention_days
                        )
                    )
                    for g in range(2)
                )
            )
            / [1, total[0]]
            for n in range(len(draws.hazards))
        ]
    )


@pytest.mark.parametrize("purchase_stages", [("buy",), ("buy", "renew"), ("renew",)])
def test_measures_agree_with_one_matrix_exponential_at_a_time(purchase_stages):
    draws = replace(DRAWS, purchase_stages=purchase_stages)
    found = forecast(draws, [PLAN, improve_stage("cart", back=3, name="other")], **DAYS)
    assert found.scenarios == ("plan", "other")
    factors = np.ones(11)
    for m, move in enumerate(MOVES):
        factors[m] = 2 if move in (("look", "cart"), ("look", "renew")) else 0.5 if move == ("use", "lost") else 1
    other = np.where([move == ("cart", "look") for move in MOVES], 3.0, 1.0)
    for measures, by in ((found.baseline, 1.0), (found.changed[0], factors), (found.changed[1], other)):
        expected = by_hand(draws, 30, 90, by)
        np.testing.assert_allclose(measures.conversion, expected[:, 0], rtol=1e-10)
        np.testing.assert_allclose(measures.retention, expected[:, 1], rtol=1e-10)


def test_one_step_to_a_purchase_has_the_textbook_solution():
    a, b, c = 0.2, 0.1, 0.05
    draws = Draws(
        np.array([[[a, b, c]]]),
        (("look", "buy"), ("look", "lost"), ("buy", "lost")),
        ("look", "buy"),
        ("buy",),
        np.array([[9, 1]]),
    )
    found = forecast(draws, [], conversion_days=4, retention_days=10).baseline
    assert found.conversion[0] == pytest.approx(0.1 + 0.9 * a / (a + b) * (1 - np.exp(-(a + b) * 4)), rel=1e-12)
    assert found.retention[0] == pytest.approx(np.exp(-c * 10), rel=1e-12)


@pytest.mark.parametrize("scenario", [None, PLAN])
def test_curves_pass_through_the_measures_of_each_day(scenario):
    days = np.linspace(0, 60, 5)
    conversion, retention = conversion_curve(DRAWS, days, scenario), retention_curve(DRAWS, days, scenario)
    factors = 1.0
    if scenario:
        factors = scenario.hazard_factors(MOVES, stages=STAGES, purchase_stages=DRAWS.purchase_stages)
    for t, day in enumerate(days):
        np.testing.assert_allclose(conversion[:, t], by_hand(DRAWS, day, 1, factors)[:, 0], rtol=1e-10)
        np.testing.assert_allclose(retention[:, t], by_hand(DRAWS, 60, day, factors)[:, 1], rtol=1e-10)
    assert conversion[0, 0] == pytest.approx(2 / 100)


def test_a_frame_tells_differences_draw_by_draw():
    found = forecast(DRAWS, [PLAN], **DAYS)
    row = found.to_frame().row(0, named=True)
    difference = found.changed[0].conversion - found.baseline.conversion
    assert found.difference("plan", "conversion").tolist() == difference.tolist()
    assert (row["scenario"], row["measure"], row["days"]) == ("plan", "conversion", 30)
    assert row["difference"] == pytest.approx(difference.mean())
    assert row["forecast"] - row["baseline"] == pytest.approx(difference.mean())
    assert (row["low"], row["high"]) == (difference.min(), difference.max())  # of 5 draws: all of them
    assert row["p_improves"] == 1.0
    assert found.to_frame()["measure"].to_list() == ["conversion", "retention"]


@pytest.mark.parametrize("n", [1, 3])
def test_a_printed_forecast_fits_eighty_columns_and_leaves_no_number_out(n):
    base = Measures(np.array([0.1, 0.2]), np.array([0.8, 0.9]))
    more = Measures(base.conversion + 0.0123, base.retention)
    names = tuple(f"{i}: [b]a name[/b] that goes on and on and on and on" for i in range(n))
    found = Forecast(180.0, 30.0, base, names, (more,) * n, ((),) * n)
    lines = str(found).splitlines()
    assert max(map(len, lines)) <= 80
    assert {"scenario", "measure", "days", "baseline", "forecast"} <= {word for line in lines for word in line.split()}
    rows = [
        re.sub(r"^.*?(conversion|retention) +", r"\1 ", line)
        for line in lines
        if "%" in line and "interval" not in line
    ]
    assert [row.split() for row in rows[:2]] == [
        ["conversion", "180", "15.00%", "16.23%", "+1.23", "+1.23", "to", "+1.23"],
        ["retention", "30", "85.00%", "85.00%", "no", "change"],
    ]
    assert len(rows) == 2 * n
    assert {"[b]a", "name[/b]"} <= set(str(found).split())  # no markup
    assert f"{n} scenario{'' if n == 1 else 's'}," in repr(found)


@pytest.mark.parametrize(("number", "told"), [(-0.004, "0.00"), (0.004, "0.00"), (-0.006, "-0.01"), (1.5, "+1.50")])
def test_nothing_has_no_sign(number, told):
    assert signed(number) == told


def test_p_improves_is_the_share_of_draws_that_gain():
    moves = (("look", "buy"), ("look", "lost"), ("look", "use"), ("use", "lost"))
    # a detour through `use` never buys; speeding forward moves up helps only where buying is the likelier of the two
    hazards = np.array([[[0.2, 0.1, 0.0, 1]], [[1e-12, 0.1, 0.2, 1]], [[0.1, 0.1, 5, 1]], [[0.3, 0.2, 0.1, 1]]])
    draws = Draws(hazards, moves, ("look", "use", "buy"), ("buy",), np.array([[1, 0, 0]]))
    found = forecast(draws, [improve_stage("look", forward=2, name="x")], conversion_days=1e4, retention_days=1)
    assert (found.difference("x", "conversion") > 1e-9).tolist() == [True, False, True, True]
    assert found.to_frame()["p_improves"][0] == 0.75


def test_rounding_is_no_improvement():
    hazards = np.random.default_rng(1).gamma(2, 0.05, size=(200, 2, 11))
    draws = replace(DRAWS, hazards=hazards, starts=STARTS * [[1], [0]], purchase_stages=("buy",))
    frame = forecast(draws, [improve_stage("look", forward=2)], **DAYS).to_frame()
    assert frame["p_improves"].to_list() == [1.0, None]


def test_a_history_without_a_way_to_a_purchase_is_refused():
    draws = Draws(np.ones((2, 1, 1)), (("look", "lost"),), ("look", "buy"), ("buy",), np.array([[5, 0]]))
    with pytest.raises(InputError, match="No move of this history leads to a purchase"):
        forecast(draws, [improve_stage("look", forward=2)], **DAYS)
    with pytest.raises(InputError, match="No move of this history leads to a purchase"):
        retention_curve(draws, np.linspace(0, 9, 3))
    assert not conversion_curve(draws, np.linspace(0, 9, 3)).any()


@pytest.mark.parametrize(
    "ask",
    [
        lambda plan: forecast(DRAWS, [plan], **DAYS),
        lambda plan: conversion_curve(DRAWS, np.linspace(0, 9, 3), plan),
        lambda plan: retention_curve(DRAWS, np.linspace(0, 9, 3), plan),
        lambda plan: plan.unseen(MOVES, stages=STAGES, purchase_stages=DRAWS.purchase_stages),
    ],
)
def test_what_a_posterior_cannot_know_is_refused_and_never_ignored(ask):
    plan = improve_stage("look", forward=2) + drop_channel("tv") + change_price(times=1.1) + drop_channel("tv")
    message = r"^Scenario 'improve look.*' changes channel 'tv', the price\. .*cannot forecast that\. Fit a twin "
    with pytest.raises(
        InputError,
        match=message + r"of the log, .* ask forecast\(twin, .*simulate_changes",
    ):
        ask(plan)


@pytest.mark.parametrize("name", ["conversion_days", "retention_days"])
@pytest.mark.parametrize("days", [0, -1, np.nan, np.inf])
def test_horizons_must_be_positive(name, days):
    with pytest.raises(InputError, match=rf"{name} is {days}; it must be a positive number of days"):
        forecast(DRAWS, [PLAN], **DAYS | {name: days})


@pytest.mark.parametrize("days", [[0.0], [1, 2, 3], [0, 1, 3], [0, 0], []])
def test_curves_refuse_uneven_days(days):
    for curve in (conversion_curve, retention_curve):
        with pytest.raises(InputError, match=r"days are .*; take np\.linspace\(0, horizon, n\)"):
            curve(DRAWS, np.array(days, float))


def test_what_cannot_be_forecast_is_refused():
    with pytest.raises(InputError, match="Two scenarios share a name"):
        forecast(DRAWS, [PLAN, PLAN], **DAYS)
    with pytest.raises(InputError, match="No stage of this history is a purchase"):
        forecast(replace(DRAWS, purchase_stages=()), [PLAN], **DAYS)
    with pytest.raises(InputError, match=r"changes stage 'crat', which is unknown \(did you mean 'cart'"):
        forecast(DRAWS, [improve_stage("crat")], **DAYS)
    with pytest.raises(ValueError, match="not converged"):
        forecast(replace(DRAWS, converged=False), [PLAN], **DAYS)
    forecast(replace(DRAWS, converged=False), [PLAN], require_converged=False, **DAYS)


def test_draws_are_left_alone():
    before = DRAWS.hazards.copy()
    forecast(DRAWS, [PLAN], **DAYS)
    np.testing.assert_array_equal(DRAWS.hazards, before)
