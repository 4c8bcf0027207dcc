"""Who hears what from whom: the referrals that reach the customers of a market.

A referral takes `delay_days` to be heard. So time is cut into windows of that length: what is told in one window is
heard in later ones only, and is final once all that was told before has been delivered. No intensity is frozen and
nothing depends on the order of summation: the result is exact. Customers are simulated without keeping their rows (the
draws have no state), first as if nobody told anything, and again each time somebody tells them something.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

from journeysim.simulation.kernel import Heard, empty_people, hash_of_sources, own, simulate_customers
from journeysim.simulation.rng import NUMBA_OPTIONS
from journeysim.simulation.rows import LOST_ROW, REFERRAL, empty_rows, kind_of
from journeysim.simulation.rules import referral
from journeysim.simulation.tables import NO_CHANNEL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.simulation.recipe import Recipe
    from journeysim.simulation.tables import Tables

U64 = np.uint64
ROWS_AT_FIRST = 4096
SILENCE = -1


def heard_by(recipe: Recipe, x: Tables, first: int, last: int) -> Heard:
    """The referrals that reach customers first..last-1, who make up whole markets."""
    n = last - first
    if x.word_of_mouth == NO_CHANNEL or not x.channel_active[:, x.word_of_mouth].any() or not x.referral_rate.any():
        return nothing_heard(n)
    starts, times, effects = [np.zeros(1, np.int64)], [], []
    for begin in range(first, last, x.market_size):
        end = min(begin + x.market_size, last)
        start, time, effect = _market(recipe, x, begin, end)
        starts.append(start[1:] + starts[-1][-1])
        times.append(time)
        effects.append(effect)
    return Heard(np.concatenate(starts), np.concatenate(times), np.concatenate(effects))


def nothing_heard(n_customers: int) -> Heard:
    """What customers hear in a world without word of mouth."""
    return Heard(np.zeros(n_customers + 1, np.int64), np.empty(0), np.empty(0))


def _market(recipe: Recipe, x: Tables, first: int, last: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    n_rows, n_told = ROWS_AT_FIRST, 4 * (last - first)
    while True:  # no size is known beforehand: what is too small is doubled, and the market begun anew
        rows = empty_rows(n_rows)
        full, start, time, effect = _simulate_market(
            x,
            U64(recipe.seed),
            recipe.n_customers,
            first,
            last,
            recipe.horizon_days,
            rows,
            empty_people(1),
            own(x),
            n_told,
        )
        if full == 0:
            return start, time, effect
        n_rows, n_told = (2 * n_rows, n_told) if full == 1 else (n_rows, 2 * n_told)


def _compiled(sources: int) -> Any:
    """Compiled anew when the kernel that it calls changes, see `kernel._entry`."""

    @njit(**NUMBA_OPTIONS)
    def simulate_market(x, seed, population, first, last, horizon, rows, one, memory, n_told):  # type: ignore[no-untyped-def]
        """Returns (0 done, 1 `rows` too small, 2 `n_told` too small; start, time, effect of `Heard`)."""
        n = last - first
        n_windows = np.int64(horizon / x.referral_delay) + 1
        # what was told: a pool, linked by window
        sender, target = np.empty(n_told, np.int64), np.empty(n_told, np.int64)
        told_at, effect = np.empty(n_told), np.empty(n_told)
        version, following = np.empty(n_told, np.int64), np.empty(n_told, np.int64)
        window = np.full(n_windows, SILENCE)
        told = 0
        # what was heard: the same pool, linked by customer in the order of hearing
        heard_first, heard_last = np.full(n, SILENCE), np.full(n, SILENCE)
        heard_next = np.full(n_told, SILENCE)
        n_heard = np.zeros(n, np.int64)
        current, lost_at = np.zeros(n, np.int64), np.empty(n)
        changed = np.zeros(n, np.bool_)

        todo, n_todo = np.arange(n), n
        for w in range(-1, n_windows):
            if w >= 0:
                # --- deliver what was told in window w, in the order of telling ---
                size = 0
                entry = window[w]
                while entry != SILENCE:
                    size += version[entry] == current[sender[entry] - first]
                    entry = following[entry]
                letters = np.empty(size, np.int64)
                size = 0
                entry = window[w]
                while entry != SILENCE:
                    if version[entry] == current[sender[entry] - first]:
                        letters[size] = entry
                        size += 1
                    entry = following[entry]
                letters = letters[np.argsort(sender[letters], kind="mergesort")]
                letters = letters[np.argsort(told_at[letters], kind="mergesort")]
                n_todo = 0
                for entry in letters:
                    k = target[entry] - first
                    if not changed[k] and lost_at[k] <= told_at[entry] + x.referral_delay:
                        continue  # gone for good: nobody there to hear it
                    if heard_last[k] == SILENCE:
                        heard_first[k] = entry
                    else:
                        heard_next[heard_last[k]] = entry
                    heard_last[k] = entry
                    n_heard[k] += 1
                    if not changed[k]:
                        changed[k] = True
                        todo[n_todo] = k
                        n_todo += 1
            # --- simulate those who heard something anew; what they told up to now stays as it was ---
            for i in range(n_todo):
                k = todo[i]
                changed[k] = False
                current[k] += 1
                time, act = np.empty(n_heard[k]), np.empty(n_heard[k])
                entry = heard_first[k]
                for j in range(n_heard[k]):
                    time[j], act[j] = told_at[entry] + x.referral_delay, effect[entry]
                    entry = heard_next[entry]
                inbox = Heard(np.array([0, n_heard[k]]), time, act)
                a = first + k
                done, n_rows = simulate_customers(x, seed, a, a + 1, horizon, inbox, rows, one, memory)
                if done == 0:
                    return 1, heard_first, told_at, effect
                lost_at[k] = np.inf
                n_referral = U64(0)
                for row in range(n_rows):
                    if kind_of(rows.code[row]) == REFERRAL:
                        at = rows.time[row]
                        named, acts = referral(x, seed, U64(a), n_referral, population)
                        n_referral += U64(1)
                        v = min(np.int64(at / x.referral_delay), n_windows - 1)
                        if v > w and named >= 0 and at + x.referral_delay < horizon:
                            if told == n_told:
                                return 2, heard_first, told_at, effect
                            sender[told], target[told], told_at[told], effect[told] = a, named, at, acts
                            version[told] = current[k]
                            following[told] = window[v]
                            window[v] = told
                            told += 1
                    elif kind_of(rows.code[row]) == LOST_ROW:
                        lost_at[k] = rows.time[row]
        start = np.zeros(n + 1, np.int64)
        start[1:] = np.cumsum(n_heard)
        time, act = np.empty(start[n]), np.empty(start[n])
        for k in range(n):
            entry = heard_first[k]
            for j in range(start[k], start[k + 1]):
                time[j], act[j] = told_at[entry] + x.referral_delay, effect[entry]
                entry = heard_next[entry]
        return 0, start, time, act

    return simulate_market if sources else None


_simulate_market = _compiled(hash_of_sources())
