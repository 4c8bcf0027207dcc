"""Would Pareto/NBD forecast CDNOW better than BG/NBD? Both at their maximum of likelihood, held against weeks 40 to 78.

Expected: the published maxima (Fader, Hardie & Lee 2005: Pareto/NBD r .553, alpha 10.578, s .606, beta 11.669, log
likelihood -9595.0; BG/NBD -9582.4), and forecasts that can hardly be told apart, both below the 1,882 purchases that
happened. If so, a second model of the same kind adds nothing to a user but a choice.

Likelihood and expectations: Fader & Hardie (2005), A note on deriving the Pareto/NBD model and related expressions.

Run: python experiments/pareto_nbd.py. Finding: docs/retention-model.md, "Models".
"""

from datetime import datetime
from importlib.resources import files

import numpy as np
import polars as pl
from scipy.optimize import minimize
from scipy.special import betaln, gammaln, hyp2f1

from journeysim import EventLog, to_purchase_history
from journeysim.bayes.retention.expectations import beta_nodes, purchases_until
from journeysim.bayes.retention.purchase_posterior import p_active

WEEKS = 39.0
UNTIL = datetime(1997, 9, 30)


def pareto_nbd(line, x, t_x, age):
    """Log likelihood of each customer, and the log of its part in which the customer is still active."""
    r, alpha, s, beta = np.exp(line)
    front = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + s * np.log(beta)
    active = front - (r + x) * np.log(alpha + age) - s * np.log(beta + age)
    near, far, second = (alpha, beta, s + 1) if alpha >= beta else (beta, alpha, r + x)
    power = r + s + x

    def gone_by(t):
        return hyp2f1(power, second, power + 1, (near - far) / (near + t)) * ((near + t_x) / (near + t)) ** power

    gone = (
        front + np.log(s / power) - power * np.log(near + t_x) + np.log(np.maximum(gone_by(t_x) - gone_by(age), 1e-300))
    )
    return np.logaddexp(active, gone), active


def bg_nbd(line, x, t_x, age):
    """Log likelihood of each customer: Fader, Hardie & Lee (2005), eq. 6."""
    r, alpha, a, b = np.exp(line)
    bought = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
    active = betaln(a, b + x) - betaln(a, b) - (r + x) * np.log(alpha + age)
    gone = betaln(a + 1, b + np.maximum(x, 1) - 1) - betaln(a, b) - (r + x) * np.log(alpha + t_x)
    return bought + np.where(x > 0, np.logaddexp(active, gone), active)


def best(total):
    """Parameters at the maximum, and its value."""
    found = minimize(
        lambda line: -total(line), np.zeros(4), method="Nelder-Mead", options={"maxiter": 4000, "xatol": 1e-6}
    )
    return found.x, -found.fun


def main():
    """Print both maxima and both forecasts."""
    rows = pl.read_csv(files("journeysim") / "datasets" / "cdnow.csv.gz").with_columns(kind=pl.lit("purchase"))
    log = EventLog.from_frame(rows)
    history = to_purchase_history(log, until=UNTIL, merge_same_day=True)
    later = to_purchase_history(log, until=datetime(1998, 6, 30), merge_same_day=True)
    x, t_x, age = history.frequency, history.recency, history.age

    line, value = best(lambda line: pareto_nbd(line, x, t_x, age)[0].sum())
    r, alpha, s, beta = np.exp(line)
    likelihood, active = pareto_nbd(line, x, t_x, age)
    ahead = (r + x) * (beta + age) / ((alpha + age) * (s - 1)) * (1 - ((beta + age) / (beta + age + WEEKS)) ** (s - 1))
    print(f"Pareto/NBD r {r:.3f} alpha {alpha:.3f} s {s:.3f} beta {beta:.3f}, log likelihood {value:.1f}")
    expected = {"Pareto/NBD": np.exp(active - likelihood) * ahead}

    line, value = best(lambda line: bg_nbd(line, x, t_x, age).sum())
    r, alpha, a, b = np.exp(line)
    print(f"BG/NBD     r {r:.3f} alpha {alpha:.3f} a {a:.3f} b {b:.3f}, log likelihood {value:.1f}")
    p, weight = beta_nodes(np.full(len(x), a), b + x)
    ahead = purchases_until(np.array([WEEKS]), r + x, alpha + age, p, weight)[:, 0]
    expected["BG/NBD"] = p_active(x, t_x, age, r, alpha, a, b) * ahead

    happened = dict(zip(later.customers.tolist(), later.frequency.tolist(), strict=True))
    made = np.array([happened[customer] for customer in history.customers.tolist()]) - x
    for name, of_customer in expected.items():
        error = np.abs(of_customer - made).mean()
        print(
            f"{name:10} expects {of_customer.sum():,.0f} of {made.sum():,} purchases; per customer off by {error:.3f}"
        )
    print(f"correlation of the two forecasts over customers {np.corrcoef(*expected.values())[0, 1]:.4f}")


if __name__ == "__main__":
    main()
