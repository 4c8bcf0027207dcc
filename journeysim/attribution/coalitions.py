"""Coalitions: which channels each journey met, each counted once, and what journeys with the same set led to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.journeys import Journeys

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]
    BoolArray = NDArray[np.bool_]

_BITS: Final = 48
"""Channels per word of a packed set: sums of distinct powers of two below 2**48 are exact in floats."""


@dataclass(frozen=True, slots=True, eq=False)
class Meetings:
    """Each journey with each channel that it met, once: P pairs, by journey and then by the first touch.

    Attributes
    ----------
    journey, channel : (P,) which journey met which channel
    touches : (P,) how many touches of the journey are on the channel
    n_distinct : (J,) how many distinct channels each journey met
    """

    journey: IntArray
    channel: IntArray
    touches: IntArray
    n_distinct: IntArray

    @classmethod
    def of(cls, journeys: Journeys) -> Meetings:
        """Count each channel of each journey once."""
        n_channels, n_journeys = len(journeys.channels), journeys.n_journeys
        keys, first, touches = np.unique(
            journeys.owner * n_channels + journeys.codes, return_index=True, return_counts=True
        )
        in_order = np.argsort(first)  # touches stand journey by journey, so this is by journey, too
        keys = keys[in_order]
        journey = keys // max(n_channels, 1)
        return cls(
            journey=journey,
            channel=keys - journey * n_channels,
            touches=touches[in_order],
            n_distinct=np.bincount(journey, minlength=n_journeys),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Coalitions:
    """The K distinct sets of channels that journeys met, and what the journeys of each set led to.

    Attributes
    ----------
    members : (K, C) whether a set contains a channel
    conversions, nulls, value : (K,) totals of the journeys that met exactly this set
    of_journey : (J,) the set of each journey
    """

    members: BoolArray
    conversions: FloatArray
    nulls: FloatArray
    value: FloatArray
    of_journey: IntArray

    @classmethod
    def of(cls, journeys: Journeys) -> Coalitions:
        """Group journeys by the set of their channels.

        Totals are added in the order of their size, so that the order of the journeys changes no bit of them.
        """
        meetings = Meetings.of(journeys)
        n_journeys, n_channels = journeys.n_journeys, len(journeys.channels)
        n_words = n_channels // _BITS + 1
        word, bit = np.divmod(meetings.channel, _BITS)
        flat = np.bincount(meetings.journey * n_words + word, np.exp2(bit), minlength=n_journeys * n_words)
        packed = flat.reshape(n_journeys, n_words).astype(np.int64)
        _, example, of_journey = np.unique(packed, axis=0, return_index=True, return_inverse=True)
        of_journey = of_journey.reshape(-1)
        word, bit = np.divmod(np.arange(n_channels), _BITS)
        members = (packed[example][:, word] >> bit) & 1 == 1

        def total(column: FloatArray) -> FloatArray:
            by_size = np.argsort(column, kind="stable")
            return np.bincount(of_journey[by_size], column[by_size], minlength=len(members)).astype(np.float64)

        return cls(members, total(journeys.conversions), total(journeys.nulls), total(journeys.value), of_journey)

    @property
    def weight(self) -> FloatArray:
        """(K,) conversions and nulls."""
        return self.conversions + self.nulls

    @property
    def rate(self) -> FloatArray:
        """(K,) share of the journeys that converted; 0 where there were none."""
        weight = self.weight
        return np.asarray(np.divide(self.conversions, weight, out=np.zeros(len(weight)), where=weight > 0))

    def signatures(self) -> list[tuple[float, ...]]:
        """What the data say of each channel, whatever its name or number: shares of the conversions and nulls it met.

        Twice, plainly and divided by the size of the sets. Rounded to nine digits, so that the order in which floats
        are added does not show. Channels that are alike in all of this have the same signature.
        """
        share = np.array([self.conversions, self.nulls]) / max(float(self.weight.sum()), 1e-300)
        by_size = share / np.maximum(self.members.sum(axis=1), 1)
        numbers = np.round(np.vstack([share, by_size]) @ self.members, 9)  # (4, C)
        return [tuple(column) for column in numbers.T.tolist()]

    def players(self, names: tuple[str, ...]) -> IntArray:
        """(n,) codes of the channels that were met, in the order of their signatures, and of names between equals.

        What is drawn at random for the first, second, ... of them does not depend on names and numbers.
        """
        signatures = self.signatures()
        met = np.flatnonzero(self.members[self.weight > 0].any(axis=0)).tolist()
        return np.array(sorted(met, key=lambda code: (signatures[code], names[code])), dtype=np.int64)
