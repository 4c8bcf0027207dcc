from types import SimpleNamespace

import numpy as np
import pytest

from journeysim.forecasts import Forecast, Measures
from journeysim.scores import forecast_against_simulation, share_error
from journeysim.simulation import SimulatedChange


def one_change(draws, *, found, error):
    """The row for conversion, where forecast draws of a difference meet one simulated change."""
    draws = np.asarray(draws, dtype=float)
    nothing = np.zeros(len(draws))
    forecast = Forecast(90.0, 30.0, Measures(nothing, nothing), ("better",), (Measures(draws, nothing),), ((),))
    simulated = SimulatedChange("better", 9, 9, 0.1, found, error, 0.8, *[0.0] * 20)
    table = forecast_against_simulation(forecast, [simulated])
    assert table["measure"].to_list() == ["conversion", "retention"]
    return SimpleNamespace(**table.row(0, named=True))


def test_share_error_is_the_credit_that_stands_at_the_wrong_channel():
    # 0.2 too much at the first channel; 0.1 too little at each of the others: 0.2 of all credit has to move
    assert share_error(np.array([0.7, 0.2, 0.1]), np.array([0.5, 0.3, 0.2])) == pytest.approx(0.2)
    assert share_error(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == 1.0
    assert share_error(np.array([0.4, 0.6]), np.array([0.4, 0.6])) == 0.0


def test_a_gap_is_measured_in_joint_standard_errors():
    # draws 0.01, 0.02, 0.03: mean 0.02, standard deviation 0.01; with 0.01 * sqrt(3) of noise the joint error is 0.02
    row = one_change([0.01, 0.02, 0.03], found=-0.01, error=0.01 * np.sqrt(3))
    assert row.gap == pytest.approx(0.03)
    assert row.joint_error == pytest.approx(0.02)
    assert row.z == pytest.approx(1.5)
    assert row.agrees


@pytest.mark.parametrize(("gap", "agrees"), [(0.0299, True), (0.0301, False), (-0.0301, False)])
def test_more_than_three_joint_errors_are_a_disagreement(gap, agrees):
    assert one_change([-0.01, 0.0, 0.01], found=-gap, error=0.0).agrees == agrees


def test_where_neither_side_moves_they_agree():
    row = one_change([0.0, 0.0], found=0.0, error=0.0)
    assert (row.joint_error, row.z, row.agrees) == (0.0, 0.0, True)


def test_two_different_certainties_disagree():
    row = one_change([0.0, 0.0], found=0.01, error=0.0)
    assert (row.joint_error, row.z, row.agrees) == (0.0, float("inf"), False)
