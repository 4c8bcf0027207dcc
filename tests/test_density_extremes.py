"""A trial step of the sampler may go anywhere: no density may raise, or return what is no number, wherever it goes."""

import math
import warnings

import numpy as np
import pytest
from influence_stays import known_world
from test_bayes_stages import HISTORIES
from test_panel_history import MOVES, STAGES, VISITS
from test_retention_models import histories

from journeysim import InfluenceModel, RetentionModel, StageModel, simulate, to_influence_history
from journeysim.bayes.impossible import or_impossible
from journeysim.bayes.panel_density import PanelDensity
from journeysim.bayes.stage_effects import StageEffects
from journeysim.bayes.whitening import Whitened
from journeysim.panel_history import to_panel_history


def stage(history):
    return StageModel()._density(StageEffects.of(history, StageModel().log_priors()))


def panel():
    visits = to_panel_history(VISITS, stages=STAGES, by="shop", exact=["lost"], moves=[*MOVES, ("cart", "lost")])
    return PanelDensity.of(visits, StageEffects.of(visits.as_if_seen(), StageModel().log_priors()))


def influence(by, **settings):
    model = InfluenceModel(**settings)
    log = simulate(known_world(), n_customers=60, horizon_days=60, seed=1)
    history = to_influence_history(log, by=by, customers=True)
    if model.hidden_personas > 1:
        return model._hidden_density(history)[0]
    return model._density(history)[0]


def retention(name, part):
    part, likelihood = RetentionModel().parts(histories()[name])[part]
    return part.density(likelihood)


DENSITIES = {
    **{f"stages, {name}": lambda history=history: stage(history) for name, history in HISTORIES.items()},
    "visits": panel,
    "influence, one segment": lambda: influence(None),
    "influence, segments": lambda: influence("persona"),
    "hidden personas": lambda: influence("persona", hidden_personas=2),
    "purchases, one segment": lambda: retention("one segment", 0),
    "purchases, segments": lambda: retention("three segments", 0),
    "spend, one segment": lambda: retention("one segment", 1),
    "spend, segments": lambda: retention("three segments", 1),
    "renewals, segments": lambda: retention("two contracts", 0),
    "renewals, covariates": lambda: retention("covariates", 0),
}


def far_points(n_dim, rng):
    """Far along every coordinate, one at a time, and in random directions."""
    directions = [*np.eye(n_dim), *rng.normal(size=(20, n_dim))]
    return [step * direction for size in (1, 30, 300, 1e3, 1e6) for step in (size, -size) for direction in directions]


@pytest.mark.parametrize("make", DENSITIES.values(), ids=DENSITIES)
def test_a_density_is_a_number_or_impossible_wherever_the_sampler_steps(make):
    density, rng = make(), np.random.default_rng(1)
    whitened = Whitened(density, np.zeros(density.n_dim), rng.normal(size=(density.n_dim, density.n_dim)))
    impossible = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for of in (density, whitened):
            for x in far_points(density.n_dim, rng):
                value, gradient = of(x)
                assert math.isfinite(value) or value == -math.inf
                assert np.isfinite(gradient).all()
                assert math.isfinite(value) or not gradient.any()
                impossible += value == -math.inf
        assert all(math.isfinite(density(sign * e)[0]) for e in np.eye(density.n_dim) for sign in (1, -1))
    assert impossible, "no point was far enough to test anything"


@pytest.mark.parametrize("value", [math.inf, math.nan, -math.inf])
def test_what_is_no_number_becomes_impossible(value):
    for made in (or_impossible(value, np.ones(2)), or_impossible(0.0, np.array([1.0, value]))):
        assert made[0] == -math.inf
        assert not made[1].any()
    value, gradient = or_impossible(-2.5, np.array([1.0, 3.0]))
    assert (value, *gradient) == (-2.5, 1.0, 3.0)
