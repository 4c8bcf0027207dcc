"""The states that journeys walk through, step by step and repeated ones included, where counts are not enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from journeysim.markov.counting import dense_ids

if TYPE_CHECKING:
    from numpy.typing import NDArray

    IntArray = NDArray[np.int64]


def walks(
    codes: IntArray, lengths: IntArray, order: int, n_channels: int
) -> tuple[IntArray, IntArray, NDArray[np.int32]]:
    """The states of all paths one after the other, repeated ones included, how many each path has, what is in each."""
    k = min(order, int(lengths.max(initial=1)))  # beyond the longest path every path is one short state already
    state, states = _states(codes, lengths, k, n_channels)
    return state, np.maximum(lengths - (k - 1), 1), states


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


def _contents(codes: IntArray, position: IntArray, ends: IntArray, k: int) -> NDArray[np.int32]:
    """(S, k) the codes of the last k touches up to each of the given touches, -1 before the path begins."""
    states = np.full((len(ends), k), -1, dtype=np.int32)
    for back in range(k):
        inside = position[ends] >= back
        states[inside, k - 1 - back] = codes[ends[inside] - back]
    return states
