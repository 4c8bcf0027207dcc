"""What is lost without a channel, a set of channels, a sequence or a position: kinds of removal for fitted journeys."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import polars as pl

from journeysim.errors import InputError
from journeysim.markov.chain import AbsorbingChain, RemovalEffects
from journeysim.markov.counting import count_transitions, refuse_too_many
from journeysim.markov.walks import Position, Sequence, effect_on_walks
from journeysim.yaml_files import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

    from numpy.typing import NDArray

    from journeysim.journeys import Journeys

    FloatArray = NDArray[np.float64]
    BoolArray = NDArray[np.bool_]

Removal = Literal["null", "detour", "refit"]
"""What becomes of a journey without the channel: it is lost; it skips the touch; it is counted anew without it."""
Empty = Literal["null", "base"]
"""Refit: what becomes of a journey with no touch left: it never converts, or as often as customers without touches."""


Target = str | frozenset[str] | set[str] | Sequence | Position


def removal_effect_of(
    journeys: Journeys, what: Target, *, order: int = 1, removal: Removal = "null", empty: Empty = "null"
) -> RemovalEffects:
    """What is lost without a channel "a", a set of channels {"a", "b"}, a `Sequence` or a `Position`.

    Parameters
    ----------
    what : a set is removed as a whole, which loses less than its members one by one do in sum, when journeys meet both
    order : touches that a state remembers
    removal : "null", "detour" or "refit" (docs/attribution.md defines each); sequences and positions: "null" only
    empty : of "refit"

    Raises
    ------
    InputError : for a channel that is not among the journeys', no conversion, or a removal that is not defined
    """
    return _effects(journeys, [what], order=order, removal=removal, empty=empty)


def removal_table(
    journeys: Journeys, what: Iterable[Target], *, order: int = 1, removal: Removal = "null", empty: Empty = "null"
) -> pl.DataFrame:
    """`removal_effect_of` each of several things, most lost first.

    Returns
    -------
    frame with columns removed (text), removal_effect, removal_effect_value (null where there is no value),
    conversions_lost
    """
    targets = list(what)
    effects = _effects(journeys, targets, order=order, removal=removal, empty=empty)
    names = [", ".join(sorted(t)) if isinstance(t, set | frozenset) else str(t) for t in targets]
    by_value = [None] * len(targets) if effects.by_value is None else effects.by_value
    return pl.DataFrame(
        {
            "removed": pl.Series(names, dtype=pl.String),
            "removal_effect": effects.by_conversions,
            "removal_effect_value": pl.Series(by_value, dtype=pl.Float64),
            "conversions_lost": effects.by_conversions * journeys.n_conversions,
        }
    ).sort("removal_effect", "removed", descending=[True, False])


def channel_effects(journeys: Journeys, order: int, removal: Removal = "null", empty: Empty = "null") -> RemovalEffects:
    """Effects of removing each of the C channels. Raises InputError as `removal_effect_of`."""
    n_channels = len(journeys.channels)
    refuse_too_many(n_channels, n_channels)
    return _of_channels(journeys, np.eye(n_channels, dtype=np.bool_), order, removal, empty)


def _effects(
    journeys: Journeys, targets: list[Target], *, order: int, removal: Removal, empty: Empty
) -> RemovalEffects:
    sets: list[AbstractSet[str]] = [
        {t} if isinstance(t, str) else t for t in targets if not isinstance(t, Sequence | Position)
    ]
    moving = [t for t in targets if isinstance(t, Sequence | Position)]
    if moving and removal != "null":
        raise InputError(
            f"{moving[0]}: removal={removal!r} is defined for channels and sets of them only; use removal='null'."
        )
    chosen = np.zeros((len(sets), len(journeys.channels)), dtype=np.bool_)
    for row, names in zip(chosen, sets, strict=True):
        if not names:
            raise InputError("The set of channels to remove is empty; name one or more.")
        row[[_code(journeys, name) for name in names]] = True
    if not moving:
        return _of_channels(journeys, chosen, order, removal, empty)
    counts = count_transitions(journeys, order)
    chain = AbsorbingChain.from_counts(counts)
    by_set = chain.removal_effects(counts.contains @ chosen.T)
    by_walk = [effect_on_walks(chain, counts, t, [_code(journeys, name) for name in t.names]) for t in moving]
    is_set = np.array([not isinstance(t, Sequence | Position) for t in targets])

    def mixed(of_sets: FloatArray, of_walks: list[float]) -> FloatArray:
        together = np.empty(len(targets))
        together[is_set], together[~is_set] = of_sets, of_walks
        return together

    by_value = by_set.by_value
    return replace(
        by_set,
        by_conversions=mixed(by_set.by_conversions, [effect for effect, _ in by_walk]),
        by_value=None if by_value is None else mixed(by_value, [effect for _, effect in by_walk]),
    )


def _code(journeys: Journeys, name: str) -> int:
    if name not in journeys.channels:
        raise InputError(f"There is no channel {name!r}. {did_you_mean(name, journeys.channels)}".rstrip())
    return journeys.channels.index(name)


def _of_channels(journeys: Journeys, chosen: BoolArray, order: int, removal: Removal, empty: Empty) -> RemovalEffects:
    """Effects of removing each of K sets of channels, (K, C) which of them."""
    if removal not in get_args(Removal):
        raise InputError(f"removal is {removal!r}; it must be one of {', '.join(get_args(Removal))}.")
    if removal == "refit":
        return _refitted(journeys, chosen, empty)
    counts = count_transitions(journeys, order)
    chain = AbsorbingChain.from_counts(counts)
    removed = counts.contains @ chosen.T  # of booleans: any
    return chain.removal_effects(removed) if removal == "null" else chain.detour_effects(removed)


def _refitted(journeys: Journeys, chosen: BoolArray, empty: Empty) -> RemovalEffects:
    """Effects of dropping touches and fitting anew.

    A chain from counts converts as often as its journeys do, at every order, so the refitted chain need not be built:
    its P is the observed rate of the journeys that keep a touch. What is lost is what the empty ones had.
    """
    if empty not in get_args(Empty):
        raise InputError(f"empty is {empty!r}; it must be one of {', '.join(get_args(Empty))}.")
    weight = journeys.conversions + journeys.nulls
    total = weight.sum()
    if not journeys.n_conversions:
        raise InputError("No journey converts: removal effects are shares of conversions and need at least one.")
    base = np.zeros(2)
    if empty == "base":
        untouched = journeys.untouched_conversions + journeys.untouched_nulls
        if not untouched:
            raise InputError(
                "empty='base' needs customers without any touch, and the journeys know of none. Use empty='null'."
            )
        base = np.array([journeys.untouched_conversions, journeys.untouched_value]) / untouched
    earned = np.column_stack([journeys.conversions, journeys.value])
    rest = np.empty((len(chosen), 2))
    for i, row in enumerate(chosen):
        emptied = np.logical_and.reduceat(row[journeys.codes], journeys.offsets[:-1])
        rest[i] = (earned[~emptied].sum(axis=0) + base * weight[emptied].sum()) / total
    expected = np.array([*earned.sum(axis=0), abs(journeys.value).sum()]) / total
    return RemovalEffects.from_rest(expected, rest)
