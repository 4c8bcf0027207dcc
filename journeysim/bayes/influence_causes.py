"""Who caused the moves: draws of the cause of every move after contacts, given the posterior."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from journeysim.bayes.hidden_classes import Classes, Customers, chances, leaving
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
    not known of the parameters, and by the luck of each move. With hidden personas, each customer's is drawn first, by
    its probability given all that the customer did.
    """
    history = posterior.history
    n_moves, n_channels = len(history.stages.moves), len(history.channels)
    rng = np.random.default_rng(seed)
    chosen = chosen_draws(posterior, draws)
    counts = np.zeros((len(chosen), n_moves, n_channels + 1))
    segment, channel, stage, repeat = history.cells.T
    customers = None if posterior.hidden is None else Customers.of(history)
    for i, draw in enumerate(chosen):
        strength = contact_influence(posterior, int(draw), segment, channel, stage, repeat)
        decay = np.log(2) / posterior.half_life[draw]
        base = posterior.hazards[draw].ravel()[history.moves_after_contact]
        if customers is not None:
            base *= _paces(posterior, int(draw), customers, strength, decay, rng)
        _draw_causes(
            counts[i],
            base,
            strength,
            decay,
            np.ascontiguousarray(channel),
            history.moves_after_contact % n_moves,
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


def _paces(
    posterior: InfluencePosterior,
    draw: int,
    customers: Customers,
    strength: FloatArray,
    decay: FloatArray,
    rng: np.random.Generator,
) -> FloatArray:
    """(E,) the pace of who made each move after contacts, in one draw."""
    history, hidden = posterior.history, posterior.hidden
    assert hidden is not None  # noqa: S101  # the caller has checked it
    fading = decay[history.cells[history.contact_cell, 1]]
    opened = strength[history.contact_cell] * fading * np.exp(-fading * history.contact_age)
    with np.errstate(divide="ignore"):  # rates of 0
        parts = (hidden.share, hidden.pace, hidden.patience, hidden.reach, hidden.rate)
        classes = Classes(*(np.ascontiguousarray(np.log(part[draw])) for part in parts))
    log_hazard = np.log(posterior.hazards[draw])
    chance = chances(customers, log_hazard, opened, classes, leaving(log_hazard, classes, customers))[1]
    row = np.repeat(np.arange(len(chance)), np.diff(customers.first_move))
    until = np.cumsum(chance, axis=1)
    persona = (rng.random(len(chance))[:, None] * until[:, -1:] > until).sum(axis=1)
    return np.asarray(hidden.pace[draw][persona[row]])


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
    last = counts.shape[1] - 1
    for i in range(len(move)):
        m = move[i]
        h = base[i]
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
