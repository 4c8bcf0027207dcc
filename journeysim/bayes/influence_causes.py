"""Who caused the moves: draws of the cause of every move after contacts, given the posterior."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from journeysim.bayes.influence_density import influence, product_of
from journeysim.moves import BASE

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from journeysim.bayes.influence_posterior import InfluencePosterior

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]


def chosen_draws(posterior: InfluencePosterior, n: int) -> IntArray:
    """Positions of n draws, evenly over all chains; all if there are fewer."""
    total = len(posterior.half_life)
    return np.unique(np.linspace(0, total - 1, min(n, total)).astype(np.int64))


def contact_influence(
    posterior: InfluencePosterior, draw: int, segment: IntArray, channel: IntArray, stage: IntArray, repeat: IntArray
) -> FloatArray:
    """A of contacts in one draw: 1 - exp(-A) is the probability that a contact alone moves the customer on."""
    place = (np.cumsum(posterior.history.pushed >= 0) - 1)[stage]
    product = product_of(posterior.pull[draw])[channel, place] * posterior.appeal[draw][segment, channel]
    return influence(product * posterior.fatigue[draw][channel] ** repeat)


def cause_draws(posterior: InfluencePosterior, *, seed: int, draws: int = 400) -> FloatArray:
    """(draws, M, C + 1) how many of the moves that were made each channel caused, and, last, the base.

    Of a move after contacts the cause is drawn in proportion to the hazards at its moment: the base hazard, and that of
    each contact of the stay. All other moves are caused by the base. So the counts vary as the truth may: by what is
    not known of the parameters, and by the luck of each move.
    """
    history = posterior.history
    n_moves, n_channels = len(history.stages.moves), len(history.channels)
    rng = np.random.default_rng(seed)
    chosen = chosen_draws(posterior, draws)
    counts = np.zeros((len(chosen), n_moves, n_channels + 1))
    segment, channel, stage, repeat = history.cells.T
    for i, draw in enumerate(chosen):
        _draw_causes(
            counts[i],
            posterior.hazards[draw],
            contact_influence(posterior, int(draw), segment, channel, stage, repeat),
            np.log(2) / posterior.half_life[draw],
            np.ascontiguousarray(channel),
            history.moves_after_contact,
            history.first_contact,
            history.contact_cell,
            history.contact_age,
            rng.random(len(history.moves_after_contact)),
        )
    counts[..., -1] += history.plain_moves.sum(axis=0)
    return counts


def expected_causes(posterior: InfluencePosterior, *, seed: int, draws: int = 400) -> pl.DataFrame:
    """One row per pushed move and cause (a channel, or `base`).

    Columns: origin, target, moves (how many were made), cause; share of them that it caused, its mean with the central
    90% interval low to high. The interval is for the share among these very moves.
    """
    import polars as pl

    history = posterior.history
    counts = cause_draws(posterior, seed=seed, draws=draws)
    rows = []
    for m in history.pushed[history.pushed >= 0]:
        made = history.stages.counts[:, m].sum()
        for c, cause in enumerate((*history.channels, BASE)):
            share = counts[:, m, c] / made
            low, high = np.quantile(share, [0.05, 0.95])
            origin, target = history.stages.moves[m]
            rows.append((origin, target, made, cause, float(share.mean()), float(low), float(high)))
    return pl.DataFrame(rows, schema=["origin", "target", "moves", "cause", "share", "low", "high"], orient="row")


@njit(cache=True, nogil=True)
def _draw_causes(
    counts: FloatArray,
    base: FloatArray,
    strength: FloatArray,
    decay: FloatArray,
    channel: IntArray,
    move: IntArray,
    first: IntArray,
    cell: IntArray,
    age: FloatArray,
    u: FloatArray,
) -> None:
    n_moves, last = base.shape[1], counts.shape[1] - 1
    for i in range(len(move)):
        m = move[i] % n_moves
        h = base[move[i] // n_moves, m]
        hazard = h
        for j in range(first[i], first[i + 1]):
            d = decay[channel[cell[j]]]
            hazard += strength[cell[j]] * d * np.exp(-d * age[j])
        left = u[i] * hazard - h
        cause = last
        for j in range(first[i], first[i + 1]):
            if left <= 0.0:
                break
            cause = channel[cell[j]]
            d = decay[cause]
            left -= strength[cell[j]] * d * np.exp(-d * age[j])
        counts[m, cause] += 1.0
