"""Expected conversions and value of a chain without some of its states: elimination for small chains, else sweeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from scipy.linalg import solve_triangular
from scipy.sparse import csr_array, vstack

from journeysim.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.markov.chain import AbsorbingChain

    FloatArray = NDArray[np.float64]
    BoolArray = NDArray[np.bool_]

DENSE_STATES: Final = 500
"""Up to this many states one dense factorization is faster than sweeping (see benchmarks/speed/attribution.py)."""
TOLERANCE: Final = 1e-12
"""Guaranteed error of a removal effect that was found by sweeping."""
MAX_SWEEPS: Final = 100_000
BLOCK_ENTRIES: Final = 20_000_000
"""States x channels swept at once; bounds the memory of a sweep to a few hundred MB."""
LOOK_AHEAD: Final = 1000
"""Sweeps between two looks at the pace: who would need more than MAX_SWEEPS is told at once."""
LONG_VISITS: Final = 100.0
"""Visits to a removed set from which on a difference of large numbers is no longer exact to 1e-12."""

_ADVICE: Final = f"Use a lower order (up to {DENSE_STATES} states are solved directly), or cut those journeys."


class Walk(Protocol):
    """A chain as the solvers see it; the attributes are those of `AbsorbingChain`."""

    @property
    def start(self) -> FloatArray:
        """(S,)."""
        ...

    @property
    def moves(self) -> Any:
        """(S, S) sparse."""
        ...

    @property
    def p_end(self) -> FloatArray:
        """(S,)."""
        ...

    @property
    def end_conversion(self) -> FloatArray:
        """(S,)."""
        ...

    @property
    def end_value(self) -> FloatArray:
        """(S,)."""
        ...


def rewards(chain: Walk) -> FloatArray:
    """(S, 3) expected conversions, value and absolute value earned by a visit's end."""
    return chain.p_end[:, None] * np.column_stack([chain.end_conversion, chain.end_value, abs(chain.end_value)])


def without(chain: Walk, removed: BoolArray, expected: FloatArray) -> FloatArray:
    """(K, 2) expected conversions and value where every entry into the states removed[:, i] leads to null.

    Parameters
    ----------
    removed : (S, K)
    expected : (3,) conversions, value and absolute value of the whole chain

    Raises
    ------
    InputError : if sweeping does not reach TOLERANCE
    """
    rest = by_elimination(chain, removed) if len(chain.start) <= DENSE_STATES else by_sweeps(chain, removed, expected)
    rest[~removed.any(axis=0)] = expected[:2]  # what nobody met: exactly, not up to rounding
    return rest


def fundamental(moves: FloatArray, p_end: FloatArray) -> FloatArray:
    """(S, S) N = inv(I - Q), every entry right to nearly all digits however long journeys go on.

    Pivots are sums of what leaves a state, never 1 minus what stays: no subtraction, so nothing cancels even where a
    loop is left once in a billion times. Both triangles are M-matrices, and so the back substitutions only add.

    Source: Grassmann, Taksar & Heyman 1985, Operations Research 33(5); O'Cinneide 1993, Numerische Mathematik 65.
    """
    a = moves.copy()
    leave = p_end.copy()
    n = len(a)
    pivots = np.empty(n)
    for i in range(n):
        onward = a[i, i + 1 :]
        pivots[i] = onward.sum() + leave[i]
        share = a[i + 1 :, i] / pivots[i]
        a[i + 1 :, i] = share
        a[i + 1 :, i + 1 :] += np.outer(share, onward)
        leave[i + 1 :] += share * leave[i]
    lower = np.eye(n) - np.tril(a, -1)
    upper = np.diag(pivots) - np.triu(a, 1)
    inverse = solve_triangular(lower, np.eye(n), lower=True, unit_diagonal=True, check_finite=False)
    return np.asarray(solve_triangular(upper, inverse, check_finite=False))


def by_elimination(chain: Walk, removed: BoolArray) -> FloatArray:
    """As `without`, from the fundamental matrix N.

    Journeys enter the set A of removed states for the first time at h = f N[:, A] inv(N[A, A]), and lose there what
    they would still have earned. Order 1: A is one state, and this is the closed form N[s,c] x[c] / N[c,c].

    Source: Kemeny & Snell, Finite Markov Chains, ch. 3 (N; hitting probabilities).
    """
    moves = chain.moves.toarray()
    N = fundamental(moves, chain.p_end)
    visits, ahead = chain.start @ N, N @ rewards(chain)[:, :2]
    rest = np.empty((removed.shape[1], 2))
    for i, inside in enumerate(removed.T):
        A = np.flatnonzero(inside)
        if len(A) > 1 and N[np.ix_(A, A)].sum(axis=1).max() > LONG_VISITS:
            rest[i] = _kept_only(chain, moves, ~inside)
            continue
        first_entry = np.linalg.solve(N[np.ix_(A, A)].T, visits[A])
        rest[i] = chain.start @ ahead - first_entry @ ahead[A]
    return rest


def _kept_only(chain: Walk, moves: FloatArray, keep: BoolArray) -> FloatArray:
    """(2,) expected conversions and value of the chain that enters only some states, by eliminating these anew."""
    lost = moves[np.ix_(keep, ~keep)].sum(axis=1)
    N = fundamental(moves[np.ix_(keep, keep)], chain.p_end[keep] + lost)
    return np.asarray(chain.start[keep] @ N @ rewards(chain)[keep, :2])


def by_sweeps(chain: Walk, removed: BoolArray, expected: FloatArray) -> FloatArray:
    """As `without`, by sweeping, in blocks of removals that bound the memory."""
    n_states, n_removals = removed.shape
    width = max(1, BLOCK_ENTRIES // n_states)
    blocks = [slice(i, i + width) for i in range(0, max(n_removals, 1), width)]
    return np.concatenate([_swept(chain, ~removed[:, block], expected) for block in blocks])


def _swept(chain: Walk, keep: BoolArray, expected: FloatArray) -> FloatArray:
    """(K, 2) expected conversions and value of K chains at once, where chain i enters only the states keep[:, i].

    A sweep moves all journeys one step: Y <- keep * (Q' Y), from Y = keep * start, adding Y' rewards. It is the mirror
    of x <- keep * (r + Q x), and yields all rewards from one product. Those who go on from a step can earn at most
    the greatest mean value of an end: the sums so far are lower bounds, and with that added upper bounds (by value: in
    absolute terms). A column is done when they differ by less than TOLERANCE times what the full chain expects.
    """
    # One sparse product moves the journeys and adds up, in three rows more, what they earn and how many go on. A dense
    # product for these sums would wake all threads of BLAS in every sweep: 20 to 40 times slower when busy.
    sums = np.vstack([rewards(chain)[:, :2].T, 1 - chain.p_end])
    step = vstack([chain.moves.T, csr_array(sums)], format="csr")
    most = np.array([chain.end_conversion.max(), abs(chain.end_value).max()])
    target = TOLERANCE * expected[[0, 2]]
    left = np.zeros((keep.shape[1], 2))
    active, alive = np.arange(keep.shape[1]), keep
    on_the_way = np.where(alive, chain.start[:, None], 0.0)
    worst, sweep = np.inf, 0
    for sweep in range(1, MAX_SWEEPS + 1):
        moved = step @ on_the_way
        on_the_way, earned = moved[:-3] * alive, moved[-3:].T
        left[active] += earned[:, :2]
        bound = earned[:, 2:] * most
        busy = (bound > target).any(axis=1)
        if not busy.all():
            active, alive, on_the_way = active[busy], alive[:, busy], on_the_way[:, busy]
        if not len(active):
            return left
        if sweep % LOOK_AHEAD == 0:
            before, worst = worst, (bound / target).max()
            if np.log(worst) > np.log(before / worst) * (MAX_SWEEPS - sweep) / LOOK_AHEAD:
                break  # at this pace it does not arrive: say so now
    raise InputError(
        f"Removal effects: after {sweep} sweeps {len(active)} channels are still uncertain by up to "
        f"{bound[:, 0].max() / expected[0]:.3g}, not the {TOLERANCE:g} asked for, because some journeys go on for very "
        f"long. {_ADVICE}"
    )


def skipping(chain: AbsorbingChain, removed: BoolArray, earns: FloatArray, expected: FloatArray) -> FloatArray:
    """(K, 2) expected conversions and value where the removed states are skipped; see `detour_effects` of the chain.

    Parameters
    ----------
    removed : (S, K) the states that are skipped
    earns : (S, 2) conversions and value of an end in each state
    expected : as in `without`

    Raises
    ------
    InputError : if sweeping does not reach TOLERANCE
    """
    width = max(1, BLOCK_ENTRIES // len(removed))
    rest = []
    for i in range(0, max(removed.shape[1], 1), width):
        inside = removed[:, i : i + width]
        if len(chain.start) <= DENSE_STATES:
            ends_inside = _ends_by_elimination(chain, inside)
        else:
            ends_inside = _ends_by_sweeps(chain, inside, (TOLERANCE * expected[[0, 2]] / abs(earns).max(axis=0)).min())
        ending = chain.p_end[:, None] + chain.moves @ ends_inside
        rest.append((chain.visits[:, None] * ~inside * ending).T @ earns)
    left = np.concatenate(rest)
    left[~removed.any(axis=0)] = expected[:2]
    return left


def _ends_by_elimination(chain: AbsorbingChain, inside: BoolArray) -> FloatArray:
    """(S, K) probability that a journey which is in a state inside ends before it leaves them; 0 outside."""
    moves = chain.moves.toarray()
    ends = np.zeros(inside.shape)
    for i, mask in enumerate(inside.T):
        A = np.flatnonzero(mask)
        leaving = moves[np.ix_(mask, ~mask)].sum(axis=1)
        ends[A, i] = fundamental(moves[np.ix_(A, A)], chain.p_end[A] + leaving) @ chain.p_end[A]
    return ends


def _ends_by_sweeps(chain: AbsorbingChain, inside: BoolArray, target: float) -> FloatArray:
    """As `_ends_by_elimination`; those still inside after a sweep bound what the next ones can add."""
    ends, step, still = np.zeros(inside.shape), chain.p_end[:, None] * inside, inside.astype(np.float64)
    for _ in range(MAX_SWEEPS):
        ends += step
        still = (chain.moves @ still) * inside
        if (chain.visits @ still).max() <= target:  # a journey that is still inside was seen to be there
            return ends
        step = (chain.moves @ step) * inside
    raise InputError(f"Detours: after {MAX_SWEEPS} sweeps some journeys still go round in what is skipped. {_ADVICE}")
