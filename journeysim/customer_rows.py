"""CustomerRows: what one customer's stays and contacts say of the hidden class that he or she belongs to.

Given the class, moves and contacts are Poisson with the rates of that class, so of each customer it takes the days in
every stage, the contacts on every channel, and the moves forward and out. Who did nothing but stay where the journey
began shares a row with all others who met as many contacts; all others have a row each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.stays import Stays

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class CustomerRows:
    """R rows of customers who are alike in all that follows; S stages, C channels.

    Attributes
    ----------
    weight : (R,) how many customers a row stands for
    segment : (R,)
    days : (R, S) observed in each stage
    contacts : (R, C) made in any of them
    forward : (R,) forward moves, without those of `InfluenceHistory.moves_after_contact`
    exits : (R,) 1 where the customer was lost
    first_move : (R + 1,) where each row's part of `InfluenceHistory.moves_after_contact` begins
    """

    weight: FloatArray
    segment: IntArray
    days: FloatArray
    contacts: FloatArray
    forward: FloatArray
    exits: FloatArray
    first_move: IntArray

    def __post_init__(self) -> None:
        for name in self.__slots__:
            getattr(self, name).setflags(write=False)


def customer_rows(stays: Stays, after_contact: IntArray) -> CustomerRows:
    """The rows of all customers with a stay; `after_contact` (E,) are the stays of `moves_after_contact`, ascending."""
    counts, n_channels = stays.counts, len(stays.channels)
    n_stages = len(counts.stages)
    people, who = np.unique(stays.customer, return_inverse=True)
    n = len(people)
    segment = np.empty(n, np.int64)
    segment[who] = stays.segment
    days = np.bincount(who * n_stages + stays.stage, stays.days, n * n_stages).reshape(n, n_stages)
    met = who[stays.contact_stay] * n_channels + stays.contact_channel
    contacts = np.bincount(met, minlength=n * n_channels).reshape(n, n_channels).astype(np.float64)
    way = np.full((n_stages, n_stages + 2), "open", dtype=object)  # target -1, an open stay, is the last column
    way[counts.origins, counts.targets] = counts.directions
    ended = way[stays.stage, stays.target]
    after = np.bincount(who[after_contact], minlength=n)
    forward = np.bincount(who, ended == "forward", n) - after
    exits = np.bincount(who, ended == "exit", n)

    idle = (after == 0) & (forward == 0) & (exits == 0)
    alike = np.column_stack([segment, days, contacts])
    shared, weight = np.unique(alike[idle], axis=0, return_counts=True)
    own, none = ~idle, np.zeros(len(shared))
    return CustomerRows(
        weight=np.append(np.ones(own.sum()), weight.astype(np.float64)),
        segment=np.append(segment[own], shared[:, 0].astype(np.int64)),
        days=np.concatenate([days[own], shared[:, 1 : 1 + n_stages]]),
        contacts=np.concatenate([contacts[own], shared[:, 1 + n_stages :]]),
        forward=np.append(forward[own], none),
        exits=np.append(exits[own], none),
        first_move=np.cumsum(np.concatenate([[0], after[own], none])).astype(np.int64),
    )
