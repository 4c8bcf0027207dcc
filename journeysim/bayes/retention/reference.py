"""The retention models in PyMC, to read, to vary and to check the compiled densities against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from journeysim.bayes.arviz_versions import import_arviz

if TYPE_CHECKING:
    from journeysim.bayes.retention.cohorts import CohortHistory
    from journeysim.bayes.retention.model import Part, RetentionModel
    from journeysim.bayes.retention.purchases import PurchaseHistory


def pymc_model(model: RetentionModel, history: CohortHistory | PurchaseHistory) -> Any:
    """A `pymc.Model` with variables mu, tau and theta of each part: (K,), (K,) and (G, K) on the line."""
    parts = model.parts(history)
    import_arviz()
    import pymc as pm

    add: dict[str, Any] = {"churn": _churn, "purchases": _purchases, "spend": _spend}
    with pm.Model(coords={"segment": history.segments}) as result:
        for part, _ in parts:
            add[part.name](history, _theta(part), part)
    return result


def _theta(part: Part) -> Any:
    import pymc as pm

    priors = part.priors()
    name = part.name
    mu = pm.Normal(f"{name}_mu", priors.mean, priors.sd)
    if part.n_segments == 1:
        return mu[None, :]
    tau = pm.LogNormal(f"{name}_tau", *priors.spread, shape=len(priors.mean))
    return pm.Normal(f"{name}_theta", mu, tau, shape=(part.n_segments, len(priors.mean)))


def _churn(history: CohortHistory, theta: Any, part: Part) -> None:
    import pymc as pm

    odds = theta[history.segment, 0]
    if part.n_covariates:
        odds = odds + history.covariates @ pm.Normal("churn_beta", 0, part.priors().beta_sd)
    churn, both = pm.math.sigmoid(odds)[:, None], pm.math.exp(theta[history.segment, 1])[:, None]
    renewal = np.arange(history.n_renewals)
    leaves = churn * both / (both + renewal)
    # Binomial, written out: it takes weighted counts
    pm.Potential("renewals", (history.left * pm.math.log(leaves) + history.stayed * pm.math.log(1 - leaves)).sum())


def _purchases(history: PurchaseHistory, theta: Any, part: Part) -> None:
    import pymc as pm
    from pytensor.tensor import gammaln, softplus, switch

    x, t_x, age = history.frequency, history.recency, history.age
    rate, shape, odds, log_both = (theta[history.segment, k] for k in range(len(part.parameters)))
    r = pm.math.exp(shape)
    alpha = r / pm.math.exp(rate)
    both = pm.math.exp(log_both)
    a, b = both * pm.math.sigmoid(odds), both * pm.math.sigmoid(-odds)
    bought = gammaln(r + x) - gammaln(r) + r * pm.math.log(alpha) - (r + x) * pm.math.log(alpha + age)
    stayed = gammaln(b + x) - gammaln(b) - gammaln(both + x) + gammaln(both)
    gone = pm.math.log(a / (b + np.maximum(x, 1) - 1)) + (r + x) * pm.math.log((alpha + age) / (alpha + t_x))
    pm.Potential("purchases", (bought + stayed + switch(x > 0, softplus(gone), 0.0)).sum())


def _spend(history: PurchaseHistory, theta: Any, part: Part) -> None:
    import pymc as pm
    from pytensor.tensor import gammaln

    assert history.mean_value is not None  # noqa: S101  # else there is no such part
    known = ~np.isnan(history.mean_value) & (history.frequency > 0)
    x, mean = history.frequency[known].astype(float), history.mean_value[known]
    log_mean, log_p, log_above = (theta[history.segment[known], k] for k in range(len(part.parameters)))
    p, q = pm.math.exp(log_p), 1 + pm.math.exp(log_above)
    v = pm.math.exp(log_mean) * (q - 1) / p
    value = gammaln(p * x + q) - gammaln(p * x) - gammaln(q) + q * pm.math.log(v)
    value = value + (p * x - 1) * np.log(mean) + p * x * np.log(x) - (p * x + q) * pm.math.log(v + x * mean)
    pm.Potential("spend", value.sum())
