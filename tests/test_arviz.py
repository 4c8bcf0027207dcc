"""Every posterior is an ArviZ object: its groups, and ArviZ's own functions and plots on each of them, 0.x and 1.x.

python tests/test_arviz.py FOLDER          writes the pictures, to look at
"""

import sys
import warnings
from functools import cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from influence_stays import known_world
from known_customers import cohort_history, purchase_history
from test_stage_calibration import template

from journeysim import (
    InfluenceModel,
    InfluencePosterior,
    Posterior,
    RetentionModel,
    StageModel,
    simulate,
    to_influence_history,
)
from journeysim.bayes.arviz_versions import import_arviz
from journeysim.bayes.retention import ChurnPosterior, PurchasePosterior
from journeysim.bayes.retention.checks import leave_one_out
from journeysim.errors import InputError

SHORT = {"seed": 1, "draws": 150, "warmup": 200, "chains": 2}
STAGE_KINDS = ("default", "bins", "crossed", "covariates", "panel")
KINDS = (*STAGE_KINDS, "contracts", "no contracts", "spend", "influence")


@cache
def posterior_of(kind):
    rng = np.random.default_rng(3)
    if kind in STAGE_KINDS:
        return StageModel().fit(template(kind), **SHORT)
    if kind == "influence":
        log = simulate(known_world(), n_customers=400, horizon_days=60, seed=1)
        return InfluenceModel().fit(to_influence_history(log, by="persona"), **SHORT)
    if kind == "contracts":
        history = cohort_history([0.3, 0.15], [1.5, 4.0], rng=rng)
    else:
        spend = ([30.0, 50.0], [5.0, 4.0], [3.0, 4.0]) if kind == "spend" else None
        history = purchase_history([0.2, 0.1], [0.6, 1.0], [0.2, 0.1], [2.0, 4.0], spend=spend, n=60, rng=rng)
    return RetentionModel().fit(history, **SHORT)


def group(idata, name):
    return idata[name].to_dataset() if hasattr(idata[name], "to_dataset") else idata[name]


def groups(idata):
    return {name.strip("/") for name in (idata.groups() if callable(idata.groups) else idata.groups)} - {""}


@pytest.mark.parametrize("kind", KINDS)
def test_groups_hold_the_draws_how_they_were_made_and_what_the_model_would_have_produced(kind):
    posterior = posterior_of(kind)
    idata = posterior.to_arviz()
    expected = {"posterior", "sample_stats", "posterior_predictive", "observed_data"}
    assert groups(idata) == (expected if kind != "panel" else {"posterior", "sample_stats"})
    stats = group(idata, "sample_stats")
    energy = stats["energy"].to_numpy()
    assert energy.shape == stats["diverging"].shape == (2, 150)
    assert energy.std() > 0
    assert not import_arviz().__version__.startswith("0.") or (import_arviz().bfmi(idata) > 0.2).all()
    if kind == "panel":
        return
    (name,) = group(idata, "observed_data").data_vars
    observed, again = (group(idata, of)[name] for of in ("observed_data", "posterior_predictive"))
    assert again.dims == ("chain", "draw", *observed.dims)
    for dim in observed.dims:
        assert list(observed[dim].values) == list(again[dim].values)
    # the model was fitted to these: its mean is near them, and a single draw is not its mean
    total = again.to_numpy().reshape(-1, observed.size).sum(axis=1)
    assert abs(total.mean() - observed.to_numpy().sum()) < 4 * total.std()
    assert total.std() > 0


@pytest.mark.parametrize(
    ("kind", "load"),
    [
        ("default", Posterior.load),
        ("contracts", ChurnPosterior.load),
        ("spend", PurchasePosterior.load),
        ("influence", InfluencePosterior.load),
    ],
)
def test_a_loaded_posterior_makes_the_same_arviz_object(kind, load, tmp_path):
    posterior = posterior_of(kind)
    posterior.save(tmp_path / "file.nc")
    ours, theirs = posterior.to_arviz(), load(tmp_path / "file.nc").to_arviz()
    assert groups(ours) == groups(theirs)
    for name in groups(ours):
        assert group(ours, name).equals(group(theirs, name))


def test_moves_are_labelled_by_origin_and_target():
    moves = group(posterior_of("default").to_arviz(), "posterior")["move"].values
    assert "awareness -> evaluation" in moves


@pytest.mark.parametrize("kind", ["contracts", "no contracts"])
def test_arvizs_leave_one_out_over_customers_is_ours(kind):
    posterior, az = posterior_of(kind), import_arviz()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = az.loo(posterior.to_arviz(log_likelihood=True))
    ours = leave_one_out(posterior)
    elpd = float(getattr(found, "elpd_loo", None) or found.elpd)
    assert elpd == pytest.approx(ours.elpd, abs=0.02 * abs(ours.elpd) ** 0.5)
    assert float(found.se) == pytest.approx(ours.se, rel=0.02)


def test_a_log_likelihood_of_a_million_customers_is_refused():
    history = cohort_history([0.3], [1.5], rng=np.random.default_rng(3), n=1_000_000, renewals=2)
    posterior = RetentionModel().fit(history, **SHORT)
    with pytest.raises(InputError, match=r"1,000,000 customers .* `checks.leave_one_out`"):
        posterior.to_arviz(log_likelihood=True)


def plots(az, idata):
    """Name -> a call that draws the figure."""
    draws = group(idata, "posterior")
    name = next(iter(draws.data_vars))
    some = {"var_names": [name], "coords": {dim: draws[dim].values[:2] for dim in draws[name].dims[2:]}}
    old = az.__version__.startswith("0.")
    names = ["plot_forest", "plot_rank", "plot_ess", "plot_autocorr"]
    names += ["plot_trace", "plot_posterior"] if old else ["plot_trace_dist", "plot_dist"]
    calls = {of: lambda of=of: getattr(az, of)(idata, **some) for of in names}
    calls["plot_energy"] = lambda: az.plot_energy(idata)
    calls["plot_pair"] = lambda: az.plot_pair(idata, **some, **({"divergences": True} if old else {}))
    if "observed_data" in groups(idata):
        for of in ["plot_ppc"] if old else ["plot_ppc_dist", "plot_ppc_interval"]:
            calls[of] = lambda of=of: getattr(az, of)(idata)
    return calls


def drawn(call):
    """The figure of a call, of either ArviZ."""
    import matplotlib.pyplot as plt

    plt.close("all")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ArviZ about itself
        call()
        figure = plt.gcf()
        figure.canvas.draw()
    return figure


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_arvizs_plots_draw_it(kind):
    mpl.use("agg")
    for name, call in plots(import_arviz(), posterior_of(kind).to_arviz()).items():
        figure = drawn(call)
        assert any(axis.lines or axis.collections or axis.patches for axis in figure.axes), name


if __name__ == "__main__":
    mpl.use("agg")
    for of_kind in KINDS:
        for of, draw in plots(import_arviz(), posterior_of(of_kind).to_arviz()).items():
            drawn(draw).savefig(Path(sys.argv[1]) / f"{of_kind} {of}.png", dpi=60)
