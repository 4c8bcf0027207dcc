"""Does a fitted influence model describe the log? Moves by contacts met so far, and rescaled times of all stays.

By the time-rescaling theorem, the hazard that a stay has accumulated when its pushed move happens is a unit exponential
variable. A stay that ends otherwise, or is open at the end, has accumulated less; what it lacks is again a unit
exponential, which is drawn. So all stays together are a sample of one, if the model is right.

Source: Brown, Barbieri, Ventura, Kass & Frank (2002), The time-rescaling theorem and its application to neural spike
train data analysis, Neural Computation 14; martingales of counts: Aalen, Borgan & Gjessing (2008), ch. 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

from journeysim.bayes.influence_causes import chosen_draws, contact_influence
from journeysim.errors import InputError

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from journeysim.bayes.influence_posterior import InfluencePosterior
    from journeysim.stays import Stays

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

CLASSES: Final = ("0", "1", "2", "3 and more")
"""Contacts that a stay has had so far."""


@dataclass(frozen=True, slots=True, eq=False)
class InfluenceCheck:
    """How a fitted model describes a log.

    Attributes
    ----------
    moves : one row per pushed stage and number of contacts of the stay so far; columns stage, contacts, observed
        (pushed moves), expected, low and high (central 90% of what the model would have produced), p_value (two-sided)
    pit : (N,) 1 - exp(-rescaled time) of each stay in a pushed stage; uniform if the model is right
    p_value : of the hypothesis that `pit` is uniform (Kolmogorov and Smirnov)
    """

    moves: pl.DataFrame
    pit: FloatArray
    p_value: float


def check_influence(posterior: InfluencePosterior, stays: Stays, *, seed: int, draws: int = 200) -> InfluenceCheck:
    """Hold a posterior against the stays of a log, those it was fitted to or others.

    Parameters
    ----------
    stays : `to_stays` of a log with the same segments, stages and channels

    Raises
    ------
    InputError : if names differ, or the model has hidden personas: whose stay it was is not known
    """
    import polars as pl
    from scipy import stats

    history = posterior.history
    if posterior.hidden is not None:
        raise InputError("check_influence judges stays one by one and knows no hidden personas; use check_twin.")
    for what, ours, theirs in (
        ("segments", posterior.segments, stays.counts.segments),
        ("stages", history.stages.stages, stays.counts.stages),
        ("channels", posterior.channels, stays.channels),
    ):
        if ours != theirs:
            raise InputError(f"check_influence: the posterior has {what} {list(ours)}, the stays {list(theirs)}.")
    pushed = history.pushed[stays.stage]
    moved = (pushed >= 0) & (stays.target == np.append(history.stages.targets, -2)[pushed])
    first = np.searchsorted(stays.contact_stay, np.arange(len(stays.stage) + 1))
    segment, stage = stays.segment[stays.contact_stay], stays.stage[stays.contact_stay]
    place = np.cumsum(history.pushed >= 0) - 1
    n_places = len(history.pushed_stages)
    rng = np.random.default_rng(seed)
    chosen = chosen_draws(posterior, draws)
    expected = np.zeros((len(chosen), n_places, len(CLASSES)))
    spent = np.zeros(len(stays.stage))
    for i, draw in enumerate(chosen):
        strength = np.zeros(len(stage))
        acts = history.pushed[stage] >= 0
        contact = (segment[acts], stays.contact_channel[acts], stage[acts], stays.contact_repeat[acts])
        strength[acts] = contact_influence(posterior, int(draw), *contact)
        hazard = np.where(pushed >= 0, posterior.hazards[draw][stays.segment, pushed], 0.0)
        decay = (np.log(2) / posterior.half_life[draw])[stays.contact_channel]
        where = np.where(pushed >= 0, place[stays.stage], -1)
        _accumulate(expected[i], spent, where, stays.days, hazard, first, strength, decay, stays.contact_age)
    spent /= len(chosen)
    observed = np.zeros((n_places, len(CLASSES)))
    np.add.at(observed, (place[stays.stage[moved]], np.minimum(np.diff(first)[moved], len(CLASSES) - 1)), 1.0)
    again = rng.poisson(expected)
    low, high = np.quantile(again, [0.05, 0.95], axis=0)
    as_extreme = np.minimum((again <= observed).mean(axis=0), (again >= observed).mean(axis=0))
    inside = pushed >= 0
    times = spent[inside] + np.where(moved[inside], 0.0, rng.exponential(size=inside.sum()))
    pit = -np.expm1(-times)
    return InfluenceCheck(
        moves=pl.DataFrame(
            {
                "stage": np.repeat(history.pushed_stages, len(CLASSES)),
                "contacts": CLASSES * n_places,
                "observed": observed.ravel(),
                "expected": expected.mean(axis=0).ravel(),
                "low": low.ravel(),
                "high": high.ravel(),
                "p_value": np.minimum(2 * as_extreme, 1.0).ravel(),
            }
        ),
        pit=pit,
        p_value=float(stats.kstest(pit, "uniform").pvalue),
    )


@njit(cache=True, nogil=True)
def _accumulate(
    expected: FloatArray,
    spent: FloatArray,
    place: IntArray,
    days: FloatArray,
    hazard: FloatArray,
    first: IntArray,
    strength: FloatArray,
    decay: FloatArray,
    age: FloatArray,
) -> None:
    """Add the hazard of the pushed move, by contacts so far and by stay."""
    most = expected.shape[1] - 1
    for n in range(len(days)):
        if place[n] < 0:
            continue
        begin = days[n]  # days before the end
        for k in range(first[n], first[n + 1] + 1):
            end = age[k] if k < first[n + 1] else 0.0
            gained = hazard[n] * (begin - end)
            for j in range(first[n], k):
                gained += strength[j] * (np.exp(-decay[j] * (age[j] - begin)) - np.exp(-decay[j] * (age[j] - end)))
            expected[place[n], min(k - first[n], most)] += gained
            spent[n] += gained
            begin = end
