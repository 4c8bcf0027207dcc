"""How good an answer was: an attribution against known causal shares, a forecast against a simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from journeysim.forecasts import Forecast
    from journeysim.simulation.whatif import SimulatedChange

    FloatArray = NDArray[np.float64]

AGREEMENT_Z = 3.0
"""Joint standard errors beyond which two differences count as different: by chance 0.3% of the time."""


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
