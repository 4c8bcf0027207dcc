"""Markov chains of journeys: transition counts of any order, absorption, exact removal effects; arrays only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.sparse import csr_array, vstack

from journeysim.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.journeys import Journeys

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]
    BoolArray = NDArray[np.bool_]

DENSE_STATES: Final = 500
"""Up to this many states one dense inverse is faster than sweeping (see benchmarks/speed/attribution.py)."""
TOLERANCE: Final = 1e-12
"""Guaranteed error of a removal effect that was found by sweeping."""
MAX_SWEEPS: Final = 100_000
BLOCK_ENTRIES: Final = 20_000_000
"""States x channels swept at once; bounds the memory of a sweep to a few hundred MB."""


@dataclass(frozen=True, slots=True, eq=False)
class TransitionCounts:
    """How often journeys moved between states, where a state is the last `order` channels of a journey.

    Attributes
    ----------
    channels : the C channel names
    order : k, the number of touches that a state remembers
    states : (S, m) channel codes of each state, oldest first, m <= k; a path shorter than m is padded with -1 in front
    moves : (S, S) sparse, weight of the moves from row to column
    starts : (S,) weight of the journeys that begin in each state
    conversions, nulls : (S,) weight of the journeys that end in each state, with and without a conversion
    value : (S,) value of the conversions from each state
    """

    channels: tuple[str, ...]
    order: int
    states: NDArray[np.int32]
    moves: Any
    starts: FloatArray
    conversions: FloatArray
    nulls: FloatArray
    value: FloatArray

    def __post_init__(self) -> None:
        for column in (self.states, self.moves.data, self.starts, self.conversions, self.nulls, self.value):
            column.setflags(write=False)

    @property
    def contains(self) -> BoolArray:
        """(S, C) whether a state contains a channel."""
        found = np.zeros((len(self.states), len(self.channels) + 1), dtype=np.bool_)
        rows = np.arange(len(self.states))
        for code in self.states.T:
            found[rows, code] = True  # the padding, -1, falls into the spare last column
        return found[:, :-1]


def count_transitions(journeys: Journeys, order: int = 1) -> TransitionCounts:
    """Count the moves between states of `order` touches, each weighing conversions + nulls.

    States are cut from the path as it is; only then are consecutive identical states dropped (ChannelAttribution's
    convention; dropping repeats from the path first would give other states from order 2 on). A path shorter than
    `order` is one short state.

    Parameters
    ----------
    journeys : rows without weight are left out and make no states
    order : k >= 1

    Raises
    ------
    InputError : for an order below 1, or a journey that has a value but no weight
    """
    if order < 1:
        raise InputError(f"Markov order must be 1 or more, got {order}.")
    weight = journeys.conversions + journeys.nulls
    weighs = weight > 0
    stray = np.flatnonzero(~weighs & (journeys.value != 0))
    if len(stray):
        j = int(stray[0])
        raise InputError(f"Journey {j} has value {journeys.value[j]:g} but neither conversions nor nulls.")
    lengths = np.diff(journeys.offsets)
    codes = journeys.codes[np.repeat(weighs, lengths)].astype(np.int64)
    lengths, weight = lengths[weighs], weight[weighs]
    owner = np.repeat(np.arange(len(lengths)), lengths)
    position = np.arange(len(codes)) - np.repeat(np.cumsum(lengths) - lengths, lengths)

    # Beyond the longest path every path is one short state already.
    k = min(order, int(lengths.max(initial=1)))
    grams = _grams(codes, position, k, len(journeys.channels))
    ends = np.flatnonzero((position >= k - 1) | (position == lengths[owner] - 1))
    state, n_states = _dense_ids(grams[ends])
    owner = owner[ends]
    example = np.empty(n_states, dtype=np.int64)
    example[state] = ends  # any touch that ends this state shows what is in it

    changed = np.ones(len(state), dtype=np.bool_)
    changed[1:] = (owner[1:] != owner[:-1]) | (state[1:] != state[:-1])
    state, owner = state[changed], owner[changed]
    stays = owner[1:] == owner[:-1]
    origin, target, moving = state[:-1][stays], state[1:][stays], weight[owner[1:][stays]]
    edge = np.ones(1, dtype=np.bool_)[: len(state)]
    first, last = state[np.concatenate([edge, ~stays])], state[np.concatenate([~stays, edge])]

    def total(states: IntArray, weights: FloatArray) -> FloatArray:
        return np.bincount(states, weights, minlength=n_states).astype(np.float64)

    return TransitionCounts(
        channels=journeys.channels,
        order=order,
        states=_contents(codes, position, example, k),
        moves=csr_array((moving, (origin, target)), shape=(n_states, n_states)),
        starts=total(first, weight),
        conversions=total(last, journeys.conversions[weighs]),
        nulls=total(last, journeys.nulls[weighs]),
        value=total(last, journeys.value[weighs]),
    )


def _grams(codes: IntArray, position: IntArray, k: int, n_channels: int) -> IntArray:
    """(T,) one number for the last k touches up to each touch (fewer at the beginning of a path).

    Built by pairing: an m-gram is an (m-1)-gram and one more channel. So no key ever exceeds touches x channels, which
    no power n_channels**k can promise.
    """
    grams = codes
    base, n_grams = 0, n_channels  # the (m-1)-grams have the numbers base..base + n_grams - 1
    for m in range(2, k + 1):
        longer = np.flatnonzero(position >= m - 1)
        pairs, n_pairs = _dense_ids((grams[longer - 1] - base) * n_channels + codes[longer])
        base, n_grams = base + n_grams, n_pairs
        grams = grams.copy()
        grams[longer] = base + pairs
    return grams


def _dense_ids(keys: IntArray) -> tuple[IntArray, int]:
    """Number the distinct keys 0, 1, ... in ascending order: (ids, how many)."""
    upper = int(keys.max(initial=-1)) + 1
    if upper > 4 * len(keys) + 1024:
        distinct, ids = np.unique(keys, return_inverse=True)
        return ids, len(distinct)
    seen = np.zeros(upper, dtype=np.bool_)  # a table instead of a sort: the keys are almost dense
    seen[keys] = True
    number = np.cumsum(seen) - 1
    return number[keys], int(seen.sum())


def _contents(codes: IntArray, position: IntArray, ends: IntArray, k: int) -> NDArray[np.int32]:
    """(S, k) the codes of the last k touches up to each of the given touches, -1 before the path begins."""
    states = np.full((len(ends), k), -1, dtype=np.int32)
    for back in range(k):
        inside = position[ends] >= back
        states[inside, k - 1 - back] = codes[ends[inside] - back]
    return states


@dataclass(frozen=True, slots=True, eq=False)
class RemovalEffects:
    """What an absorbing chain loses when a channel's states lead to nowhere.

    Attributes
    ----------
    p_conversion : probability that a journey of the full chain converts
    value_per_journey : expected value of a journey of the full chain
    by_conversions : (C,) share of p_conversion lost without each channel, in [0, 1] up to rounding
    by_value : (C,) share of value_per_journey lost, or None where that is zero; outside [0, 1] only with refunds
    """

    p_conversion: float
    value_per_journey: float
    by_conversions: FloatArray
    by_value: FloatArray | None


@dataclass(frozen=True, slots=True, eq=False)
class AbsorbingChain:
    """A Markov chain of journeys that ends in a conversion or in nothing.

    Attributes
    ----------
    contains : (S, C) whether a state contains a channel
    start : (S,) probability that a journey begins in each state, sums to 1
    visits : (S,) expected visits to each state per journey: start @ N, with N = inv(I - Q) the fundamental matrix
    moves : (S, S) sparse Q, probability to go on from row to column
    p_end : (S,) probability that a journey ends in the state it is in; rows of Q plus this sum to 1
    end_conversion : (S,) share of the ends in a state that are conversions
    end_value : (S,) mean value of an end in a state
    """

    contains: BoolArray
    start: FloatArray
    visits: FloatArray
    moves: Any
    p_end: FloatArray
    end_conversion: FloatArray
    end_value: FloatArray

    @classmethod
    def from_counts(cls, counts: TransitionCounts) -> AbsorbingChain:
        """Maximum-likelihood chain: every probability is a share of the counts.

        Expected visits need no solving: what enters a state leaves it, so the observed visits solve v = start + Q'v.

        Raises
        ------
        InputError : if there is no journey with a weight
        """
        n_journeys = counts.starts.sum()
        if n_journeys == 0:
            raise InputError("No journey has conversions or nulls: there is nothing to fit a Markov chain to.")
        ends = counts.conversions + counts.nulls
        visits = np.asarray(counts.moves.sum(axis=1)) + ends
        moves = counts.moves.copy()
        moves.data = moves.data / np.repeat(visits, np.diff(moves.indptr))
        some = np.where(ends > 0, ends, 1.0)
        return cls(
            contains=counts.contains,
            start=counts.starts / n_journeys,
            visits=visits / n_journeys,
            moves=moves,
            p_end=ends / visits,
            end_conversion=counts.conversions / some,
            end_value=counts.value / some,
        )

    @property
    def p_conversion(self) -> float:
        """Probability that a journey ends in a conversion; for a chain from counts, the observed conversion rate."""
        return float(self.visits @ self._rewards[:, 0])

    @property
    def _rewards(self) -> FloatArray:
        """(S, 3) expected conversions, value and absolute value earned by a visit's end."""
        return self.p_end[:, None] * np.column_stack([self.end_conversion, self.end_value, abs(self.end_value)])

    def removal_effects(self) -> RemovalEffects:
        """Share of conversions, and of value, lost when every entry into a state containing a channel leads to null.

        Exact: one dense inverse for small chains, otherwise sweeps with a proven error of at most 1e-12 (by value,
        1e-12 x mean absolute value / mean value, the same thing where no value is negative). A conversion from state s
        earns the mean value of the conversions seen from s.

        Raises
        ------
        InputError : if the chain never converts, or if sweeping does not reach that error (extremely long journeys)

        Source: Anderl, Becker, von Wangenheim & Schumann 2016, IJRM 33(3); formulas in docs/attribution.md.
        """
        if not ((self.p_end > 0) & (self.end_conversion > 0)).any():
            raise InputError("No journey converts: removal effects are shares of conversions and need at least one.")
        expected = self.visits @ self._rewards
        left = _by_inverse(self) if len(self.start) <= DENSE_STATES else _by_sweeps(self, expected)
        left[~self.contains.any(axis=0)] = expected[:2]  # a channel that nobody met: exactly, not up to rounding
        p_conversion, value, absolute_value = (float(x) for x in expected)
        has_value = abs(value) > 1e-12 * absolute_value  # below that, refunds cancel and rounding is all there is
        return RemovalEffects(
            p_conversion=p_conversion,
            value_per_journey=value,
            by_conversions=1 - left[:, 0] / p_conversion,
            by_value=1 - left[:, 1] / value if has_value else None,
        )


def _by_inverse(chain: AbsorbingChain) -> FloatArray:
    """(C, 2) expected conversions and value without each channel, from the fundamental matrix N.

    Journeys enter the set A of a channel's states for the first time at h = f N[:, A] inv(N[A, A]), and lose there what
    they would still have earned. Order 1: A is one state, and this is the closed form N[s,c] x[c] / N[c,c].

    Source: Kemeny & Snell, Finite Markov Chains, ch. 3 (N; hitting probabilities).
    """
    N = np.linalg.inv(np.eye(len(chain.start)) - chain.moves.toarray())
    visits, ahead = chain.start @ N, N @ chain._rewards[:, :2]
    left = np.empty((chain.contains.shape[1], 2))
    for channel, inside in enumerate(chain.contains.T):
        A = np.flatnonzero(inside)
        first_entry = np.linalg.solve(N[np.ix_(A, A)].T, visits[A])
        left[channel] = chain.start @ ahead - first_entry @ ahead[A]
    return left


def _by_sweeps(chain: AbsorbingChain, expected: FloatArray) -> FloatArray:
    """As `_by_inverse`, by sweeping, in blocks of channels that bound the memory."""
    n_states, n_channels = chain.contains.shape
    width = max(1, BLOCK_ENTRIES // n_states)
    blocks = [slice(i, i + width) for i in range(0, n_channels, width)]
    return np.concatenate([_swept(chain, ~chain.contains[:, block], expected) for block in blocks])


def _swept(chain: AbsorbingChain, keep: BoolArray, expected: FloatArray) -> FloatArray:
    """(K, 2) expected conversions and value of K chains at once, where chain i enters only the states keep[:, i].

    A sweep moves all journeys one step: Y <- keep * (Q' Y), from Y = keep * start, adding Y' rewards. It is the mirror
    of x <- keep * (r + Q x), and yields all rewards from one product. Those who go on from a step can earn at most
    the greatest mean value of an end: the sums so far are lower bounds, and with that added upper bounds (by value: in
    absolute terms). A column is done when they differ by less than TOLERANCE times what the full chain expects.
    """
    # One sparse product moves the journeys and adds up, in three rows more, what they earn and how many go on. A dense
    # product for these sums would wake all threads of BLAS in every sweep: 20 to 40 times slower when busy.
    sums = np.vstack([chain._rewards[:, :2].T, 1 - chain.p_end])
    step = vstack([chain.moves.T, csr_array(sums)], format="csr")
    most = np.array([chain.end_conversion.max(), abs(chain.end_value).max()])
    target = TOLERANCE * expected[[0, 2]]
    left = np.zeros((keep.shape[1], 2))
    active, alive = np.arange(keep.shape[1]), keep
    on_the_way = np.where(alive, chain.start[:, None], 0.0)
    for _ in range(MAX_SWEEPS):
        moved = step @ on_the_way
        on_the_way, earned = moved[:-3] * alive, moved[-3:].T
        left[active] += earned[:, :2]
        bound = earned[:, 2:] * most
        busy = (bound > target).any(axis=1)
        if not busy.all():
            active, alive, on_the_way = active[busy], alive[:, busy], on_the_way[:, busy]
        if not len(active):
            return left
    raise InputError(
        f"Removal effects: after {MAX_SWEEPS} sweeps {len(active)} channels are still uncertain by up to "
        f"{bound[:, 0].max() / expected[0]:.3g}, not the {TOLERANCE:g} asked for, because some journeys go on for very "
        f"long. Use a lower order (up to {DENSE_STATES} states are solved directly), or cut those journeys."
    )
