"""Sums of units and products: ratios and their errors."""

import numpy as np

from journeysim.simulation.moments import Moments


def units(n, seed=0):
    rng = np.random.default_rng(seed)
    whole = rng.gamma(2.0, 3.0, (n, 4))
    return np.stack([0.3 * whole + rng.normal(0, 0.2, (n, 4)), whole], axis=2)


def test_moments_add_up():
    values = units(500)
    parts = Moments.of(values[:123]) + Moments.of(values[123:])
    whole = Moments.of(values)
    assert parts.n_units == whole.n_units == 500
    np.testing.assert_allclose(parts.totals, whole.totals)
    np.testing.assert_allclose(parts.products, whole.products)


def test_a_ratio_has_the_error_of_the_residuals():
    values = units(300)
    ratio, error = Moments.of(values).ratio(0, 1)
    part, whole = values[..., 0], values[..., 1]
    np.testing.assert_allclose(ratio, part.mean(axis=0) / whole.mean(axis=0))
    residual = part - ratio * whole
    np.testing.assert_allclose(error, residual.std(axis=0, ddof=1) / np.sqrt(300) / whole.mean(axis=0))


def test_nothing_lost_is_nothing_with_no_error():
    values = units(50)
    values[..., 0] = 0
    ratio, error = Moments.of(values).ratio(0, 1)
    assert (ratio == 0).all()
    assert (error == 0).all()


def test_what_is_unknown_is_nan():
    values = units(50)
    values[:, 2, 1] = 0
    ratio, error = Moments.of(values).ratio(0, 1)
    assert np.isnan(ratio).tolist() == np.isnan(error).tolist() == [False, False, True, False]
    assert np.isnan(Moments.of(values[:1]).ratio(0, 1)[1]).all()  # one unit has no error


def test_jackknife_and_delta_method_agree_on_clusters():
    values = units(400, seed=3)
    _, error = Moments.of(values).ratio(0, 1)
    sums = values.sum(axis=0)
    left_out = (sums - values)[..., 0] / (sums - values)[..., 1]
    jackknife = np.sqrt(399 / 400 * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0))
    np.testing.assert_allclose(error, jackknife, rtol=0.02)
