"""Does the model fit? Posterior predictive tables, calibration, purchases held out, and leave-one-out density."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from journeysim.bayes.arviz_groups import Replications
from journeysim.bayes.arviz_versions import pointwise_loo
from journeysim.bayes.retention.draws import central
from journeysim.bayes.retention.priors import to_line
from journeysim.bayes.retention.purchase_posterior import PurchasePosterior, p_active
from journeysim.bayes.retention.purchases import DAYS_IN, purchases_of
from journeysim.bayes.retention.simulation import purchase_times
from journeysim.errors import InputError
from journeysim.events import microseconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from journeysim.bayes.retention.churn_posterior import ChurnPosterior
    from journeysim.events import EventLog

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

_US_PER_DAY = 86_400e6
MOST_NUMBERS = 1e8
"""Above this a table of draws x customers is refused, or has fewer draws: 0.8 GB."""


def repeat_frequencies(
    posterior: PurchasePosterior, *, seed: int, most: int = 7, level: float = 0.9, draws: int = 400
) -> pl.DataFrame:
    """How many customers made 0, 1, 2, ... repeat purchases, and how many the model would have had.

    Columns: purchases ("7+" for the last), observed, mean, low, high: of the posterior predictive distribution.
    """
    age = posterior.history.age
    simulated = [
        np.bincount(np.minimum(np.bincount(who, minlength=len(age)), most), minlength=most + 1)
        for who, _ in _as_new(posterior, seed, draws)
    ]
    observed = np.bincount(np.minimum(posterior.history.frequency, most), minlength=most + 1)
    low, high = np.quantile(simulated, central(level), axis=0)
    labels = [*map(str, range(most)), f"{most}+"]
    return pl.DataFrame(
        {
            "purchases": labels, "observed": observed, "mean": np.mean(simulated, axis=0), "low": low, "high": high,
        }
    )  # fmt: skip


def calibration(posterior: PurchasePosterior, *, seed: int, draws: int = 400) -> FloatArray:
    """(n,) randomised probability integral transform of each customer's repeat purchases; uniform if the model fits.

    Source: Czado, Gneiting & Held (2009), Predictive model assessment for count data, Biometrics 65.
    """
    x = posterior.history.frequency
    below, equal, n = np.zeros(len(x)), np.zeros(len(x)), 0
    for who, _ in _as_new(posterior, seed, draws):
        simulated = np.bincount(who, minlength=len(x))
        below += simulated < x
        equal += simulated == x
        n += 1
    uniform = np.random.default_rng([seed, 1]).random(len(x))
    pit: FloatArray = (below + uniform * (equal + 1)) / (n + 1)
    return pit


def predict_purchases(posterior: PurchasePosterior, horizon: float, *, seed: int, draws: int = 400) -> FloatArray:
    """(draws, G) purchases of all current customers of each segment within a horizon, as they might come out.

    Unlike the intervals of `PurchasePosterior.customers`, these hold the chance of single customers too.
    """
    history = posterior.history
    return np.array(
        [
            np.bincount(history.segment[who], minlength=len(history.segments))
            for who, _ in _as_they_are(posterior, horizon, seed, draws)
        ],
        dtype=np.float64,
    )


@dataclass(frozen=True, slots=True)
class HoldOut:
    """Purchases after the history ended, against what was forecast.

    Attributes
    ----------
    observed, mean, low, high : all customers' purchases, and the posterior predictive mean and central interval
    horizon, unit, level : how long, and which interval
    """

    observed: int
    mean: float
    low: float
    high: float
    horizon: float
    unit: str
    level: float

    @property
    def verdict(self) -> str:
        """What it means."""
        inside = self.low <= self.observed <= self.high
        said = (
            f"{self.observed:,} purchases happened within {self.horizon:.4g} {self.unit}; {self.mean:,.0f} were "
            f"expected, {self.low:,.0f} to {self.high:,.0f} ({self.level:.0%})"
        )
        if inside:
            return f"{said}: inside the interval."
        return (
            f"{said}: outside. Rates changed (season, campaign, price), or customers differ in ways that the model "
            "does not know; intervals of forecasts are too narrow for this business."
        )


def hold_out(
    posterior: PurchasePosterior,
    log: EventLog,
    *,
    seed: int,
    merge_same_day: bool = False,
    level: float = 0.9,
    draws: int = 400,
) -> HoldOut:
    """Purchases that a log holds after the end of the history, by the same customers, against the forecast.

    Raises
    ------
    InputError : the history does not say when it ended, or the log ends no later
    """
    counts = tracking(posterior, log, seed=seed, merge_same_day=merge_same_day, level=level, draws=draws)
    start = counts.filter(pl.col("time") <= posterior.history.age.max() + 1e-9).row(-1, named=True)
    last = counts.row(-1, named=True)
    return HoldOut(
        observed=last["observed"] - start["observed"],
        mean=last["mean"] - start["observed"],
        low=last["low"] - start["observed"],
        high=last["high"] - start["observed"],
        horizon=last["time"] - start["time"],
        unit=posterior.history.unit,
        level=level,
    )


def tracking(
    posterior: PurchasePosterior,
    log: EventLog,
    *,
    seed: int,
    merge_same_day: bool = False,
    level: float = 0.9,
    draws: int = 400,
    n_times: int = 40,
) -> pl.DataFrame:
    """Cumulative repeat purchases in calendar time, as observed and as predicted.

    Until the history ends, predictions know only when each customer came; from then on they start from what happened.

    Columns: time since the first customer came, part ("fit" or "forecast"), observed, mean, low, high.

    Raises
    ------
    InputError : the history does not say when it ended, or the log ends no later
    """
    history = posterior.history
    if history.until is None:
        raise InputError("tracking: when did the history end? Make it with to_purchase_history.")
    day = _US_PER_DAY if merge_same_day else 1
    split = microseconds(history.until) // day * day
    scale = _US_PER_DAY * DAYS_IN[history.unit]
    horizon = (microseconds(log.end) // day * day - split) / scale
    if horizon <= 0:
        raise InputError(
            f"tracking: the log ends at {log.end} and the history at {history.until}; nothing is held out."
        )
    ids = pl.Series(pl.from_arrow(log.customers["customer"])).cast(pl.String)
    mine = np.isin(ids.to_numpy(), history.customers.astype(str))
    bought = purchases_of(log, merge_same_day=merge_same_day).filter(pl.col("time") > pl.col("time").min().over("who"))
    bought = bought.filter(mine[bought["who"].to_numpy()])
    oldest = history.age.max()
    begins = oldest - history.age
    observed = np.sort((bought["time"].to_numpy() - split) / scale + oldest)
    before, after = np.linspace(0, oldest, n_times), oldest + np.linspace(0, horizon, n_times)[1:]
    n_before = int(history.frequency.sum())

    def band(times: FloatArray, simulated: list[FloatArray], offset: int, part: str) -> pl.DataFrame:
        counts = offset + np.array([np.searchsorted(np.sort(when), times, side="right") for when in simulated])
        low, high = np.quantile(counts, central(level), axis=0)
        return pl.DataFrame(
            {
                "time": times, "part": [part] * len(times),
                "observed": np.searchsorted(observed, times + 1e-9, side="right"),
                "mean": counts.mean(axis=0), "low": low, "high": high,
            }
        )  # fmt: skip

    fit = [begins[who] + when for who, when in _as_new(posterior, seed, draws)]
    forecast = [oldest + when for _, when in _as_they_are(posterior, horizon, seed, draws)]
    return pl.concat([band(before, fit, 0, "fit"), band(after, forecast, n_before, "forecast")])


def renewals_check(posterior: ChurnPosterior, *, seed: int, level: float = 0.9) -> pl.DataFrame:
    """How many customers left at each renewal, and how many of those who came up for it the model would have lost.

    Columns: segment, renewal, at_risk, left, mean, low, high: of the posterior predictive distribution.
    """
    history, of_segment = posterior.history, _by_segment(posterior)
    simulated = _lost_again(posterior, seed)
    low, high = np.quantile(simulated, central(level), axis=0)
    return pl.DataFrame(
        {
            "segment": np.repeat(history.segments, history.n_renewals),
            "renewal": np.tile(np.arange(history.n_renewals) + 1, len(history.segments)),
            "at_risk": (of_segment @ history.at_risk).ravel(),
            "left": (of_segment @ history.left).ravel(),
            "mean": simulated.mean(axis=0).ravel(),
            "low": low.ravel(),
            "high": high.ravel(),
        }
    )


def replications(posterior: PurchasePosterior | ChurnPosterior, draws: int = 400) -> Replications:
    """What was observed, and what the model would have produced in its place: of `renewals_check` or `calibration`.

    Repeat purchases are of each customer, from fewer draws where there are many customers; the random numbers are those
    of the seed of the fit.
    """
    if isinstance(posterior, PurchasePosterior):
        history = posterior.history
        fewer = int(np.clip(MOST_NUMBERS / 10 / history.n_customers, 4, draws))
        bought = _as_new(posterior, posterior.seed, fewer)
        again = np.array([np.bincount(who, minlength=history.n_customers) for who, _ in bought])[None]
        return Replications("repeat purchases", "customer", history.customers.tolist(), history.frequency, again)
    left = (_by_segment(posterior) @ posterior.history.left).ravel()
    renewals = range(1, posterior.history.n_renewals + 1)
    labels = [f"{segment}: renewal {renewal}" for segment in posterior.segments for renewal in renewals]
    again = _lost_again(posterior, posterior.seed).reshape(1, -1, len(left))
    return Replications("customers who left", "renewal of segment", labels, left, again)


def customer_log_likelihood(posterior: PurchasePosterior | ChurnPosterior) -> FloatArray:
    """(C, D, n) log likelihood of each customer: of repeat purchases, or of the renewals until the last one seen.

    Raises
    ------
    InputError : that would be more than MOST_NUMBERS
    """
    n_chains, n_draws = posterior.parameters.values.shape[:2]
    values, weight = _log_likelihood(posterior, np.arange(n_draws))
    n = np.round(weight).astype(np.int64)
    if n.sum() * n_chains * n_draws > MOST_NUMBERS:
        raise InputError(
            f"The log likelihood of {n.sum():,} customers in {n_chains * n_draws:,} draws would have more than "
            f"{MOST_NUMBERS:.0e} numbers; `checks.leave_one_out` gives the same and needs no row for each."
        )
    return np.repeat(values, n, axis=-1)


@dataclass(frozen=True, slots=True)
class LeaveOneOut:
    """Expected log predictive density of customers left out one at a time, summed; higher is better.

    Attributes
    ----------
    elpd, se : sum over customers, and its standard error
    max_pareto_k : above 0.7 some customer sways the posterior too much for this approximation
    pointwise, weight : of each distinct kind of customer, and how many there are
    """

    elpd: float
    se: float
    max_pareto_k: float
    pointwise: FloatArray
    weight: FloatArray


def leave_one_out(posterior: PurchasePosterior | ChurnPosterior) -> LeaveOneOut:
    """PSIS leave-one-out of purchases or renewals, on distinct kinds of customers, weighted by their number.

    It equals the sum over customers, at a cost that does not depend on how many there are. Only posteriors of the
    same customers can be compared; spend is left out.

    Source: Vehtari, Gelman & Gabry (2017), Practical Bayesian model evaluation using leave-one-out cross-validation,
    Statistics and Computing 27.
    """
    import xarray as xr

    parameters = posterior.parameters
    n_chains, n_draws = parameters.values.shape[:2]
    kept = np.unique(np.linspace(0, n_draws - 1, min(n_draws, max(4, 1000 // n_chains))).astype(np.int64))
    values, weight = _log_likelihood(posterior, kept)
    variables = {"kind": (("chain", "draw", "of"), values)}
    theta = xr.Dataset({"theta": (("chain", "draw", "segment", "parameter"), parameters.values[:, kept])})
    found, k = (result.to_numpy() for result in pointwise_loo(xr.Dataset(variables), theta))
    elpd = float(weight @ found)
    n = weight.sum()
    se = math.sqrt(n * max(float(weight @ found**2) / n - (elpd / n) ** 2, 0.0))
    return LeaveOneOut(elpd, se, float(np.max(k)), found, weight)


def _log_likelihood(posterior: PurchasePosterior | ChurnPosterior, kept: IntArray) -> tuple[FloatArray, FloatArray]:
    """(C, K, n) of each distinct kind of customer in the draws `kept` of each chain, and (n,) how many there are."""
    if isinstance(posterior, PurchasePosterior):
        return _purchase_log_likelihood(posterior, kept)
    return _churn_log_likelihood(posterior, kept)


def _purchase_log_likelihood(posterior: PurchasePosterior, kept: IntArray) -> tuple[FloatArray, FloatArray]:
    from journeysim.bayes.retention.families import BetaGeoNBD

    parameters, likelihood = posterior.parameters, BetaGeoNBD().likelihood(posterior.history)
    line = np.stack(
        [to_line(parameters.values[:, kept, :, k], parameters.parameters[k].link) for k in range(4)], axis=-1
    )
    values = np.stack([likelihood.by_cell(np.ascontiguousarray(theta)) for theta in line.reshape(-1, *line.shape[2:])])
    return values.reshape(*line.shape[:2], -1), posterior.history.cells.n


def _churn_log_likelihood(posterior: ChurnPosterior, kept: IntArray) -> tuple[FloatArray, FloatArray]:
    """Of customers who left at renewal t, and of those who were last seen after t renewals."""
    history, parameters = posterior.history, posterior.parameters
    churn, both = (parameters.values[:, kept][..., history.segment, k] for k in range(2))
    odds = to_line(churn, "logit") + parameters.coefficients[:, kept] @ history.covariates.T
    a = both / (1 + np.exp(-odds))
    renewal = np.arange(history.n_renewals)
    leaves = a[..., None] / (both[..., None] + renewal)
    stays = np.cumsum(np.log1p(-leaves), axis=-1)
    left = np.log(leaves) + stays - np.log1p(-leaves)
    later = np.concatenate([history.at_risk[:, 1:], np.zeros((len(history.stayed), 1))], axis=1)
    weight = np.stack([history.left, history.stayed - later]).ravel()
    values = np.stack([left, stays], axis=2).reshape(*stays.shape[:2], -1)
    seen = weight > 1e-9
    return values[..., seen], weight[seen]


def _by_segment(posterior: ChurnPosterior) -> FloatArray:
    """(G, rows) that adds up the rows of a history by segment."""
    history = posterior.history
    return np.eye(len(history.segments))[:, history.segment]


def _lost_again(posterior: ChurnPosterior, seed: int) -> FloatArray:
    """(D, G, T) customers lost at each renewal, drawn again among those who came up for it."""
    history = posterior.history
    a, b = posterior.beta()
    chance = a[..., None] / ((a + b)[..., None] + np.arange(history.n_renewals))
    lost = np.random.default_rng(seed).binomial(np.round(history.at_risk).astype(np.int64), chance)
    return np.asarray(np.einsum("drt,gr->dgt", lost, _by_segment(posterior)), dtype=np.float64)


def _picked(posterior: PurchasePosterior, draws: int) -> Iterator[tuple[FloatArray, ...]]:
    r, alpha = posterior.gamma()
    a, b = posterior.beta()
    for d in np.unique(np.linspace(0, len(r) - 1, min(draws, len(r))).astype(np.int64)):
        yield r[d], alpha[d], a[d], b[d]


def _as_new(posterior: PurchasePosterior, seed: int, draws: int) -> Iterator[tuple[IntArray, FloatArray]]:
    """Purchases of customers like those of the history, from their first purchase to their age."""
    rng = np.random.default_rng(seed)
    g, age = posterior.history.segment, posterior.history.age
    for r, alpha, a, b in _picked(posterior, draws):
        rate = rng.gamma(r[g]) / alpha[g]
        yield purchase_times(rng, rate, rng.beta(a[g], b[g]), age)


def _as_they_are(
    posterior: PurchasePosterior, horizon: float, seed: int, draws: int
) -> Iterator[tuple[IntArray, FloatArray]]:
    """Purchases of the customers of the history after its end, given what each did before."""
    rng = np.random.default_rng([seed, 2])
    history = posterior.history
    g, x, t_x, age = history.segment, history.frequency, history.recency, history.age
    for r, alpha, a, b in _picked(posterior, draws):
        active = rng.random(len(x)) < p_active(x, t_x, age, r[g], alpha[g], a[g], b[g])
        rate = rng.gamma(r[g] + x) / (alpha[g] + age)
        yield purchase_times(rng, rate, rng.beta(a[g], b[g] + x), np.where(active, horizon, 0.0))


__all__ = [
    "HoldOut", "LeaveOneOut", "calibration", "hold_out", "leave_one_out", "predict_purchases", "renewals_check",
    "repeat_frequencies", "tracking",
]  # fmt: skip
