"""The rules of a customer, one small compiled function each. Both engines call them, so their logs agree to the bit.

Customers, stages, channels and so on are indices into the `Tables` x. Time t is in days from the start of the window.
A draw is keyed by (seed, customer, stream, i, j); `stay` is the part of j that names the stage, with room for what is
counted within a stay.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from journeysim.simulation.rng import (
    NUMBA_OPTIONS,
    STREAM_BASKET,
    STREAM_CONTACT,
    STREAM_EXPERIENCE,
    STREAM_IRRITATION,
    STREAM_MOVE,
    STREAM_PAIN,
    STREAM_PERSONA,
    STREAM_REFERRAL,
    STREAM_SURVEY,
    STREAM_TRIGGER,
    draw,
    exp,
    exponential,
    log,
    normal,
    uniform,
)

U64 = np.uint64
CONTACTS_AT_ONCE = 16  # a power of two
CSAT_QUESTION, NPS_QUESTION = 0, 1


@njit(inline="always", **NUMBA_OPTIONS)
def pick_persona(x, seed, customer):  # type: ignore[no-untyped-def]
    """Persona p with probability share(p)."""
    r0, r1, _, _ = draw(seed, customer, STREAM_PERSONA, U64(0), U64(0))
    u = uniform(r0, r1)
    p = U64(0)
    while x.persona_until[p] < u:
        p += U64(1)
    return p


@njit(inline="always", **NUMBA_OPTIONS)
def basket_value(x, seed, customer, p, purchases):  # type: ignore[no-untyped-def]
    """Value of a purchase: median · spending(p) · price · exp(log_sd · Z), Z standard normal."""
    r0, r1, _, _ = draw(seed, customer, STREAM_BASKET, purchases, U64(0))
    return x.basket_median[p] * exp(x.basket_log_sd * normal(r0, r1))


@njit(inline="always", **NUMBA_OPTIONS)
def within_bounds(satisfaction):  # type: ignore[no-untyped-def]
    """Satisfaction stays in [0, 1]."""
    return min(max(satisfaction, 0.0), 1.0)


@njit(inline="always", **NUMBA_OPTIONS)
def after_experience(x, seed, customer, visit, stay, satisfaction):  # type: ignore[no-untyped-def]
    """Satisfaction after using the product: plus mean_shift + sd · Z, Z standard normal."""
    r0, r1, _, _ = draw(seed, customer, STREAM_EXPERIENCE, visit, stay)
    return within_bounds(satisfaction + (x.experience_shift + x.experience_sd * normal(r0, r1)))


@njit(inline="always", **NUMBA_OPTIONS)
def meets_pain(x, seed, customer, p, visit, stay, k, place):  # type: ignore[no-untyped-def]
    """Whether pain point k, the `place`-th of its stage, is met: with probability min(1, chance(k) · pain(p))."""
    r0, r1, _, _ = draw(seed, customer, STREAM_PAIN, visit, stay | U64(place))
    return uniform(r0, r1) < x.pain_chance[k] * x.pain_sensitivity[p]


@njit(inline="always", **NUMBA_OPTIONS)
def survey_score(x, seed, customer, s, visit, stay, question, satisfaction):  # type: ignore[no-untyped-def]
    """The answer to a survey, or -1 for none: CSAT 1 + Binomial(4, satisfaction), NPS Binomial(10, satisfaction)."""
    response = x.survey_response[s, question]
    if response == 0.0:
        return -1
    r0, r1, r2, r3 = draw(seed, customer, STREAM_SURVEY, visit, stay | U64(question))
    if uniform(r0, r1) >= response:
        return -1
    if question == CSAT_QUESTION:
        return 1 + binomial(uniform(r2, r3), 4, satisfaction)
    return binomial(uniform(r2, r3), 10, satisfaction)


@njit(inline="always", **NUMBA_OPTIONS)
def binomial(u, n, p):  # type: ignore[no-untyped-def]
    """Binomial(n, p) by inversion: the least k with P(X <= k) >= u. Products only: their bits are the same anywhere."""
    if p >= 1.0:
        return n
    mass = 1.0
    for _ in range(n):
        mass *= 1.0 - p
    k, below = 0, mass
    while u > below and k < n:
        k += 1
        mass *= (p * (n - k + 1)) / ((1.0 - p) * k)
        below += mass
    return k


@njit(inline="always", **NUMBA_OPTIONS)
def satisfaction_factor(x, satisfaction):  # type: ignore[no-untyped-def]
    """M = exp(g (satisfaction - 1/2)): after the first purchase forward hazards times m, exits divided by m."""
    return exp(x.satisfaction_effect * (satisfaction - 0.5))


@njit(inline="always", **NUMBA_OPTIONS)
def two_clocks(seed, customer, visit, stay, pair):  # type: ignore[no-untyped-def]
    """Unit exponentials of the moves 2·pair and 2·pair + 1 of a stage."""
    r0, r1, r2, r3 = draw(seed, customer, STREAM_MOVE, visit, stay | U64(pair))
    return exponential(r0, r1), exponential(r2, r3)


@njit(inline="always", **NUMBA_OPTIONS)
def pain_clock(seed, customer, visit, stay, place, way_out):  # type: ignore[no-untyped-def]
    """Unit exponential of the exits that a pain point adds, by its place in the stage and the number of the exit."""
    r0, r1, _, _ = draw(seed, customer, STREAM_MOVE, visit, stay | U64(128 + (way_out << 7) + place))
    return exponential(r0, r1)


@njit(inline="always", **NUMBA_OPTIONS)
def time_spent(x, s, t, amount, seasonal):  # type: ignore[no-untyped-def]
    """When a clock that starts at t has spent `amount` days of plain hazard in stage s.

    Without a calendar t + amount. With one, the hazard is that times a factor f(day), and the time solves
    F(time) = F(t) + amount with F the integral of f, which `x.demand` holds at every midnight. Infinite beyond it.
    """
    if not (seasonal and x.has_demand[s]):
        return t + amount
    days = x.demand.shape[1] - 1
    y = t + x.day_fraction
    d = min(np.int64(y), days - 1)
    target = x.demand[s, d] + (y - d) * (x.demand[s, d + 1] - x.demand[s, d]) + amount
    if not target < x.demand[s, days]:
        return np.inf
    low, high = d, days
    while high - low > 1:  # the day whose F holds the target
        middle = (low + high) >> 1
        if x.demand[s, middle] <= target:
            low = middle
        else:
            high = middle
    y = low + (target - x.demand[s, low]) / (x.demand[s, low + 1] - x.demand[s, low])
    return max(t, y - x.day_fraction)


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
def trigger_fires(x, seed, customer, p, visit, stay, j, place):  # type: ignore[no-untyped-def]
    """Whether trigger j, the `place`-th of its stage s, makes a contact: with probability min(1, chance · reach(p, s) ·
    max(volume, 1)) · min(volume, 1), which `x.trigger_chance` holds.
    """
    r0, r1, _, _ = draw(seed, customer, STREAM_TRIGGER, visit, stay | U64(place))
    return uniform(r0, r1) < x.trigger_chance[p, j]


@njit(inline="always", **NUMBA_OPTIONS)
def trigger_effect(seed, customer, visit, stay, place):  # type: ignore[no-untyped-def]
    """The uniform number that decides what a triggered contact does."""
    _, _, r2, r3 = draw(seed, customer, STREAM_TRIGGER, visit, stay | U64(place))
    return uniform(r2, r3)


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


@njit(inline="always", **NUMBA_OPTIONS)
def contact_channel(x, p, s, word):  # type: ignore[no-untyped-def]
    """Channel c with probability rate(p, s, c) / total, from one 32-bit word and an alias table."""
    column = word * U64(x.pull.shape[2])
    c = column >> U64(32)
    # the coin is an index, not a branch: nobody can predict it
    itself = U64((column & U64(0xFFFFFFFF)) < x.alias_threshold[p, s, c])
    return x.alias_channel[p, s, c, itself]


@njit(inline="always", **NUMBA_OPTIONS)
def is_open(x, seed, customer, c, t, n_contact):  # type: ignore[no-untyped-def]
    """Whether the calendar of channel c lets a contact happen at t.

    Contacts are drawn at the highest rate of the calendar and kept with probability factor(day) / highest: thinning
    (Lewis & Shedler 1979), exact, and another schedule leaves all other draws alone.
    """
    r0, r1, _, _ = draw(seed, customer, STREAM_CONTACT, n_contact, U64(1))
    return uniform(r0, r1) < x.open_share[c, np.int64(t + x.day_fraction)]


@njit(inline="always", **NUMBA_OPTIONS)
def meet_first(x, c, met, fresh):  # type: ignore[no-untyped-def]
    """Synergy: from the first contact on c, the pull of every channel k is multiplied by synergy(k | c)."""
    if not met[c]:
        met[c] = True
        for k in range(len(fresh)):
            fresh[k] *= x.synergy[c, k]


@njit(inline="always", **NUMBA_OPTIONS)
def pressure_after(x, c, pressure, days):  # type: ignore[no-untyped-def]
    """Pressure of channel c right after one more contact: 1 + pressure · 2^(-days / forgotten_days)."""
    return 1.0 + pressure * exp(-days * x.forgets[c])


@njit(inline="always", **NUMBA_OPTIONS)
def irritation_time(x, seed, customer, c, n_irritated, out):  # type: ignore[no-untyped-def]
    """Days from an irritating contact until it loses the customer, infinite if it never does.

    As `influence_time`, with `loses` for the pull and the exit multiplier `out`: the contact opens a decaying exit
    hazard, which alone and for the plain customer loses with probability `loses`.
    """
    r0, r1, _, _ = draw(seed, customer, STREAM_IRRITATION, n_irritated, U64(c))
    return influence_time(uniform(r0, r1), x.irritation_loses[c], out, x.mean_life[c])


@njit(inline="always", **NUMBA_OPTIONS)
def referral_gap(seed, customer, n_referral):  # type: ignore[no-untyped-def]
    """Unit exponential before the n-th referral, spent at referrals_per_day · talk(p) while in an advocating stage."""
    r0, r1, _, _ = draw(seed, customer, STREAM_REFERRAL, n_referral, U64(0))
    return exponential(r0, r1)


@njit(inline="always", **NUMBA_OPTIONS)
def referral(x, seed, customer, n_referral, population):  # type: ignore[no-untyped-def]
    """Whom the n-th referral of a customer names, and the uniform number that decides what it does there.

    One of the others of the market, all equally likely; -1 in a market of one.
    """
    r0, r1, r2, r3 = draw(seed, customer, STREAM_REFERRAL, n_referral, U64(1))
    first = (np.int64(customer) // x.market_size) * x.market_size
    others = min(x.market_size, population - first) - 1
    if others == 0:
        return np.int64(-1), 0.0
    named = first + np.int64(uniform(r0, r1) * others)
    return (named + 1 if named >= np.int64(customer) else named), uniform(r2, r3)
