"""Shapley attribution from journeys: simplified, ordered by touchpoint, and set-based with any model of conversion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import polars as pl

from journeysim.attribution.base import Attribution, require_conversions
from journeysim.attribution.coalitions import Coalitions, Meetings
from journeysim.attribution.shapley_value import ShapleySettings
from journeysim.attribution.sharing import credited, in_proportion, listed, result
from journeysim.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.journeys import Journeys

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]
    BoolArray = NDArray[np.bool_]

ConversionModel: TypeAlias = Callable[[frozenset[str]], float]
"""From the set of channels that a customer met to the probability to convert, or to anything in proportion to it."""


@dataclass(frozen=True, slots=True)
class SimplifiedShapley:
    """Each conversion split equally among the distinct channels of its journey.

    This is the Shapley value of the game v(S) = conversions of journeys whose channels are all in S: a journey is a
    unanimity game of its channels. It is exact for any number of channels and never negative.

    Source: Zhao, Mahboobi & Bagheri 2018, arXiv 1804.05327.
    """

    def attribute(self, journeys: Journeys) -> Attribution:
        """Split each conversion equally among the distinct channels of its journey."""
        require_conversions(journeys)
        meetings = Meetings.of(journeys)
        return credited("shapley_simplified", self, journeys, meetings, 1.0 / meetings.n_distinct[meetings.journey])


@dataclass(frozen=True, slots=True)
class OrderedShapley:
    """As `SimplifiedShapley`, and each channel's part further split by touchpoint: first, second, third touch...

    A channel's part of a journey, 1 / (distinct channels), is halved when it has two touches, and so on; the part of
    touchpoint i counts for the channel that stands there. Added over touchpoints this is the simplified Shapley value,
    so the credit per channel is the same, and `by_touchpoint` is what the method adds.

    Source: Zhao, Mahboobi & Bagheri 2018, arXiv 1804.05327, section on the ordered Shapley value.
    """

    def attribute(self, journeys: Journeys) -> Attribution:
        """Credit per channel, summed over touchpoints."""
        require_conversions(journeys)
        meetings = Meetings.of(journeys)
        note = (
            "By channel this equals shapley_simplified; OrderedShapley().by_touchpoint(journeys) tells touches apart."
        )
        share = 1.0 / meetings.n_distinct[meetings.journey]
        return credited("shapley_ordered", self, journeys, meetings, share, [note])

    def by_touchpoint(self, journeys: Journeys) -> pl.DataFrame:
        """One row per channel and touchpoint with credit: channel, touchpoint (1 is the first), conversions, value."""
        require_conversions(journeys)
        meetings = Meetings.of(journeys)
        lengths = np.diff(journeys.offsets)
        owner = journeys.owner
        n_channels = len(journeys.channels)
        key, in_order = meetings.journey * n_channels + meetings.channel, np.argsort
        by_key = in_order(key)
        pair = by_key[np.searchsorted(key[by_key], owner * n_channels + journeys.codes)]
        share = 1.0 / (meetings.n_distinct[owner] * meetings.touches[pair])
        frame = pl.DataFrame(
            {
                "channel": pl.Series(journeys.channels, dtype=pl.String)[journeys.codes.astype(np.int64)],
                "touchpoint": np.arange(len(owner)) - np.repeat(journeys.offsets[:-1], lengths) + 1,
                "conversions": share * journeys.conversions[owner],
                "value": share * journeys.value[owner],
                "counts": (journeys.conversions[owner] != 0) | (journeys.value[owner] != 0),
            }
        )
        credit = frame.filter("counts").group_by("channel", "touchpoint")
        return credit.agg(pl.col("conversions", "value").sum()).sort("channel", "touchpoint")


@dataclass(frozen=True, slots=True)
class SetShapley(ShapleySettings):
    """Shapley value of a model of conversion on sets of channels: yours, or the rates that were observed.

    Without a model, v(S) is the conversion rate of the journeys that met channels of S only (0 if there are none), and
    by value their mean value. With n journeys credit is n x the Shapley value: it adds up by itself, and it is negative
    where a channel comes with less conversion. Credit is not clipped; a note names the channels.

    With a model of your own, credit is total conversions x Shapley value / sum of Shapley values, and value likewise.

    Attributes
    ----------
    model : from a frozenset of channel names to the probability to convert (also for the empty set); None: as observed
    exact_up_to, n_orders, seed : all coalitions up to so many channels (2**15 = 32,768), sampled orders beyond

    Source: Shapley 1953; for attribution Dalessandro, Perlich, Stitelman & Provost 2012, ADKDD.
    """

    model: ConversionModel | None = None

    def attribute(self, journeys: Journeys) -> Attribution:
        """Credit by the Shapley value of the rates, or of the model.

        Raises
        ------
        InputError : if nothing converts, or if the model returns what is no number, or does not gain from the channels
        """
        require_conversions(journeys)
        coalitions = Coalitions.of(journeys)
        players = coalitions.players(journeys.channels)
        names = tuple(journeys.channels[code] for code in players)
        game = _Observed.of(coalitions, players) if self.model is None else _Modelled(self.model, names)
        found = self.solve(game)
        notes = [*self.note(found)]
        by_player = np.zeros((len(journeys.channels), 2))
        if self.model is None:
            by_player[players] = found.values * coalitions.weight.sum()
            conversions, value = by_player.T.copy()
        else:
            score = np.zeros(len(journeys.channels))
            score[players] = found.values[:, 0]
            if score.sum() <= 1e-12 * abs(score).sum():
                raise InputError(
                    f"SetShapley: the model converts {score.sum():g} more with all channels than with none; credit "
                    "needs it to convert more. Check the model at frozenset() and at all channels."
                )
            conversions = in_proportion(journeys.n_conversions, score, "Shapley values")
            value = journeys.total_value * (score / score.sum())
        below = [name for name, credit in zip(journeys.channels, conversions, strict=True) if credit < 0]
        if below:
            notes.append(
                f"Credit is negative for {listed(sorted(below))}: sets with the channel convert less than sets without "
                "it. That is not clipped."
            )
        model = None if self.model is None else getattr(self.model, "__qualname__", repr(self.model))
        settings = ({"model": model} if model else {}) | self.of_sampling(found)
        return result("shapley", settings, journeys, conversions, value, notes)


@dataclass(frozen=True, slots=True, eq=False)
class _Observed:
    """The game of observed rates: v(S) of the journeys whose channels are all in S.

    Attributes
    ----------
    members : (K, n) sets that journeys met, over the players
    totals : (K, 3) their weight, conversions and value
    """

    members: BoolArray
    totals: FloatArray

    @classmethod
    def of(cls, coalitions: Coalitions, players: IntArray) -> _Observed:
        totals = np.column_stack([coalitions.weight, coalitions.conversions, coalitions.value])
        weighs = coalitions.weight > 0
        return cls(coalitions.members[weighs][:, players], totals[weighs])

    @property
    def n_players(self) -> int:
        return int(self.members.shape[1])

    def all_worths(self) -> FloatArray:
        n = self.n_players
        totals = np.zeros((2**n, 3))
        np.add.at(totals, self.members @ (1 << np.arange(n)), self.totals)
        for player in range(n):  # sums over subsets, one player at a time
            halves = totals.reshape(-1, 2, 2**player, 3)
            halves[:, 1] += halves[:, 0]
        return _rates(totals)

    def worths_along(self, order: IntArray) -> FloatArray:
        arrival = np.empty(self.n_players)
        arrival[order] = np.arange(1, self.n_players + 1)
        complete = (self.members * arrival).max(axis=1).astype(np.int64)  # when the last of the set has arrived
        along = np.column_stack(
            [np.bincount(complete, column, minlength=self.n_players + 1) for column in self.totals.T]
        )
        return _rates(np.cumsum(along, axis=0))


def _rates(totals: FloatArray) -> FloatArray:
    weight = totals[:, :1]
    return np.asarray(np.divide(totals[:, 1:], weight, out=np.zeros((len(totals), 2)), where=weight > 0))


@dataclass(frozen=True, slots=True, eq=False)
class _Modelled:
    """The game of a model that the user gave."""

    model: ConversionModel
    names: tuple[str, ...]

    @property
    def n_players(self) -> int:
        return len(self.names)

    def all_worths(self) -> FloatArray:
        n = self.n_players
        sets = (frozenset(self.names[i] for i in range(n) if mask >> i & 1) for mask in range(2**n))
        return np.array([[modelled_worth(self.model, channels, "SetShapley")] for channels in sets])

    def worths_along(self, order: IntArray) -> FloatArray:
        names = [self.names[i] for i in order]
        return np.array(
            [[modelled_worth(self.model, frozenset(names[:k]), "SetShapley")] for k in range(len(names) + 1)]
        )


def modelled_worth(model: ConversionModel, channels: frozenset[str], method: str) -> float:
    """What a user's model says of a set of channels, checked.

    Raises
    ------
    InputError : if it is no finite number
    """
    worth = model(channels)
    try:
        number = float(worth)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise InputError(
            f"{method}: the model returned {worth!r} for the channels {{{listed(sorted(channels))}}}; it must return a "
            "finite number for every set of channels, the empty one included."
        )
    return number
