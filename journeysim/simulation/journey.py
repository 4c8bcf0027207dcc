"""The life of a customer as a SimPy process: the compiled kernel's rules in the same order, interpreted."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import simpy

from journeysim.simulation import rules
from journeysim.simulation.rows import (
    CAUSE_BASE,
    CSAT,
    LOST_ROW,
    NONE,
    NPS,
    PAIN,
    PURCHASE,
    REFERRAL,
    STAGE,
    TOUCH,
    packed,
)
from journeysim.simulation.tables import EXIT, FORWARD

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from journeysim.simulation.desks import Customer, Market

    Process = Generator[simpy.Event, Any, None]

U64 = np.uint64
UNKNOWN = math.nan  # a value that a row does not have
Row = list[Any]  # time, code (see `rows.packed`), value


def journey(market: Market, me: Customer) -> Process:
    """The life of a customer in the window, see `kernel._simulate_customers`: the same rules in the same order."""
    x, seed, recipe, who = market.x, market.seed, market.recipe, U64(me.number)
    horizon, p = recipe.horizon_days, me.persona
    n_channels, n_stages = len(x.fatigue), len(x.pushed)
    fresh, met = np.ones(n_channels), np.zeros(n_channels, bool)
    pressure, pressed_at = np.zeros(n_channels), np.zeros(n_channels)
    n_irritated = np.zeros(n_channels, np.uint64)
    visits = [0] * n_stages
    purchases = 0

    def log(time: float, kind: int, *, channel: int = NONE, stage: int, pain: int = NONE, cause: int = NONE) -> Row:
        row = [time, _packed(kind, channel, stage, pain, cause), UNKNOWN]
        me.rows.append(row)
        return row

    gaps, effects = np.empty(rules.CONTACTS_AT_ONCE), np.empty(rules.CONTACTS_AT_ONCE)
    words = np.empty(rules.CONTACTS_AT_ONCE, np.uint64)
    n_contact = 0
    rules.draw_contacts(seed, who, U64(0), gaps, words, effects)
    until_contact = float(gaps[0])
    n_referral = 0
    until_referral = _referral_gap(seed, who, U64(0)) if x.referral_rate[p] > 0 else math.inf

    t, s, caused_by = 0.0, 0, NONE
    while True:
        # --- enter stage s at time t ---
        visit, stay = U64(visits[s]), U64(s << 16)
        visits[s] += 1
        log(t, STAGE, stage=s, cause=caused_by)
        if x.is_purchase[s]:
            log(t, PURCHASE, stage=s)[-1] = _basket_value(x, seed, who, p, U64(purchases))
            purchases += 1
        if x.is_experience[s]:
            me.satisfaction = _after_experience(x, seed, who, visit, stay, me.satisfaction)
        slows, pains_met = 1.0, []
        for place, k in enumerate(range(x.pain_start[s], x.pain_start[s + 1])):
            if _meets_pain(x, seed, who, p, visit, stay, k, place):
                slows *= x.pain_slows[k]
                pains_met.append((place, k))
                me.satisfaction = _within_bounds(me.satisfaction - x.pain_hurts[k])
                log(t, PAIN, stage=s, pain=x.pain_index[k])
        for question, kind in enumerate((CSAT, NPS)):
            score = _survey_score(x, seed, who, s, visit, stay, question, me.satisfaction)
            if score >= 0:
                log(t, kind, stage=s)[-1] = float(score)

        forward, out = slows, 1.0
        if purchases and x.satisfaction_effect > 0:
            factor = _satisfaction_factor(x, me.satisfaction)
            forward, out = forward * factor, out / factor

        # --- the earliest of the moves that no contact causes ---
        t_move, to, caused_by = math.inf, n_stages, CAUSE_BASE
        clocks: list[float] = []
        way_out = 0
        for m in range(x.move_to.shape[1]):
            if m % 2 == 0:
                clocks += _two_clocks(seed, who, visit, stay, m // 2)
            direction = x.move_direction[s, m]
            rate = x.move_rate[p, s, m] * {FORWARD: forward, EXIT: out}.get(direction, 1.0)
            if rate > 0:
                t_clock = _time_spent(x, s, t, clocks[m] / rate, direction == FORWARD)
                if t_clock < t_move:
                    t_move, to, caused_by = t_clock, int(x.move_to[s, m]), CAUSE_BASE
            if direction == EXIT:
                loses = 1.0
                for pain_place, k in pains_met:
                    added = rate * loses * (x.pain_loses[k] - 1.0)
                    loses *= x.pain_loses[k]
                    if added > 0:
                        t_clock = t + _pain_clock(seed, who, visit, stay, pain_place, way_out) / added
                        if t_clock < t_move:
                            t_move, to = t_clock, int(x.move_to[s, m])
                            caused_by = 1 + n_channels + int(x.pain_index[k])
                way_out += 1

        begin = x.trigger_start[s]
        pending = {}
        for j in range(begin, x.trigger_start[s + 1]):
            if _trigger_fires(x, seed, who, p, visit, stay, j, j - begin):
                pending[j] = t + x.trigger_delay[j]
        push = forward * x.influence[p, s]
        contact_rate = x.contact_rate[p, s]
        referral_rate = x.referral_rate[p] if x.advocates[s] else 0.0

        # --- contacts, referrals and calls until the first move ---
        t_spent = t_referred = t
        t_contact = t + until_contact / contact_rate if contact_rate > 0 else math.inf
        t_refer = t + until_referral / referral_rate if referral_rate > 0 else math.inf
        while True:
            t_trigger = min(pending.values(), default=math.inf)
            t_heard = me.heard[0][0] if me.heard else math.inf
            t_called = me.called[0].time if me.called else math.inf
            t_next = min(t_contact, t_trigger, t_refer, t_heard, t_called)
            try:
                yield market.until(min(t_next, t_move, horizon))
            except simpy.Interrupt:
                continue  # there is news
            if t_next >= t_move or t_next >= horizon:
                break
            if t_next == t_called:
                outcome = me.called.pop(0)
                c, w = outcome.channel, outcome.effect
                desk = market.desks[c].desk
                me.satisfaction = _within_bounds(me.satisfaction - outcome.hours * desk.hurts_per_hour)
                if not outcome.served:
                    pain = market.hangs_up[c]
                    log(t_next, PAIN, stage=s, pain=pain)
                    if outcome.gives_up:
                        t_move, to, caused_by = t_next, n_stages, 1 + n_channels + pain
                    continue
                made = True
            elif t_next == t_contact:
                drawn = n_contact % rules.CONTACTS_AT_ONCE
                c, w = int(_contact_channel(x, p, s, words[drawn])), float(effects[drawn])
                made = x.channel_active[s, c] and (
                    not x.has_calendar[c] or _is_open(x, seed, who, c, t_next, U64(n_contact))
                )
                n_contact += 1
                if n_contact % rules.CONTACTS_AT_ONCE == 0:
                    rules.draw_contacts(seed, who, U64(n_contact), gaps, words, effects)
                until_contact = float(gaps[n_contact % rules.CONTACTS_AT_ONCE])
                t_spent = t_contact
                t_contact = t_spent + until_contact / contact_rate
            elif t_next == t_trigger:
                j = min(pending, key=lambda trigger: (pending[trigger], trigger))
                c, w = int(x.trigger_channel[j]), _trigger_effect(seed, who, visit, stay, j - begin)
                made = x.channel_active[s, c]
                del pending[j]
            elif t_next == t_heard:
                c, w = x.word_of_mouth, me.heard.pop(0)[1]
                made = x.channel_active[s, c]
            else:
                log(t_next, REFERRAL, stage=s)
                named, acts = _referral(x, seed, who, U64(n_referral), recipe.n_customers)
                if named >= 0:
                    friend = market.customers[named - market.first]
                    friend.heard.append((t_next + x.referral_delay, acts))
                    friend.tell()
                n_referral += 1
                until_referral = _referral_gap(seed, who, U64(n_referral))
                t_referred = t_refer
                t_refer = t_referred + until_referral / referral_rate
                continue
            if not made:
                continue
            if t_next != t_called:
                row = log(t_next, TOUCH, channel=c, stage=s)
                if c in market.desks:  # it counts when it has been served
                    me.calls.append(market.env.process(market.desks[c].call(me, w, row)))
                    continue
            t_pushed = t_next + _influence_time(w, x.pull[p, s, c] * fresh[c], push, x.mean_life[c])
            if t_pushed < t_move:
                t_move, to, caused_by = t_pushed, int(x.pushed[s]), 1 + c
            fresh[c] *= x.fatigue[c]
            if x.has_synergy[c]:
                _meet_first(x, c, met, fresh)
            me.satisfaction = _within_bounds(me.satisfaction + x.service[c])
            if x.tolerated[c] < math.inf:
                pressure[c] = _pressure_after(x, c, pressure[c], t_next - pressed_at[c])
                pressed_at[c] = t_next
                if pressure[c] > x.tolerated[c]:
                    me.satisfaction = _within_bounds(me.satisfaction - x.irritation_hurts[c])
                    t_lost = t_next + _irritation_time(x, seed, who, c, n_irritated[c], out / x.patience[p])
                    n_irritated[c] += U64(1)
                    if t_lost < t_move:
                        t_move, to, caused_by = t_lost, n_stages, 1 + c

        if t_move >= horizon:
            return
        if contact_rate > 0:
            until_contact = max(until_contact - (t_move - t_spent) * contact_rate, 0.0)
        if referral_rate > 0:
            until_referral = max(until_referral - (t_move - t_referred) * referral_rate, 0.0)
        t = t_move
        if to == n_stages:
            log(t, LOST_ROW, stage=n_stages, cause=caused_by)
            for call in me.calls:
                if call.is_alive:
                    call.interrupt()
            return
        s = to


def _interpreted(rule: Any) -> Callable[..., Any]:
    """A rule as Python: handing sixty arrays to compiled code takes longer than the rule."""
    function: Callable[..., Any] = rule.py_func
    return function


_after_experience = _interpreted(rules.after_experience)
_basket_value = _interpreted(rules.basket_value)
_contact_channel = _interpreted(rules.contact_channel)
_influence_time = _interpreted(rules.influence_time)
_irritation_time = _interpreted(rules.irritation_time)
_is_open = _interpreted(rules.is_open)
_meet_first = _interpreted(rules.meet_first)
_meets_pain = _interpreted(rules.meets_pain)
_packed = _interpreted(packed)
_pain_clock = _interpreted(rules.pain_clock)
_pressure_after = _interpreted(rules.pressure_after)
_referral = _interpreted(rules.referral)
_referral_gap = _interpreted(rules.referral_gap)
_satisfaction_factor = _interpreted(rules.satisfaction_factor)
_survey_score = _interpreted(rules.survey_score)
_time_spent = _interpreted(rules.time_spent)
_trigger_effect = _interpreted(rules.trigger_effect)
_trigger_fires = _interpreted(rules.trigger_fires)
_two_clocks = _interpreted(rules.two_clocks)
_within_bounds = _interpreted(rules.within_bounds)
