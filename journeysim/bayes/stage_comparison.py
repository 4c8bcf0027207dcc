"""Which description of the customers predicts better? Leave-one-out of stage models, and how much priors matter.

What is left out is one moment of one customer: a move, or a moment without one. As moments get short, the expected log
predictive density of all of them tends to

    sum over cells and moves of  counts * log p(move | all but it)  -  days at risk * E[hazard]

A moment without a move hardly sways the posterior, so its term needs the posterior mean only; a move does, and is left
out by Pareto-smoothed importance sampling. All moves of one kind in one cell have one value, weighted by their count:
this equals leave-one-out over rows, at a cost that does not depend on the number of customers. It tells how well the
next move is predicted in segments that are known, not how well a segment that is new would be.

Source: Vehtari, Gelman & Gabry (2017), Practical Bayesian model evaluation using leave-one-out cross-validation,
Statistics and Computing 27.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from journeysim.bayes.arviz_versions import pointwise_loo
from journeysim.bayes.stage_checks import evenly, hazards_in
from journeysim.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl
    from numpy.typing import NDArray

    from journeysim.bayes.posterior import Posterior
    from journeysim.bayes.stages import StageModel
    from journeysim.stage_history import StageHistory

    FloatArray = NDArray[np.float64]

MAX_PARETO_K: Final = 0.7
"""Above this the approximation is not to be trusted for some move (Vehtari et al. 2024, JMLR 25)."""


@dataclass(frozen=True, slots=True, eq=False)
class MomentsLeftOut:
    """Expected log predictive density of single moments of customers, each left out, summed; higher is better.

    Attributes
    ----------
    elpd : sum over moments, in which times are in days; only differences between models of the same history mean a lot
    max_pareto_k : above 0.7 some move sways the posterior too much for this approximation
    of_moves, weight : (K,) log predictive density of one move of each kind and cell, and how many there were
    """

    elpd: float
    max_pareto_k: float
    of_moves: FloatArray
    weight: FloatArray


def leave_one_out(posterior: Posterior, history: StageHistory | None = None) -> MomentsLeftOut:
    """Leave each moment of each customer out.

    Parameters
    ----------
    history : the fitted one, or one of the same customers in finer cells

    Raises
    ------
    InputError : the history is not of the same customers, or its cells do not split the fitted ones
    """
    import xarray as xr

    history = history or posterior.history
    ours = posterior.history
    for name in ("counts", "exposure_days"):
        if getattr(ours, name).shape[1:] != getattr(history, name).shape[1:] or not np.allclose(
            getattr(ours, name).sum(axis=0), getattr(history, name).sum(axis=0)
        ):
            raise InputError(
                f"leave_one_out: {name} of the history do not add up to the fitted ones; a model can only be "
                "judged by the customers that it was fitted to."
            )
    n_chains, n_draws = posterior.hazards_by_chain.shape[:2]
    kept = evenly(n_draws, max(4, 1000 // n_chains))
    chosen = n_draws * np.arange(n_chains)[:, None] + kept
    hazards = hazards_in(posterior, history, chosen.ravel())
    hazards = hazards.reshape(*chosen.shape, *hazards.shape[1:])
    counts, days = history.cells.counts, history.cells.exposure_days[..., history.origins]
    made = counts > 0
    values = np.log(hazards[..., made])
    log_likelihood = xr.Dataset({"moves": (("chain", "draw", "kind"), values)})
    theta = xr.Dataset({"theta": (("chain", "draw", "kind"), values)})
    of_moves, k = (found.to_numpy() for found in pointwise_loo(log_likelihood, theta))
    silent = float((hazards.mean(axis=(0, 1)) * days).sum())
    return MomentsLeftOut(float(counts[made] @ of_moves) - silent, float(np.max(k)), of_moves, counts[made])


def compare(posteriors: Mapping[str, Posterior], history: StageHistory) -> pl.DataFrame:
    """Rank fits of the same customers, such as constant hazards against bins, one segment against several.

    Parameters
    ----------
    posteriors : name -> fit
    history : of the same customers in cells that split those of every fit: usually the finest history that was fitted

    Returns
    -------
    Best first; columns model, elpd, behind (how much less than the best), behind_se (its standard error over moves),
    max_pareto_k, verdict

    Raises
    ------
    InputError : as `leave_one_out`, or there are fewer than two fits
    """
    import polars as pl

    if len(posteriors) < 2:
        raise InputError("compare: give at least two posteriors of the same customers.")
    found = {name: leave_one_out(posterior, history) for name, posterior in posteriors.items()}
    ordered = sorted(found, key=lambda name: -found[name].elpd)
    best = found[ordered[0]]
    rows = []
    for name in ordered:
        loo = found[name]
        behind = best.elpd - loo.elpd
        se = math.sqrt(float(loo.weight @ (best.of_moves - loo.of_moves) ** 2))
        if loo.max_pareto_k > MAX_PARETO_K:
            verdict = "not reliable: single moves sway the fit; more data or narrower priors"
        elif loo is best:
            verdict = "best"
        else:
            verdict = "worse" if behind > 2 * se and behind > 4 else "cannot be told from the best"
        rows.append((name, loo.elpd, behind, se, loo.max_pareto_k, verdict))
    columns = ["model", "elpd", "behind", "behind_se", "max_pareto_k", "verdict"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def prior_sensitivity(
    model: StageModel, history: StageHistory, *, seed: int, factor: float = 2.0, draws: int = 1000
) -> pl.DataFrame:
    """Refit with each prior setting divided and multiplied by a factor, and say which hazard moves most.

    Returns
    -------
    Largest shift first; columns setting, value, tried, segment, origin, target, days (posterior median wait were it the
    only move), days_then, shift_in_sd (of the log hazard's posterior; below about 0.1 it is the noise of draws) and
    verdict
    """
    import polars as pl

    base = model.fit(history, seed=seed, draws=draws)
    centre, sd = np.log(base.hazards).mean(axis=0), np.log(base.hazards).std(axis=0)
    before = 1 / np.median(base.hazards, axis=0)
    rows = []
    for name, value in asdict(model).items():
        if name.startswith("covariate") and not base.covariates:
            continue
        if name.startswith("segment") and len(base.segments) == 1:
            continue
        if name.startswith("bin") and len(base.edges_days) == 1:
            continue
        for tried in (value / factor, value * factor):
            if name.endswith("within") and tried <= 1.0:
                continue  # a factor within which 90% lie is above 1
            other = replace(model, **{name: tried}).fit(history, seed=seed, draws=draws).hazards
            shift = np.abs(np.log(other).mean(axis=0) - centre) / sd
            g, m = np.unravel_index(int(shift.argmax()), shift.shape)
            verdict = "matters" if shift[g, m] > 0.5 else "hardly matters"
            after = float(1 / np.median(other[:, g, m]))
            named = (base.segments[g], *base.moves[m])
            rows.append((name, value, tried, *named, float(before[g, m]), after, float(shift[g, m]), verdict))
    columns = [
        "setting",
        "value",
        "tried",
        "segment",
        "origin",
        "target",
        "days",
        "days_then",
        "shift_in_sd",
        "verdict",
    ]
    return pl.DataFrame(rows, schema=columns, orient="row").sort("shift_in_sd", descending=True)
