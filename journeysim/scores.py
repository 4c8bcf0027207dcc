"""How good an answer was: an attribution against known causal shares, a forecast against a simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from journeysim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from journeysim.forecasts import Forecast
    from journeysim.simulation.whatif import SimulatedChange

    FloatArray = NDArray[np.float64]

AGREEMENT_Z = 3.0
"""Joint standard errors beyond which two differences count as different: by chance 0.3% of the time."""


MOST_CUT = 0.5
"""Share of its spend that a move of money takes from a channel, at most."""

MOST_RAISED = 1.0
"""Share of its own spend by which a move of money raises a channel, at most."""


def share_error(share: FloatArray, truth: FloatArray) -> float:
    """Total variation distance of two shares: the part of all credit that stands at the wrong channel, 0 to 1."""
    return float(np.abs(share - truth).sum() / 2)


def crps(draws: FloatArray, truth: FloatArray) -> FloatArray:
    """Continuous ranked probability score of the distribution of draws (N, ...) at what came true (...); 0 is best.

    E|X - truth| - E|X - X'| / 2, exact for these draws, by sorting: in the units of the truth, and equal to the
    absolute error where all draws are the same. It is proper: nobody gains by seeming surer, or less sure, than they
    are.

    Source: Gneiting & Raftery (2007), Strictly proper scoring rules, prediction, and estimation, JASA 102, eq. 21.
    """
    n = len(draws)
    weight = (2.0 * np.arange(1, n + 1) - n - 1) / n**2
    spread = np.tensordot(weight, np.sort(draws, axis=0), axes=1)
    return np.asarray(np.abs(draws - truth).mean(axis=0) - spread)


def credit_share(credit: FloatArray) -> FloatArray:
    """(..., C) credits as shares that sum to 1; below 0 counts as 0: a share cannot say "less than nothing".

    The same is done to true effects (`IncrementalEffects.share`). `negative_credit` says how much was cut off. Rows
    without any positive credit become NaN.
    """
    positive = np.maximum(credit, 0.0)
    total = positive.sum(axis=-1, keepdims=True)
    return np.asarray(positive / np.where(total > 0, total, np.nan))


def negative_credit(credit: FloatArray) -> float:
    """Sum of the credits below 0 over the sum of those above, as a positive number: 0 where no credit is negative."""
    above = np.maximum(credit, 0.0).sum()
    return float(np.maximum(-credit, 0.0).sum() / above) if above > 0 else float("nan")


def worst_channel_error(share: FloatArray, truth: FloatArray) -> float:
    """The largest difference of a channel's share from its true share, 0 to 1."""
    return float(np.abs(share - truth).max())


def rank_agreement(share: FloatArray, truth: FloatArray) -> float:
    """Spearman's rank correlation, ties at their mean rank; NaN where either side puts all channels level.

    Source: Spearman 1904, American Journal of Psychology 15(1).
    """
    ranks = np.array([_ranks(share), _ranks(truth)])
    spread = ranks - ranks.mean(axis=1, keepdims=True)
    size = np.sqrt((spread**2).sum(axis=1).prod())
    return float((spread[0] * spread[1]).sum() / size) if size > 0 else float("nan")


def _ranks(values: FloatArray) -> FloatArray:
    """(C,) 1 for the smallest; equal values share the mean of their ranks."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[group])


def top_channel_found(share: FloatArray, truth: FloatArray) -> float:
    """1 if the most credited channel is that with the largest effect, else 0; credited alike with k - 1 others: 1/k."""
    first = share == share.max()
    return float(first[np.argmax(truth)] / first.sum())


def interval_coverage(low: FloatArray, high: FloatArray, truth: FloatArray) -> float:
    """Share of the channels whose interval, ends included, holds the true share."""
    return float(((low <= truth) & (truth <= high)).mean())


def moved_money(spend_from: float, spend_to: float) -> float:
    """How much money a move takes from one channel to another, by `MOST_CUT` and `MOST_RAISED`."""
    return min(MOST_CUT * spend_from, MOST_RAISED * spend_to)


def budget_move(credit: FloatArray, spend: FloatArray) -> tuple[int, int]:
    """The move of money between two channels that promises the largest gain, if returns stay as they are.

    With r = credit / spend, moving m from i to j promises m (r_j - r_i). Among equal promises the first is taken.

    Parameters
    ----------
    credit : (C,) what the method credits, in any unit
    spend : (C,) what each channel costs, 0 for channels that no money moves

    Returns
    -------
    (from, to), indices of channels; equal where no move promises anything

    Raises
    ------
    InputError : fewer than two channels have spend
    """
    paid = np.flatnonzero(spend > 0)
    if len(paid) < 2:
        raise InputError(f"budget_move: {len(paid)} of {len(spend)} channels have spend; money moves between two.")
    returns = credit[paid] / spend[paid]
    money = [[moved_money(spend[i], spend[j]) for j in paid] for i in paid]
    promised = np.array(money) * (returns[None, :] - returns[:, None])
    i, j = np.unravel_index(np.argmax(promised), promised.shape)
    return (int(paid[i]), int(paid[j])) if promised[i, j] > 0 else (int(paid[0]), int(paid[0]))


def budget_regret(outcome: FloatArray, chosen: tuple[int, int]) -> tuple[float, float]:
    """What is lost by a move of money against the best move, or none.

    Parameters
    ----------
    outcome : (K, K) conversions after moving money from the row's channel to the column's; the diagonal: none is moved
    chosen : row and column

    Returns
    -------
    lost conversions as a share of those without any move; and as a share of the distance from the worst to the best
    move (NaN where all moves come to the same)
    """
    best, worst, got = outcome.max(), outcome.min(), outcome[chosen]
    relative = float((best - got) / (best - worst)) if best > worst else float("nan")
    return float((best - got) / outcome[0, 0]), relative


def seed_spread(shares: FloatArray) -> float:
    """How much an answer depends on the sample: mean share error between two of the (S, C) answers; NaN for one.

    0 means the same answer each time, which a wrong method may give as well.
    """
    n = len(shares)
    apart = [share_error(shares[i], shares[j]) for i in range(n) for j in range(i)]
    return float(np.mean(apart)) if apart else float("nan")


def forecast_against_simulation(forecast: Forecast, simulated: Sequence[SimulatedChange]) -> pl.DataFrame:
    """Set each forecast difference beside the simulated one, in units of their joint standard error.

    Columns: scenario, measure, forecast and simulated (differences in shares of customers), gap (forecast minus
    simulated), joint_error (square root of posterior variance plus Monte Carlo variance), z, and agrees (|z| at most
    `AGREEMENT_Z`; also where neither side moves).
    """
    rows = []
    for change in simulated:
        for measure in ("conversion", "retention"):
            draws = forecast.difference(change.scenario, measure)
            found = getattr(change, measure)
            joint = float(np.hypot(draws.std(ddof=1), getattr(change, f"{measure}_error")))
            gap = float(draws.mean() - found)
            z = gap / joint if joint > 0 else 0.0 if abs(gap) < 1e-12 else float("inf")
            rows.append((change.scenario, measure, float(draws.mean()), found, gap, joint, z, abs(z) <= AGREEMENT_Z))
    columns = ["scenario", "measure", "forecast", "simulated", "gap", "joint_error", "z", "agrees"]
    return pl.DataFrame(rows, schema=columns, orient="row")
