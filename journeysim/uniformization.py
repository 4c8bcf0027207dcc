"""Where many continuous-time Markov chains go from one start: one vector each, never a whole matrix exponential.

Uniformization (Jensen 1953; Grassmann 1977, Computers & Operations Research 4:1): with rate r at least the fastest exit
and jump matrix P = I + Q / r, the state after t days is sum_k Poisson(k; r t) v P^k, and the days spent in each state
until then are sum_k Pr(Poisson(r t) > k) v P^k / r. All terms are non-negative, so nothing cancels; but of a last state
that nobody leaves, where days do not count: it holds what the others do not, to 1e-15, and its moves take no time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numba import njit

from journeysim.threads import in_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

LANES: Final = 32  # chains side by side: they share the Poisson weights, and inner loops fill vector registers
_MOST_JUMPS: Final = 400.0  # expected in one series; exp(-400) is a normal number still
_NEGLIGIBLE: Final = 1e-17


class Propagated(NamedTuple):
    """What becomes of G times N chains over T steps."""

    states: FloatArray  # (G, T, S + 1, N) weight in each state at the end of each step
    days: FloatArray  # (G, T, S + 1, N) days spent in each state during each step
    discounted: FloatArray  # (G, T, S + 1, N) the same, a day u days from the start over exp(discount u)


def propagate(
    hazards: FloatArray,
    origins: IntArray,
    targets: IntArray,
    starts: FloatArray,
    *,
    step_days: float,
    n_steps: int,
    discount_per_day: float = 0.0,
    with_days: bool = True,
) -> Propagated:
    """Follow each chain from its start over equal steps of time.

    Parameters
    ----------
    hazards : (G, M, N) per day, N chains in each of G segments
    origins, targets : (M,) state that each move leaves and enters; a state that no move leaves is absorbing
    starts : (G, S + 1, N) weights at the beginning, or (G, S + 1, 1) if they are the same for all
    discount_per_day : continuous, >= 0
    with_days : whether the days spent are wanted; without, they are empty, (G, 0, S + 1, N)
    """
    weights = np.ascontiguousarray(starts, dtype=np.float64)
    there: NDArray[np.bool_] = np.asarray(weights.any(axis=(0, 2)))
    there[targets] = there[origins] = True
    used = np.flatnonzero(there)  # states where nobody ever is would cost as much as others
    leaves, enters, end = np.searchsorted(used, origins), np.searchsorted(used, targets), len(used) - 1
    rest = not with_days and end not in leaves  # nobody leaves it: it holds what the others do not
    followed = (enters != end) | (not rest)
    order = np.argsort(~followed, kind="stable")
    n_segments, _, n = hazards.shape
    n_blocks = -(-n // LANES)
    found = tuple(np.zeros((n_segments, steps, len(used), n)) for steps in (n_steps, *2 * [n_steps * with_days]))
    arguments = (
        np.ascontiguousarray(hazards[:, order], dtype=np.float64),
        leaves[order],
        enters[order],
        int(followed.sum()),
        weights[:, used],
        float(step_days),
        float(discount_per_day),
    )
    in_parts(lambda first, last: _propagate(first, last, *arguments, *found), n_segments * n_blocks)
    if rest:
        everybody = weights.sum(axis=1)[:, None]
        found[0][:, :, end] = np.maximum(everybody - found[0][:, :, :end].sum(axis=2), 0.0)
    if len(used) == weights.shape[1]:
        return Propagated(*found)
    everywhere = []
    for part in found:
        whole = np.zeros((*part.shape[:2], weights.shape[1], part.shape[3]))
        whole[:, :, used] = part
        everywhere.append(whole)
    return Propagated(*everywhere)


@njit(cache=True, error_model="numpy", nogil=True, fastmath={"contract"})
def _propagate(
    first_block: int,
    last_block: int,
    hazards: FloatArray,
    origins: IntArray,
    targets: IntArray,
    n_followed: int,
    starts: FloatArray,
    step_days: float,
    discount: float,
    states: FloatArray,
    days: FloatArray,
    discounted: FloatArray,
) -> None:
    """Fill in the blocks of `LANES` chains from the first to the last, of one segment after the other."""
    _, n_moves, n = hazards.shape
    n_steps, n_states = states.shape[1:3]
    with_days = days.shape[1] > 0
    n_blocks = (n + LANES - 1) // LANES
    for block in range(first_block, last_block):
        g = block // n_blocks
        first = (block % n_blocks) * LANES
        width = min(LANES, n - first)
        jump = np.zeros((n_moves, LANES))
        stay = np.zeros((n_states, LANES))
        v = np.zeros((n_states, LANES))
        w = np.zeros((n_states, LANES))
        after = np.zeros((n_states, LANES))
        spent = np.zeros((n_states, LANES))
        spent_discounted = np.zeros((n_states, LANES))
        for m in range(n_moves):
            for j in range(width):
                jump[m, j] = hazards[g, m, first + j]
                stay[origins[m], j] += jump[m, j]
        rate = max(stay.max(), 1e-12)
        for m in range(n_moves):
            for j in range(LANES):
                jump[m, j] /= rate
        for s in range(n_states):
            for j in range(LANES):
                stay[s, j] = max(0.0, 1.0 - stay[s, j] / rate)
            for j in range(width):
                v[s, j] = starts[g, s, first + j if starts.shape[2] > 1 else 0]
        n_series = max(1, int(np.ceil(rate * step_days / _MOST_JUMPS)))
        short = step_days / n_series
        at_end, until, until_discounted = _weights(rate, discount, short)
        elapsed = 0.0
        for step in range(n_steps):
            spent[:] = 0.0
            spent_discounted[:] = 0.0
            for _ in range(n_series):
                factor = np.exp(-discount * elapsed)
                after[:] = 0.0
                for k in range(len(at_end)):
                    a, b, c = at_end[k], until[k], until_discounted[k] * factor
                    for s in range(n_states):
                        for j in range(LANES):
                            after[s, j] += a * v[s, j]
                    if with_days:
                        for s in range(n_states):
                            for j in range(LANES):
                                spent[s, j] += b * v[s, j]
                                spent_discounted[s, j] += c * v[s, j]
                    for s in range(n_states):
                        for j in range(LANES):
                            w[s, j] = stay[s, j] * v[s, j]
                    for m in range(n_followed):
                        source, sink = origins[m], targets[m]
                        for j in range(LANES):
                            w[sink, j] += jump[m, j] * v[source, j]
                    v, w = w, v
                v, after = after, v
                elapsed += short
            for s in range(n_states):
                for j in range(width):
                    states[g, step, s, first + j] = v[s, j]
                    if with_days:
                        days[g, step, s, first + j] = spent[s, j]
                        discounted[g, step, s, first + j] = spent_discounted[s, j]


@njit(cache=True, error_model="numpy")
def _weights(rate: float, discount: float, days: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(K,) weights of v P^k: in the state at the end, in the days spent until then, and in these discounted."""
    at_end = _poisson(rate * days)
    faster = _poisson((rate + discount) * days)
    n = max(len(at_end), len(faster))
    weights = np.zeros((3, n))
    weights[0, : len(at_end)] = at_end / at_end.sum()
    more, more_discounted = 0.0, 0.0
    for k in range(n - 1, -1, -1):
        weights[1, k] = more / rate
        weights[2, k] = more_discounted / (rate + discount) * (rate / (rate + discount)) ** k
        more += weights[0, k]
        more_discounted += faster[k] if k < len(faster) else 0.0
    return weights[0], weights[1], weights[2]


@njit(cache=True, error_model="numpy")
def _poisson(mean: float) -> FloatArray:
    """Probabilities of 0, 1, ... until they are negligible."""
    most = int(mean + 10.0 * np.sqrt(mean) + 30.0)
    found = np.empty(most)
    term = np.exp(-mean)
    n = 0
    for k in range(most):
        found[k] = term
        n = k + 1
        if k > mean and term < _NEGLIGIBLE:
            break
        term *= mean / (k + 1)
    return found[:n]
