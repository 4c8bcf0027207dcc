"""What is lost with the journeys that meet channels in a sequence, or a channel at a position: walks with a memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array

from journeysim.errors import InputError
from journeysim.markov import solving

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from journeysim.markov.chain import AbsorbingChain
    from journeysim.markov.counting import TransitionCounts

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]
    Onward = Callable[[IntArray, IntArray], IntArray]


@dataclass(frozen=True, slots=True)
class Sequence:
    """Channels one after the other, such as `Sequence("social", "search")`; only removal to null is defined.

    A journey is lost as soon as it has completed the sequence. A chain of order k sees no more than k touches of one
    channel in a row, so a longer run cannot be asked for.

    Attributes
    ----------
    channels : one or more
    gaps : whether other touches may lie between; by default none may
    """

    channels: tuple[str, ...]
    gaps: bool = False

    def __init__(self, *channels: str, gaps: bool = False) -> None:
        if not channels or not all(isinstance(name, str) for name in channels):
            raise InputError(f"Sequence: give the names of one or more channels, got {channels!r}.")
        object.__setattr__(self, "channels", channels)
        object.__setattr__(self, "gaps", gaps)

    @property
    def names(self) -> tuple[str, ...]:
        """The channels."""
        return self.channels

    def __str__(self) -> str:
        return (" ... " if self.gaps else " > ").join(self.channels)


@dataclass(frozen=True, slots=True)
class Position:
    """A channel at one position of the path: 1 is the first touch, 2 the second, -1 the last; removed to null.

    The positions are those of the chain's walk: identical states in a row are one, so at order 1 a channel that is met
    again at once does not count again.
    """

    channel: str
    position: int

    def __post_init__(self) -> None:
        if self.position < 1 and self.position != -1:
            raise InputError(f"Position: position must be 1, 2, ... or -1 for the last, got {self.position!r}.")

    @property
    def names(self) -> tuple[str, ...]:
        """The channel."""
        return (self.channel,)

    def __str__(self) -> str:
        return f"{self.channel} as {'last touch' if self.position == -1 else f'touch {self.position}'}"


@dataclass(frozen=True, slots=True, eq=False)
class _Unfolded:
    """A chain whose states are (state, memory); its fields are those of an AbsorbingChain."""

    start: FloatArray
    moves: Any
    p_end: FloatArray
    end_conversion: FloatArray
    end_value: FloatArray


def effect_on_walks(
    chain: AbsorbingChain, counts: TransitionCounts, target: Sequence | Position, codes: list[int]
) -> tuple[float, float]:
    """Share of conversions, and of value (nan where there is none), lost with the journeys that meet the target.

    The walk is read touch by touch by a small automaton, whose memory says how far the target was met; the chain of
    (state, memory) is solved with every entry into the last memory leading to null.

    Parameters
    ----------
    codes : of the channels that the target names

    Raises
    ------
    InputError : for a run of one channel that is longer than the order
    """
    expected = chain.visits @ chain.rewards
    if isinstance(target, Position) and target.position == -1:
        elsewhere = counts.states[:, -1] != codes[0]
        rest = (chain.visits * elsewhere) @ chain.rewards[:, :2]
    else:
        n_memories, onward = _automaton(target, codes, counts.order)
        unfolded = _unfold(chain, counts.states, n_memories, onward)
        met = np.zeros((len(unfolded.start), 1), dtype=np.bool_)
        met[n_memories - 1 :: n_memories] = True
        rest = solving.without(unfolded, met, expected)[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        by_conversions, by_value = 1 - rest / expected[:2]
    return float(by_conversions), float(by_value)


def _automaton(target: Sequence | Position, codes: list[int], order: int) -> tuple[int, Onward]:
    """How many memories there are, the last of which is "met", and how a touch changes them."""
    if isinstance(target, Position):
        return _count_to(target.position, codes[0])
    if target.gaps:
        return _in_order(codes)
    run = _longest_run(codes)
    if run > order:
        raise InputError(
            f"{target}: a chain of order {order} sees no more than {order} touches of one channel in a row. "
            f"Use order={run} or more."
        )
    return _one_by_one(codes)


def _longest_run(codes: list[int]) -> int:
    longest = length = 0
    for i, code in enumerate(codes):
        length = length + 1 if i and codes[i - 1] == code else 1
        longest = max(longest, length)
    return longest


def _in_order(codes: list[int]) -> tuple[int, Onward]:
    """How much of a sequence was met so far, with anything in between: memory m is the number of channels met."""
    wanted = np.array([*codes, -2])
    return len(codes) + 1, lambda memory, code: memory + (wanted[memory] == code)


def _one_by_one(codes: list[int]) -> tuple[int, Onward]:
    """As `_in_order`, with nothing in between (the automaton of Knuth, Morris & Pratt 1977)."""
    m, names = len(codes), sorted(set(codes))
    table = np.zeros((m + 1, len(names) + 1), dtype=np.int64)  # the last column: any other channel
    for met in range(m):
        for column, name in enumerate(names):
            seen = [*codes[:met], name]
            table[met, column] = next(n for n in range(met + 1, -1, -1) if seen[len(seen) - n :] == codes[:n])
    table[m] = m
    ids = np.array(names)

    def onward(memory: IntArray, code: IntArray) -> IntArray:
        column = np.searchsorted(ids, code)
        known = ids[np.minimum(column, len(ids) - 1)] == code
        return table[memory, np.where(known, column, len(ids))]

    return m + 1, onward


def _count_to(position: int, wanted: int) -> tuple[int, Onward]:
    """How many touches there were: 0..position - 1, then `position` for good, or "met" when that touch is `wanted`."""
    past, met = position, position + 1

    def onward(memory: IntArray, code: IntArray) -> IntArray:
        here = np.where(code == wanted, met, past)
        return np.where(memory == position - 1, here, np.where(memory < position, memory + 1, memory))

    return met + 1, onward


def _unfold(chain: AbsorbingChain, states: NDArray[np.int32], width: int, onward: Onward) -> _Unfolded:
    """The chain with memory: state s with memory m is s * width + m."""
    size = len(states) * width
    first = np.zeros(len(states), dtype=np.int64)
    for code in states.T.astype(np.int64):  # what a journey that begins in a state has met there
        first = np.where(code >= 0, onward(first, code), first)
    start = np.zeros(size)
    start[np.arange(len(states)) * width + first] = chain.start
    moves = chain.moves.tocoo()
    origin, target = (np.repeat(index.astype(np.int64), width) for index in (moves.row, moves.col))
    memory = np.tile(np.arange(width), len(moves.data))
    after = onward(memory, states[target, -1].astype(np.int64))
    onwards = (np.repeat(moves.data, width), (origin * width + memory, target * width + after))
    p_end, end_conversion, end_value = (
        np.repeat(column, width) for column in (chain.p_end, chain.end_conversion, chain.end_value)
    )
    return _Unfolded(start, csr_array(onwards, shape=(size, size)), p_end, end_conversion, end_value)
