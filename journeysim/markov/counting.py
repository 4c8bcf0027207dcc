"""How often journeys moved between states of any order: counts first, the chain second; arrays only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array

from journeysim.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.journeys import Journeys

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]
    BoolArray = NDArray[np.bool_]


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
        return contains(self.states, len(self.channels))


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
    lengths, codes = np.diff(journeys.offsets), journeys.codes.astype(np.int64)
    if not weighs.all():
        codes, lengths, weight = codes[np.repeat(weighs, lengths)], lengths[weighs], weight[weighs]

    state, n_steps, states = walks(codes, lengths, order, len(journeys.channels))
    n_states = len(states)
    end = np.cumsum(n_steps)
    first, last = state[end - n_steps], state[end - 1]

    def total(at: IntArray, weights: FloatArray) -> FloatArray:
        return np.bincount(at, weights, minlength=n_states).astype(np.float64)

    return TransitionCounts(
        channels=journeys.channels,
        order=order,
        states=states,
        moves=_moves(state, end - n_steps, np.repeat(weight, n_steps), n_states),
        starts=total(first, weight),
        conversions=total(last, journeys.conversions[weighs]),
        nulls=total(last, journeys.nulls[weighs]),
        value=total(last, journeys.value[weighs]),
    )


def walks(
    codes: IntArray, lengths: IntArray, order: int, n_channels: int
) -> tuple[IntArray, IntArray, NDArray[np.int32]]:
    """The states of all paths one after the other, repeated ones included, how many each path has, what is in each."""
    k = min(order, int(lengths.max(initial=1)))  # beyond the longest path every path is one short state already
    state, states = _states(codes, lengths, k, n_channels)
    return state, np.maximum(lengths - (k - 1), 1), states


def contains(states: NDArray[np.int32], n_channels: int) -> BoolArray:
    """(S, C) whether a state contains a channel."""
    found = np.zeros((len(states), n_channels + 1), dtype=np.bool_)
    rows = np.arange(len(states))
    for code in states.T:
        found[rows, code] = True  # the padding, -1, falls into the spare last column
    return found[:, :-1]


def _states(codes: IntArray, lengths: IntArray, k: int, n_channels: int) -> tuple[IntArray, NDArray[np.int32]]:
    """The state of every step, path by path, repeated ones included, and (S, k) what is in each state."""
    if k == 1:
        met = np.zeros(n_channels, dtype=np.bool_)
        met[codes] = True
        return dense_ids(codes)[0], np.flatnonzero(met).astype(np.int32)[:, None]
    end = np.cumsum(lengths)
    position = np.arange(len(codes)) - np.repeat(end - lengths, lengths)
    is_step = position >= k - 1
    is_step[end - 1] = True  # of a short path only this one
    steps = np.flatnonzero(is_step)
    state, n_states = dense_ids(_grams(codes, position, k, n_channels)[steps])
    example = np.empty(n_states, dtype=np.int64)
    example[state] = steps  # any touch that ends this state shows what is in it
    return state, _contents(codes, position, example, k)


def _moves(state: IntArray, begin: IntArray, weight: FloatArray, n_states: int) -> csr_array:
    """(S, S) sparse, the weight of the moves from each state to another one; `begin` is the first step of each path."""
    weight[begin] = 0.0  # nothing moves into the first step
    origin, target, weight = state[:-1], state[1:], weight[1:]
    if n_states**2 <= len(state):  # a table of all pairs is quicker than sorting the moves
        table = np.bincount(origin * n_states + target, weight, minlength=n_states**2).reshape(n_states, n_states)
        np.fill_diagonal(table, 0.0)
        return csr_array(table.astype(np.float64))
    moving = (weight > 0) & (origin != target)
    return csr_array((weight[moving], (origin[moving], target[moving])), shape=(n_states, n_states))


def _grams(codes: IntArray, position: IntArray, k: int, n_channels: int) -> IntArray:
    """(T,) one number for the last k touches up to each touch (fewer at the beginning of a path).

    Built by pairing: an m-gram is an (m-1)-gram and one more channel. So no key ever exceeds touches x channels, which
    no power n_channels**k can promise.
    """
    grams = codes
    base, n_grams = 0, n_channels  # the (m-1)-grams have the numbers base..base + n_grams - 1
    for m in range(2, k + 1):
        longer = np.flatnonzero(position >= m - 1)
        pairs, n_pairs = dense_ids((grams[longer - 1] - base) * n_channels + codes[longer])
        base, n_grams = base + n_grams, n_pairs
        grams = grams.copy()
        grams[longer] = base + pairs
    return grams


def dense_ids(keys: IntArray) -> tuple[IntArray, int]:
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
