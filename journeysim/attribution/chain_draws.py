"""Exact removal effects of many absorbing chains at once: the draws of a posterior, or of a bootstrap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from journeysim.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    BoolArray = NDArray[np.bool_]

BLOCK_ENTRIES: Final = 2_000_000
"""Entries of the matrices inverted in one call, 16 MB: bounds the memory, and caches like it."""


@dataclass(frozen=True, slots=True, eq=False)
class ChainDraws:
    """D absorbing chains over the same S states.

    Attributes
    ----------
    contains : (S, C) whether a state contains a channel
    start : (D, S) probability that a journey begins in each state
    moves : (D, S, S) probability to go on from row to column; what is missing to 1 is the end of the journey
    rewards : (D, S, 2) expected conversions, and expected value, earned by the end of a visit
    """

    contains: BoolArray
    start: FloatArray
    moves: FloatArray
    rewards: FloatArray

    def removal_effects(self) -> DrawnEffects:
        """Removal effects of every channel in every chain.

        With N = inv(I - Q), ahead = N rewards and visits = start N, the states A of a channel are entered for the first
        time at h = visits[A] inv(N[A, A]), and h ahead[A] is lost. At order 1, A is one state c, and that is the
        closed form N[s,c] ahead[c] / N[c,c].

        Raises
        ------
        InputError : if a chain hardly ever ends, so that I - Q cannot be inverted

        Source: Kemeny & Snell, Finite Markov Chains, ch. 3 (N; hitting probabilities).
        """
        n_states = self.contains.shape[0]
        try:
            N = np.linalg.inv(np.eye(n_states) - self.moves)
        except np.linalg.LinAlgError as error:
            raise InputError(
                "Removal effects of drawn chains: in one of them journeys never end. Weights far below 1 make such "
                "draws; scale the weights to whole journeys, or give a larger prior."
            ) from error
        visits = np.matmul(self.start[:, None, :], N)[:, 0]
        ahead = N @ self.rewards
        expected = np.matmul(self.start[:, None, :], ahead)[:, 0]
        lost = np.zeros((len(N), self.contains.shape[1], 2))
        members = self.contains.sum(axis=0)
        if members.max(initial=0) <= 1:
            channels = np.flatnonzero(members)
            at = self.contains.argmax(axis=0)[channels]
            lost[:, channels] = (visits[:, at] / N[:, at, at])[:, :, None] * ahead[:, at]
        else:
            for channel in np.flatnonzero(members):
                A = np.flatnonzero(self.contains[:, channel])
                block = N[:, A[:, None], A].transpose(0, 2, 1)
                first_entry = np.linalg.solve(block, visits[:, A, None])
                lost[:, channel] = (first_entry * ahead[:, A]).sum(axis=1)
        return DrawnEffects.from_losses(expected, lost)


@dataclass(frozen=True, slots=True, eq=False)
class DrawnEffects:
    """Removal effects of D chains.

    Attributes
    ----------
    p_conversion : (D,) probability that a journey converts
    by_conversions : (D, C) share of the conversions lost without a channel
    by_value : (D, C) share of the value lost; zeros in a chain without value
    """

    p_conversion: FloatArray
    by_conversions: FloatArray
    by_value: FloatArray

    @classmethod
    def from_losses(cls, expected: FloatArray, lost: FloatArray) -> DrawnEffects:
        """From what a journey earns, (D, 2) conversions and value, and what of it is lost per channel, (D, C, 2)."""
        total = np.where(expected == 0, 1.0, expected)  # nothing is lost of nothing
        share = lost / total[:, None, :]
        return cls(expected[:, 0], share[:, :, 0], share[:, :, 1])

    @classmethod
    def join(cls, parts: list[DrawnEffects]) -> DrawnEffects:
        """The draws of all parts, one after the other."""
        return cls(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("p_conversion", "by_conversions", "by_value")
            )
        )


def blocks(n_draws: int, entries_per_draw: int) -> list[int]:
    """Sizes of the blocks in which to make the draws, so that memory stays bounded."""
    size = max(1, min(n_draws, BLOCK_ENTRIES // max(entries_per_draw, 1)))
    return [min(size, n_draws - at) for at in range(0, n_draws, size)]
