"""Customers drawn from known retention models, by loops that share no code with the package's formulas."""

import numpy as np
import polars as pl

from journeysim.bayes.retention import CohortHistory, PurchaseHistory


def purchase_history(rate, shape, dropout, concentration, *, spend=None, n=200, rng, ages=(20.0, 40.0), age_factor=1.0):
    """BG/NBD customers; parameters (G,), n per segment. spend = (mean, p, q), each (G,). `age_factor` falsifies T."""
    rows = []
    for g in range(len(rate)):
        for _ in range(n):
            pace = rng.gamma(shape[g], rate[g] / shape[g])
            leaves = rng.beta(dropout[g] * concentration[g], (1 - dropout[g]) * concentration[g])
            age = rng.uniform(*ages)
            times, now = [], 0.0
            while pace > 1e-12 and (now := now + rng.exponential(1 / pace)) < age:
                times.append(now)
                if rng.random() < leaves:
                    break
            value = np.nan
            if spend is not None and times:
                mean, p, q = (parameter[g] for parameter in spend)
                scale = rng.gamma(q) / (mean * (q - 1) / p)
                value = max(rng.gamma(p, 1 / scale, len(times)).mean(), 1e-6)
            rows.append((g, len(times), times[-1] if times else 0.0, age, value))
    g, x, t_x, age, value = (np.array(column) for column in zip(*rows, strict=True))
    return PurchaseHistory(
        segments=tuple("abcdefgh"[: len(rate)]),
        customers=np.arange(len(g)),
        segment=g,
        frequency=x,
        recency=t_x,
        age=age * age_factor,
        mean_value=None if spend is None else value,
    )


def cohort_history(churn, concentration, *, n=300, renewals=8, rng):
    """Customers under contract; parameters (G,), n per segment, all seen for so many renewals."""
    rows = []
    for g in range(len(churn)):
        p = rng.beta(churn[g] * concentration[g], (1 - churn[g]) * concentration[g], n)
        leaves_at = rng.geometric(np.clip(p, 1e-12, 1))
        rows += [("abcdefgh"[g], t, float((leaves_at > t).sum())) for t in range(renewals + 1)]
    frame = pl.DataFrame(rows, schema=["segment", "period", "alive"], orient="row")
    return CohortHistory.from_alive(frame, period="month", days_per_period=30.0)
