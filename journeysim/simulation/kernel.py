"""One customer after the other, event by event: the compiled heart of the simulator.

A customer is a continuous-time marked jump process with competing risks. In each stay in a stage every move has a
clock of its own, and every contact may open one more: an extra forward hazard that decays. The earliest clock wins and
is the true cause of the move. All clocks are drawn in closed form, nothing is discretised.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import njit

from journeysim.simulation.rng import (
    NUMBA_OPTIONS,
    STREAM_BASKET,
    STREAM_CONTACT,
    STREAM_EXPERIENCE,
    STREAM_MOVE,
    STREAM_PAIN,
    STREAM_PERSONA,
    STREAM_TRIGGER,
    draw,
    exp,
    exponential,
    log,
    normal,
    uniform,
)
from journeysim.simulation.tables import EXIT, FORWARD, NO_MOVE

if TYPE_CHECKING:
    from numpy.typing import NDArray

U64 = np.uint64
TOUCH, STAGE, PURCHASE, PAIN, LOST_ROW = 0, 1, 2, 3, 4  # index into journeysim.events.KINDS
NONE = 255  # no channel, no pain point, no cause
CAUSE_BASE = 0
MICROSECONDS_PER_DAY = 86_400e6
CONTACTS_AT_ONCE = 16  # a power of two


class Rows(NamedTuple):
    """Where the kernel writes: one entry per row of the log, and one per customer in `persona`."""

    customer: NDArray[np.int64]
    time_us: NDArray[np.int64]  # microseconds since the epoch
    kind: NDArray[np.uint8]
    channel: NDArray[np.uint8]
    stage: NDArray[np.uint8]
    pain: NDArray[np.uint8]
    cause: NDArray[np.uint8]
    value: NDArray[np.float64]  # of purchases; the others are never written, nor read
    persona: NDArray[np.uint8]


@njit(inline="always", **NUMBA_OPTIONS)
def influence_time(w, pull, multiplier, mean_life):  # type: ignore[no-untyped-def]
    """Days from a contact until it moves the customer, infinite if it never does.

    The contact opens the hazard A d exp(-d t) with d = 1 / mean_life and A = -ln(1 - pull) * multiplier; a unit
    exponential -ln(1 - w), w uniform, is spent on it. Without multiplier the contact acts with probability `pull`.
    """
    # 1 - (1 - pull)^m <= max(1, m) pull: most contacts do nothing, and this tells without a logarithm
    if w >= pull * max(1.0, multiplier):
        return np.inf
    total = -log(1.0 - pull) * multiplier
    spent = -log(1.0 - w)
    if spent >= total:
        return np.inf
    return -log(1.0 - spent / total) * mean_life


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
def draw_contacts(seed, customer, first, gaps, channel_words, effects):  # type: ignore[no-untyped-def]
    """Draw the next contacts of a customer, several at once: loops without branches use the width of the processor.

    Words 0 and 1 draw the gap, a unit exponential (52 bits); word 2 will draw the channel; word 3 and 11 of the bits
    that the gap left of word 0, what the contact does.
    """
    for i in range(CONTACTS_AT_ONCE):
        r0, r1, r2, r3 = draw(seed, customer, STREAM_CONTACT, first + U64(i), U64(0))
        gaps[i] = uniform(r0, r1)
        channel_words[i] = r2
        effects[i] = (((r3 << U64(11)) | (r0 & U64(0x7FF))) + 0.5) * 2.0**-43
    for i in range(CONTACTS_AT_ONCE):
        gaps[i] = -log(gaps[i])


@njit(**{**NUMBA_OPTIONS, "cache": False})  # cached with the entry below
def _simulate_customers(x, seed, first, last, horizon, start_us, rows):  # type: ignore[no-untyped-def]
    capacity = len(rows.time_us)
    n_stages = len(x.pushed)
    n_channels = len(x.fatigue)
    fresh = np.empty(n_channels)  # fatigue ** (earlier contacts)
    visits = np.empty(n_stages, np.uint64)
    pending = np.empty(max(1, len(x.trigger_delay)))  # times of triggered contacts in this stay
    pains_met = np.empty(max(1, len(x.pain_chance)), np.int64)
    gaps, effects = np.empty(CONTACTS_AT_ONCE), np.empty(CONTACTS_AT_ONCE)
    channel_words = np.empty(CONTACTS_AT_ONCE, np.uint64)
    row = 0
    for a in range(first, last):
        row_before = row
        agent = U64(a)
        r0, r1, r2, r3 = draw(seed, agent, STREAM_PERSONA, U64(0), U64(0))
        u = uniform(r0, r1)
        p = 0
        while x.persona_until[p] < u:
            p += 1
        rows.persona[a - first] = p
        fresh[:] = 1.0
        visits[:] = U64(0)
        satisfaction = x.satisfaction[p]
        purchases = U64(0)
        pace, exit_pace = x.pace[p], 1.0 / x.patience[p]

        # The contact process: one unit exponential, spent at the rate of the stage the customer is in.
        n_contact = U64(0)
        draw_contacts(seed, agent, n_contact, gaps, channel_words, effects)
        until_contact = gaps[0]

        t = 0.0
        s = 0
        caused_by = NONE
        while True:
            # --- enter stage s at time t ---
            us = start_us + np.int64(t * MICROSECONDS_PER_DAY + 0.5)
            n_pains = x.pain_start[s + 1] - x.pain_start[s]
            if row + 2 + n_pains > capacity:
                return a - first, row_before
            write(rows, row, a, us, STAGE, NONE, s, NONE, caused_by)
            row += 1
            visit = visits[s]
            visits[s] += U64(1)
            stay = U64(s << 16)  # room for what is counted within a stay: moves, pain points, triggers
            if x.is_purchase[s]:
                r0, r1, _, _ = draw(seed, agent, STREAM_BASKET, purchases, U64(0))
                purchases += U64(1)
                rows.value[row] = x.basket_median[p] * exp(x.basket_log_sd * normal(r0, r1))
                write(rows, row, a, us, PURCHASE, NONE, s, NONE, NONE)
                row += 1
            if x.is_experience[s]:
                r0, r1, _, _ = draw(seed, agent, STREAM_EXPERIENCE, visit, stay)
                shift = x.experience_shift + x.experience_sd * normal(r0, r1)
                satisfaction = min(max(satisfaction + shift, 0.0), 1.0)

            slows, loses, n_met = 1.0, 1.0, 0
            for k in range(x.pain_start[s], x.pain_start[s + 1]):
                r0, r1, _, _ = draw(seed, agent, STREAM_PAIN, visit, stay | U64(k - x.pain_start[s]))
                if uniform(r0, r1) < x.pain_chance[k] * x.pain_sensitivity[p]:
                    slows *= x.pain_slows[k]
                    pains_met[n_met] = k
                    n_met += 1
                    satisfaction = max(satisfaction - x.pain_hurts[k], 0.0)
                    write(rows, row, a, us, PAIN, NONE, s, x.pain_index[k], NONE)
                    row += 1

            forward, out = slows, exit_pace
            if purchases > U64(0) and x.satisfaction_effect > 0.0:
                factor = exp(x.satisfaction_effect * (satisfaction - 0.5))
                forward *= factor
                out /= factor
            push = forward * x.influence[s]

            # --- clocks of the moves: the earliest base move, and exits that pain points add ---
            t_move, to, caused_by = np.inf, NO_MOVE, CAUSE_BASE
            exit_rate = 0.0
            clock = U64(0)
            for m in range(x.move_start[s], x.move_start[s + 1]):
                rate = x.move_rate[m]
                if x.move_direction[m] == FORWARD:
                    rate *= pace * forward
                elif x.move_direction[m] == EXIT:
                    rate *= out
                    exit_rate = rate
                if clock & U64(1) == U64(0):
                    r0, r1, r2, r3 = draw(seed, agent, STREAM_MOVE, visit, stay | (clock >> U64(1)))
                    spent = exponential(r0, r1)
                else:
                    spent = exponential(r2, r3)
                clock += U64(1)
                if rate > 0.0:
                    t_clock = t + spent / rate
                    if t_clock < t_move:
                        t_move, to = t_clock, x.move_to[m]
            for i in range(n_met):
                # exit hazard times the product of `loses`: each pain point adds its own, independent cause
                k = pains_met[i]
                rate = exit_rate * loses * (x.pain_loses[k] - 1.0)
                loses *= x.pain_loses[k]
                if rate > 0.0:
                    r0, r1, _, _ = draw(seed, agent, STREAM_MOVE, visit, stay | U64(128 + k - x.pain_start[s]))
                    t_clock = t + exponential(r0, r1) / rate
                    if t_clock < t_move:
                        t_move, to, caused_by = t_clock, n_stages, 1 + n_channels + x.pain_index[k]

            # --- triggered contacts of this stay ---
            trigger_from, trigger_until = x.trigger_start[s], x.trigger_start[s + 1]
            t_trigger, next_trigger = np.inf, 0
            for j in range(trigger_from, trigger_until):
                r0, r1, _, _ = draw(seed, agent, STREAM_TRIGGER, visit, stay | U64(j - trigger_from))
                chance = x.trigger_chance[j] * x.reach[p, s, x.trigger_channel[j]]
                pending[j] = t + x.trigger_delay[j] if uniform(r0, r1) < chance else np.inf
                if pending[j] < t_trigger:
                    t_trigger, next_trigger = pending[j], j

            # --- contacts until the first move ---
            contact_rate = x.contact_rate[p, s]
            t_spent = t  # until when the contact clock has been spent
            while True:
                t_contact = t_spent + until_contact / contact_rate if contact_rate > 0.0 else np.inf
                t_next = min(t_contact, t_trigger)
                if t_next >= t_move or t_next >= horizon:
                    break
                if t_trigger <= t_contact:
                    c = x.trigger_channel[next_trigger]
                    trigger_draw = stay | U64(next_trigger - trigger_from)
                    _, _, r2, r3 = draw(seed, agent, STREAM_TRIGGER, visit, trigger_draw)
                    w = uniform(r2, r3)
                    pending[next_trigger] = np.inf
                    t_trigger = np.inf
                    for j in range(trigger_from, trigger_until):
                        if pending[j] < t_trigger:
                            t_trigger, next_trigger = pending[j], j
                else:
                    drawn = np.int64(n_contact & U64(CONTACTS_AT_ONCE - 1))
                    column = channel_words[drawn] * U64(n_channels)
                    c = np.int64(column >> U64(32))
                    if (column & U64(0xFFFFFFFF)) >= x.alias_threshold[p, s, c]:
                        c = x.alias_other[p, s, c]
                    w = effects[drawn]
                    n_contact += U64(1)
                    if n_contact & U64(CONTACTS_AT_ONCE - 1) == U64(0):
                        draw_contacts(seed, agent, n_contact, gaps, channel_words, effects)
                    until_contact = gaps[n_contact & U64(CONTACTS_AT_ONCE - 1)]
                    t_spent = t_contact
                if not x.channel_active[c]:
                    continue  # drawn but never made: all other draws stay as they are
                if row >= capacity:
                    return a - first, row_before
                us = start_us + np.int64(t_next * MICROSECONDS_PER_DAY + 0.5)
                write(rows, row, a, us, TOUCH, c, s, NONE, NONE)
                row += 1
                if x.pushed[s] != NO_MOVE:
                    t_pushed = t_next + influence_time(w, x.pull[p, s, c] * fresh[c], push, x.mean_life[c])
                    if t_pushed < t_move:
                        t_move, to, caused_by = t_pushed, x.pushed[s], 1 + c
                fresh[c] *= x.fatigue[c]

            if t_move >= horizon:
                break
            until_contact = max(until_contact - (t_move - t_spent) * contact_rate, 0.0)
            t = t_move
            if to == n_stages:
                if row >= capacity:
                    return a - first, row_before
                us = start_us + np.int64(t * MICROSECONDS_PER_DAY + 0.5)
                write(rows, row, a, us, LOST_ROW, NONE, n_stages, NONE, caused_by)
                row += 1
                break
            s = to
    return last - first, row


def _entry(sources: int) -> Any:
    """The kernel, cached under a key that changes with every file that is compiled into it.

    Numba by itself looks at the file of a function alone: a kernel would outlive a change of the draws it inlines. But
    it keys by the values that a function closes over, and `sources` is one.
    """

    @njit(**NUMBA_OPTIONS)
    def simulate_customers(x, seed, first, last, horizon, start_us, rows):  # type: ignore[no-untyped-def]
        """Simulate customers first..last-1 and write their rows; stop early where the buffers are full.

        `x` are the `Tables`; times run from `start_us` on, for `horizon` days. Returns (number of customers finished,
        rows written); the customer that did not fit can be simulated again and will do the same: draws have no state.
        """
        if sources == 0:  # a hash is not 0: this only keeps the value in the closure
            return 0, 0
        return _simulate_customers(x, seed, first, last, horizon, start_us, rows)

    return simulate_customers


def _hash_of_sources() -> int:
    folder = Path(__file__).parent
    content = b"".join((folder / name).read_bytes() for name in ("kernel.py", "rng.py", "tables.py"))
    return int.from_bytes(hashlib.sha256(content).digest()[:7], "big") + 1


simulate_customers = _entry(_hash_of_sources())
