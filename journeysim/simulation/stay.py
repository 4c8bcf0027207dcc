"""The beginning of a stay in a stage: what happens at once, and the clocks that start. For the compiled kernel."""

from __future__ import annotations

import numpy as np
from numba import njit

from journeysim.simulation.rng import NUMBA_OPTIONS, STREAM_MOVE, draw, log, uniform
from journeysim.simulation.rows import CAUSE_BASE, CSAT, HAS_VALUE, NONE, NPS, PAIN, PURCHASE, packed
from journeysim.simulation.rules import (
    CSAT_QUESTION,
    after_experience,
    basket_value,
    meets_pain,
    pain_clock,
    survey_score,
    time_spent,
    trigger_fires,
    two_clocks,
    within_bounds,
)
from journeysim.simulation.tables import CLOCKS_AT_ONCE, EXIT, FORWARD

U64 = np.uint64
VISITS_DRAWN = 4  # to each stage; the clocks of later ones are drawn stage by stage


@njit(inline="always", **NUMBA_OPTIONS)
def write(rows, row, time, code):  # type: ignore[no-untyped-def]
    """Write one row; the number of the next. Numbers of rows are unsigned: a signed index may count from the end."""
    rows.time[row] = time
    rows.code[row] = code
    return row + U64(1)


@njit(inline="always", **NUMBA_OPTIONS)
def write_value(rows, row, time, code, value):  # type: ignore[no-untyped-def]
    """Write one row with a value; the number of the next."""
    rows.value[row] = value
    return write(rows, row, time, code | U64(HAS_VALUE))


@njit(inline="always", **NUMBA_OPTIONS)
def enter_stage(x, seed, customer, p, s, t, visit, purchases, satisfaction, pains_met, rows, row):  # type: ignore[no-untyped-def]
    """What happens at once on entering a stage, in this order: purchase, experience, pain points, surveys.

    Returns (row, purchases, satisfaction, the product of `slows`, the number of pain points met).
    """
    stay = s << U64(16)
    if x.is_purchase[s]:
        value = basket_value(x, seed, customer, p, purchases)
        row = write_value(rows, row, t, packed(PURCHASE, NONE, s, NONE, NONE), value)
        purchases += U64(1)
    if x.is_experience[s]:
        satisfaction = after_experience(x, seed, customer, visit, stay, satisfaction)
    slows, n_met = 1.0, U64(0)
    for k in range(x.pain_start[s], x.pain_start[s + U64(1)]):
        if meets_pain(x, seed, customer, p, visit, stay, k, k - x.pain_start[s]):
            slows *= x.pain_slows[k]
            pains_met[n_met] = k
            n_met += U64(1)
            satisfaction = within_bounds(satisfaction - x.pain_hurts[k])
            row = write(rows, row, t, packed(PAIN, NONE, s, x.pain_index[k], NONE))
    if x.has_survey[s]:
        for question in range(2):
            score = survey_score(x, seed, customer, s, visit, stay, question, satisfaction)
            if score >= 0:
                kind = CSAT if question == CSAT_QUESTION else NPS
                row = write_value(rows, row, t, packed(kind, NONE, s, NONE, NONE), float(score))
    return row, purchases, satisfaction, slows, n_met


@njit(inline="always", **NUMBA_OPTIONS)
def draw_clocks(x, seed, customer, visit, clocks):  # type: ignore[no-untyped-def]
    """The clocks of one visit to each stage, all at once, into row `visit`: see `draw_contacts`.

    Who comes back to one stage will come back to the next.
    """
    for begin in range(U64(0), U64(len(x.clock_key)), U64(CLOCKS_AT_ONCE)):
        for i in range(begin, begin + U64(CLOCKS_AT_ONCE)):
            r0, r1, r2, r3 = draw(seed, customer, STREAM_MOVE, visit, x.clock_key[i])
            clocks[visit, U64(0), i] = uniform(r0, r1)
            clocks[visit, U64(1), i] = uniform(r2, r3)
        for i in range(begin, begin + U64(CLOCKS_AT_ONCE)):
            clocks[visit, U64(0), i] = -log(clocks[visit, U64(0), i])
        for i in range(begin, begin + U64(CLOCKS_AT_ONCE)):
            clocks[visit, U64(1), i] = -log(clocks[visit, U64(1), i])


@njit(inline="always", **NUMBA_OPTIONS)
def clocks_of_stay(x, seed, customer, s, visit, n_drawn, clocks):  # type: ignore[no-untyped-def]
    """The row of `clocks` with those of this stay, where they begin, and how many rows are drawn."""
    n_pairs = U64(x.move_to.shape[1]) >> U64(1)
    if visit < n_drawn:
        return visit, s * n_pairs, n_drawn
    if visit < U64(VISITS_DRAWN) and len(x.clock_key) > 0:
        draw_clocks(x, seed, customer, visit, clocks)
        return visit, s * n_pairs, visit + U64(1)
    for pair in range(n_pairs):
        one, other = two_clocks(seed, customer, visit, s << U64(16), pair)
        clocks[U64(VISITS_DRAWN), U64(0), pair], clocks[U64(VISITS_DRAWN), U64(1), pair] = one, other
    return U64(VISITS_DRAWN), U64(0), n_drawn


@njit(inline="always", **NUMBA_OPTIONS)
def start_clocks(x, seed, customer, p, s, t, visit, forward, out, pains_met, n_met, clocks, spent, first):  # type: ignore[no-untyped-def]
    """The earliest of the moves that no contact causes: (when, where to, cause). Clocks: clocks[spent, :, first]."""
    stay = s << U64(16)
    t_move, which, cause, way_out = np.inf, U64(0), U64(CAUSE_BASE), U64(0)
    for m in range(U64(x.move_to.shape[1])):
        direction = x.move_direction[s, m]
        rate = x.move_rate[p, s, m] * (forward if direction == FORWARD else (out if direction == EXIT else 1.0))
        # choices, not branches: nobody can predict which clock is first. A rate of 0 never comes
        t_clock = time_spent(x, s, t, clocks[spent, m & U64(1), first + (m >> U64(1))] / rate, direction == FORWARD)
        sooner = t_clock < t_move
        t_move = t_clock if sooner else t_move
        which = m if sooner else which
        cause = U64(CAUSE_BASE) if sooner else cause
        if n_met > U64(0) and direction == EXIT:
            loses = 1.0
            for i in range(n_met):
                # exit hazard times the product of `loses`: each pain point adds its own, independent cause
                k = pains_met[i]
                added = rate * loses * (x.pain_loses[k] - 1.0)
                loses *= x.pain_loses[k]
                if added > 0.0:
                    t_clock = t + pain_clock(seed, customer, visit, stay, k - x.pain_start[s], way_out) / added
                    if t_clock < t_move:
                        t_move, which = t_clock, m
                        cause = U64(1) + U64(len(x.fatigue)) + x.pain_index[k]
            way_out += U64(1)
    return t_move, x.move_to[s, which], cause


@njit(inline="always", **NUMBA_OPTIONS)
def start_triggers(x, seed, customer, p, s, t, visit, pending):  # type: ignore[no-untyped-def]
    """Times of the contacts that this entry triggers, into `pending`."""
    begin = x.trigger_start[s]
    for j in range(begin, x.trigger_start[s + U64(1)]):
        fires = trigger_fires(x, seed, customer, p, visit, s << U64(16), j, j - begin)
        pending[j] = t + x.trigger_delay[j] if fires else np.inf


@njit(inline="always", **NUMBA_OPTIONS)
def first_trigger(x, s, pending):  # type: ignore[no-untyped-def]
    """The next triggered contact: (when, which)."""
    t_trigger, which = np.inf, x.trigger_start[s]
    for j in range(x.trigger_start[s], x.trigger_start[s + U64(1)]):
        if pending[j] < t_trigger:
            t_trigger, which = pending[j], j
    return t_trigger, which
