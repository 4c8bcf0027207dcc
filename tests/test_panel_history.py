"""Stages seen at visits: pairs by hand, the likelihood against SciPy and PyMC, and the truth, which counts miss."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from scipy.linalg import expm
from scipy.optimize import minimize

from journeysim.bayes import Posterior, StageModel
from journeysim.bayes.panel_density import PanelDensity, PanelLikelihood
from journeysim.bayes.stage_effects import StageEffects
from journeysim.errors import InputError
from journeysim.forecasts import forecast
from journeysim.panel_history import to_panel_history

STAGES = ["look", "cart", "buy"]
MOVES = [("look", "cart"), ("look", "lost"), ("cart", "look"), ("cart", "buy"), ("buy", "lost")]
HAZARDS = np.array([0.30, 0.05, 0.20, 0.15, 0.02])
VISITS = pl.DataFrame(
    {
        "customer": [1, 1, 1, 2, 2, 3, 2],
        "time": [0.0, 4.0, 6.0, 1.0, 3.0, 0.0, 8.0],
        "stage": ["look", "cart", "lost", "look", "look", "cart", "cart"],
        "shop": ["a", "a", "a", "b", "b", "b", "b"],
    }
)


def generator(hazards, moves=MOVES):
    names = [*STAGES, "lost"]
    Q = np.zeros((4, 4))
    for (origin, target), hazard in zip(moves, hazards, strict=True):
        Q[names.index(origin), names.index(target)] = hazard
    return Q - np.diag(Q.sum(axis=1))


def visited(n_customers, rng, *, every=(3.0, 7.0), n_visits=6):
    """Customers of an exact chain, seen at times that do not depend on where they are."""
    names = [*STAGES, "lost"]
    steps = {days: expm(generator(HAZARDS) * days) for days in every}
    rows = []
    for customer in range(n_customers):
        state, day = 0, 0.0
        rows.append((customer, day, names[state]))
        for _ in range(n_visits):
            days = float(rng.choice(every))
            state, day = rng.choice(4, p=steps[days][state]), day + days
            rows.append((customer, day, names[state]))
            if state == 3:
                break
    return pl.DataFrame(rows, schema=["customer", "time", "stage"], orient="row")


def test_pairs_by_hand():
    panel = to_panel_history(VISITS, stages=STAGES, by="shop", exact=["lost"], moves=[*MOVES, ("cart", "lost")])
    pairs = zip(panel.segment, panel.origin, panel.target, panel.interval_days, panel.weight, panel.exact, strict=True)
    assert sorted(tuple(map(float, pair)) for pair in pairs) == [
        (0, 0, 1, 4, 1, 0),
        (0, 1, 3, 2, 1, 1),
        (1, 0, 0, 2, 1, 0),
        (1, 0, 1, 5, 1, 0),
    ]
    assert panel.starts.tolist() == [[1, 0, 0], [1, 1, 0]]
    assert panel.segments == ("a", "b")
    assert to_panel_history(VISITS, stages=STAGES).moves == (("look", "cart"), ("cart", "lost"))
    dated = VISITS.with_columns(
        pl.Series([datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day) for day in VISITS["time"]]).alias("time")
    )
    assert sorted(to_panel_history(dated, stages=STAGES).interval_days) == [2, 2, 4, 5]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((1, 4.0, "look", "a"), "customer 1 is in two stages at once .*time 4 days"),
        ((1, 7.0, "look", "a"), "customer 1 comes back after being lost"),
        ((1, 7.0, "lost", "b"), r"customer 1 changes the segment \(shop\)"),
        ((1, 7.0, "lots", "a"), "unknown stage 'lots'"),
        ((1, None, "lost", "a"), "must be known at every visit"),
    ],
)
def test_contradictory_visits_are_refused(row, message):
    visits = pl.concat([VISITS, pl.DataFrame([row], schema=VISITS.schema, orient="row")])
    with pytest.raises(InputError, match=message):
        to_panel_history(visits, stages=STAGES, by="shop")


def test_a_way_that_no_move_leads_and_visits_that_pair_nobody_are_refused():
    with pytest.raises(InputError, match="went from cart to lost, to which the moves lead by no way"):
        to_panel_history(VISITS, stages=STAGES, moves=[("look", "cart")])
    with pytest.raises(InputError, match="no customer was seen twice"):
        to_panel_history(VISITS.unique("customer"), stages=STAGES)
    with pytest.raises(InputError, match="'card' is no stage"):
        to_panel_history(VISITS, stages=STAGES, moves=[("look", "card")])


@pytest.mark.parametrize("exact", [[], ["lost"]])
def test_likelihood_and_gradient_agree_with_one_matrix_exponential_at_a_time(exact):
    rng = np.random.default_rng(3)
    visits = visited(30, rng).with_columns((pl.col("customer") % 2).cast(pl.String).alias("half"))
    panel = to_panel_history(visits, stages=STAGES, moves=MOVES, exact=exact, by="half")
    likelihood = PanelLikelihood.of(panel)
    log_hazards = np.log(HAZARDS) + rng.normal(scale=0.5, size=(2, 5))

    def by_hand(log_hazards):
        total = 0.0
        for g, i, j, days, weight, at_once in zip(
            panel.segment, panel.origin, panel.target, panel.interval_days, panel.weight, panel.exact, strict=True
        ):
            Q = generator(np.exp(log_hazards[g]))
            P = expm(Q * days)
            total += weight * np.log(P[i, :3] @ Q[:3, j] if at_once else P[i, j])
        return total

    value, gradient = likelihood(log_hazards)
    assert value == pytest.approx(by_hand(log_hazards), rel=1e-12)
    for at in np.ndindex(2, 5):
        step = np.zeros((2, 5))
        step[at] = 1e-5
        difference = (by_hand(log_hazards + step) - by_hand(log_hazards - step)) / 2e-5
        assert gradient[at] == pytest.approx(difference, rel=1e-6, abs=1e-6)


def test_log_density_equals_that_of_the_pymc_model():
    visits = visited(30, np.random.default_rng(5)).with_columns((pl.col("customer") % 2).alias("half"))
    panel = to_panel_history(visits, stages=STAGES, moves=MOVES, exact=["lost"], by="half")
    model, history = StageModel(), panel.as_if_seen()
    effects = StageEffects.of(history, model.log_priors())
    density = PanelDensity.of(panel, effects)
    reference = model.pymc_model(panel)
    log_p = reference.compile_logp(mode="FAST_COMPILE")
    rng = np.random.default_rng(6)

    def natural(x):
        scales, _, values = density.coordinates.parameters(x)
        return {"mu": values[:, -1], "tau_log__": np.log(scales), "log_hazard": effects.log_hazards(values)}

    def log_volume(x, step=1e-4):
        columns = [
            np.concatenate([v.ravel() for v in natural(x + e).values()])
            - np.concatenate([v.ravel() for v in natural(x - e).values()])
            for e in step * np.eye(x.size)
        ]
        return np.linalg.slogdet(np.stack(columns, axis=1) / (2 * step))[1]

    points = rng.normal(size=(3, density.n_dim))
    differences = [density(x)[0] - log_p(natural(x)) - log_volume(x) for x in points]
    np.testing.assert_allclose(differences, differences[0], atol=1e-5)


@pytest.fixture(scope="module")
def panel():
    return to_panel_history(
        visited(1500, np.random.default_rng(1)), stages=STAGES, moves=MOVES, purchase_stages=["buy"]
    )


@pytest.fixture(scope="module")
def posterior(panel):
    return StageModel().fit(panel, seed=1)


def test_it_finds_the_hazards_that_counts_of_visits_miss(panel, posterior):
    """Within 5 posterior standard deviations, all 5 hazards: false alarm < 3e-6 as far as the posterior is normal."""
    assert posterior.diagnostics.ok, posterior.diagnostics.verdict

    def distance(fitted):
        draws = np.log(fitted.hazards[:, 0])
        return np.abs(draws.mean(axis=0) - np.log(HAZARDS)) / draws.std(axis=0)

    assert distance(posterior).max() < 5
    naive = StageModel().fit(panel.as_if_seen(), seed=1)
    assert distance(naive).max() > 15  # the control: as if every move had been seen when it was made


def test_the_posterior_sits_on_the_maximum_of_an_independent_likelihood(panel, posterior):
    """SciPy's exponential and optimiser; the prior moves a hazard by less than a tenth of its standard deviation."""
    kinds = [
        (i, j, t, w) for i, j, t, w in zip(panel.origin, panel.target, panel.interval_days, panel.weight, strict=True)
    ]

    def loss(log_hazards):
        P = {t: expm(generator(np.exp(log_hazards)) * t) for t in set(panel.interval_days)}
        return -sum(w * np.log(P[t][i, j]) for i, j, t, w in kinds)

    found = minimize(loss, np.log(HAZARDS), method="BFGS")
    step = 1e-3 * np.eye(5)
    curvature = [
        [
            (loss(found.x + a + b) - loss(found.x + a - b) - loss(found.x - a + b) + loss(found.x - a - b)) / 4e-6
            for b in step
        ]
        for a in step
    ]
    draws = np.log(posterior.hazards[:, 0])
    assert (np.abs(draws.mean(axis=0) - found.x) < 0.15 * draws.std(axis=0)).all()
    np.testing.assert_allclose(draws.std(axis=0), np.sqrt(np.diag(np.linalg.inv(curvature))), rtol=0.15)


def test_the_posterior_is_one_that_forecasts_and_is_saved(posterior, tmp_path):
    found = forecast(posterior, [], conversion_days=30, retention_days=30).baseline
    Q = generator(HAZARDS)
    Q[2] = 0
    truth = expm(Q * 30)[0, 2]
    assert abs(found.conversion.mean() - truth) < 5 * found.conversion.std()
    posterior.save(tmp_path / "panel.nc")
    loaded = Posterior.load(tmp_path / "panel.nc")
    assert loaded.seen_at_visits
    np.testing.assert_array_equal(loaded.hazards, posterior.hazards)
