"""Conversion in drawn worlds with each channel switched off: exact without fatigue, else exact plus a simulated rest.

Fatigue is all that a drawn world has and the closed form lacks. Such a world is simulated together with a plain one, on
common random numbers: it is the same world without fatigue, whose pulls are what fatigue leaves of them on average. The
mean difference of the two is added to the closed form of the plain one (control variates, Owen 2013, Monte Carlo
theory, section 8.9). Most customers do the same in both, so that few are enough, and the sum has no bias.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from journeysim.simulation.closed_form import conversions_without
from journeysim.simulation.outcomes import CONVERSION
from journeysim.simulation.recipe import Recipe
from journeysim.simulation.twin_runs import Population, Switch, Twins

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from journeysim.influence_history import InfluenceHistory
    from journeysim.spec import World

    FloatArray = NDArray[np.float64]

LEAST_CUSTOMERS = 20  # of a segment: below, its Monte Carlo error is not known
AT_ONCE = 4096  # customers


def has_fatigue(world: World) -> bool:
    """Whether repeats lose pull in a world."""
    return any(channel.fatigue < 1 for channel in world.channels)


def effects_of_draws(
    drawn: Sequence[dict[str, World]],
    shares: FloatArray,
    history: InfluenceHistory,
    watched_days: FloatArray,
    *,
    n_customers: int,
    seed: int,
    on_progress: Callable[[int], None] | None = None,
) -> tuple[FloatArray, FloatArray]:
    """(N, C) effects of N draws of G worlds, one per segment, and (N, C) their Monte Carlo errors; NaN where nobody
    converts. Customers of each segment are seen for one of K times, `watched_days` (G, K), all equally likely.

    With shares w_h of the G K strata, an effect is 1 - off / on, each a sum of w_h times a probability to convert. Its
    variance is sum w_h² var_h(d_off - (off / on) d_on) / n_h, over on², d the differences of customers.
    """
    repeats = _repeats(history)
    plain = [
        [_without_fatigue(world, repeats[g], history) for g, world in enumerate(by_segment.values())]
        for by_segment in drawn
    ]
    n_segments, n_times = watched_days.shape
    exact = np.array(
        [
            [conversions_without([worlds[g] for worlds in plain], days) for days in watched_days[g]]
            for g in range(n_segments)
        ]
    )  # (G, K, N, 1 + C)
    seeds = np.random.SeedSequence(seed).generate_state(len(drawn), np.uint64)
    effects, errors = np.empty((2, len(drawn), exact.shape[-1] - 1))
    for i, (by_segment, share) in enumerate(zip(drawn, shares, strict=True)):
        total, parts = share @ exact[:, :, i].mean(axis=1), []
        for g, world in enumerate(by_segment.values()):
            for k, days in enumerate(watched_days[g] if has_fatigue(world) else ()):
                w = float(share[g]) / n_times
                n = max(round(n_customers * w), LEAST_CUSTOMERS)
                own = (int(seeds[i]) + g * n_times + k) % 2**64
                difference = _converted(world, n, days, own) - _converted(plain[i][g], n, days, own)
                total = total + w * difference.mean(axis=0)
                parts.append((w, difference))
        kept = np.divide(total[1:], total[0], out=np.full(len(total) - 1, np.nan), where=total[0] > 0)
        variance = np.zeros_like(kept)
        for w, difference in parts:
            variance += w**2 * np.var(difference[:, 1:] - kept * difference[:, :1], axis=0, ddof=1) / len(difference)
        effects[i] = 1.0 - kept
        errors[i] = np.sqrt(variance) / total[0] if total[0] > 0 else np.nan
        if on_progress:
            on_progress(i + 1)
    return effects, errors


def _converted(world: World, n: int, days: float, seed: int) -> FloatArray:
    """(n, 1 + C) whether each customer converts: in the world as it is, and with each channel switched off."""
    population = Population(Recipe(world, n, days, seed))
    parts = []
    for first in range(0, n, AT_ONCE):
        twins = Twins(population, first, min(first + AT_ONCE, n))
        full = twins.everything_on()
        versions = [full, *(twins.without(Switch((name,)), full) for name in world.channel_names)]
        parts.append(np.column_stack([version.measures[:, CONVERSION] for version in versions]))
    return np.concatenate(parts)


def _repeats(history: InfluenceHistory) -> FloatArray:
    """(G, S, C, R) share of the contacts of the log that had 0, 1, ... contacts on their channel before; a first one
    where there were none.
    """
    segment, channel, stage, repeat = history.cells.T
    seen = np.zeros((*history.contacts.shape, int(repeat.max(initial=0)) + 1))
    np.add.at(seen, (segment, stage, channel, repeat), history.cell_contacts)
    seen[..., 0] += seen.sum(axis=-1) == 0
    shares: FloatArray = seen / seen.sum(axis=-1, keepdims=True)
    return shares


def _without_fatigue(world: World, repeats: FloatArray, history: InfluenceHistory) -> World:
    """The world without fatigue, with pulls times what fatigue leaves of them on average; `repeats` (S, C, R)."""
    if not has_fatigue(world):
        return world
    channels = []
    for channel in world.channels:
        left = repeats[:, history.channels.index(channel.name)] @ channel.fatigue ** np.arange(repeats.shape[-1])
        at = {name: float(left[s]) for s, name in enumerate(history.stages.stages)}
        pull = {stage: channel.pull_in(stage) * at[stage] for stage in world.stage_names if stage in at}
        channels.append(channel.model_copy(update={"fatigue": 1.0, "pull": pull}))
    return world.model_copy(update={"channels": tuple(channels)})
