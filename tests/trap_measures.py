"""What the channels of a world do, beside what attribution methods say of it, all with Monte Carlo errors.

Errors are those of the delete-a-group jackknife over blocks of customers (Wolter 2007, Introduction to Variance
Estimation, chapter 4). A block is a number of whole markets, so the errors hold with word of mouth too, where the
customers of one market are not independent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from journeysim.attribution import attribute
from journeysim.events import KINDS
from journeysim.journeys import to_journeys
from journeysim.scores import share_error
from journeysim.simulation import simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from journeysim.events import EventLog
    from journeysim.journeys import Journeys
    from journeysim.spec import World

    FloatArray = NDArray[np.float64]

METHODS = ("first_touch", "last_touch", "position_based", "markov")
BLOCKS = 25
FALSE_ALARM = 1e-6


@dataclass(frozen=True)
class Estimate:
    """A figure with its standard error; `of_block` are the B jackknife pseudo-values that it is the mean of."""

    of_block: FloatArray

    @property
    def value(self) -> float:
        return float(self.of_block.mean())

    @property
    def error(self) -> float:
        return float(self.of_block.std(ddof=1) / np.sqrt(len(self.of_block)))

    def __sub__(self, other: Estimate) -> Estimate:
        """Of the same blocks, so that what both have in common cancels."""
        return Estimate(self.of_block - other.of_block)

    @property
    def bounds(self) -> tuple[float, float]:
        """Between which the figure lies, but for a chance of 1e-6 on either side (Student, as far as the central limit
        theorem holds for the blocks).
        """
        t = float(stats.t.isf(FALSE_ALARM, len(self.of_block) - 1))
        return self.value - t * self.error, self.value + t * self.error


class Measured:
    """One population of a world, simulated in full and without some of its channels on the same draws."""

    def __init__(self, world: World, n_customers: int, seed: int = 1) -> None:
        size = world.market_size if world.word_of_mouth else 1
        if n_customers % (BLOCKS * size):
            raise ValueError(f"{n_customers} customers are not {BLOCKS} blocks of whole markets of {size}")
        self.world, self.n_customers, self.seed = world, n_customers, seed
        self.log = self._simulate(world)
        self.journeys = to_journeys(self.log)
        self.channels = world.channel_names
        self._buyers = self._in_blocks(self.log)
        self._lost: dict[tuple[str, ...], FloatArray] = {}
        self._shares: dict[str, FloatArray] = {}

    def effect(self, *channels: str) -> Estimate:
        """Share of buyers lost when these channels are switched off together; negative where they do harm."""
        return self._estimate(lambda keep: self._effect(channels, keep))

    def true_share(self, channel: str) -> Estimate:
        """Share of a channel in the sum of all positive effects."""
        return self._estimate(lambda keep: float(self._truth(keep)[self.channels.index(channel)]))

    def share(self, method: str, channel: str) -> Estimate:
        """Share of the conversions that a method credits to a channel."""
        code = self.channels.index(channel)
        return self._estimate(lambda keep: float(self._credit(method, keep)[code]))

    def misplaced(self, method: str) -> Estimate:
        """Total variation distance of a method's shares to the true ones."""
        return self._estimate(lambda keep: share_error(self._credit(method, keep), self._truth(keep)))

    @property
    def conversion(self) -> float:
        return float(self._buyers.sum() / self.n_customers)

    @property
    def touches(self) -> float:
        """Touches per customer, up to the first purchase."""
        return len(self.journeys.codes) / self.n_customers

    def _effect(self, channels: tuple[str, ...], keep: NDArray[np.bool_]) -> float:
        if channels not in self._lost:
            self._lost[channels] = self._buyers - self._in_blocks(self._simulate(self.world.without(*channels)))
        return float(self._lost[channels][keep].sum() / self._buyers[keep].sum())

    def _truth(self, keep: NDArray[np.bool_]) -> FloatArray:
        effects = np.maximum([self._effect((channel,), keep) for channel in self.channels], 0.0)
        return np.asarray(effects / effects.sum())

    def _credit(self, method: str, keep: NDArray[np.bool_]) -> FloatArray:
        if method not in self._shares:
            everyone = np.ones(BLOCKS, dtype=bool)
            versions = [everyone, *(everyone & (np.arange(BLOCKS) != b) for b in range(BLOCKS))]
            self._shares[method] = np.array([self._share_of_blocks(method, version) for version in versions])
        return np.asarray(self._shares[method][0 if keep.all() else 1 + int(np.flatnonzero(~keep)[0])])

    def _share_of_blocks(self, method: str, keep: NDArray[np.bool_]) -> FloatArray:
        kept = keep[self._block_of_journey]
        weights = {name: getattr(self.journeys, name) * kept for name in ("conversions", "nulls", "value")}
        credit = dict(attribute(replace(self.journeys, **weights), method).to_frame().select("channel", "share").rows())
        return np.array([credit.get(channel, 0.0) for channel in self.channels])

    @property
    def _block_of_journey(self) -> NDArray[np.int64]:
        """(J,) block of the customer of each journey: those with a touch before their first purchase, in order."""
        customer, kinds = self.log.customer_codes(), self.log.codes("kind", KINDS)
        bought = np.cumsum(kinds == KINDS.index("purchase"))
        first_row = np.searchsorted(customer, customer)  # rows are sorted by customer
        earlier = bought - np.where(first_row > 0, bought[first_row - 1], 0) == 0
        touched = np.unique(customer[earlier & (kinds == KINDS.index("touch"))])
        assert len(touched) == self.journeys.n_journeys
        return np.asarray(touched * BLOCKS // self.n_customers)

    def _in_blocks(self, log: EventLog) -> FloatArray:
        """(B,) buyers in each block."""
        bought = log.codes("kind", KINDS) == KINDS.index("purchase")
        buyers = np.unique(log.customer_codes()[bought])
        return np.bincount(buyers * BLOCKS // self.n_customers, minlength=BLOCKS).astype(np.float64)

    def _simulate(self, world: World) -> EventLog:
        return simulate(world, n_customers=self.n_customers, horizon_days=world.horizon_days, seed=self.seed)

    def _estimate(self, statistic: Callable[[NDArray[np.bool_]], float]) -> Estimate:
        everyone = np.ones(BLOCKS, dtype=bool)
        without = np.array([statistic(everyone & (np.arange(BLOCKS) != b)) for b in range(BLOCKS)])
        return Estimate(BLOCKS * statistic(everyone) - (BLOCKS - 1) * without)


def summary(measured: Measured) -> Sequence[str]:
    lines = [f"{measured.world.name}: conversion {measured.conversion:.3f}, touches {measured.touches:.2f}"]
    for c in measured.channels:
        e = measured.effect(c)
        t = measured.true_share(c).value
        lines.append(f"  {c:20s} {e.value:7.2%} ±{e.error:.2%} true {t:.3f} " + " ".join(f"{m[:6]} {measured.share(m, c).value:.3f}" for m in METHODS))
    lines.append("  TV " + " ".join(f"{m} {measured.misplaced(m).value:.3f}±{measured.misplaced(m).error:.3f}" for m in METHODS))
    return lines
