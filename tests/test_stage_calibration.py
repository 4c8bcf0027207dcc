"""Every kind of stage history against truths from the prior: do ranks and intervals hold, of parameters and forecasts?

Simulation-based calibration (Talts et al. 2018): truths are drawn from the prior and data from the truths; then the
rank of a truth among its posterior's draws is uniform, and a 90% interval holds 90% of the truths, for any prior and
any size of data. Counts in cells are Poisson and pairs of visits multinomial: the likelihoods that are fitted.

    python tests/test_stage_calibration.py          prints the table of docs/stage-model.md
"""

import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from chains import MOVES, STAGES, simulate_history
from ranks import assert_uniform, in_bins, rank_of
from scipy import stats
from scipy.linalg import expm
from statistical import FALSE_ALARM

from journeysim.bayes import StageModel
from journeysim.forecasts import forecast
from journeysim.panel_history import PanelHistory
from journeysim.scenario import improve_stage
from journeysim.stage_cells import Cells

N_REPETITIONS = 200
NARROW = StageModel(
    typical_days=10, typical_days_within=4, segment_spread_within=2.5, bin_factor_within=2, covariate_factor_within=2
)
MODELS = {
    "default": StageModel(), "bins": NARROW, "crossed": NARROW, "covariates": NARROW, "panel": NARROW
}  # fmt: skip
LEVELS = tuple((persona, device) for persona in ("a", "b") for device in ("app", "web", "tv"))
CLASSES = (("contacts", ("0", "1", "2+")), ("pain", ("not met", "met")))
INTERVALS_DAYS = (2.0, 5.0, 11.0)
PLAN = improve_stage("evaluation", forward=1.5, name="plan")


def template(kind):
    """A history of one move per cell with the days at risk of every repetition, or a panel of one pair per kind."""
    rng = np.random.default_rng(5)
    if kind == "panel":
        g, i, j, t = (
            index.ravel()
            for index in np.indices((2, len(STAGES), len(STAGES) + 1, len(INTERVALS_DAYS)), dtype=np.int64)
        )
        return PanelHistory(
            segments=("a", "b"),
            stages=STAGES,
            purchase_stages=("purchase",),
            moves=(*MOVES, ("purchase", "awareness")),
            segment=g,
            origin=i,
            target=j,
            interval_days=np.array(INTERVALS_DAYS)[t],
            weight=np.ones(len(g)),
            exact=np.zeros(len(g), dtype=bool),
            starts=np.array([[10.0, 0.0, 0.0]] * 2),
        )
    edges, classes = (0.0, 2.0, 7.0) if kind == "bins" else (0.0,), CLASSES if kind == "covariates" else ()
    n_segments, n_classes = 6 if kind == "crossed" else 3, 6 if classes else 1
    shape = (n_segments, len(edges), n_classes)
    days = rng.gamma(2.0, 60.0 / n_classes, (*shape, len(STAGES)))
    history = simulate_history(np.full((n_segments, len(MOVES)), 0.1), n_customers=10, horizon_days=40, rng=rng)
    if kind == "crossed":
        history = replace(
            history, segments=tuple(map(", ".join, LEVELS)), attributes=("persona", "device"), levels=LEVELS
        )
    return with_counts(replace(history, detail=None), Cells(edges, classes, np.ones((*shape, len(MOVES))), days))


def with_counts(history, cells):
    return replace(
        history,
        counts=cells.counts.sum(axis=(1, 2)),
        exposure_days=cells.exposure_days.sum(axis=(1, 2)),
        detail=cells if len(cells.edges_days) > 1 or cells.covariates else None,
    )


def hazards_in_cells(posterior):
    """(N, G, B, Z, M)."""
    hazards = posterior.hazards_in_bins[:, :, :, None, :]
    for name, _ in posterior.history.cells.covariates:
        factor = posterior.more[f"factor_{name}"].draws.reshape(len(hazards), -1, hazards.shape[-1])
        factor = np.concatenate([np.ones_like(factor[:, :1]), factor], axis=1)
        hazards = (hazards[:, :, :, :, None, :] * factor[:, None, None, None, :, :]).reshape(
            *hazards.shape[:3], -1, hazards.shape[-1]
        )
    return hazards


def simulated(data, history, hazards, rng):
    """Data like `data` from hazards (G, B, Z, M); `history` is that of the prior's draws."""
    if not isinstance(data, PanelHistory):
        cells = history.cells
        counts = rng.poisson(hazards * cells.exposure_days[..., history.origins]).astype(float)
        return with_counts(history, replace(cells, counts=counts, exposure_days=cells.exposure_days.copy()))
    weight = np.zeros(len(data.segment))
    for g in range(2):
        Q = np.zeros((len(STAGES) + 1,) * 2)
        np.add.at(Q, (history.origins, history.targets), hazards[g, 0, 0])
        np.fill_diagonal(Q, -Q.sum(axis=1))
        for days in INTERVALS_DAYS:
            P = expm(Q * days)
            for i in range(len(STAGES)):
                k = np.flatnonzero((data.segment == g) & (data.origin == i) & (data.interval_days == days))
                weight[k] = rng.multinomial(40, P[i, data.target[k]])
    seen = weight > 0
    columns = ("segment", "origin", "target", "interval_days", "exact")
    return replace(data, weight=weight[seen], **{name: getattr(data, name)[seen] for name in columns})


def quantities(posterior):
    """Name -> (N,) draws of parameters, and of what users derive of them."""
    hazards = hazards_in_cells(posterior)
    _, n_segments, n_bins, n_classes, n_moves = hazards.shape
    found = {
        f"hazard {g} {b} {z} {m}": hazards[:, g, b, z, m]
        for g, b, z, m in (
            (0, 0, 0, 0), (1, n_bins - 1, 0, 2), (n_segments - 1, 0, n_classes - 1, 3),
            (0, n_bins - 1, n_classes - 1, 5),
        )
    }  # fmt: skip
    for m in (0, n_moves - 1):
        found[f"typical {m}"] = posterior.typical_by_chain[..., m].ravel()
        found[f"spread {m}"] = posterior.spread_by_chain[..., m].ravel()
    for name, quantity in posterior.more.items():
        found[name] = quantity.draws.reshape(len(hazards), -1)[:, 0]
    if posterior.covariates:
        posterior = posterior.holding(contacts="1", pain="met")
    answer = forecast(posterior, [PLAN], conversion_days=30, retention_days=30, require_converged=False)
    return found | {
        "conversion under the plan": answer.changed[0].conversion,
        "difference of conversion": answer.difference("plan", "conversion"),
        "retention under the plan": answer.changed[0].retention,
        "difference of retention": answer.difference("plan", "retention"),
    }


@cache
def ranks_and_hits(kind, n=N_REPETITIONS, days_factor=1.0, seed=6):
    """Name -> (n,) ranks, and (n,) whether the central 90% interval held the truth.

    `days_factor` falsifies the days at risk.
    """
    model, data = MODELS[kind], template(kind)
    truths = model.prior(data.as_if_seen() if kind == "panel" else data, seed=seed, draws=n)
    true, hazards = quantities(truths), hazards_in_cells(truths)
    ranks, hits = {}, {}
    for i, own in enumerate(np.random.SeedSequence([seed, len(kind)]).spawn(n)):
        history = simulated(data, truths.history, hazards[i], np.random.default_rng(own))
        if days_factor != 1:
            cells = history.cells
            history = with_counts(history, replace(cells, exposure_days=cells.exposure_days * days_factor))
        posterior = model.fit(history, seed=i, draws=250, warmup=300, chains=2)
        for name, draws in quantities(posterior).items():
            ranks.setdefault(name, []).append(rank_of(true[name][i], draws))
            low, high = np.quantile(draws, [0.05, 0.95])
            hits.setdefault(name, []).append(bool(low <= true[name][i] <= high))
    return {name: np.array(of) for name, of in ranks.items()}, {name: np.array(of) for name, of in hits.items()}


every_kind = pytest.mark.parametrize("kind", MODELS)


@pytest.mark.slow
@every_kind
def test_ranks_of_truths_are_uniform(kind):
    assert_uniform(ranks_and_hits(kind)[0])


@pytest.mark.slow
@every_kind
def test_90_percent_intervals_hold_as_often_as_they_say(kind):
    """Each quantity within what the binomial allows; over all quantities 86 to 94%, as the docs promise."""
    hits = ranks_and_hits(kind)[1]
    tail = FALSE_ALARM / (2 * len(hits))
    for name, held in hits.items():
        least, most = stats.binom.ppf(tail, len(held), 0.9), stats.binom.isf(tail, len(held), 0.9)
        assert least <= held.sum() <= most, f"the 90% interval of {name} held {held.sum()} of {len(held)} truths"
    assert 0.86 <= np.mean(list(hits.values())) <= 0.94


@pytest.mark.slow
def test_wrong_days_are_found_out():
    """Negative control, with fewer repetitions than the test it checks."""
    with pytest.raises(AssertionError, match="ranks of"):
        assert_uniform(ranks_and_hits("crossed", n=100, days_factor=1.6)[0])


if __name__ == "__main__":
    for kind in sys.argv[1:] or MODELS:
        ranks, hits = ranks_and_hits(kind)
        for name, held in hits.items():
            p = stats.chisquare(in_bins(ranks[name])).pvalue
            print(f"{kind:10} {name:28} held {held.mean():.1%} of {len(held)}; ranks uniform, p {p:.3f}", flush=True)  # noqa: T201
