"""Continuous-time Markov chains in batches: exponentials of thousands of small matrices at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

_MORE_TERMS = 13  # of matrices that are no generators, cut below 1e-15
_TERMS = 12  # with at most half a jump per step, the series is cut below 1e-14


def transition_probabilities(Q: FloatArray, days: float) -> FloatArray:
    """exp(Q t): where each chain is after a time, from each state.

    Uniformization for a short time, then squaring (Grassmann 1977, Computers & Operations Research 4:1; Moler & Van
    Loan 2003, SIAM Review 45:1, method 3): only products and sums of non-negative numbers, so nothing cancels, and
    many times faster for stacks of small matrices than one general-purpose `expm` after the other.

    Parameters
    ----------
    Q : (..., s, s) generators per day: off-diagonal >= 0, rows sum to 0
    days : t >= 0

    Returns
    -------
    (..., s, s) probabilities, rows sum to 1
    """
    identity = np.eye(Q.shape[-1])
    fastest = float(-np.diagonal(Q, axis1=-2, axis2=-1).min(initial=0.0))
    if fastest * days == 0.0:
        return np.broadcast_to(identity, Q.shape).copy()
    n_squarings = max(0, math.ceil(math.log2(fastest * days / 0.5)))
    jumps = fastest * days / 2**n_squarings  # expected jumps in one short step, at most 1/2
    jump = np.maximum(identity + Q / fastest, 0.0)
    # Horner's scheme for the sum over k of Poisson(k; jumps) jump^k
    P = identity * (jumps / _TERMS) @ jump + identity
    for k in range(_TERMS - 1, 0, -1):
        P = (jumps / k) * (P @ jump) + identity
    P *= math.exp(-jumps)
    for _ in range(n_squarings):
        P = P @ P
        P /= P.sum(axis=-1, keepdims=True)  # rounding would grow with every squaring
    return np.asarray(P)


def exponentials(matrices: FloatArray) -> FloatArray:
    """(..., s, s) exp(A) of each small matrix, such as the rates of a chain that also leaks, or with others beside it.

    By Taylor's series of A / 2^n, of norm 1/2 or less, squared n times (Moler & Van Loan 2003, method 3). It needs
    products alone: `scipy.linalg.expm` solves equations, one matrix after the other, for which LAPACK may call on
    threads that take a hundred times longer to meet than to solve.
    """
    norm = np.abs(matrices).sum(axis=-1).max(axis=-1)
    n_squarings = np.maximum(np.frexp(norm)[1] + 1, 0)
    short = matrices / np.exp2(n_squarings)[..., None, None]
    term = np.broadcast_to(np.eye(matrices.shape[-1]), matrices.shape)
    found = term.copy()
    for k in range(1, _MORE_TERMS + 1):
        term = term @ short / k
        found += term
    for n in range(int(n_squarings.max(initial=0))):
        part = found[n_squarings > n]
        found[n_squarings > n] = part @ part
    return found
