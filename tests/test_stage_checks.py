"""Checks of stage models: on customers that the model describes they pass, on others they say what is wrong."""

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
import xarray as xr
from chains import simulate_history
from scipy import stats
from statistical import FALSE_ALARM
from test_bayes_stages import HAZARDS, split_history
from test_stage_calibration import NARROW, hazards_in_cells

from journeysim import EventLog, to_stage_history
from journeysim.bayes import StageModel
from journeysim.bayes.arviz_versions import pointwise_loo
from journeysim.bayes.stage_checks import check_stages, hazards_in, waiting_time_pit
from journeysim.bayes.stage_comparison import compare, leave_one_out, prior_sensitivity
from journeysim.errors import InputError

START = datetime(2026, 1, 1)
BINS = (0.0, 2.0, 7.0)


def log_of(waits, seed=3, n=1500):
    """Customers who wait in one stage and then buy or are lost; `waits(rng, n)` in days; 30 days are observed."""
    rng = np.random.default_rng(seed)
    begin, wait, buys = rng.uniform(0, 20, n), waits(rng, n), rng.random(n) < 0.4
    rows = []
    for i in range(n):
        rows.append((f"c{i}", START + timedelta(days=begin[i]), "stage", "looking"))
        if begin[i] + wait[i] < 30:
            end = ("purchase", "bought") if buys[i] else ("lost", None)
            rows.append((f"c{i}", START + timedelta(days=begin[i] + wait[i]), *end))
    frame = pl.DataFrame(rows, schema=["customer", "time", "kind", "stage"], orient="row")
    return EventLog.from_frame(
        frame, stages=["looking", "bought"], purchase_stages=["bought"], start=START, end=START + timedelta(days=30)
    )


@pytest.fixture(scope="module")
def constant():
    return log_of(lambda rng, n: rng.exponential(5.0, n))


@pytest.fixture(scope="module")
def mixed():
    """A quarter leave within hours, the others after weeks."""
    return log_of(lambda rng, n: np.where(rng.random(n) < 0.4, rng.exponential(0.5, n), rng.exponential(15.0, n)))


def fitted(log, bins=(0.0,)):
    return StageModel().fit(to_stage_history(log, bins_days=bins), seed=1, draws=400, warmup=300)


def test_a_model_that_is_right_passes(constant):
    posterior = fitted(constant)
    check = check_stages(posterior, to_stage_history(constant, bins_days=BINS), seed=1)
    assert check.p_value > FALSE_ALARM
    assert check.days["stage"].to_list() == ["looking"] * 2  # nobody was seen to leave the other one
    np.testing.assert_allclose(check.days["observed"], np.exp(-np.array([2, 7]) / 5), atol=0.06)
    assert check.days["mean"][0] == pytest.approx(np.exp(-2 / 5), abs=0.03)
    pit = waiting_time_pit(posterior, constant, seed=1)
    assert len(pit) == 1500
    assert stats.kstest(pit, "uniform").pvalue > FALSE_ALARM


def test_hazards_that_are_not_constant_are_found_out_and_bins_mend_it(mixed):
    fine = to_stage_history(mixed, bins_days=BINS)
    rigid, binned = fitted(mixed), fitted(mixed, BINS)
    check = check_stages(rigid, fine, seed=1)
    assert check.p_value < 0.01
    assert "does not describe" in check.verdict
    assert "bins_days='auto'" in check.verdict
    assert stats.kstest(waiting_time_pit(rigid, mixed, seed=1), "uniform").pvalue < FALSE_ALARM
    assert check_stages(binned, fine, seed=1).verdict.startswith("The model describes")
    table = compare({"constant": rigid, "bins": binned}, fine)
    assert table["model"].to_list() == ["bins", "constant"]
    assert table["verdict"].to_list() == ["best", "worse"]
    assert table["behind"][1] > 5 * table["behind_se"][1] > 0


def test_leave_one_out_equals_that_over_rows():
    """Every move a row of its own, and the days at risk cut into many rows without a move."""
    history = simulate_history(HAZARDS[:2], n_customers=15, horizon_days=40, rng=np.random.default_rng(2))
    posterior = NARROW.fit(history, seed=1, draws=250, warmup=300)
    hazards, days = posterior.hazards_by_chain, history.exposure_days[:, history.origins]
    counts = history.counts.astype(int)
    per_move = np.repeat(np.log(hazards).reshape(*hazards.shape[:2], -1), counts.ravel(), axis=-1)
    pieces = 400  # the limit is short of that many by half their variance: 0.06
    silent = np.repeat((-hazards * days / pieces).reshape(*hazards.shape[:2], -1), pieces, axis=-1)
    rows = xr.Dataset({"rows": (("chain", "draw", "row"), np.concatenate([per_move, silent], axis=-1))})
    theta = xr.Dataset({"theta": (("chain", "draw", "segment", "move"), np.log(hazards))})
    by_row, _ = pointwise_loo(rows, theta)
    found = leave_one_out(posterior)
    moves = float(found.weight @ found.of_moves)
    assert moves == pytest.approx(float(by_row.to_numpy()[: counts.sum()].sum()), abs=0.02)
    assert found.elpd == pytest.approx(float(by_row.sum()), abs=0.1)
    assert found.weight.sum() == counts.sum()


def test_hazards_in_cells_follow_bins_and_covariates():
    history = split_history()
    posterior = NARROW.fit(history, seed=1, draws=30, warmup=100)
    found = hazards_in(posterior, history, np.arange(120))
    np.testing.assert_allclose(found, hazards_in_cells(posterior))
    coarse = NARROW.fit(replace(history, detail=None), seed=1, draws=30, warmup=100)
    chosen = np.array([0, 7, 119])
    assert (hazards_in(coarse, history, chosen) == coarse.hazards[chosen][:, :, None, None]).all()


def test_comparing_other_customers_coarser_cells_and_too_few_is_refused(constant, mixed):
    posterior, binned = fitted(constant), fitted(constant, BINS)
    with pytest.raises(InputError, match="do not add up to the fitted ones"):
        leave_one_out(posterior, to_stage_history(mixed))
    with pytest.raises(InputError, match="bins split those of the fit"):
        check_stages(binned, to_stage_history(constant), seed=1)
    with pytest.raises(InputError, match="at least two"):
        compare({"one": posterior}, posterior.history)
    with pytest.raises(InputError, match="the posterior has segments"):
        waiting_time_pit(replace(posterior, history=replace(posterior.history, segments=("x",))), constant, seed=1)
    with pytest.raises(InputError, match="seen at visits only"):
        check_stages(replace(posterior, seen_at_visits=True), posterior.history, seed=1)


@pytest.mark.slow
def test_priors_matter_where_little_was_seen_and_not_where_much_was():
    little = simulate_history(HAZARDS, n_customers=2, horizon_days=10, rng=np.random.default_rng(1))
    much = simulate_history(HAZARDS, n_customers=5000, horizon_days=40, rng=np.random.default_rng(1))
    narrow = StageModel(typical_days_within=1.5)
    found = [prior_sensitivity(narrow, history, seed=1, draws=300) for history in (little, much)]
    assert found[0]["setting"][0] == "typical_days"
    assert found[0]["verdict"][0] == "matters"
    assert found[1]["shift_in_sd"].max() < 0.5 < found[0]["shift_in_sd"][0]
    assert set(found[0]["setting"]) == {
        "typical_days",
        "typical_days_within",
        "segment_spread",
        "segment_spread_within",
    }
