"""Does partial pooling predict segments better than no pooling and complete pooling? Judged by customers held out.

python tests/test_stage_pooling.py          prints the table of docs/stage-model.md
"""

import numpy as np
import pytest
from chains import MOVES, purchase_probability, simulate_history
from scipy import stats
from test_bayes_stages import HAZARDS

from journeysim.bayes import StageModel
from journeysim.scores import crps
from journeysim.stage_history import StageHistory

N_WORLDS = 40
N_SEGMENTS = 6
N_NEW = 400


def test_crps_is_that_of_the_definition_and_of_the_normal_distribution():
    rng = np.random.default_rng(1)
    draws, truth = rng.normal(size=(60, 3)), np.array([-1.0, 0.2, 4.0])
    pairs = np.abs(draws[:, None] - draws).mean(axis=(0, 1))
    np.testing.assert_allclose(crps(draws, truth), np.abs(draws - truth).mean(axis=0) - pairs / 2)
    grid = stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    closed = truth * (2 * stats.norm.cdf(truth) - 1) + 2 * stats.norm.pdf(truth) - 1 / np.sqrt(np.pi)
    np.testing.assert_allclose(crps(np.repeat(grid[:, None], 3, axis=1), truth), closed, atol=1e-4)
    np.testing.assert_allclose(crps(np.ones((5, 3)), truth), np.abs(truth - 1))  # all draws the same


def pooled(history):
    """All segments as one."""
    counts, days, starts = (
        column.sum(axis=0, keepdims=True) for column in (history.counts, history.exposure_days, history.starts)
    )
    return StageHistory(("all",), history.stages, history.purchase_stages, MOVES, counts, days, starts)


def alone(history, g):
    parts = (column[g : g + 1].copy() for column in (history.counts, history.exposure_days, history.starts))
    return StageHistory(history.segments[g : g + 1], history.stages, history.purchase_stages, MOVES, *parts)


def scores(n_customers=40, seed=3):
    """What -> how -> (N_WORLDS,) mean score over segments."""
    settings = {"draws": 250, "warmup": 250, "chains": 2}
    found = {}
    for i, own in enumerate(np.random.SeedSequence(seed).spawn(N_WORLDS)):
        rng = np.random.default_rng(own)
        truth = HAZARDS[0] * np.exp(0.3 * rng.normal(size=(N_SEGMENTS, len(MOVES))))
        history = simulate_history(truth, n_customers=n_customers, horizon_days=40, rng=rng)
        bought = simulate_history(truth, n_customers=N_NEW, horizon_days=2000, rng=rng).counts[:, 3]
        separate = [StageModel().fit(alone(history, g), seed=i, **settings).hazards[:, 0] for g in range(N_SEGMENTS)]
        fits = {
            "partial": StageModel().fit(history, seed=i, **settings).hazards,
            "none": np.stack(separate, axis=1),
            "complete": np.repeat(StageModel().fit(pooled(history), seed=i, **settings).hazards, N_SEGMENTS, axis=1),
        }
        for how, hazards in fits.items():
            again = rng.binomial(N_NEW, purchase_probability(hazards)) / N_NEW
            for what, score in (
                ("log hazard", crps(np.log(hazards), np.log(truth)).mean()),
                ("share who buy", crps(again, bought / N_NEW).mean()),
            ):
                found.setdefault(what, {}).setdefault(how, []).append(float(score))
    return {what: {how: np.array(of) for how, of in by.items()} for what, by in found.items()}


@pytest.mark.slow
def test_partial_pooling_predicts_better_than_none_and_than_complete_pooling():
    """Paired over independent worlds: a t-test that finds no difference fails; by luck it finds one at 1e-3."""
    for what, by in scores().items():
        for other in ("none", "complete"):
            p = stats.ttest_1samp(by[other] - by["partial"], 0, alternative="greater").pvalue
            assert p < 1e-3, f"{what}: {by['partial'].mean():.4f} against {by[other].mean():.4f} ({other}), p {p:.1e}"


if __name__ == "__main__":
    for what, by in scores().items():
        for how, values in by.items():
            p = stats.ttest_1samp(values - by["partial"], 0, alternative="greater").pvalue
            print(f"{what:14} {how:9} {values.mean():.4f}  worse than partial: p {p:.1e}")  # noqa: T201
