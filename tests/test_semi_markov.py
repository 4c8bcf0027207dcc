"""Semi-Markov chains: against constant hazards, quadrature by hand, and customers followed one by one."""

from dataclasses import replace

import numpy as np
import pytest
from closed_forms import Draws
from scipy.integrate import quad
from statistical import assert_proportion
from test_forecasts import DAYS, DRAWS, PLAN

from journeysim.errors import InputError
from journeysim.forecasts import conversion_curve, forecast, retention_curve
from journeysim.semi_markov import absorbed

EQUAL = replace(DRAWS, edges_days=(0.0, 0.7, 2.0, 11.0), later=np.ones((5, 3, 11)))


@pytest.mark.parametrize("purchase_stages", [("buy",), ("buy", "renew")])
def test_equal_bins_are_constant_hazards(purchase_stages):
    constant, binned = (replace(draws, purchase_stages=purchase_stages) for draws in (DRAWS, EQUAL))
    expected, found = (forecast(draws, [PLAN], **DAYS) for draws in (constant, binned))
    for a, b in ((expected.baseline, found.baseline), (expected.changed[0], found.changed[0])):
        np.testing.assert_allclose(a.conversion, b.conversion, atol=1e-6)
        np.testing.assert_allclose(a.retention, b.retention, atol=2e-6)
    days = np.linspace(0, 60, 7)
    for curve in (conversion_curve, retention_curve):
        np.testing.assert_allclose(curve(constant, days, PLAN), curve(binned, days, PLAN), atol=3e-6)


def test_one_stage_has_the_textbook_solution():
    """Competing risks in one stage: the integral of hazard times survival."""
    edges, a, b = (0.0, 1.3, 4.0), np.array([0.5, 0.05, 0.2]), np.array([0.1, 0.3, 0.02])
    draws = Draws(
        np.array([[[a[0], b[0]]]]),
        (("look", "buy"), ("look", "lost")),
        ("look", "buy"),
        ("buy",),
        np.array([[1.0, 0.0]]),
        edges_days=edges,
        later=np.array([[a[1:] / a[0], b[1:] / b[0]]]).transpose(0, 2, 1),
    )

    def density(t):
        bin_ = np.searchsorted(edges, t, side="right") - 1
        widths = np.clip(np.minimum(t, [*edges[1:], np.inf]) - edges, 0, None)
        return a[bin_] * np.exp(-((a + b) * widths).sum())

    for days in (0.5, 1.3, 3.0, 9.0):
        expected = quad(density, 0, days, points=[edge for edge in edges[1:] if edge < days], limit=200)[0]
        found = forecast(draws, [], conversion_days=days, retention_days=1).baseline.conversion[0]
        assert found == pytest.approx(expected, abs=1e-7)


def followed(hazards, edges, origins, targets, n_customers, days, rng):
    """State of each of n_customers who begin in stage 0 and whose purchase stage 2 ends the clock, one by one."""
    state, clock = np.zeros(n_customers, int), np.zeros(n_customers)
    moving = np.ones(n_customers, bool)
    while moving.any():
        who = np.flatnonzero(moving)
        first, move = np.full(len(who), np.inf), np.full(len(who), -1)
        for m, origin in enumerate(origins):
            here = state[who] == origin
            # invert the integrated hazard, bin by bin
            left, wait = rng.exponential(size=len(who)), np.zeros(len(who))
            open_ = np.ones(len(who), bool)
            for b, begin in enumerate(edges):
                width = edges[b + 1] - begin if b + 1 < len(edges) else np.inf
                spent = hazards[b, m] * width if hazards[b, m] else 0.0
                ends = open_ & (left <= spent)
                wait[ends] = begin + left[ends] / hazards[b, m] if hazards[b, m] else 0
                open_ &= ~ends
                left = left - spent
            wait[open_] = np.inf
            sooner = here & (wait < first)
            first[sooner], move[sooner] = wait[sooner], m
        clock[who] += first
        done = clock[who] > days
        state[who[~done]] = np.asarray(targets)[move[~done]]
        moving[who] = ~done & (state[who] < 2)
    return state


def test_a_simulated_chain_agrees():
    edges = (0.0, 1.0, 5.0)
    origins, targets = np.array([0, 0, 1, 1, 1]), np.array([1, 3, 0, 2, 3])
    hazards = np.array([[0.9, 0.05, 0.2, 0.5, 0.1], [0.1, 0.2, 0.6, 0.02, 0.05], [0.02, 0.01, 0.1, 0.3, 0.02]])
    days, n = 12.0, 200_000
    state = followed(hazards, edges, origins, targets, n, days, np.random.default_rng(4))
    (((bought, lost),),) = absorbed(
        hazards[None], np.array(edges), origins, targets, np.eye(3)[:1], np.array([2, 3]), np.array([days])
    )
    assert_proportion(int((state == 2).sum()), n, bought)
    assert_proportion(int((state == 3).sum()), n, lost)
    flat = hazards[None].mean(axis=1, keepdims=True)
    average = absorbed(flat, np.zeros(1), origins, targets, np.eye(3)[:1], np.array([2, 3]), np.array([days]))[0, 0, 0]
    with pytest.raises(AssertionError, match="p-value"):  # the control: time in stage matters
        assert_proportion(int((state == 2).sum()), n, average)


def test_moves_that_take_no_time_are_followed_too():
    fast, binned = (replace(draws, hazards=DRAWS.hazards * 1e4) for draws in (DRAWS, EQUAL))
    a, b = (forecast(draws, [], conversion_days=1e-3, retention_days=1e-2).baseline for draws in (fast, binned))
    np.testing.assert_allclose(a.conversion, b.conversion, atol=1e-5)
    np.testing.assert_allclose(a.retention, b.retention, atol=1e-5)


def test_what_no_step_resolves_is_refused(monkeypatch):
    monkeypatch.setattr("journeysim.semi_markov.MOST_STEPS", 64)
    monkeypatch.setattr("journeysim.semi_markov.TOLERANCE", 1e-9)
    with pytest.raises(InputError, match="64 steps over 30 days are too coarse for hazards as fast as"):
        forecast(EQUAL, [], **DAYS)


def test_hazards_that_depend_on_what_customers_meet_are_refused():
    with pytest.raises(InputError, match=r"Hold the classes fixed with `posterior.holding"):
        forecast(replace(DRAWS, covariates=("contacts",)), [], **DAYS)
