"""One customer after the other, event by event: the compiled heart of the simulator.

A customer is a continuous-time marked jump process with competing risks. In each stay in a stage every move has a
clock of its own, and every contact may open one more: an extra forward hazard that decays. The earliest clock wins and
is the true cause of the move. All clocks are drawn in closed form, nothing is discretised. What happens is said by
`rules`; this file says in what order.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import njit

from journeysim.simulation.rng import NUMBA_OPTIONS
from journeysim.simulation.rules import (
    CONTACTS_AT_ONCE,
    CSAT_QUESTION,
    after_experience,
    basket_value,
    contact_channel,
    draw_contacts,
    influence_time,
    irritation_time,
    is_open,
    meet_first,
    meets_pain,
    pain_clock,
    pick_persona,
    pressure_after,
    referral_gap,
    satisfaction_factor,
    survey_score,
    time_spent,
    trigger_effect,
    trigger_fires,
    two_clocks,
    within_bounds,
)
from journeysim.simulation.tables import EXIT, FORWARD, NO_MOVE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.simulation.tables import Tables

U64 = np.uint64
TOUCH, STAGE, PURCHASE, PAIN, LOST_ROW, CSAT, NPS, REFERRAL = range(8)  # index into journeysim.events.KINDS
NONE = 255  # no channel, no pain point, no cause
CAUSE_BASE = 0
MICROSECONDS_PER_DAY = 86_400e6

# The kernel allocates nothing, so nothing needs to be counted: counting the references to sixty arrays each time that
# they are handed to a rule takes ten times as long as the rules do.
KERNEL_OPTIONS = {**NUMBA_OPTIONS, "_nrt": False}


class Rows(NamedTuple):
    """Where the kernel writes: one entry per row of the log, and one per customer in `persona`."""

    customer: NDArray[np.int64]
    time_us: NDArray[np.int64]  # microseconds since the epoch
    kind: NDArray[np.uint8]
    channel: NDArray[np.uint8]
    stage: NDArray[np.uint8]
    pain: NDArray[np.uint8]
    cause: NDArray[np.uint8]
    value: NDArray[
        np.float64
    ]  # of purchases and surveys; of a referral its day; the others are never written, nor read
    persona: NDArray[np.uint8]


class Own(NamedTuple):
    """What the kernel remembers of the customer it is at; C channels, S stages. Written before it is read."""

    fresh: NDArray[np.float64]  # (C,) fatigue ** (earlier contacts) * synergy with channels met
    met: NDArray[np.bool_]  # (C,)
    pressure: NDArray[np.float64]  # (C,)
    pressed_at: NDArray[np.float64]  # (C,) day of the last contact
    n_irritated: NDArray[np.uint64]  # (C,)
    visits: NDArray[np.uint64]  # (S,)
    pending: NDArray[np.float64]  # times of triggered contacts in this stay
    pains_met: NDArray[np.int64]
    gaps: NDArray[np.float64]  # the next contacts: see rules.draw_contacts
    effects: NDArray[np.float64]
    channel_words: NDArray[np.uint64]


def own(x: Tables) -> Own:
    """Memory for `simulate_customers`, which cannot allocate its own."""
    n_channels, n_stages = len(x.fatigue), len(x.pushed)
    return Own(
        fresh=np.empty(n_channels),
        met=np.empty(n_channels, np.bool_),
        pressure=np.empty(n_channels),
        pressed_at=np.empty(n_channels),
        n_irritated=np.empty(n_channels, np.uint64),
        visits=np.empty(n_stages, np.uint64),
        pending=np.empty(len(x.trigger_delay)),
        pains_met=np.empty(len(x.pain_chance), np.int64),
        gaps=np.empty(CONTACTS_AT_ONCE),
        effects=np.empty(CONTACTS_AT_ONCE),
        channel_words=np.empty(CONTACTS_AT_ONCE, np.uint64),
    )


class Heard(NamedTuple):
    """Referrals that reach customers first..last-1: those of `first + i` stand from start[i] to start[i + 1]."""

    start: NDArray[np.int64]
    time: NDArray[np.float64]  # days, in order
    effect: NDArray[np.float64]  # uniform, decides what the contact does


@njit(inline="always", **NUMBA_OPTIONS)
def microsecond(start_us, t):  # type: ignore[no-untyped-def]
    """The time t days after the start, rounded to microseconds."""
    return start_us + np.int64(t * MICROSECONDS_PER_DAY + 0.5)


@njit(inline="always", **NUMBA_OPTIONS)
def write(rows, row, customer, time_us, kind, channel, stage, pain, cause):  # type: ignore[no-untyped-def]
    """Write one row of the log."""
    rows.customer[row] = customer
    rows.time_us[row] = time_us
    rows.kind[row] = kind
    rows.channel[row] = channel
    rows.stage[row] = stage
    rows.pain[row] = pain
    rows.cause[row] = cause


@njit(inline="always", **NUMBA_OPTIONS)
def enter_stage(x, seed, a, p, s, us, visit, purchases, satisfaction, caused_by, pains_met, rows, row):  # type: ignore[no-untyped-def]
    """What happens at once on entering a stage, in this order: purchase, experience, pain points, surveys.

    Returns (row, purchases, satisfaction, the product of `slows`, the number of pain points met).
    """
    customer = U64(a)
    stay = U64(s << 16)
    write(rows, row, a, us, STAGE, NONE, s, NONE, caused_by)
    row += 1
    if x.is_purchase[s]:
        rows.value[row] = basket_value(x, seed, customer, p, purchases)
        write(rows, row, a, us, PURCHASE, NONE, s, NONE, NONE)
        purchases += U64(1)
        row += 1
    if x.is_experience[s]:
        satisfaction = after_experience(x, seed, customer, visit, stay, satisfaction)
    slows, n_met = 1.0, 0
    for k in range(x.pain_start[s], x.pain_start[s + 1]):
        if meets_pain(x, seed, customer, p, visit, stay, k, k - x.pain_start[s]):
            slows *= x.pain_slows[k]
            pains_met[n_met] = k
            n_met += 1
            satisfaction = within_bounds(satisfaction - x.pain_hurts[k])
            write(rows, row, a, us, PAIN, NONE, s, x.pain_index[k], NONE)
            row += 1
    if x.has_survey[s]:
        for question in range(2):
            score = survey_score(x, seed, customer, s, visit, stay, question, satisfaction)
            if score >= 0:
                rows.value[row] = score
                write(rows, row, a, us, CSAT if question == CSAT_QUESTION else NPS, NONE, s, NONE, NONE)
                row += 1
    return row, purchases, satisfaction, slows, n_met


@njit(inline="always", **NUMBA_OPTIONS)
def start_clocks(x, seed, customer, p, s, t, visit, forward, out, pains_met, n_met):  # type: ignore[no-untyped-def]
    """The earliest of the moves that no contact causes: (when, where to, cause)."""
    stay = U64(s << 16)
    t_move, to, cause = np.inf, NO_MOVE, CAUSE_BASE
    way_out = 0
    first = x.move_start[s]
    next_spent = 0.0
    for m in range(first, x.move_start[s + 1]):
        if (m - first) & 1 == 0:
            spent, next_spent = two_clocks(seed, customer, visit, stay, (m - first) >> 1)
        else:
            spent = next_spent
        rate = x.move_rate[p, m]
        direction = x.move_direction[m]
        if direction == FORWARD:
            rate *= forward
        elif direction == EXIT:
            rate *= out
        if rate > 0.0:
            t_clock = time_spent(x, s, t, spent / rate, direction == FORWARD)
            if t_clock < t_move:
                t_move, to, cause = t_clock, x.move_to[m], CAUSE_BASE
        if direction == EXIT:
            loses = 1.0
            for i in range(n_met):
                # exit hazard times the product of `loses`: each pain point adds its own, independent cause
                k = pains_met[i]
                added = rate * loses * (x.pain_loses[k] - 1.0)
                loses *= x.pain_loses[k]
                if added > 0.0:
                    t_clock = t + pain_clock(seed, customer, visit, stay, k - x.pain_start[s], way_out) / added
                    if t_clock < t_move:
                        t_move, to, cause = t_clock, x.move_to[m], 1 + len(x.fatigue) + x.pain_index[k]
            way_out += 1
    return t_move, to, cause


@njit(inline="always", **NUMBA_OPTIONS)
def start_triggers(x, seed, customer, p, s, t, visit, pending):  # type: ignore[no-untyped-def]
    """Times of the contacts that this entry triggers, into `pending`."""
    begin = x.trigger_start[s]
    for j in range(begin, x.trigger_start[s + 1]):
        fires = trigger_fires(x, seed, customer, p, s, visit, U64(s << 16), j, j - begin)
        pending[j] = t + x.trigger_delay[j] if fires else np.inf


@njit(inline="always", **NUMBA_OPTIONS)
def first_trigger(x, s, pending):  # type: ignore[no-untyped-def]
    """The next triggered contact: (when, which)."""
    t_trigger, which = np.inf, 0
    for j in range(x.trigger_start[s], x.trigger_start[s + 1]):
        if pending[j] < t_trigger:
            t_trigger, which = pending[j], j
    return t_trigger, which


@njit(**{**KERNEL_OPTIONS, "cache": False})  # cached with the entry below
def _simulate_customers(x, seed, first, last, horizon, start_us, heard, rows, own):  # type: ignore[no-untyped-def]
    fresh, met, pressure, pressed_at, n_irritated, visits, pending, pains_met, gaps, effects, channel_words = own
    capacity = len(rows.time_us)
    n_stages = len(x.pushed)
    row = 0
    for a in range(first, last):
        row_before = row
        customer = U64(a)
        p = pick_persona(x, seed, customer)
        rows.persona[a - first] = p
        fresh[:] = 1.0
        visits[:] = U64(0)
        if x.has_memory:
            met[:] = False
            pressure[:] = 0.0
            pressed_at[:] = 0.0
            n_irritated[:] = U64(0)
        satisfaction = x.satisfaction[p]
        purchases = U64(0)

        # The contact process: one unit exponential, spent at the rate of the stage the customer is in.
        n_contact = U64(0)
        draw_contacts(seed, customer, n_contact, gaps, channel_words, effects)
        until_contact = gaps[0]

        # Referrals likewise: those made, spent at the rate of the stage, and those heard, which come by themselves.
        n_referral = U64(0)
        until_referral = referral_gap(seed, customer, n_referral) if x.referral_rate[p] > 0.0 else np.inf
        h, h_end = heard.start[a - first], heard.start[a - first + 1]
        t_heard = heard.time[h] if h < h_end else np.inf

        t = 0.0
        s = 0
        caused_by = NONE
        while True:
            # --- enter stage s at time t ---
            if row + 4 + x.pain_start[s + 1] - x.pain_start[s] > capacity:
                return a - first, row_before
            visit = visits[s]
            visits[s] += U64(1)
            us = microsecond(start_us, t)
            row, purchases, satisfaction, slows, n_met = enter_stage(
                x, seed, a, p, s, us, visit, purchases, satisfaction, caused_by, pains_met, rows, row
            )
            forward, out = slows, 1.0
            if purchases > U64(0) and x.satisfaction_effect > 0.0:
                factor = satisfaction_factor(x, satisfaction)
                forward *= factor
                out /= factor
            t_move, to, caused_by = start_clocks(x, seed, customer, p, s, t, visit, forward, out, pains_met, n_met)
            start_triggers(x, seed, customer, p, s, t, visit, pending)
            t_trigger, next_trigger = first_trigger(x, s, pending)
            push = forward * x.influence[p, s]
            contact_rate = x.contact_rate[p, s]
            referral_rate = x.referral_rate[p] if x.advocates[s] else 0.0

            # --- contacts and referrals until the first move ---
            t_spent = t  # until when the contact clock has been spent
            t_contact = t + until_contact / contact_rate if contact_rate > 0.0 else np.inf
            t_referred = t  # as t_spent, of the referral clock
            t_refer = t + until_referral / referral_rate if referral_rate > 0.0 else np.inf
            while True:
                t_next = min(min(t_contact, t_trigger), min(t_refer, t_heard))
                if t_next >= t_move or t_next >= horizon:
                    break
                if t_next == t_contact:
                    drawn = np.int64(n_contact & U64(CONTACTS_AT_ONCE - 1))
                    c = contact_channel(x, p, s, channel_words[drawn])
                    w = effects[drawn]
                    made = x.is_plain[s, c]
                    if not made:
                        made = x.channel_active[s, c] and (
                            not x.has_calendar[c] or is_open(x, seed, customer, c, t_next, n_contact)
                        )
                    n_contact += U64(1)
                    if n_contact & U64(CONTACTS_AT_ONCE - 1) == U64(0):
                        draw_contacts(seed, customer, n_contact, gaps, channel_words, effects)
                    until_contact = gaps[n_contact & U64(CONTACTS_AT_ONCE - 1)]
                    t_spent = t_contact
                    t_contact = t_spent + until_contact / contact_rate
                elif t_next == t_trigger:
                    c = x.trigger_channel[next_trigger]
                    w = trigger_effect(seed, customer, visit, U64(s << 16), next_trigger - x.trigger_start[s])
                    made = x.channel_active[s, c]
                    pending[next_trigger] = np.inf
                    t_trigger, next_trigger = first_trigger(x, s, pending)
                elif t_next == t_heard:
                    c = x.word_of_mouth
                    w = heard.effect[h]
                    made = x.channel_active[s, c]
                    h += 1
                    t_heard = heard.time[h] if h < h_end else np.inf
                else:
                    if row >= capacity:
                        return a - first, row_before
                    rows.value[row] = t_next
                    write(rows, row, a, microsecond(start_us, t_next), REFERRAL, NONE, s, NONE, NONE)
                    row += 1
                    n_referral += U64(1)
                    until_referral = referral_gap(seed, customer, n_referral)
                    t_referred = t_refer
                    t_refer = t_referred + until_referral / referral_rate
                    continue
                if not made:
                    continue  # drawn but never made: all other draws stay as they are
                if row >= capacity:
                    return a - first, row_before
                write(rows, row, a, microsecond(start_us, t_next), TOUCH, c, s, NONE, NONE)
                row += 1
                if x.pushed[s] != NO_MOVE:
                    t_pushed = t_next + influence_time(w, x.pull[p, s, c] * fresh[c], push, x.mean_life[c])
                    if t_pushed < t_move:
                        t_move, to, caused_by = t_pushed, x.pushed[s], 1 + c
                fresh[c] *= x.fatigue[c]
                if x.is_plain[s, c]:
                    continue
                if x.has_synergy[c]:
                    meet_first(x, c, met, fresh)
                satisfaction = within_bounds(satisfaction + x.service[c])
                if x.tolerated[c] < np.inf:
                    pressure[c] = pressure_after(x, c, pressure[c], t_next - pressed_at[c])
                    pressed_at[c] = t_next
                    if pressure[c] > x.tolerated[c]:
                        satisfaction = within_bounds(satisfaction - x.irritation_hurts[c])
                        t_lost = t_next + irritation_time(x, seed, customer, c, n_irritated[c], out / x.patience[p])
                        n_irritated[c] += U64(1)
                        if t_lost < t_move:
                            t_move, to, caused_by = t_lost, n_stages, 1 + c

            if t_move >= horizon:
                break
            if contact_rate > 0.0:
                until_contact = max(until_contact - (t_move - t_spent) * contact_rate, 0.0)
            if referral_rate > 0.0:
                until_referral = max(until_referral - (t_move - t_referred) * referral_rate, 0.0)
            t = t_move
            if to == n_stages:
                if row >= capacity:
                    return a - first, row_before
                write(rows, row, a, microsecond(start_us, t), LOST_ROW, NONE, n_stages, NONE, caused_by)
                row += 1
                break
            s = to
    return last - first, row


def _entry(sources: int) -> Any:
    """The kernel, cached under a key that changes with every file that is compiled into it.

    Numba by itself looks at the file of a function alone: a kernel would outlive a change of the draws it inlines. But
    it keys by the values that a function closes over, and `sources` is one.
    """

    @njit(**KERNEL_OPTIONS)
    def simulate_customers(x, seed, first, last, horizon, start_us, heard, rows, own):  # type: ignore[no-untyped-def]
        """Simulate customers first..last-1 and write their rows; stop early where the buffers are full.

        `x` are the `Tables`, `heard` the referrals that reach these customers; times run from `start_us` on, for
        `horizon` days. Returns (number of customers finished,
        rows written); the customer that did not fit can be simulated again and will do the same: draws have no state.
        """
        if sources == 0:  # a hash is not 0: this only keeps the value in the closure
            return 0, 0
        return _simulate_customers(x, seed, first, last, horizon, start_us, heard, rows, own)

    return simulate_customers


def hash_of_sources() -> int:
    """A number that changes with every file that is compiled into the kernel."""
    folder = Path(__file__).parent
    content = b"".join(
        (folder / name).read_bytes() for name in ("kernel.py", "rng.py", "rules.py", "tables.py", "word_of_mouth.py")
    )
    return int.from_bytes(hashlib.sha256(content).digest()[:7], "big") + 1


simulate_customers = _entry(hash_of_sources())
