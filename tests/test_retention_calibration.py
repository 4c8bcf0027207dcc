"""Do the intervals of the retention models hold the truth as often as they say? Customers come from known models.

Truths are drawn from the prior (simulation-based calibration, Talts et al. 2018): then ranks are uniform and intervals
hold at their level for any prior and any number of customers, of parameters and of forecasts alike.
"""

import sys
from functools import cache

import numpy as np
import pytest
from known_customers import cohort_history, purchase_history
from ranks import assert_uniform, in_bins, rank_of
from scipy import stats
from statistical import FALSE_ALARM

from journeysim.bayes.retention import BetaGeoNBD, GammaGamma, Money, RetentionModel, ShiftedBetaGeometric

N_REPETITIONS = 200
MODEL = RetentionModel(
    churn=ShiftedBetaGeometric(churn=(0.1, 0.5), concentration=(0.7, 7.0), segment_spread=(0.15, 0.8)),
    purchases=BetaGeoNBD(
        days_between_purchases=(20.0, 90.0), rate_shape=(0.3, 2.0), dropout=(0.05, 0.4),
        dropout_concentration=(0.7, 7.0), segment_spread=(0.15, 0.8),
    ),
    spend=GammaGamma(
        spend=(20.0, 80.0), value_shape=(2.0, 10.0), customer_shape=(2.0, 8.0), segment_spread=(0.15, 0.8)
    ),
)  # fmt: skip


def quantities(posterior):
    """Name -> (D,) draws of parameters, and of what users derive of them."""
    found = {}
    for name in posterior.parameters.names:
        for g in range(2):
            found[f"{name} {g}"] = posterior.parameters[name][:, g]
    money = Money(value=30.0)
    if "churn" in posterior.parameters.names:
        forecasts = {
            "retention": posterior.retention([1, 12]), "renewals": posterior.renewals(12, age=2),
            "value": posterior.lifetime_value(12, money=money),
        }  # fmt: skip
    else:
        forecasts = {
            "retention": posterior.retention([4, 52]), "purchases": posterior.purchases([52]),
            "active time": posterior.active_time(52), "value": posterior.lifetime_value(52),
        }  # fmt: skip
    for name, answer in forecasts.items():
        for i, time in enumerate(answer.times):
            found[f"{name} at {time:g}"] = answer.draws[:, 0, i]
    return found


def template(kind):
    rng = np.random.default_rng(0)
    if kind == "contract":
        return cohort_history([0.3, 0.3], [2.0, 2.0], n=20, rng=rng)
    return purchase_history(
        [0.2] * 2, [1.0] * 2, [0.1] * 2, [2.0] * 2, spend=([30.0] * 2, [5.0] * 2, [3.0] * 2), rng=rng
    )


def simulated(kind, truth, rng, age_factor):
    values = {name: draws[0] for name, draws in ((n, truth.parameters[n]) for n in truth.parameters.names)}
    if kind == "contract":
        return cohort_history(values["churn"], values["concentration"], n=round(300 * age_factor), rng=rng)
    spend = (values["spend"], values["value_shape"], values["customer_shape"])
    names = ("purchase_rate", "rate_shape", "dropout", "dropout_concentration")
    return purchase_history(*(values[name] for name in names), spend=spend, n=150, rng=rng, age_factor=age_factor)


@cache
def ranks_and_hits(kind, n=N_REPETITIONS, age_factor=1.0, seed=5):
    """Name -> (n,) ranks, and (n,) whether the central 90% interval held the truth."""
    seeds = np.random.SeedSequence([seed, len(kind)]).spawn(n)
    ranks, hits = {}, {}
    for i, own in enumerate(seeds):
        rng = np.random.default_rng(own)
        truth = MODEL.prior_predictive(template(kind), seed=int(rng.integers(2**62)), draws=1)
        posterior = MODEL.fit(simulated(kind, truth, rng, age_factor), seed=i, draws=400, warmup=300, chains=2)
        true = quantities(truth)
        for name, draws in quantities(posterior).items():
            ranks.setdefault(name, []).append(rank_of(true[name][0], draws))
            low, high = np.quantile(draws, [0.05, 0.95])
            hits.setdefault(name, []).append(bool(low <= true[name][0] <= high))
    return {name: np.array(of) for name, of in ranks.items()}, {name: np.array(of) for name, of in hits.items()}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["contract", "no contract"])
def test_ranks_of_truths_are_uniform(kind):
    assert_uniform(ranks_and_hits(kind)[0])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["contract", "no contract"])
def test_90_percent_intervals_hold_parameters_and_forecasts_as_often_as_they_say(kind):
    hits = ranks_and_hits(kind)[1]
    tail = FALSE_ALARM / (2 * len(hits))
    for name, held in hits.items():
        n = len(held)
        least, most = stats.binom.ppf(tail, n, 0.9), stats.binom.isf(tail, n, 0.9)
        assert least <= held.sum() <= most, f"the 90% interval of {name} held {held.sum()} of {n} truths"


@pytest.mark.slow
def test_a_wrong_age_is_found_out():
    """Negative control: T three times too long, with fewer repetitions than the test it checks."""
    with pytest.raises(AssertionError, match="ranks of"):
        assert_uniform(ranks_and_hits("no contract", n=60, age_factor=3.0)[0])


if __name__ == "__main__":  # the table of the docs: python tests/test_retention_calibration.py
    for kind in sys.argv[1:] or ["contract", "no contract"]:
        ranks, hits = ranks_and_hits(kind)
        for name, held in hits.items():
            p = stats.chisquare(in_bins(ranks[name])).pvalue
            print(f"{kind:12} {name:28} held {held.mean():.1%} of {len(held)}; ranks uniform, p {p:.3f}")  # noqa: T201
