"""The Shapley value of the true game: v(S) = conversions, and revenue, with only the channels S on.

    φ_c = Σ over S without c of  |S|! (C - |S| - 1)! / C!  (v(S ∪ c) - v(S))

(Shapley 1953, "A value for n-person games"). It is linear in v, so it is added up customer by customer, and its Monte
Carlo error is that of a mean of independent units. Up to `MAX_EXACT_CHANNELS` channels all coalitions are simulated, on
common random numbers; above that, orders of the channels are drawn (Castro, Gómez & Tejada 2009, Computers & Operations
Research 36:5), each together with its reverse.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from journeysim.simulation.outcomes import CONVERSION, REVENUE
from journeysim.simulation.twin_runs import switched_off

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from journeysim.simulation.outcomes import Outcomes
    from journeysim.simulation.twin_runs import Twins

    FloatArray = NDArray[np.float64]

MAX_EXACT_CHANNELS = 10
WORTH = [CONVERSION, REVENUE]  # what a coalition is worth


def exact_values(twins: Twins, full: Outcomes) -> FloatArray:
    """(units, C, 2) Shapley values of conversions and of revenue, from all 2**C coalitions.

    Coalitions are numbered by the bits of the channels that are missing. A customer who met none of the missing
    channels in a coalition that has one of them more is not simulated again.
    """
    worth = coalition_worths(twins, full)
    n_channels = worth.ndim - 2
    values = []
    for c in range(n_channels):
        gain = np.moveaxis(worth, n_channels - 1 - c, 0)  # the axes stand in the order of the bits, highest first
        gain = (gain[0] - gain[1]).reshape(-1, *worth.shape[-2:])
        others_missing = np.array([bits.bit_count() for bits in range(len(gain))])
        values.append(np.tensordot(_weights(n_channels)[n_channels - 1 - others_missing], gain, axes=1))
    return np.stack(values, axis=1)


def _weights(n_channels: int) -> FloatArray:
    """(C,) weight of a coalition of s others: s! (C - s - 1)! / C!."""
    return np.array([1 / (n_channels * math.comb(n_channels - 1, size)) for size in range(n_channels)])


def coalition_worths(twins: Twins, full: Outcomes) -> FloatArray:
    """(2, ..., 2, units, 2) worth of each coalition: an axis per channel, the last channel first; 1: it is missing."""
    population = twins.population
    n, n_channels = full.contacts.shape
    everybody = population.unit_totals(full.measures[:, WORTH])
    worth = np.empty((2**n_channels, *everybody.shape))
    worth[0] = everybody
    if population.coupled:
        for missing in range(1, 2**n_channels):
            alone = twins.also_without(_channels(missing), full)
            worth[missing] = population.unit_totals(alone.measures[:, WORTH])
        return worth.reshape(*(2,) * n_channels, *everybody.shape)
    met = np.empty((2**n_channels, n), np.int64)  # bits of the channels met
    met[0] = _bits(full.contacts)
    again = full.copy()
    everyone = np.arange(n)
    for missing in range(1, 2**n_channels):
        like = np.full(n, missing)  # which coalition the customer acts in as in this one
        for c in _channels(missing):
            with_c = missing - (1 << c)
            like[met[with_c] >> c & 1 == 0] = with_c
        worth[missing] = worth[like, everyone]
        met[missing] = met[like, everyone]
        todo = np.flatnonzero(like == missing)
        if len(todo):
            twins.simulate_again(again, switched_off(population.x, _channels(missing)), todo)
            worth[missing, todo] = again.measures[todo][:, WORTH]
            met[missing, todo] = _bits(again.contacts[todo])
    return worth.reshape(*(2,) * n_channels, *everybody.shape)


def _channels(bits: int) -> list[int]:
    return [c for c in range(bits.bit_length()) if bits >> c & 1]


def _bits(contacts: NDArray[np.int32]) -> NDArray[np.int64]:
    """(n,) sets of the channels met, as bits."""
    sets: NDArray[np.int64] = (contacts > 0) @ (1 << np.arange(contacts.shape[1]))
    return sets


def sampled_values(twins: Twins, full: Outcomes, order: Sequence[int]) -> FloatArray:
    """(units, C, 2) gains of the channels as they go one by one in an order, averaged with the reverse order.

    In expectation over orders that are equally likely this is the Shapley value; for every order the gains add up to
    v(all) - v(none).
    """
    values = np.zeros((len(twins.population.unit_totals(full.measures)), len(order), len(WORTH)))
    for way in (order, order[::-1]):
        before = full
        for step, c in enumerate(way):
            after = twins.also_without([c], before, way[:step])
            gain = before.measures[:, WORTH] - after.measures[:, WORTH]
            values[:, c] += twins.population.unit_totals(gain) / 2
            before = after
    return values
