"""How often journeys moved between states of any order: counts first, the chain second; arrays only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.sparse import csr_array

from journeysim.errors import InputError
from journeysim.markov.step_kernel import walk

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.journeys import Journeys

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]
    BoolArray = NDArray[np.bool_]

MOST_ENTRIES: Final = 250_000_000
"""States x channels up to which removals are worked out."""
FULL_TABLE: Final = 1 << 24
"""Entries (of 12 bytes) up to which counting keeps a place for every state and next channel."""


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

    def __add__(self, other: TransitionCounts) -> TransitionCounts:
        """The counts of both: journeys may be counted part by part. Channels of either are channels of the sum.

        Raises
        ------
        InputError : if the orders differ
        """
        if self.order != other.order:
            raise InputError(f"Counts of order {self.order} and of order {other.order} cannot be added.")
        return _merged(self, other)

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
    stray = np.flatnonzero(~weighs)
    stray = stray[journeys.value[stray] != 0]
    if len(stray):
        j = int(stray[0])
        raise InputError(f"Journey {j} has value {journeys.value[j]:g} but neither conversions nor nulls.")
    # Beyond the longest path every path is one short state already.
    k = 1 if order == 1 else min(order, int(np.diff(journeys.offsets)[weighs].max(initial=1)))
    n_channels = len(journeys.channels)
    keys, targets, weights, parent, channel, depth, first, last = walk(
        journeys.codes, journeys.offsets, weight, k, n_channels, FULL_TABLE
    )
    is_state = depth == k
    is_state[first] = True  # short paths
    is_state[0] = False  # the root, where no path ends: journeys without weight
    nodes = np.flatnonzero(is_state)
    states = _contents(nodes, parent, channel, k)
    ascending = np.lexsort(states.T[::-1])
    number = np.zeros(len(parent), dtype=np.int64)
    number[nodes[ascending]] = np.arange(len(nodes))

    origin, target = keys // n_channels, targets
    moving = (depth[origin] == k) & (origin != target)
    origin, target = number[origin[moving]], number[target[moving]]
    moves = csr_array((weights[moving], (origin, target)), shape=(len(nodes), len(nodes)))
    moves.sort_indices()

    def total(at: IntArray, amounts: FloatArray) -> FloatArray:
        return np.bincount(at, amounts, minlength=len(parent)).astype(np.float64)[nodes[ascending]]

    return TransitionCounts(
        channels=journeys.channels,
        order=order,
        states=states[ascending],
        moves=moves,
        starts=total(first, weight),
        conversions=total(last, journeys.conversions),
        nulls=total(last, journeys.nulls),
        value=total(last, journeys.value),
    )


def refuse_too_many(n_states: int, n_channels: int) -> None:
    """Refuse removals whose table of states x channels is beyond MOST_ENTRIES, before memory is."""
    if n_states * n_channels > MOST_ENTRIES:
        raise InputError(
            f"{n_channels:,} channels in {n_states:,} states are too many to remove one by one. Give rare channels one "
            "name together, or take a method that needs no chain, such as linear."
        )


def contains(states: NDArray[np.int32], n_channels: int) -> BoolArray:
    """(S, C) whether a state contains a channel.

    Raises
    ------
    InputError : if that table is beyond MOST_ENTRIES
    """
    refuse_too_many(len(states), n_channels)
    found = np.zeros((len(states), n_channels + 1), dtype=np.bool_)
    rows = np.arange(len(states))
    for code in states.T:
        found[rows, code] = True  # the padding, -1, falls into the spare last column
    return found[:, :-1]


def _contents(nodes: IntArray, parent: IntArray, channel: NDArray[np.int32], k: int) -> NDArray[np.int32]:
    """(S, k) the channels on the way to each node of the tree, the last one last; -1 before the path begins."""
    states = np.full((len(nodes), k), -1, dtype=np.int32)
    node = nodes
    for column in range(k - 1, -1, -1):
        states[:, column] = channel[node]
        node = np.maximum(parent[node], 0)  # the root is its own parent; its channel is -1
    return states


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


def _merged(a: TransitionCounts, b: TransitionCounts) -> TransitionCounts:
    """The counts of both, with the channels and states of both in ascending order."""
    channels = tuple(sorted({*a.channels, *b.channels}))
    width = max(a.states.shape[1], b.states.shape[1])
    states, number = np.unique(
        np.concatenate([_recoded(part, channels, width) for part in (a, b)]), axis=0, return_inverse=True
    )
    number = number.ravel()
    places = number[: len(a.states)], number[len(a.states) :]

    def total(name: str) -> FloatArray:
        weights = np.concatenate([getattr(a, name), getattr(b, name)])
        return np.bincount(number, weights, minlength=len(states)).astype(np.float64)

    moves = [part.moves.tocoo() for part in (a, b)]
    rows, columns = (
        np.concatenate([place[getattr(m, axis)] for place, m in zip(places, moves, strict=True)])
        for axis in ("row", "col")
    )
    summed = csr_array((np.concatenate([m.data for m in moves]), (rows, columns)), shape=(len(states), len(states)))
    summed.sort_indices()
    return TransitionCounts(
        channels=channels,
        order=a.order,
        states=states,
        moves=summed,
        starts=total("starts"),
        conversions=total("conversions"),
        nulls=total("nulls"),
        value=total("value"),
    )


def _recoded(counts: TransitionCounts, channels: tuple[str, ...], width: int) -> NDArray[np.int32]:
    """(S, width) the states in the codes of other channels, padded in front."""
    code = np.array([*(channels.index(name) for name in counts.channels), -1], dtype=np.int32)  # -1 stays -1
    padded = np.full((len(counts.states), width), -1, dtype=np.int32)
    padded[:, width - counts.states.shape[1] :] = code[counts.states]
    return padded
