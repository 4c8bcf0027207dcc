"""What the channels of a world do, beside what attribution methods say of them, with Monte Carlo errors.

Errors are those of the delete-a-group jackknife over blocks of customers (Wolter 2007, Introduction to Variance
Estimation, chapter 4). A block is a number of whole markets, so they hold with word of mouth as well, where customers
of one market are not independent. A distance is not smooth at 0: there its error is a guide only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from journeysim.attribution import attribute
from journeysim.event_columns import KINDS
from journeysim.journeys import to_journeys
from journeysim.scores import share_error
from journeysim.simulation import simulate

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from journeysim.events import EventLog
    from journeysim.journeys import Journeys
    from journeysim.spec import World

    FloatArray = NDArray[np.float64]

ADDITIVE = ("first_touch", "last_touch", "position_based")  # the credit of all is the sum over blocks
METHODS = (*ADDITIVE, "markov")
BLOCKS = 25
FALSE_ALARM = 1e-6
EVERYONE = BLOCKS  # what is left out, if nothing is


@dataclass(frozen=True)
class Estimate:
    """A figure, and what it would be without each block of customers."""

    value: float
    without: FloatArray

    @property
    def error(self) -> float:
        """Standard error by the jackknife."""
        return float(np.sqrt((BLOCKS - 1) / BLOCKS * ((self.without - self.without.mean()) ** 2).sum()))

    @property
    def bounds(self) -> tuple[float, float]:
        """The figure is below, and above, these with a chance of 1e-6 each (t; as far as the central limit holds)."""
        allowed = stats.t.isf(FALSE_ALARM, BLOCKS - 1) * self.error
        return self.value - allowed, self.value + allowed

    def __sub__(self, other: Estimate) -> Estimate:
        """Of the same customers: what both have in common cancels."""
        return Estimate(self.value - other.value, self.without - other.without)

    def __rmul__(self, factor: float) -> Estimate:
        return Estimate(factor * self.value, factor * self.without)


class Measured:
    """A population of a world, simulated in full and, on the same draws, without some of its channels."""

    def __init__(self, world: World, n_customers: int, seed: int = 1) -> None:
        block = world.market_size if world.word_of_mouth else 1
        if n_customers % (BLOCKS * block):
            raise ValueError(f"{n_customers} customers are not {BLOCKS} blocks of whole markets of {block}")
        self.world, self.n_customers, self.seed = world, n_customers, seed
        self.log = self._simulate(world)
        self.channels = world.channel_names
        self._buyers = self._in_blocks(buyers(self.log))
        self._lost: dict[tuple[str, ...], FloatArray] = {}
        self._shares: dict[str, FloatArray] = {}

    def effect(self, *channels: str) -> Estimate:
        """Share of the buyers lost when these channels are switched off together; negative where they do harm."""
        lost = self._lost_without(channels)
        return _estimate(lambda out: float(_sum(lost, out) / _sum(self._buyers, out)))

    def true_share(self, channel: str) -> Estimate:
        """Effect of a channel over the sum of all effects, those below 0 counted as 0."""
        return _estimate(lambda out: float(self._truth(out)[self.channels.index(channel)]))

    def share(self, method: str, channel: str) -> Estimate:
        """Share of the conversions that a method credits to a channel."""
        return _estimate(lambda out: float(self._credit(method)[out, self.channels.index(channel)]))

    def misplaced(self, method: str) -> Estimate:
        """Credit that stands at the wrong channel: total variation distance of a method's shares to the true ones."""
        return _estimate(lambda out: share_error(self._credit(method)[out], self._truth(out)))

    @property
    def conversion(self) -> float:
        return float(self._buyers.sum() / self.n_customers)

    def twin(self, *channels: str) -> EventLog:
        """The same population with some channels switched off."""
        return self._simulate(self.world.without(*channels))

    def customers_met(self, channel: str) -> NDArray[np.bool_]:
        """(n_customers,) who met a channel before the first purchase, or at all without one."""
        journeys, owner = self.journeys, self._customer_of_journey
        met = np.repeat(owner, np.diff(journeys.offsets))[journeys.codes == journeys.channels.index(channel)]
        found = np.zeros(self.n_customers, dtype=bool)
        found[met] = True
        return found

    @cached_property
    def journeys(self) -> Journeys:
        return to_journeys(self.log)

    def _lost_without(self, channels: tuple[str, ...]) -> FloatArray:
        """(B,) buyers of each block lost without the channels."""
        if channels not in self._lost:
            self._lost[channels] = self._buyers - self._in_blocks(buyers(self.twin(*channels)))
        return self._lost[channels]

    def _truth(self, out: int) -> FloatArray:
        lost = np.maximum([_sum(self._lost_without((channel,)), out) for channel in self.channels], 0.0)
        return np.asarray(lost / lost.sum())

    def _credit(self, method: str) -> FloatArray:
        """(B + 1, C) shares by a method without each block, and of everyone."""
        if method not in self._shares:
            if method in ADDITIVE:
                alone = np.array([self._conversions(method, self._only(b)) for b in range(BLOCKS)])
                conversions = np.array([_sum(alone, out) for out in range(BLOCKS + 1)])
            else:
                versions = [self._without(b) for b in range(BLOCKS)]
                conversions = np.array([self._conversions(method, v) for v in (*versions, self.journeys)])
            self._shares[method] = conversions / conversions.sum(axis=1, keepdims=True)
        return self._shares[method]

    def _conversions(self, method: str, journeys: Journeys) -> FloatArray:
        credited = dict(attribute(journeys, method).to_frame().select("channel", "conversions").rows())
        return np.array([credited.get(channel, 0.0) for channel in self.channels])

    def _only(self, block: int) -> Journeys:
        """The journeys of one block: customers are in order, so they are neighbours."""
        first, last = np.searchsorted(self._block_of(self._customer_of_journey), [block, block + 1])
        offsets = self.journeys.offsets[first : last + 1]
        weights = {name: getattr(self.journeys, name)[first:last] for name in ("conversions", "nulls", "value")}
        codes = self.journeys.codes[offsets[0] : offsets[-1]]
        return replace(self.journeys, codes=codes, offsets=offsets - offsets[0], ages_days=None, **weights)

    def _without(self, block: int) -> Journeys:
        """The journeys of all other blocks: rows without weight do not count."""
        kept = self._block_of(self._customer_of_journey) != block
        weights = {name: getattr(self.journeys, name) * kept for name in ("conversions", "nulls", "value")}
        return replace(self.journeys, **weights)

    @cached_property
    def _customer_of_journey(self) -> NDArray[np.int64]:
        """(J,) those with a touch before their first purchase, in order."""
        customer, kinds = self.log.customer_codes(), self.log.codes("kind", KINDS)
        purchases = np.cumsum(kinds == KINDS.index("purchase"))
        first_row = np.searchsorted(customer, customer)  # rows are sorted by customer, and the first is no purchase
        touch = (kinds == KINDS.index("touch")) & (purchases == purchases[first_row])
        found = np.unique(customer[touch])
        assert len(found) == self.journeys.n_journeys
        return np.asarray(found)

    def _block_of(self, customers: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.asarray(customers * BLOCKS // self.n_customers)

    def _in_blocks(self, bought: NDArray[np.bool_]) -> FloatArray:
        return bought.reshape(BLOCKS, -1).sum(axis=1).astype(np.float64)

    def _simulate(self, world: World) -> EventLog:
        return simulate(world, n_customers=self.n_customers, horizon_days=world.horizon_days, seed=self.seed)


def buyers(log: EventLog) -> NDArray[np.bool_]:
    """(n_customers,) who bought."""
    found = np.zeros(log.n_customers, dtype=bool)
    found[log.customer_codes()[log.codes("kind", KINDS) == KINDS.index("purchase")]] = True
    return found


def _sum(of_blocks: FloatArray, out: int) -> FloatArray:
    """Total over all blocks but one, or over all."""
    total = of_blocks.sum(axis=0)
    return np.asarray(total if out == EVERYONE else total - of_blocks[out])


def _estimate(statistic: Callable[[int], float]) -> Estimate:
    return Estimate(statistic(EVERYONE), np.array([statistic(b) for b in range(BLOCKS)]))
