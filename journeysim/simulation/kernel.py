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
from journeysim.simulation.rows import LOST_ROW, NONE, REFERRAL, STAGE, TOUCH, packed
from journeysim.simulation.rules import (
    CONTACTS_AT_ONCE,
    contact_channel,
    draw_contacts,
    influence_time,
    irritation_time,
    is_open,
    meet_first,
    pick_persona,
    pressure_after,
    referral_gap,
    satisfaction_factor,
    trigger_effect,
    within_bounds,
)
from journeysim.simulation.stay import (
    VISITS_DRAWN,
    clocks_of_stay,
    enter_stage,
    first_trigger,
    start_clocks,
    start_triggers,
    write,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.simulation.tables import Tables

U64 = np.uint64

# The kernel allocates nothing, so nothing needs to be counted: counting the references to sixty arrays each time that
# they are handed to a rule takes ten times as long as the rules do.
KERNEL_OPTIONS = {**NUMBA_OPTIONS, "_nrt": False}


class Own(NamedTuple):
    """What the kernel remembers of the customer it is at; C channels, S stages. Written before it is read."""

    fresh: NDArray[np.float64]  # (C,) fatigue ** (earlier contacts) * synergy with channels met
    met: NDArray[np.bool_]  # (C,)
    pressure: NDArray[np.float64]  # (C,)
    pressed_at: NDArray[np.float64]  # (C,) day of the last contact
    n_irritated: NDArray[np.uint64]  # (C,)
    visits: NDArray[np.uint64]  # (S,)
    pending: NDArray[np.float64]  # times of triggered contacts in this stay
    pains_met: NDArray[np.uint64]
    clocks: NDArray[np.float64]  # (V + 1, 2, B) by visit, the last row for one later visit: see clocks_of_stay
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
        pains_met=np.empty(len(x.pain_chance), np.uint64),
        clocks=np.empty((VISITS_DRAWN + 1, 2, max(len(x.clock_key), x.move_to.shape[1] // 2))),
        gaps=np.empty(CONTACTS_AT_ONCE),
        effects=np.empty(CONTACTS_AT_ONCE),
        channel_words=np.empty(CONTACTS_AT_ONCE, np.uint64),
    )


class People(NamedTuple):
    """What the kernel says of each customer."""

    persona: NDArray[np.uint8]
    n_rows: NDArray[np.int64]


def empty_people(n: int) -> People:
    """Room for n customers."""
    return People(np.empty(n, np.uint8), np.empty(n, np.int64))


class Heard(NamedTuple):
    """Referrals that reach customers first..last-1: those of `first + i` stand from start[i] to start[i + 1]."""

    start: NDArray[np.int64]
    time: NDArray[np.float64]  # days, in order
    effect: NDArray[np.float64]  # uniform, decides what the contact does


@njit(**{**KERNEL_OPTIONS, "cache": False})  # cached with the entry below
def _simulate_customers(x, seed, first, last, horizon, heard, rows, people, own):  # type: ignore[no-untyped-def]
    fresh, met, pressure, pressed_at, n_irritated, visits, pending, pains_met, clocks, gaps, effects, words = own
    capacity = U64(len(rows.time))
    n_stages = U64(len(x.pushed))
    row = U64(0)
    for n_done in range(U64(last - first)):
        row_before = row
        customer = U64(first) + n_done
        p = pick_persona(x, seed, customer)
        people.persona[n_done] = p
        fresh[:] = 1.0
        visits[:] = U64(0)
        if x.has_memory:
            met[:] = False
            pressure[:] = 0.0
            pressed_at[:] = 0.0
            n_irritated[:] = U64(0)
        satisfaction = x.satisfaction[p]
        purchases = U64(0)
        n_drawn = U64(0)  # rows of clocks

        # The contact process: one unit exponential, spent at the rate of the stage the customer is in.
        n_contact = U64(0)
        draw_contacts(seed, customer, n_contact, gaps, words, effects)
        until_contact = gaps[U64(0)]

        # Referrals likewise: those made, spent at the rate of the stage, and those heard, which come by themselves.
        n_referral = U64(0)
        until_referral = referral_gap(seed, customer, n_referral) if x.referral_rate[p] > 0.0 else np.inf
        h, h_end = U64(heard.start[n_done]), U64(heard.start[n_done + U64(1)])
        t_heard = heard.time[h] if h < h_end else np.inf

        t = 0.0
        s = U64(0)
        caused_by = U64(NONE)
        while True:
            # --- enter stage s at time t ---
            if row + x.rows_of_stay[s] > capacity:
                return n_done, row_before
            visit = visits[s]
            visits[s] += U64(1)
            row = write(rows, row, t, packed(STAGE, NONE, s, NONE, caused_by))
            slows, n_met = 1.0, U64(0)
            if x.is_eventful[s]:
                row, purchases, satisfaction, slows, n_met = enter_stage(
                    x, seed, customer, p, s, t, visit, purchases, satisfaction, pains_met, rows, row
                )
            forward, out = slows, 1.0
            if purchases > U64(0) and x.satisfaction_effect > 0.0:
                factor = satisfaction_factor(x, satisfaction)
                forward *= factor
                out /= factor
            spent, at, n_drawn = clocks_of_stay(x, seed, customer, s, visit, n_drawn, clocks)
            t_move, to, caused_by = start_clocks(
                x, seed, customer, p, s, t, visit, forward, out, pains_met, n_met, clocks, spent, at
            )
            t_move = min(t_move, horizon)
            start_triggers(x, seed, customer, p, s, t, visit, pending)
            t_trigger, next_trigger = first_trigger(x, s, pending)
            push = forward * x.influence[p, s]
            at_most = max(1.0, push)
            contact_rate = x.contact_rate[p, s]
            referral_rate = x.referral_rate[p] if x.advocates[s] else 0.0
            touch = packed(TOUCH, 0, s, NONE, NONE)

            # --- contacts and referrals until the first move ---
            t_spent = t  # until when the contact clock has been spent
            t_contact = t + until_contact / contact_rate if contact_rate > 0.0 else np.inf
            t_referred = t  # as t_spent, of the referral clock
            t_refer = t + until_referral / referral_rate if referral_rate > 0.0 else np.inf
            t_other = min(t_trigger, min(t_refer, t_heard))
            while True:
                t_next = min(t_contact, t_other)
                if t_next >= t_move:
                    break
                if t_next == t_contact:
                    drawn = n_contact & U64(CONTACTS_AT_ONCE - 1)
                    c = contact_channel(x, p, s, words[drawn])
                    w = effects[drawn]
                    made = x.is_plain[s, c]
                    if not made:
                        made = x.channel_active[s, c] and (
                            not x.has_calendar[c] or is_open(x, seed, customer, c, t_next, n_contact)
                        )
                    n_contact += U64(1)
                    if n_contact & U64(CONTACTS_AT_ONCE - 1) == U64(0):
                        if row + U64(CONTACTS_AT_ONCE) > capacity:
                            return n_done, row_before
                        draw_contacts(seed, customer, n_contact, gaps, words, effects)
                    until_contact = gaps[n_contact & U64(CONTACTS_AT_ONCE - 1)]
                    t_spent = t_contact
                    t_contact = t_spent + until_contact / contact_rate
                else:
                    if row + U64(CONTACTS_AT_ONCE) > capacity:
                        return n_done, row_before
                    if t_next == t_trigger:
                        c = x.trigger_channel[next_trigger]
                        w = trigger_effect(seed, customer, visit, s << U64(16), next_trigger - x.trigger_start[s])
                        made = x.channel_active[s, c]
                        pending[next_trigger] = np.inf
                        t_trigger, next_trigger = first_trigger(x, s, pending)
                    elif t_next == t_heard:
                        c = U64(x.word_of_mouth)
                        w = heard.effect[h]
                        made = x.channel_active[s, c]
                        h += U64(1)
                        t_heard = heard.time[h] if h < h_end else np.inf
                    else:
                        row = write(rows, row, t_next, packed(REFERRAL, NONE, s, NONE, NONE))
                        made, c, w = False, U64(0), 1.0
                        n_referral += U64(1)
                        until_referral = referral_gap(seed, customer, n_referral)
                        t_referred = t_refer
                        t_refer = t_referred + until_referral / referral_rate
                    t_other = min(t_trigger, min(t_refer, t_heard))
                if not made:
                    continue  # drawn but never made: all other draws stay as they are
                row = write(rows, row, t_next, touch | c << U64(8))
                pull = x.pull[p, s, c] * fresh[c]
                if w < pull * at_most:  # else it never acts, see influence_time
                    t_pushed = t_next + influence_time(w, pull, push, x.mean_life[c])
                    if t_pushed < t_move:
                        t_move, to, caused_by = t_pushed, x.pushed[s], c + U64(1)
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
                            t_move, to, caused_by = t_lost, n_stages, c + U64(1)

            if t_move >= horizon:
                break
            if contact_rate > 0.0:
                until_contact = max(until_contact - (t_move - t_spent) * contact_rate, 0.0)
            if referral_rate > 0.0:
                until_referral = max(until_referral - (t_move - t_referred) * referral_rate, 0.0)
            t = t_move
            if to == n_stages:
                row = write(rows, row, t, packed(LOST_ROW, NONE, n_stages, NONE, caused_by))
                break
            s = to
        people.n_rows[n_done] = row - row_before
    return U64(last - first), row


def _entry(sources: int) -> Any:
    """The kernel, cached under a key that changes with every file that is compiled into it.

    Numba by itself looks at the file of a function alone: a kernel would outlive a change of the draws it inlines. But
    it keys by the values that a function closes over, and `sources` is one.
    """

    @njit(**KERNEL_OPTIONS)
    def simulate_customers(x, seed, first, last, horizon, heard, rows, people, own):  # type: ignore[no-untyped-def]
        """Simulate customers first..last-1 for `horizon` days and write their rows; stop early where `rows` are full.

        `x` are the `Tables`, `heard` the referrals that reach these customers. Returns (number of customers finished,
        rows written); the customer that did not fit can be simulated again and will do the same: draws have no state.
        """
        if sources == 0:  # a hash is not 0: this only keeps the value in the closure
            return U64(0), U64(0)
        return _simulate_customers(x, seed, first, last, horizon, heard, rows, people, own)

    return simulate_customers


def hash_of_sources() -> int:
    """A number that changes with every file that is compiled into the kernel."""
    folder = Path(__file__).parent
    content = b"".join(
        (folder / name).read_bytes()
        for name in ("kernel.py", "rng.py", "rows.py", "rules.py", "stay.py", "tables.py", "word_of_mouth.py")
    )
    return int.from_bytes(hashlib.sha256(content).digest()[:7], "big") + 1


simulate_customers = _entry(hash_of_sources())
