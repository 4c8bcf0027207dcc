import numpy as np
import pytest
from test_bayes_stages import split_history
from test_stage_calibration import template

from journeysim.bayes import StageModel
from journeysim.errors import InputError
from journeysim.prior_table import prior_table


@pytest.mark.parametrize("kind", ["default", "bins"])
def test_the_table_tells_conversion_and_days_in_stage(kind):
    """Purchase is left by one move: with hazards the same in all bins, half stay for log 2 typical days."""
    model = StageModel(typical_days=10, typical_days_within=2, segment_spread=0.01, bin_factor_within=1.001)
    table = prior_table(model, template(kind), conversion_days=30, seed=1)
    assert table["quantity"].to_list() == [
        "conversion within 30 days",
        *(f"days until half have left {stage}" for stage in ("awareness", "evaluation", "purchase")),
    ]
    assert ((table["low"] < table["median"]) & (table["median"] < table["high"])).all()
    # 1,000 worlds: a median has a standard error of 1.25 * 0.42 / sqrt(1000) = 1.7%, quantiles at 5% one of 3%
    np.testing.assert_allclose(table.row(3)[1:], np.log(2) * np.array([5, 10, 20]), rtol=0.15)
    assert table["high"][0] < 1


def test_half_leave_when_the_hazard_of_their_bins_has_accumulated():
    from journeysim.prior_table import _median_days

    found = _median_days(np.array([[1.0, 1.0], [0.1, 1.0], [0.1, 1e-3]]), (0.0, 2.0))
    np.testing.assert_allclose(found, [np.log(2), 2 + np.log(2) - 0.2, 2 + (np.log(2) - 0.2) / 1e-3])


def test_covariates_are_refused():
    with pytest.raises(InputError, match="leave the covariates out"):
        prior_table(StageModel(), split_history(), conversion_days=30, seed=1)
