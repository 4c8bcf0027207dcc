"""Do the intervals of the stage model hold the truth as often as they say? Histories come from exact Markov chains.

The number of intervals that hold the truth in independent repetitions is binomial, so a test fails by luck at a stated
rate, with any seed. Finite draws make a 90% interval cover 89.8% (about 400 independent draws): far inside the bounds.
"""

from dataclasses import replace

import numpy as np
import pytest
from chains import purchase_probability, simulate_history
from scipy import stats
from test_bayes_stages import HAZARDS

from journeysim.bayes import StageModel

N_REPETITIONS = 200
PRIOR = StageModel(typical_days=10, typical_days_within=4, segment_spread=0.3, segment_spread_within=2.5)
SOME_CELLS = [(0, 0), (1, 2), (2, 3), (0, 5)]


def quantities(hazards, typical, spread):
    """Name -> value, per draw where there are draws: sampled parameters and what users derive of them."""
    cells = {f"hazard {g} {m}": hazards[..., g, m] for g, m in SOME_CELLS}
    purchase = purchase_probability(hazards)
    return cells | {
        "typical 0": typical[..., 0],
        "typical 5": typical[..., 5],
        "spread 0": spread[..., 0],
        "spread 5": spread[..., 5],
        "purchase 0": purchase[..., 0],
        "purchase ratio": purchase[..., 1] / purchase[..., 2],
    }


def hits(truths, *, model, n_customers, seed, days_factor=1.0):
    """Name -> (R, 2) whether the central 50% and 90% intervals held the truth, over R = len(truths) histories.

    `days_factor` falsifies the days at risk.
    """
    seeds = np.random.SeedSequence(seed).spawn(len(truths))
    held = {}
    for i, (truth, seed_i) in enumerate(zip(truths, seeds, strict=True)):
        rng = np.random.default_rng(seed_i)
        history = simulate_history(truth[0], n_customers=n_customers, horizon_days=40, rng=rng)
        history = replace(history, exposure_days=history.exposure_days * days_factor)
        posterior = model.fit(history, seed=i, draws=300, warmup=300, chains=2)
        draws = quantities(
            *(
                by_chain.reshape(-1, *by_chain.shape[2:])
                for by_chain in (posterior.hazards_by_chain, posterior.typical_by_chain, posterior.spread_by_chain)
            )
        )
        for name, value in quantities(*truth).items():
            low, lower, upper, high = np.quantile(draws[name], [0.05, 0.25, 0.75, 0.95])
            held.setdefault(name, []).append((lower <= value <= upper, low <= value <= high))
    return {name: np.array(rows) for name, rows in held.items()}


def assert_coverage(held, *, slack=0.0, false_alarm_rate=1e-4):
    """Fail if any count of hits is outside what Binomial(R, level -+ slack) gives, all counts together at that rate."""
    tail = false_alarm_rate / (2 * 2 * len(held))
    for name, rows in held.items():
        for column, level in enumerate((0.5, 0.9)):
            n_held = rows[:, column].sum()
            least = stats.binom.ppf(tail, len(rows), level - slack)
            most = stats.binom.isf(tail, len(rows), level + slack)
            assert least <= n_held <= most, f"{level:.0%} interval of {name} held {n_held} of {len(rows)} truths"


def from_the_prior(n):
    """(hazards, typical, spread) drawn from PRIOR."""
    rng = np.random.default_rng(77)
    rate, spread = PRIOR.log_priors().rate, PRIOR.log_priors().spread
    for _ in range(n):
        mu = rng.normal(rate.mean, rate.sd, 6)
        tau = np.exp(rng.normal(spread.mean, spread.sd, 6))
        yield np.exp(mu + tau * rng.normal(size=(3, 6))), np.exp(mu), tau


@pytest.mark.slow
@pytest.mark.parametrize("n_customers", [20, 2000])
def test_intervals_hold_truths_drawn_from_the_prior_at_their_stated_rate(n_customers):
    """Simulation-based calibration (Talts et al. 2018): exact for any prior and any size of history."""
    truths = list(from_the_prior(N_REPETITIONS))
    assert_coverage(hits(truths, model=PRIOR, n_customers=n_customers, seed=1))


@pytest.mark.slow
def test_intervals_hold_one_fixed_truth_at_their_stated_rate():
    """Not exact, for pooling pulls segments together: 5 points of slack; parameters of the population are left out."""
    truth = (HAZARDS, HAZARDS[0], np.ones(6))
    held = hits([truth] * N_REPETITIONS, model=StageModel(), n_customers=500, seed=2)
    assert_coverage({name: rows for name, rows in held.items() if name.startswith(("hazard", "purchase"))}, slack=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("days_factor", [0.7, 1.4])
def test_a_wrong_exposure_is_found_out(days_factor):
    """Negative control, with fewer repetitions than the tests it checks."""
    held = hits(list(from_the_prior(80)), model=PRIOR, n_customers=200, seed=3, days_factor=days_factor)
    with pytest.raises(AssertionError, match="interval of hazard"):
        assert_coverage({name: rows for name, rows in held.items() if name.startswith("hazard")})


@pytest.mark.slow
def test_a_wrong_prior_is_found_out():
    """Negative control: a model that believes segments to be nearly equal."""
    too_sure = replace(PRIOR, segment_spread=0.02)
    with pytest.raises(AssertionError, match="interval of"):
        assert_coverage(hits(list(from_the_prior(80)), model=too_sure, n_customers=200, seed=4))
