"""Markov attribution: credit in proportion to exact removal effects."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from journeysim.attribution.base import Attribution, require_conversions
from journeysim.errors import InputError
from journeysim.markov import AbsorbingChain, RemovalEffects, choose_order
from journeysim.markov.removal import Empty, Removal, channel_effects

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.journeys import Journeys
    from journeysim.markov import TransitionCounts

    FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RemovalEffect:
    """Share of conversions lost in the fitted Markov chain without a channel; by default its states lead to nowhere.

    Credit is total conversions x removal effect / sum of removal effects, and likewise by value. A removal effect is a
    property of the fitted chain, not a causal effect, and a high order makes it "any touch", not more causal: see
    docs/attribution.md, which also defines the three kinds of removal.

    Attributes
    ----------
    order : number of touches a state remembers, >= 1; "auto" takes what `choose_order` finds by cross-validation
    removal : "null": who meets the channel is lost; "detour": the touch is skipped and the journey goes on; "refit":
        the channel's touches are dropped from the journeys, and these are counted anew
    empty : of "refit": a journey with no touch left does not convert ("null"), or as often as customers without any
        touch ("base")
    seed : of `choose_order`, for order="auto"

    Source: Anderl, Becker, von Wangenheim & Schumann 2016, IJRM 33(3).
    """

    order: int | Literal["auto"] = 1
    removal: Removal = "null"
    empty: Empty = "null"
    seed: int = 1

    def __post_init__(self) -> None:
        if self.order != "auto" and (not isinstance(self.order, int | np.integer) or self.order < 1):
            raise InputError(f"RemovalEffect: order must be 1 or more, or 'auto', got {self.order!r}.")
        for name, known in (("removal", get_args(Removal)), ("empty", get_args(Empty))):
            if getattr(self, name) not in known:
                raise InputError(f"RemovalEffect: {name} is {getattr(self, name)!r}; it must be {' or '.join(known)}.")
        if self.empty != "null" and self.removal != "refit":
            raise InputError(f"RemovalEffect: empty={self.empty!r} belongs to removal='refit', not {self.removal!r}.")

    def attribute(self, journeys: Journeys) -> Attribution:
        """Fit the chain, remove each channel, and credit in proportion to what is lost.

        Raises
        ------
        InputError : if nothing converts, if removal effects cancel or are all zero, or if the chain's journeys are too
            long to bound the error (see `AbsorbingChain.removal_effects`)
        """
        require_conversions(journeys)
        notes = list(journeys.notes)
        if self.order == "auto":
            choice = choose_order(journeys, seed=self.seed)
            order = choice.order
            notes.append(str(choice))
        else:
            order = self.order
        effects = channel_effects(journeys, order, self.removal, self.empty)
        credited = self._credited(
            journeys.channels, effects, journeys.n_conversions, journeys.total_value, has_nulls=journeys.nulls.any()
        )
        if effects.by_value is None and journeys.value.any():
            notes.append("The values add up to zero: there is no removal effect by value, and no value to credit.")
        return replace(
            credited,
            untouched_conversions=journeys.untouched_conversions,
            untouched_value=journeys.untouched_value,
            notes=(*notes, *credited.notes),
        )

    def attribute_counts(self, counts: TransitionCounts) -> Attribution:
        """As `attribute`, from counts: of a log larger than memory, say, whose parts were counted and added up.

        What happened without any touch is not in counts, and so not in the result.

        Raises
        ------
        InputError : as `attribute`; if the counts are of another order, or the removal needs the journeys ("refit")
        """
        if self.order != counts.order:
            raise InputError(f"RemovalEffect of order {self.order!r} was given counts of order {counts.order}.")
        if self.removal == "refit":
            raise InputError("removal='refit' counts journeys anew, so it needs these; counts do not hold them.")
        chain = AbsorbingChain.from_counts(counts)
        effects = chain.removal_effects() if self.removal == "null" else chain.detour_effects()
        n_conversions, total_value = float(counts.conversions.sum()), float(counts.value.sum())
        return self._credited(counts.channels, effects, n_conversions, total_value, has_nulls=counts.nulls.any())

    def _credited(
        self,
        channels: tuple[str, ...],
        effects: RemovalEffects,
        n_conversions: float,
        total_value: float,
        *,
        has_nulls: np.bool_,
    ) -> Attribution:
        no_value = np.zeros(len(channels))
        return Attribution(
            method="markov",
            settings=self._settings(),
            channels=channels,
            conversions=n_conversions * self._shares(effects.by_conversions),
            value=no_value if effects.by_value is None else total_value * self._shares(effects.by_value),
            removal_effects=effects.by_conversions,
            removal_effects_value=effects.by_value,
            notes=tuple(self._notes(channels, effects, has_nulls=has_nulls)),
        )

    def _settings(self) -> dict[str, object]:
        """The settings that mattered."""
        settings: dict[str, object] = {"order": self.order}
        if self.removal != "null":
            settings["removal"] = self.removal
        if self.removal == "refit":
            settings["empty"] = self.empty
        if self.order == "auto":
            settings["seed"] = self.seed
        return settings

    def _notes(self, channels: tuple[str, ...], effects: RemovalEffects, *, has_nulls: np.bool_) -> list[str]:
        notes = []
        if not has_nulls:
            notes.append(
                "There are no paths without a conversion, so the chain always converts (P = 1) and removal effects "
                "only say how often a channel is met. Include the paths that did not convert."
            )
        negative = np.flatnonzero(effects.by_conversions < -1e-12)
        if len(negative):
            names = ", ".join(channels[c] for c in negative)
            notes.append(
                f"Negative credit: by this kind of removal ({self.removal}) more would convert without {names}."
            )
        return notes

    def _shares(self, effects: FloatArray) -> FloatArray:
        """(C,) shares that sum to 1. To null, only refunds can make effects cancel; the other kinds may gain."""
        total, size = effects.sum(), abs(effects).sum()
        if self.removal != "null" and total <= 1e-9 * size:
            raise InputError(
                f"With removal={self.removal!r} the removal effects of all channels add up to {total:.3g}: on the "
                "whole nothing is lost without them, so there are no shares to credit. Use removal='null'."
            )
        if abs(total) <= 1e-9 * size:
            raise InputError(
                "Removal effects of value cancel out (negative values, such as refunds, on some channels' paths), so "
                "they are no basis for shares. Attribute without the refunds, or set the value column to zero."
            )
        return np.asarray(effects / total)
