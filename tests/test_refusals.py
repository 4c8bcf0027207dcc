"""What no model can learn is refused in words, and what it borrows is said: one table over all models.

Details of each model are tested with it; here every fault meets every model that it concerns.
"""

from datetime import datetime, timedelta

import polars as pl
import pytest

from journeysim import (
    EventLog,
    InfluenceModel,
    RetentionModel,
    StageModel,
    forecast,
    improve_stage,
    to_cohorts,
    to_influence_history,
    to_panel_history,
    to_purchase_history,
    to_stage_history,
)
from journeysim.bayes.retention import PurchaseHistory
from journeysim.errors import InputError

START = datetime(2026, 1, 1)
TINY = {"seed": 1, "draws": 20, "warmup": 20, "chains": 2}
BUYS = ((0, "look"), (1, "cart"), (9, "buy"), (15, "cart"), (18, "buy"), (20, "lost"))
LEAVES = ((0, "look"), (1, "cart"), (9, "lost"))
STAYS = ((0, "look"), (1, "cart"))


def log_of(journey, *, n=30):
    """n customers with about the same journey, each contacted in every stage; customer 0 is a segment alone."""
    rows = []
    for customer in range(n):
        for step, (day, stage) in enumerate(journey):
            at = day + customer % 7 / 8 * (step > 0)
            lost = stage == "lost"
            rows.append((customer, at, "lost" if lost else "stage", None if lost else stage, None, None))
            if stage == "buy":
                rows.append((customer, at, "purchase", "buy", None, 10.0))
            elif not lost:
                rows.append((customer, at + 0.05, "touch", stage, "ad", None))
    columns = ("customer", "time", "kind", "stage", "channel", "value")
    frame = pl.DataFrame(rows, schema=columns, orient="row", infer_schema_length=None)
    return EventLog.from_frame(
        frame.with_columns(time=pl.Series([START + timedelta(days=day) for day in frame["time"]])),
        customers=pl.DataFrame({"customer": range(n), "segment": ["solo"] + ["rest"] * (n - 1)}),
        start=START,
        end=START + timedelta(days=60),
        stages=("look", "cart", "buy"),
        purchase_stages=("buy",),
    )


def stages(log):
    return StageModel().fit(to_stage_history(log, by="segment"), **TINY)


def influence(log):
    return InfluenceModel().fit(to_influence_history(log, by="segment"), **TINY)


def contracts(log):
    return RetentionModel().fit(to_cohorts(log, by="segment", period_days=5), **TINY)


def purchases(log):
    return RetentionModel().fit(to_purchase_history(log, by="segment"), **TINY)


def what_if(log):
    plan = [improve_stage("look", forward=1.5)]
    return forecast(stages(log), plan, conversion_days=30, retention_days=30, require_converged=False)


@pytest.mark.parametrize(
    ("journey", "model", "message"),
    [
        pytest.param(LEAVES, what_if, "No move of this history leads to a purchase", id="no conversions: forecast"),
        pytest.param(LEAVES, contracts, "nobody bought, so no contract began", id="no conversions: contracts"),
        pytest.param(LEAVES, purchases, "there are no customers; check that the log has", id="no conversions: BG/NBD"),
        pytest.param(STAYS, stages, "nobody was seen to leave stage 'cart' in 1,[0-9]{3} cust", id="never left"),
    ],
)
def test_what_nobody_did_is_refused(journey, model, message):
    with pytest.raises(InputError, match=message):
        model(log_of(journey))


@pytest.mark.parametrize(
    ("model", "told"),
    [(stages, "notes"), (influence, "notes"), (contracts, "warnings"), (purchases, "warnings")],
    ids=["stages", "influence", "contracts", "BG/NBD"],
)
def test_a_segment_of_one_customer_is_pooled_and_named(model, told):
    posterior = model(log_of(BUYS))
    (said,) = getattr(posterior, told)
    assert "'solo' has one customer" in said
    assert "other segments" in said
    assert posterior.segments == ("rest", "solo") or posterior.segments == ("solo", "rest")


@pytest.mark.parametrize("model", [stages, influence, contracts, purchases])
def test_draws_that_did_not_converge_are_refused_with_what_to_do(model):
    posterior = model(log_of(BUYS))
    assert not posterior.diagnostics.ok
    with pytest.raises(InputError, match=r"Not converged\. .*double `draws`"):
        posterior.require_converged()


def test_a_forecast_refuses_draws_that_did_not_converge():
    with pytest.raises(InputError, match=r"Not converged\."):
        forecast(stages(log_of(BUYS)), [improve_stage("look")], conversion_days=30, retention_days=30)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: to_stage_history(log_of((*LEAVES, (12, "cart")))), "Customer 0 has events after being lost"),
        (lambda: log_of(((-3, "look"),)), "must be inside the window"),
        (
            lambda: to_panel_history(
                pl.DataFrame({"customer": [1, 1], "time": [1.0, 1.0], "stage": ["look", "cart"]}),
                stages=["look", "cart"],
            ),
            "customer 1 is in two stages at once",
        ),
        (
            lambda: PurchaseHistory.from_rfm(
                pl.DataFrame({"customer_id": [1], "frequency": [2], "recency": [50.0], "T": [30.0]})
            ),
            "customer 1 .* the last purchase cannot be after the end",
        ),
    ],
    ids=["after a loss", "before the window", "two stages at a visit", "a purchase after the end"],
)
def test_contradictory_times_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()
