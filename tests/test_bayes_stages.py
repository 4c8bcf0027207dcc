import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from chains import MOVES, STAGES, purchase_probability, simulate_history
from scipy import stats

from journeysim.bayes import StageModel
from journeysim.bayes.arviz_versions import import_arviz
from journeysim.bayes.stage_density import StageDensity
from journeysim.bayes.stage_effects import StageEffects
from journeysim.errors import InputError
from journeysim.stage_cells import Cells
from journeysim.stage_history import StageHistory

HAZARDS = np.array(
    [[0.10, 0.05, 0.04, 0.08, 0.06, 0.02], [0.15, 0.04, 0.05, 0.12, 0.05, 0.03], [0.07, 0.06, 0.03, 0.05, 0.08, 0.02]]
)


def scattered_history(n_segments=3):
    """Cells of every kind: many moves, few, none in many days, and no days at all."""
    rng = np.random.default_rng(5)
    exposure_days = 10.0 ** rng.uniform(-1, 6, (n_segments, len(STAGES)))
    exposure_days[0, 2] = 0.0
    hazards = 10.0 ** rng.uniform(-4, 0, len(MOVES))
    counts = rng.poisson(hazards * exposure_days[:, [0, 0, 1, 1, 1, 2]]).astype(float)
    counts[:, 4] = 0.0
    segments = tuple("abc"[:n_segments])
    return StageHistory(segments, STAGES, ("purchase",), MOVES, counts, exposure_days, np.ones((n_segments, 3)))


@pytest.fixture(scope="module")
def history():
    return simulate_history(HAZARDS, n_customers=150, horizon_days=40, rng=np.random.default_rng(1))


def split_history(seed=6):
    """Persona x device, three bins of time in stage, contacts and pain met: cells of every kind again."""
    rng = np.random.default_rng(seed)
    levels = tuple((persona, device) for persona in ("a", "b") for device in ("app", "web", "tv"))
    exposure = 10.0 ** rng.uniform(-1, 5, (6, 3, 6, len(STAGES)))
    exposure[0, :, :, 2] = 0.0
    exposure[:, 2, 4] = 0.0
    counts = rng.poisson(10.0 ** rng.uniform(-4, -1, len(MOVES)) * exposure[..., [0, 0, 1, 1, 1, 2]]).astype(float)
    cells = Cells((0.0, 2.0, 7.0), (("contacts", ("0", "1", "2+")), ("pain", ("not met", "met"))), counts, exposure)
    return StageHistory(
        tuple(", ".join(names) for names in levels),
        STAGES,
        ("purchase",),
        MOVES,
        counts.sum(axis=(1, 2)),
        exposure.sum(axis=(1, 2)),
        np.ones((6, 3)),
        attributes=("persona", "device"),
        levels=levels,
        detail=cells,
    )


def without_crossing(history):
    return replace(history, attributes=(), levels=())


HISTORIES = {
    "one segment": scattered_history(1),
    "segments": scattered_history(3),
    "crossed attributes, bins and covariates": split_history(),
    "bins and covariates": without_crossing(split_history()),
}
every_history = pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES)


def density_of(model, history):
    effects = StageEffects.of(history, model.log_priors())
    return effects, model._density(effects)


@every_history
def test_gradient_is_that_of_the_log_density(history):
    _, density = density_of(StageModel(), history)
    rng = np.random.default_rng(2)
    step = 1e-5
    for _ in range(5):
        x = rng.normal(size=density.n_dim)
        differences = [(density(x + e)[0] - density(x - e)[0]) / (2 * step) for e in step * np.eye(density.n_dim)]
        np.testing.assert_allclose(density(x)[1], differences, rtol=1e-5, atol=1e-3)


def pymc_values(history, effects, density, x):
    """The point x as values of the free variables of the PyMC model."""
    scales, shared, values = density.coordinates.parameters(x)
    n_moves, n_groups = len(MOVES), len(history.attributes) + (len(history.segments) > 1)
    taus = [scales[q * n_moves : (q + 1) * n_moves] for q in range(n_groups)]
    found = {"mu": values[:, -1], "bin_step": values[:, effects.steps].T}
    found["log_hazard"] = effects.log_hazards(values)
    for name, tau in zip(("tau", *(f"tau_{a}" for a in history.attributes)), taus, strict=False):
        found[f"{name}_log__"] = np.log(tau)
    for name, part in zip(history.attributes, effects.attributes, strict=True):
        found[f"effect_{name}"] = values[:, part].T
    first = 0
    for v, ((name, _), part) in enumerate(zip(history.cells.covariates, effects.covariates, strict=True)):
        size = part.stop - part.start
        found[f"tau {name}_log__"] = np.log(scales[n_groups * n_moves + v])
        found[f"typical {name}"] = shared[first : first + 3 * size].reshape(3, size)
        found[f"factor {name}"] = values[:, part].T
        first += 3 * size
    return found


@every_history
def test_log_density_and_gradient_equal_those_of_the_pymc_model(history):
    """Up to one constant. The Jacobian of the coordinates comes from finite differences of `parameters`."""
    model = StageModel()
    effects, density = density_of(model, history)
    reference = model.pymc_model(history)
    names = [variable.name for variable in reference.value_vars]
    log_p = reference.compile_logp(mode="FAST_COMPILE")
    gradient = reference.compile_dlogp(mode="FAST_COMPILE")

    def natural(x):
        values = pymc_values(history, effects, density, x)
        return {name: values[name] for name in names}

    def flat(x):
        return np.concatenate([value.ravel() for value in natural(x).values()])

    def jacobian(x, step=1e-4):
        return np.stack([(flat(x + e) - flat(x - e)) / (2 * step) for e in step * np.eye(x.size)], axis=1)

    def log_volume(x):
        return np.linalg.slogdet(jacobian(x))[1]

    rng = np.random.default_rng(3)
    points = rng.normal(size=(4, density.n_dim))
    assert flat(points[0]).size == density.n_dim
    ours = np.array([density(x)[0] for x in points])
    theirs = np.array([log_p(natural(x)) + log_volume(x) for x in points])
    np.testing.assert_allclose(ours - ours[0], theirs - theirs[0], rtol=1e-9, atol=1e-4)
    if (
        density.n_dim > 40
    ):  # the volume of many dimensions takes too long to differentiate; the gradient is checked above
        return
    for x in points:
        by_volume = [(log_volume(x + e) - log_volume(x - e)) / 2e-3 for e in 1e-3 * np.eye(x.size)]
        theirs = jacobian(x).T @ gradient(natural(x)) + by_volume
        np.testing.assert_allclose(density(x)[1], theirs, rtol=1e-4, atol=1e-2)


def test_posterior_of_one_segment_equals_numerical_integration():
    """Each move's posterior is one-dimensional: integrated on a grid. Bound: 5 standard errors, 12 figures: < 1e-5."""
    history = scattered_history(1)
    model = StageModel(typical_days=5, typical_days_within=4)
    posterior = model.fit(history, seed=1, draws=1000, warmup=300)
    assert posterior.diagnostics.ok, posterior.diagnostics.verdict
    ess = posterior.summary()["ess"].to_numpy()
    grid = np.linspace(-12, 8, 200_001)
    prior = stats.norm.logpdf(grid, -math.log(5), math.log(4) / stats.norm.ppf(0.95))
    for m, origin in enumerate(history.origins):
        n, days = history.counts[0, m], history.exposure_days[0, origin]
        log_p = n * grid - days * np.exp(grid) + prior
        p = np.exp(log_p - log_p.max())
        p /= p.sum()
        mean = p @ grid
        sd = math.sqrt(p @ (grid - mean) ** 2)
        draws = np.log(posterior.hazards[:, 0, m])
        assert abs(draws.mean() - mean) < 5 * sd / math.sqrt(ess[m])
        # The relative error of a standard deviation is sqrt((kurtosis - 1) / 4n): at most 1 / sqrt(n) up to kurtosis 5.
        # Squares mix more slowly than the draws themselves, so n is half the effective sample size.
        assert abs(draws.std() / sd - 1) < 5 / math.sqrt(ess[m] / 2)


def test_a_segment_that_was_never_in_a_stage_gets_the_prior_there():
    """Its standardised deviation is N(0, 1). Bound: 5 standard errors, < 1e-6."""
    posterior = StageModel().fit(scattered_history(), seed=4, draws=1000, warmup=300)
    deviation = (np.log(posterior.hazards_by_chain[:, :, 0, 5]) - np.log(posterior.typical_by_chain[:, :, 5])) / (
        posterior.spread_by_chain[:, :, 5]
    )
    ess = float(import_arviz().ess(deviation))
    assert abs(deviation.mean()) < 5 / math.sqrt(ess)
    assert abs(deviation.std() - 1) < 5 / math.sqrt(ess)


def test_many_customers_reveal_the_hazards():
    """1e5 customers per segment: at least 2e4 of each move, so the error is 0.7% at most; bound 5 of these."""
    history = simulate_history(HAZARDS, n_customers=100_000, horizon_days=60, rng=np.random.default_rng(8))
    posterior = StageModel().fit(history, seed=1, draws=300, warmup=300)
    np.testing.assert_allclose(posterior.hazards.mean(axis=0), HAZARDS, rtol=0.035)


def test_work_does_not_grow_with_the_number_of_customers(monkeypatch):
    """Evaluations of the density per fit; a fixed parameterisation takes ten times as many at one end of this range."""
    calls = []
    evaluate = StageDensity.__call__
    monkeypatch.setattr(StageDensity, "__call__", lambda self, x: calls.append(1) or evaluate(self, x))
    evaluations = []
    for n_customers in (100, 1_000_000):
        calls.clear()
        once = simulate_history(HAZARDS, n_customers=100, horizon_days=40, rng=np.random.default_rng(8))
        times = n_customers / 100
        history = StageHistory(
            once.segments, STAGES, ("purchase",), MOVES, once.counts * times, once.exposure_days * times, once.starts
        )
        assert StageModel().fit(history, seed=1, draws=300, warmup=300).diagnostics.n_divergences == 0
        evaluations.append(len(calls))
    assert evaluations[1] < 1.3 * evaluations[0]


def test_same_seed_same_draws_and_another_seed_others(history):
    first, again, other = (StageModel().fit(history, seed=seed, draws=50, warmup=50) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.hazards, again.hazards)
    assert not np.isclose(first.hazards, other.hazards).any()


def test_a_fit_is_silent(history, capfd):
    StageModel().fit(history, seed=1, draws=20, warmup=20, progress=True)  # not a terminal here
    assert capfd.readouterr() == ("", "")


def test_priors_put_90_percent_within_their_factor():
    priors = StageModel(
        typical_days=10, typical_days_within=4, segment_spread=0.2, segment_spread_within=3, bin_factor_within=2
    ).log_priors()
    days = stats.lognorm(priors.rate.sd, scale=math.exp(-priors.rate.mean))
    np.testing.assert_allclose([days.ppf(0.05), days.median(), days.ppf(0.95)], [2.5, 10, 40])
    spread = stats.lognorm(priors.spread.sd, scale=math.exp(priors.spread.mean))
    np.testing.assert_allclose([spread.ppf(0.05), spread.median(), spread.ppf(0.95)], [0.2 / 3, 0.2, 0.6])
    step = stats.lognorm(priors.bin_sd)
    np.testing.assert_allclose([step.ppf(0.05), step.ppf(0.95)], [1 / 2, 2])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("typical_days", 0.0),
        ("typical_days_within", 1.0),
        ("segment_spread", -1.0),
        ("segment_spread_within", math.inf),
        ("bin_factor_within", 1.0),
        ("covariate_spread", 0.0),
    ],
)
def test_settings_out_of_range_are_named(name, value):
    with pytest.raises(InputError, match=f"StageModel: {name} must be a number above"):
        StageModel(**{name: value})


@pytest.mark.parametrize("bad", [{"seed": -1}, {"seed": 2**64}, {"draws": 0}, {"warmup": 0}, {"chains": 1}], ids=str)
def test_sampler_settings_out_of_range_are_named(bad, history):
    with pytest.raises(InputError, match=f"StageModel.fit: {next(iter(bad))} must be in"):
        StageModel().fit(history, **({"seed": 1} | bad))


def test_a_history_without_moves_cannot_be_fitted():
    empty = StageHistory(("all",), STAGES, (), (), np.zeros((1, 0)), np.ones((1, 3)), np.ones((1, 3)))
    with pytest.raises(InputError, match="no moves"):
        StageModel().fit(empty, seed=1)


def test_a_stage_before_the_purchase_that_nobody_left_cannot_be_fitted(history):
    kept = np.flatnonzero(history.origins != 1)
    stuck = replace(history, moves=tuple(MOVES[m] for m in kept), counts=history.counts[:, kept].copy())
    with pytest.raises(InputError, match=r"nobody was seen to leave stage 'evaluation' in .* customer-days"):
        StageModel().fit(stuck, seed=1)
    for_good = replace(history, moves=MOVES[:5], counts=history.counts[:, :5].copy())
    posterior = StageModel().fit(for_good, seed=1, draws=20, warmup=50)
    assert posterior.notes == ("Nobody was seen to leave stage 'purchase': a forecast lets nobody leave it.",)


def test_importing_the_package_loads_no_heavy_library():
    heavy = "{'arviz', 'matplotlib', 'numba', 'nutpie', 'pymc'}"
    code = f"import sys, journeysim.bayes; print({heavy} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert out.strip() == "set()"


@pytest.mark.slow
def test_posterior_equals_the_one_that_pymc_samples(history):
    """Means and mean squares of 2 x 31 quantities, each within 5.2 standard errors: false alarm < 2e-5."""
    az = import_arviz()
    import pymc as pm

    model = StageModel()
    ours = model.fit(history, seed=1, draws=2000)
    with model.pymc_model(history):
        trace = pm.sample(
            draws=1500,
            tune=1000,
            chains=4,
            cores=1,
            nuts_sampler="pymc",
            target_accept=0.95,
            random_seed=2,
            progressbar=False,
            compute_convergence_checks=False,
        )
    theirs = trace["posterior"]
    pairs = [
        (np.log(ours.hazards_by_chain), theirs["log_hazard"].to_numpy()),
        (np.log(ours.typical_by_chain), theirs["mu"].to_numpy()),
        (np.log(ours.spread_by_chain), np.log(theirs["tau"].to_numpy())),
        (purchase_probability(ours.hazards_by_chain), purchase_probability(np.exp(theirs["log_hazard"].to_numpy()))),
    ]
    for mine, reference in pairs:
        mine, reference = (draws.reshape(*draws.shape[:2], -1) for draws in (mine, reference))
        for i in range(mine.shape[2]):
            first = mine[..., i], reference[..., i]
            centre = first[0].mean()
            for pair in (first, tuple((draws - centre) ** 2 for draws in first)):
                error = math.hypot(*(x.std() / math.sqrt(float(az.ess(x, method="mean"))) for x in pair))
                assert abs(pair[0].mean() - pair[1].mean()) < 5.2 * error
