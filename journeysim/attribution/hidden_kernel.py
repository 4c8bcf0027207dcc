"""The expectation step of the hidden Markov method: one walk forward and one back through each journey."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

TINY = 1e-100
"""A probability below this is 0: subnormal numbers would make the walk a hundred times slower."""


@njit(cache=True, nogil=True, error_model="numpy")
def walk(
    codes: NDArray[np.int32],
    offsets: IntArray,
    conversions: FloatArray,
    nulls: FloatArray,
    gap: IntArray,
    passing: FloatArray,
    contacts: FloatArray,
    pull: FloatArray,
    start: FloatArray,
    buying: FloatArray,
    met_in: FloatArray,
    first: FloatArray,
    later: FloatArray,
    pushed: FloatArray,
    bought: FloatArray,
) -> float:
    """Log-likelihood of all journeys; expected counts are added to the last five arrays.

    G kinds, K = 2 S + 1 states (stage s is 2s, moved by a contact but not on yet 2s + 1; the last one is lost), C
    channels, B lengths of gaps.

    Parameters
    ----------
    gap : (T,) index of the time from each touch to the next one, or to the end of its journey
    passing : (G, B, K, K) probability density to pass a gap of each length without a contact; upper triangular
    contacts : (G, C, K) per day
    pull : (C,) probability that a contact moves the customer on
    start : (G, C, K) probability of kind, channel and stage of the first contact, before it acts
    buying : (G, K) purchases per day
    met_in : (G, B, K, K) adjoint of `passing`
    first, later : (G, C, K) first contacts and later ones, by the state before they act
    pushed : (G, C, S) contacts that moved a customer on
    bought : (G, K) purchases
    """
    n_kinds, n_states = start.shape[0], start.shape[2]
    longest = 0
    for j in range(len(offsets) - 1):
        longest = max(longest, offsets[j + 1] - offsets[j])
    before = np.empty((longest, n_kinds, n_states))
    after = np.empty((longest, n_kinds, n_states))
    scale = np.empty(longest)
    last = np.empty((n_kinds, n_states))
    ahead = np.empty((n_kinds, n_states))
    here = np.empty(n_states)
    log_likelihood = 0.0
    for j in range(len(offsets) - 1):
        o, n = offsets[j], offsets[j + 1] - offsets[j]
        weight = conversions[j] + nulls[j]
        if weight == 0.0:
            continue
        for i in range(n):
            c = codes[o + i]
            total = 0.0
            for g in range(n_kinds):
                x, y = before[i, g], after[i, g]
                if i == 0:
                    x[:] = start[g, c]
                else:
                    _forward(after[i - 1, g], passing[g, gap[o + i - 1]], x)
                    for k in range(n_states):
                        x[k] *= contacts[g, c, k]
                for k in range(0, n_states - 1, 2):
                    y[k] = x[k] * (1.0 - pull[c])
                    y[k + 1] = x[k + 1] + x[k] * pull[c]
                y[n_states - 1] = x[n_states - 1]
                total += y.sum()
            scale[i] = total
            for g in range(n_kinds):
                for k in range(n_states):
                    before[i, g, k] /= total
                    y_k = after[i, g, k] / total
                    after[i, g, k] = y_k if y_k > TINY else 0.0
            log_likelihood += weight * np.log(total)
        for g in range(n_kinds):
            _forward(after[n - 1, g], passing[g, gap[o + n - 1]], last[g])
        for converts in range(2):
            w = conversions[j] if converts else nulls[j]
            if w == 0.0:
                continue
            total = (last * buying).sum() if converts else last.sum()
            log_likelihood += w * np.log(total)
            for g in range(n_kinds):
                for k in range(n_states):
                    ahead[g, k] = (buying[g, k] if converts else 1.0) / total
                    if converts:
                        bought[g, k] += w * last[g, k] * ahead[g, k]
            for i in range(n - 1, -1, -1):
                c, b = codes[o + i], gap[o + i]
                for g in range(n_kinds):
                    _back(after[i, g], passing[g, b], ahead[g], w, met_in[g, b], here)
                    for k in range(0, n_states - 1, 2):
                        move = before[i, g, k] * pull[c] * here[k + 1]
                        plain = before[i, g, k] * (1.0 - pull[c]) * here[k] + move
                        waits = before[i, g, k + 1] * here[k + 1]
                        pushed[g, c, k // 2] += w * move
                        counts = later if i else first
                        counts[g, c, k] += w * plain
                        counts[g, c, k + 1] += w * waits
                        if i:
                            x = contacts[g, c, k] * ((1.0 - pull[c]) * here[k] + pull[c] * here[k + 1]) / scale[i]
                            y = contacts[g, c, k + 1] * here[k + 1] / scale[i]
                            ahead[g, k] = x if x > TINY else 0.0
                            ahead[g, k + 1] = y if y > TINY else 0.0
                    ahead[g, n_states - 1] = 0.0  # who is lost is not met
    return float(log_likelihood)


@njit(cache=True, nogil=True, inline="always")
def _forward(here: FloatArray, passing: FloatArray, there: FloatArray) -> None:
    there[:] = 0.0
    for a in range(len(here)):
        if here[a] != 0.0:
            for k in range(a, len(here)):
                there[k] += here[a] * passing[a, k]


@njit(cache=True, nogil=True, inline="always")
def _back(
    here: FloatArray, passing: FloatArray, ahead: FloatArray, weight: float, met_in: FloatArray, back: FloatArray
) -> None:
    for a in range(len(here)):
        total = 0.0
        weighted = weight * here[a]
        for k in range(a, len(here)):
            met_in[a, k] += weighted * ahead[k]
            total += passing[a, k] * ahead[k]
        back[a] = total
