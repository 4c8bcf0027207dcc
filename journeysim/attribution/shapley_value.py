"""Shapley values of a game on channels: exact over all coalitions, or averaged over sampled orders of arrival."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import TYPE_CHECKING, Protocol

import numpy as np

from journeysim.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]
    BoolArray = NDArray[np.bool_]


class Game(Protocol):
    """What coalitions of n players are worth, in m measures at once (conversions, value)."""

    @property
    def n_players(self) -> int:
        """Number of players."""
        ...

    def all_worths(self) -> FloatArray:
        """(2**n, m) worth of every coalition; bit i of the row number says whether player i is in it."""
        ...

    def worths_along(self, order: IntArray) -> FloatArray:
        """(n + 1, m) worth of the first 0, 1, ..., n players of an order of arrival."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ShapleyValues:
    """Shapley values, and how exact they are.

    Attributes
    ----------
    values : (n, m) of each player by each measure; they add up to the worth of all minus the worth of none
    standard_error : (n, m) of the average over sampled orders; zero where the values are exact
    exact : whether all coalitions were looked at
    """

    values: FloatArray
    standard_error: FloatArray
    exact: bool


def exact_shapley(worths: FloatArray) -> FloatArray:
    """(n, m) Shapley values from the worth (2**n, m) of every coalition.

    Each player's gain from joining a coalition of s others weighs 1 / (n binom(n - 1, s)).

    Source: Shapley 1953, A value for n-person games.
    """
    n = len(worths).bit_length() - 1
    masks = np.arange(len(worths))
    size = np.zeros(len(worths), dtype=np.int64)
    for player in range(n):
        size += (masks >> player) & 1
    weight = np.array([1 / (n * comb(n - 1, s)) for s in range(n)])
    values = np.empty((n, worths.shape[1]))
    for player in range(n):
        without = masks[(masks >> player) & 1 == 0]
        values[player] = weight[size[without]] @ (worths[without | (1 << player)] - worths[without])
    return values


def sampled_shapley(game: Game, *, n_orders: int, seed: int) -> ShapleyValues:
    """Average gains over sampled orders of arrival, each together with its reverse.

    Every order adds up, and so do their averages. An order and its reverse err in opposite directions where channels
    replace or need each other; the standard error is that of the averages of such pairs.

    Parameters
    ----------
    n_orders : how many orders, an even number >= 4
    seed : of the orders

    Source: Castro, Gomez & Tejada 2009, Computers & Operations Research 36(5); reversed orders: Mitchell, Cooper,
    Frank & Holmes 2022, JMLR 23(43).
    """
    rng = np.random.default_rng(seed)
    n_pairs = n_orders // 2
    total: FloatArray | None = None
    squares: FloatArray | None = None
    for _ in range(n_pairs):
        order = rng.permutation(game.n_players)
        pair = 0.5 * (_gains(game, order) + _gains(game, order[::-1]))
        total = pair if total is None else total + pair
        squares = pair**2 if squares is None else squares + pair**2
    if total is None or squares is None:
        raise InputError(f"Sampled Shapley values need at least one pair of orders, got n_orders={n_orders}.")
    mean = total / n_pairs
    spread = np.maximum(squares / n_pairs - mean**2, 0.0)
    return ShapleyValues(mean, np.sqrt(spread / max(n_pairs - 1, 1)), exact=False)


def _gains(game: Game, order: IntArray) -> FloatArray:
    worths = game.worths_along(order)
    gains = np.empty((len(order), worths.shape[1]))
    gains[order] = np.diff(worths, axis=0)
    return gains


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapleySettings:
    """How Shapley values are found: what all methods that find them by coalitions can be set to.

    Attributes
    ----------
    exact_up_to : with up to so many channels every coalition is looked at; beyond, orders of arrival are sampled
    n_orders : how many orders are sampled, even
    seed : of the sampled orders
    """

    exact_up_to: int = 15
    n_orders: int = 2_000
    seed: int = 1

    def __post_init__(self) -> None:
        method = type(self).__name__
        if not 0 <= self.exact_up_to <= 20:
            raise InputError(f"{method}: exact_up_to must be in 0..20 (2**20 coalitions), got {self.exact_up_to!r}.")
        if self.n_orders < 4 or self.n_orders % 2:
            raise InputError(f"{method}: n_orders must be even and at least 4, got {self.n_orders!r}.")
        if self.seed < 0:
            raise InputError(f"{method}: seed must be a whole number >= 0, got {self.seed!r}.")

    def solve(self, game: Game) -> ShapleyValues:
        """Shapley values of a game, exact if it is small enough."""
        if game.n_players <= self.exact_up_to:
            values = exact_shapley(game.all_worths())
            return ShapleyValues(values, np.zeros_like(values), exact=True)
        return sampled_shapley(game, n_orders=self.n_orders, seed=self.seed)

    def of_sampling(self, found: ShapleyValues) -> dict[str, object]:
        """The settings that mattered: none where the values are exact."""
        return {} if found.exact else {"n_orders": self.n_orders, "seed": self.seed}

    def note(self, found: ShapleyValues) -> tuple[str, ...]:
        """How far luck may have moved sampled values; nothing where they are exact."""
        if found.exact:
            return ()
        total = abs(found.values[:, 0].sum())
        error = found.standard_error[:, 0].max() / total if total > 0 else np.nan
        return (
            f"{len(found.values)} channels are too many for all coalitions: averaged over {self.n_orders:,} orders of "
            f"arrival (seed {self.seed}); the standard error of a share is at most {error:.2g}.",
        )
