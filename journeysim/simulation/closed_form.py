"""What each channel of a world does, without simulating a customer: stays are averaged over their contacts exactly.

In a stage the contacts of channel c come as a Poisson process, at a rate r. Each adds A d exp(-d a) to the hazard of
the pushed move at its age a. Contacts of a Poisson process act independently of each other, so a stay in which none has
acted by the age u has the probability exp(-r integral from 0 to u of 1 - exp(-A (1 - exp(-d v))) dv) (the probability
generating functional, Daley & Vere-Jones 2003, section 9.4): averaged over contacts, the hazard they add at u is

    r (1 - exp(-A (1 - exp(-d u)))),   which rises from 0 to r pull.

It depends on nothing but the time in stage, so customers of one persona are a semi-Markov chain (`semi_markov`). What
remembers earlier stays, such as fatigue, or the date, such as a calendar, does not fit and is refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from journeysim.errors import InputError
from journeysim.parts import Calendar
from journeysim.semi_markov import absorbed
from journeysim.simulation.recipe import Recipe
from journeysim.simulation.tables import tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from journeysim.spec import World

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

FIRST_EDGE_DAYS: Final = 0.01
EDGE_RATIO: Final = 1.1
"""Within a bin of time in stage the hazard is taken to be its mean; with bins that grow by a tenth, probabilities
err by some 1e-5 (a test measures it)."""
AT_ONCE_PER_DAY: Final = 1e3
"""A first stage without contacts, to which nobody returns, that is left faster than this, in 86 seconds, is skipped."""


@dataclass(frozen=True, slots=True, eq=False)
class ClosedFormEffects:
    """Conversion with and without each channel, without Monte Carlo error.

    Attributes
    ----------
    channels : the C channel names
    converted : probability to convert within the window
    without : (C,) the same with a channel switched off
    """

    channels: tuple[str, ...]
    converted: float
    without: FloatArray

    @property
    def effect(self) -> FloatArray:
        """(C,) share of converting customers who would not have converted without the channel; 0 if nobody converts."""
        lost: FloatArray = (self.converted - self.without) / (self.converted or 1.0)
        return lost


def closed_form_effects(world: World, horizon_days: float) -> ClosedFormEffects:
    """The incremental effects of all channels within a window, as `incremental_effects` with infinitely many customers.

    Raises
    ------
    InputError : the world has something that the closed form cannot represent, which is named
    """
    converted = conversions_without([world], horizon_days)[0]
    return ClosedFormEffects(world.channel_names, float(converted[0]), converted[1:])


def conversions_without(worlds: Sequence[World], horizon_days: float) -> FloatArray:
    """(N, 1 + C) probability to convert in each of N worlds: as it is, and with each channel switched off.

    All are solved together, which is much faster; they must have the same stages, moves and channels.

    Raises
    ------
    InputError : worlds of different make, or as `closed_form_effects`
    """
    chains = [_chains(world, horizon_days) for world in worlds]
    first = chains[0]
    for world, chain in zip(worlds, chains, strict=True):
        if world.channel_names != worlds[0].channel_names or not (
            np.array_equal(chain.moves, first.moves) and np.array_equal(chain.ends, first.ends)
        ):
            raise InputError(f"World {world.name!r} has not the stages, moves or channels of {worlds[0].name!r}.")
    hazards = np.concatenate([chain.hazards for chain in chains])  # (sum of personas, C + 1, B, M)
    n_personas, n_versions = hazards.shape[:2]
    starts = np.repeat(np.concatenate([chain.starts for chain in chains]), n_versions, axis=0)
    found = absorbed(
        hazards.reshape(n_personas * n_versions, *hazards.shape[2:]),
        first.edges,
        first.moves[0],
        first.moves[1],
        starts,
        first.ends,
        np.array([float(horizon_days)]),
    )
    by_persona = found.sum(axis=(1, 2)).reshape(n_personas, n_versions)
    until = np.cumsum([len(chain.hazards) for chain in chains])[:-1]
    return np.array([chain.shares @ part for chain, part in zip(chains, np.split(by_persona, until), strict=True)])


def beyond_closed_form(world: World) -> tuple[str, ...]:
    """What keeps a world from a closed form of its first purchases, in words; empty if nothing does.

    What acts on values, satisfaction and costs alone is no obstacle. Where things act is not looked at: a calendar of a
    stage after the purchase is one.
    """
    return tuple(_obstacles(world))


def _obstacles(world: World) -> Iterator[str]:
    if world.word_of_mouth is not None:
        yield "word of mouth"
    if world.stages[0].purchase:
        yield "its first stage is a purchase"
    for stage in world.stages:
        if stage.calendar != Calendar():
            yield f"stage {stage.name} has a calendar"
    for pain in world.pain_points:
        if pain.chance > 0 and (pain.slows < 1 or pain.loses > 1):
            yield f"pain point {pain.name}"
    for channel in world.channels:
        acts = any(world.pull_in(channel, name) > 0 for name in world.stage_names)
        if channel.fatigue < 1 and acts:
            yield f"{channel.name} has fatigue"
        if any(times != 1 for times in channel.synergy.values()):
            yield f"{channel.name} has synergy"
        if channel.calendar != Calendar():
            yield f"{channel.name} has a calendar"
        if any(trigger.chance > 0 for trigger in channel.triggers):
            yield f"{channel.name} is triggered"
        if channel.irritation is not None and channel.irritation.loses > 0:
            yield f"{channel.name} irritates"
        if channel.desk is not None:
            yield f"{channel.name} has a desk"


class _Chains(NamedTuple):
    """The semi-Markov chains of a world: P personas, 1 + C versions, B bins of time in stage, M moves, S stages."""

    hazards: FloatArray  # (P, 1 + C, B, M)
    edges: FloatArray  # (B,)
    moves: IntArray  # (2, M) origin and target
    starts: FloatArray  # (P, S)
    ends: IntArray  # purchase stages
    shares: FloatArray  # (P,)


def _chains(world: World, horizon_days: float) -> _Chains:
    if reasons := beyond_closed_form(world):
        raise InputError(f"World {world.name!r} has no closed form: {'; '.join(reasons)}. Use incremental_effects.")
    x = tables(Recipe(world, 1, horizon_days, 0))
    n_channels = len(world.channels)
    places = [(s, m) for s, stage in enumerate(world.stages) for m in range(len(stage.moves_per_day))]
    moves = np.array([(s, x.move_to[s, m]) for s, m in places], dtype=np.int64).T
    base = np.stack([x.move_rate[:, s, m] for s, m in places], axis=-1)  # (P, M)
    rates = np.array(
        [
            [[world.contacts_in(c, s.name) * p.reach_of(c.name, s.name) for c in world.channels] for s in world.stages]
            for p in world.personas
        ]
    ).reshape(x.pull.shape)
    edges = _edges(float(horizon_days))
    added = rates * _mean_push(-np.log1p(-x.pull) * x.influence[..., None], 1 / x.mean_life, edges)  # (B, P, S, C)
    on = np.ones((n_channels + 1, n_channels)) - np.eye(n_channels + 1, n_channels, k=-1)
    by_stage = np.einsum("bpsc,vc->pvbs", added, on)
    pushed = x.pushed.astype(np.int64)[moves[0]] == moves[1]
    return _Chains(
        hazards=by_stage[..., moves[0]] * pushed + base[:, None, None, :],
        edges=edges,
        moves=moves,
        starts=np.array([_starts(base[p], moves, rates[p]) for p in range(len(base))]),
        ends=np.flatnonzero(x.is_purchase),
        shares=np.diff(x.persona_until, prepend=0.0),
    )


def _edges(days: float) -> FloatArray:
    """(B,) where the bins of time in stage begin."""
    n = max(math.ceil(math.log(max(days / FIRST_EDGE_DAYS, 1.0)) / math.log(EDGE_RATIO)), 0)
    return np.concatenate([[0.0], FIRST_EDGE_DAYS * EDGE_RATIO ** np.arange(n)])


def _mean_push(strength: FloatArray, decay: FloatArray, edges: FloatArray) -> FloatArray:
    """(B, ...) means over each bin of 1 - exp(-A (1 - exp(-d u))), for A (...) and d that broadcasts with it.

    By Gauss and Legendre with four nodes; the last bin has no end, and the value there is that of its beginning.
    """
    nodes, weights = np.polynomial.legendre.leggauss(4)
    until = np.append(edges[1:], edges[-1])
    at = (edges + until)[:, None] / 2 + (until - edges)[:, None] / 2 * nodes  # (B, 4)
    by_age = np.expand_dims(at, tuple(range(2, 2 + strength.ndim)))
    mean: FloatArray = np.tensordot(weights / 2, -np.expm1(strength * np.expm1(-decay * by_age)), axes=(0, 1))
    return mean


def _starts(base: FloatArray, moves: IntArray, rates: FloatArray) -> FloatArray:
    """(S,) weights of the stages in which journeys begin: the first, or if it is left at once, where it leads."""
    starts = np.zeros(len(rates))
    leaving = moves[0] == 0
    total = base[leaving].sum()
    if total < AT_ONCE_PER_DAY or rates[0].any() or (moves[1] == 0).any():
        starts[0] = 1.0
        return starts
    there = leaving & (moves[1] < len(starts))
    starts[moves[1][there]] = base[there] / total
    return starts
