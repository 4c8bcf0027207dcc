"""What the priors of a stage model say, in days and shares that a person can judge before any data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from journeysim.errors import InputError
from journeysim.forecasts import forecast

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from journeysim.bayes.stages import StageModel
    from journeysim.stage_history import StageHistory

    FloatArray = NDArray[np.float64]


def prior_table(
    model: StageModel, history: StageHistory, *, conversion_days: float, seed: int, draws: int = 1000
) -> pl.DataFrame:
    """Conversion and days in stage before any data, for the segments, stages and moves of a history.

    Of the history only names and first stages are used. If the ranges are not what you believe, change the settings of
    the model; if they hold anything whatever, the data will have to say everything.

    Parameters
    ----------
    conversion_days : horizon of the conversion, > 0
    draws : worlds that are drawn from the priors

    Returns
    -------
    One row per quantity; columns quantity, low, median, high (5%, 50%, 95% of worlds). Quantities: conversion within
    the horizon; the days until half have left each stage that is ever left, of a customer in the first segment

    Raises
    ------
    InputError : the history has covariates, or as `forecast`
    """
    worlds = model.prior(history, seed=seed, draws=draws)
    if worlds.covariates:
        raise InputError(
            "prior_table: leave the covariates out of the history; their priors are factors on these figures."
        )
    answer = forecast(
        worlds, [], conversion_days=conversion_days, retention_days=conversion_days, require_converged=False
    )
    quantities = {f"conversion within {conversion_days:g} days": answer.baseline.conversion}
    total = worlds.hazards_in_bins[:, 0]  # (N, B, M)
    for stage in dict.fromkeys(origin for origin, _ in worlds.moves):
        leaving = total[..., [origin == stage for origin, _ in worlds.moves]].sum(axis=-1)
        quantities[f"days until half have left {stage}"] = _median_days(leaving, worlds.edges_days)
    rows = [(name, *np.quantile(values, [0.05, 0.5, 0.95])) for name, values in quantities.items()]
    return pl.DataFrame(rows, schema=["quantity", "low", "median", "high"], orient="row")


def _median_days(hazard: FloatArray, edges_days: tuple[float, ...]) -> FloatArray:
    """(N,) days until a hazard (N, B), constant in bins, has accumulated to log 2."""
    spent = np.cumsum(hazard[:, :-1] * np.diff(edges_days), axis=1)
    spent = np.concatenate([np.zeros((len(hazard), 1)), spent], axis=1)
    at = (spent <= np.log(2)).sum(axis=1) - 1
    draw = np.arange(len(hazard))
    return np.asarray(np.array(edges_days)[at] + (np.log(2) - spent[draw, at]) / hazard[draw, at])
