"""Semi-Markov chains whose hazards are piecewise constant in time in stage: who has been absorbed by when, in batches.

The flows into stages obey the Markov renewal equation (Cinlar 1969, Advances in Applied Probability 1:2): who moves on
now entered at some earlier time and stayed until now. It is solved on a grid of time steps, on which the customers who
enter a stage during one step are taken to enter evenly over it; the probabilities of the kernel are then exact second
differences of the integrated incidence, so no customer is lost and no probability is negative. The error is of the
order of the square of the step: steps are halved, and the last two answers extrapolated (Richardson).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

from journeysim.errors import InputError
from journeysim.threads import in_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

TOLERANCE: Final = 1e-4
"""Steps are halved until no probability moves by more; extrapolation then leaves an error far below."""

MOST_STEPS: Final = 2**15
AT_ONCE: Final = 64  # chains: what is found of them stays in the cache


def absorbed(
    hazards: FloatArray,
    edges_days: FloatArray,
    origins: IntArray,
    targets: IntArray,
    starts: FloatArray,
    ends: IntArray,
    days: FloatArray,
) -> FloatArray:
    """Probability that a customer has entered each of some states for good, by each of some times.

    Parameters
    ----------
    ends : (E,) states that nobody leaves, whatever moves there are
    hazards, edges_days, origins, targets, starts, days : as `move_counts`

    Returns
    -------
    (n, T, E), the weights that have been absorbed

    Raises
    ------
    InputError : as `move_counts`
    """
    kept = ~np.isin(origins, ends)
    made = move_counts(hazards[..., kept], edges_days, origins[kept], targets[kept], starts, days)
    weights = np.column_stack([starts, np.zeros(len(starts))])
    return np.stack([weights[:, [end]] + made[..., targets[kept] == end].sum(axis=-1) for end in ends], axis=-1)


def move_counts(
    hazards: FloatArray,
    edges_days: FloatArray,
    origins: IntArray,
    targets: IntArray,
    starts: FloatArray,
    days: FloatArray,
) -> FloatArray:
    """Expected number of times that each move has been made by each of some times.

    Parameters
    ----------
    hazards : (n, B, M) per day, of n chains, in each bin of time in stage
    edges_days : (B,) where the bins begin, the first at 0
    origins, targets : (M,) stage that each move leaves (0 to S - 1), and state that it enters (0 to S)
    starts : (n, S) weights of the stages in which customers begin, having just entered them
    days : (T,) evenly spaced from 0, or from one step on if there is one time only

    Returns
    -------
    (n, T, M)

    Raises
    ------
    InputError : if steps as small as 1 / 32,768 of the time do not suffice
    """
    times = np.atleast_1d(np.asarray(days, dtype=np.float64))
    grid = np.linspace(0.0, times[-1], len(times)) if len(times) > 1 else np.array([0.0, times[-1]])
    chains, weights = (np.ascontiguousarray(array, dtype=np.float64) for array in (hazards, starts))
    moves = (
        np.asarray(edges_days, dtype=np.float64),
        np.asarray(origins, dtype=np.int64),
        np.asarray(targets, dtype=np.int64),
    )
    found = np.empty((len(hazards), len(grid), len(origins)))

    def refined(first: int, last: int) -> None:
        def counted(per_time: int) -> FloatArray:
            counts = np.zeros((last - first, len(grid), len(origins)))
            _move_counts(chains[first:last], *moves, weights[first:last], grid[1], per_time, counts)
            return counts

        per_time = max(1, int(np.ceil(32 / (len(grid) - 1))))
        coarse = counted(per_time)
        while True:
            per_time *= 2
            if per_time * (len(grid) - 1) > MOST_STEPS:
                raise InputError(
                    f"Forecast: {MOST_STEPS:,} steps over {times[-1]:g} days are too coarse for hazards as fast as "
                    f"{hazards.max():.3g} per day; forecast fewer days, or leave out moves that take no time."
                )
            fine = counted(per_time)
            if np.abs(fine - coarse).max(initial=0.0) < TOLERANCE:
                break
            coarse = fine
        found[first:last] = fine + (fine - coarse) / 3.0

    in_parts(refined, len(hazards), most=AT_ONCE)
    return np.asarray(found if len(times) > 1 else found[:, 1:])


@njit(cache=True, error_model="numpy", nogil=True)
def _move_counts(
    hazards: FloatArray,
    edges_days: FloatArray,
    origins: IntArray,
    targets: IntArray,
    starts: FloatArray,
    spacing: float,
    per_time: int,
    found: FloatArray,
) -> None:
    """Fill in what is found, (n, T + 1, M)."""
    n_times, n_moves = found.shape[1] - 1, found.shape[2]
    n_stages = starts.shape[1]
    step = spacing / per_time
    n_steps = n_times * per_time
    # beyond the last edge the kernel falls geometrically: one number per stage carries all older customers
    n_lags = min(n_steps, int(np.ceil(edges_days[-1] / step)) + 1)
    for i in range(len(hazards)):
        kernel, from_start, decay = _kernel(hazards[i], edges_days, origins, n_stages, step, n_steps, n_lags)
        latest_last = np.ascontiguousarray(kernel[n_lags:0:-1].T)  # as the history of a stage is
        entered = np.zeros((n_stages, n_steps))
        old = np.zeros(n_stages)
        now = np.empty(n_moves)
        within = np.zeros((n_stages, n_stages))
        for m in range(n_moves):
            if targets[m] < n_stages:
                within[targets[m], origins[m]] += kernel[0, m]
        solve = np.linalg.inv(np.eye(n_stages) - within)
        made = np.zeros(n_moves)
        first_flow = np.zeros(n_stages + 2)
        for t in range(n_steps):
            for s in range(n_stages):
                old[s] *= decay[s]
                if t - n_lags - 1 >= 0:
                    old[s] += entered[s, t - n_lags - 1]
            first_flow[:] = 0.0
            known = min(t, n_lags)
            for m in range(n_moves):
                s = origins[m]
                value = starts[i, s] * from_start[t, m] + old[s] * kernel[n_lags + 1, m]
                value += _dot(entered[s, t - known : t], latest_last[m, n_lags - known :])
                now[m] = value
                first_flow[targets[m]] += value
            for s in range(n_stages):
                value = 0.0
                for r in range(n_stages):
                    value += solve[s, r] * first_flow[r]
                entered[s, t] = value
            for m in range(n_moves):
                made[m] += now[m] + entered[origins[m], t] * kernel[0, m]
                if (t + 1) % per_time == 0:
                    found[i, (t + 1) // per_time, m] = made[m]


@njit(cache=True, error_model="numpy", nogil=True, fastmath={"contract", "reassoc"})  # several sums at a time
def _dot(a: FloatArray, b: FloatArray) -> float:
    value = 0.0
    for i in range(len(a)):
        value += a[i] * b[i]
    return value


@njit(cache=True, error_model="numpy", nogil=True)
def _kernel(
    hazards: FloatArray,
    edges_days: FloatArray,
    origins: IntArray,
    n_stages: int,
    step: float,
    n_steps: int,
    n_lags: int,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Probabilities to make a move a number of steps after entering.

    Returns
    -------
    (n_lags + 2, M) of those who entered evenly over a step, in that step and each of the next; (n_steps, M) of those
    who entered at time 0, in each step; (S,) by what the first fall from step to step beyond the last edge
    """
    n_bins, n_moves = hazards.shape
    totals = np.zeros((n_bins, n_stages))
    for b in range(n_bins):
        for m in range(n_moves):
            totals[b, origins[m]] += hazards[b, m]
    length = max(n_steps, n_lags + 2)
    incidence = np.zeros((length + 1, n_moves))  # probability to have made the move by each time since entering
    integral = np.zeros((length + 1, n_moves))  # of the incidence
    made, area = np.zeros(n_moves), np.zeros(n_moves)
    for s in range(n_stages):
        from_here = np.flatnonzero(origins == s)
        left_whole = -np.expm1(-totals[:, s] * step)  # share who leave in a whole step, most of which are within a bin
        survival, age = 1.0, 0.0
        b = 0
        for j in range(1, length + 1):
            until = j * step
            while age < until:
                stop, width, left = until, step, left_whole[b]
                total = totals[b, s]
                if b + 1 < n_bins and edges_days[b + 1] < until:
                    stop = edges_days[b + 1]
                if stop < until or age > (j - 1) * step:
                    width = stop - age
                    left = -np.expm1(-total * width)
                for move in from_here:
                    area[move] += made[move] * width
                    if total > 0.0:
                        share = hazards[b, move] / total * survival
                        area[move] += share * (width - left / total)
                        made[move] += share * left
                survival *= 1.0 - left
                age = stop
                if b + 1 < n_bins and age >= edges_days[b + 1]:
                    b += 1
            for move in from_here:
                incidence[j, move] = made[move]
                integral[j, move] = area[move]
    kernel = np.empty((n_lags + 2, n_moves))
    from_start = np.empty((n_steps, n_moves))
    for m in range(n_moves):
        kernel[0, m] = integral[1, m] / step
        for lag in range(1, n_lags + 2):
            # rounding may leave -1e-17 where nobody is left to move
            kernel[lag, m] = max(0.0, (integral[lag + 1, m] - 2.0 * integral[lag, m] + integral[lag - 1, m]) / step)
        for j in range(n_steps):
            from_start[j, m] = incidence[j + 1, m] - incidence[j, m]
    return kernel, from_start, np.exp(-totals[-1] * step)
