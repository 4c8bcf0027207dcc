"""What comes of moving money from one channel to another, for every pair: simulated on common random numbers.

The rule, for any method and any world: one move of money, from one channel to another. Half of what the first costs
moves, or as much as doubles the other, whichever is less (`scores.moved_money`). A method's credit per unit of spend
says which move promises most (`scores.budget_move`), unless the method names a move itself. Both channels buy more or
fewer contacts at the price they have (`scale_channel`); channels without a price per contact take no part. What a plan
would cost is equal before and after; what it comes to cost differs a little, because who buys sooner is met less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from journeysim.event_columns import KINDS
from journeysim.frozen import FrozenDict
from journeysim.scenario import scale_channel
from journeysim.scores import MOST_RAISED, moved_money
from journeysim.simulation.engine import simulate
from journeysim.simulation.engines import couples_customers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.events import EventLog
    from journeysim.spec import World

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class BudgetMoves:
    """Conversions per customer after each move of money.

    Attributes
    ----------
    channels : the K channels that money moves between
    outcome : (K, K) converting customers / customers after a move from the row to the column; the diagonal: no move
    error : largest standard error of a difference from no move
    """

    channels: tuple[str, ...]
    outcome: FloatArray
    error: float


def movable_spend(world: World, spend: FloatArray) -> FloatArray:
    """(C,) spend of the channels that money can move between, 0 for the others.

    Referrals cannot be bought by volume, and who costs nothing has no spend.
    """
    talk = world.word_of_mouth.channel if world.word_of_mouth else None
    movable = [channel.active and channel.name != talk for channel in world.channels]
    return np.where(movable, spend, 0.0)


def budget_moves(world: World, spend: FloatArray, *, n_customers: int, seed: int) -> BudgetMoves | None:
    """Simulate every move between two channels with spend; None where fewer than two have any.

    Parameters
    ----------
    spend : (C,) what each channel costs per customer, 0 where no money moves
    n_customers : of each simulation, cut to whole markets where customers of a market act on each other

    Raises
    ------
    InputError : as `simulate`
    """
    paid = np.flatnonzero(spend > 0)
    if len(paid) < 2:
        return None
    names = tuple(world.channel_names[c] for c in paid)
    roomy = with_headroom(world, names)
    group = world.market_size if couples_customers(world) else 1
    n_customers = n_customers // group * group

    def bought(version: World) -> FloatArray:
        log = simulate(version, n_customers=n_customers, horizon_days=world.horizon_days, seed=seed, threads=1)
        return np.asarray(buyers(log).reshape(-1, group).sum(axis=1), dtype=np.float64)

    stay = bought(roomy)
    outcome = np.full((len(paid), len(paid)), stay.sum() / n_customers)
    error = 0.0
    for i, worst in enumerate(paid):
        for j, best in enumerate(paid):
            if i == j:
                continue
            money = moved_money(spend[worst], spend[best])
            cut = scale_channel(names[i], volume_times=1 - money / spend[worst])
            raised = scale_channel(names[j], volume_times=1 + money / spend[best])
            difference = bought((cut + raised).apply(roomy)) - stay
            outcome[i, j] += difference.sum() / n_customers
            error = max(error, float(difference.std(ddof=1) * np.sqrt(len(difference)) / n_customers))
    return BudgetMoves(names, outcome, error)


def with_headroom(world: World, channels: tuple[str, ...]) -> World:
    """The same world, in which the volume of these channels can be doubled without new draws.

    Twice the contacts are drawn and half of them made: a Poisson process thinned by half has the same law. So every
    allocation up to twice the contacts comes from the same draws. Triggered contacts stay as they are.
    """
    roomy = [
        channel.model_copy(
            update={
                "contacts_per_day": FrozenDict(
                    {stage: (1 + MOST_RAISED) * rate for stage, rate in channel.contacts_per_day.items()}
                ),
                "volume": channel.volume / (1 + MOST_RAISED),
            }
        )
        if channel.name in channels and not channel.triggers
        else channel
        for channel in world.channels
    ]
    return world.model_copy(update={"channels": tuple(roomy)})


def buyers(log: EventLog) -> NDArray[np.bool_]:
    """(n_customers,) who bought."""
    found = np.zeros(log.n_customers, dtype=bool)
    found[log.customer_codes()[log.codes("kind", KINDS) == KINDS.index("purchase")]] = True
    return found
