"""Markov-Shapley: the Shapley value of removing channels from a fitted Markov chain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from journeysim.attribution.base import Attribution, require_conversions
from journeysim.attribution.coalitions import Coalitions
from journeysim.attribution.shapley_value import ShapleySettings
from journeysim.attribution.sharing import in_proportion, result
from journeysim.errors import InputError
from journeysim.markov import AbsorbingChain, count_transitions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.journeys import Journeys

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]
    BoolArray = NDArray[np.bool_]

_BATCH_ENTRIES: Final = 4_000_000
"""Entries of the matrices that are solved at once: 32 MB."""
MAX_STATES: Final = 400
"""Above this the solves for all coalitions take too long."""


@dataclass(frozen=True, slots=True)
class MarkovShapley(ShapleySettings):
    """Shapley value of the game v(S) = P(a journey of the fitted chain converts when only channels S lead on).

    Every state that contains a channel outside S leads to nothing, as in `RemovalEffect`. So v(S) is the probability
    that a walk converts and meets channels of S only, each walk is a unanimity game of the channels it meets, and the
    Shapley value of c is E[1{converts, meets c} / number of distinct channels it meets]: never negative, and it adds
    up to P without any normalising. Over the walks of the chain that is this method; over the observed journeys the
    same expectation is `SimplifiedShapley`, and this method becomes that when the order reaches the longest path.

    Attributes
    ----------
    order : number of touches a state remembers, >= 1
    exact_up_to, n_orders, seed : all coalitions up to so many channels, sampled orders of arrival beyond

    Source: the game is the removal of Anderl et al. 2016 (IJRM 33(3)) for sets of channels; docs/attribution-methods.md
    derives the expectation.
    """

    order: int = 1

    def __post_init__(self) -> None:
        ShapleySettings.__post_init__(self)  # super() does not know the class that slots=True makes anew
        if self.order < 1:
            raise InputError(f"MarkovShapley: order must be 1 or more, got {self.order!r}.")

    def attribute(self, journeys: Journeys) -> Attribution:
        """Fit the chain, solve it for coalitions of channels, and credit by Shapley value.

        Raises
        ------
        InputError : if nothing converts, if the chain has too many states, or if refunds make the values cancel
        """
        require_conversions(journeys)
        chain = AbsorbingChain.from_counts(count_transitions(journeys, self.order))
        if len(chain.start) > MAX_STATES:
            raise InputError(
                f"MarkovShapley: at order {self.order} the chain has {len(chain.start)} states, more than the "
                f"{MAX_STATES} for which all coalitions can be solved. Use a lower order, or shapley_simplified, which "
                "this becomes at a high order."
            )
        players = Coalitions.of(journeys).players(journeys.channels)
        found = self.solve(_Chain.of(chain, players))
        by_channel = np.zeros((len(journeys.channels), 2))
        by_channel[players] = found.values
        return result(
            "markov_shapley",
            {"order": self.order} | self.of_sampling(found),
            journeys,
            in_proportion(journeys.n_conversions, by_channel[:, 0], "Shapley values"),
            in_proportion(journeys.total_value, by_channel[:, 1], "Shapley values of value"),
            self.note(found),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Chain:
    """The game of a chain in which only the channels of a coalition lead on.

    Attributes
    ----------
    contains : (S, n) whether a state contains a player
    start : (S,), moves : (S, S) dense, rewards : (S, 2) expected conversions and value earned by a visit's end
    """

    contains: BoolArray
    start: FloatArray
    moves: FloatArray
    rewards: FloatArray

    @classmethod
    def of(cls, chain: AbsorbingChain, players: IntArray) -> _Chain:
        rewards = chain.p_end[:, None] * np.column_stack([chain.end_conversion, chain.end_value])
        return cls(chain.contains[:, players], chain.start, chain.moves.toarray(), rewards)

    @property
    def n_players(self) -> int:
        return int(self.contains.shape[1])

    def all_worths(self) -> FloatArray:
        masks = np.arange(2**self.n_players)
        return self._worths((masks[:, None] >> np.arange(self.n_players)) & 1 == 1)

    def worths_along(self, order: IntArray) -> FloatArray:
        arrival = np.empty(self.n_players, dtype=np.int64)
        arrival[order] = np.arange(self.n_players)
        return self._worths(arrival < np.arange(self.n_players + 1)[:, None])

    def _worths(self, coalitions: BoolArray) -> FloatArray:
        """(K, 2) what the chain is expected to earn: start (I - Q)^-1 r with the states outside left out."""
        n_states = len(self.start)
        missing = (~coalitions).astype(np.float64)
        alive = missing @ self.contains.T.astype(np.float64) == 0
        worths = np.empty((len(coalitions), 2))
        step = max(1, _BATCH_ENTRIES // n_states**2)
        eye = np.eye(n_states)
        for begin in range(0, len(coalitions), step):
            keep = alive[begin : begin + step].astype(np.float64)
            matrices = eye - keep[:, :, None] * self.moves * keep[:, None, :]
            ahead = np.linalg.solve(matrices, keep[:, :, None] * self.rewards)
            worths[begin : begin + step] = np.einsum("ks,ksm->km", keep * self.start, ahead)
        return worths
