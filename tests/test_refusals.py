"""What no model can learn is refused in words, and what it borrows is said: one table over all models.

Details of each model are tested with it; here every fault meets every model that it concerns.
"""

from datetime import datetime, timedelta

import polars as pl
import pytest

from journeysim import (
    ContactCount,
    ContactRecency,
    EventLog,
    InfluenceModel,
    PainMet,
    RetentionChange,
    RetentionModel,
    StageModel,
    bootstrap_attribution,
    fit_world,
    forecast,
    improve_stage,
    to_cohorts,
    to_influence_history,
    to_panel_history,
    to_purchase_history,
    to_stage_history,
)
from journeysim.bayes.retention import Money, PurchaseHistory, ShiftedBetaGeometric
from journeysim.errors import InputError
from journeysim.forecasts import Cost, decide

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
                rows.append((customer, at, "purchase", "buy", None, 10.0 + customer % 5))
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
        pytest.param(LEAVES, influence, "InfluenceModel: nobody bought", id="no conversions: influence"),
        pytest.param(STAYS, influence, "InfluenceModel: nobody", id="never left: influence"),
        pytest.param(STAYS, stages, "nobody was seen to leave stage 'cart' in 1,[0-9]{3} cust", id="never left"),
    ],
)
def test_what_nobody_did_is_refused(journey, model, message):
    with pytest.raises(InputError, match=message):
        model(log_of(journey))


@pytest.mark.parametrize(
    "model", [stages, influence, contracts, purchases], ids=["stages", "influence", "contracts", "BG/NBD"]
)
def test_a_segment_of_one_customer_is_pooled_and_named_and_printed(model):
    posterior = model(log_of(BUYS))
    (said,) = posterior.notes
    assert repr(posterior).endswith(", 1 note)")
    assert str(posterior) == f"{posterior!r}\n- {said}"
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


@pytest.mark.parametrize(
    ("model", "maker"),
    [
        (StageModel(), "made by to_stage_history"),
        (InfluenceModel(), "made by to_influence_history"),
        (InfluenceModel(hidden_personas=2), "made by to_influence_history"),
        (RetentionModel(), "made by to_cohorts or to_purchase_history"),
    ],
    ids=["stages", "influence", "hidden personas", "retention"],
)
def test_a_log_in_the_place_of_a_history_is_refused_with_what_makes_one(model, maker):
    log = log_of(BUYS)
    for ask in (model.fit, getattr(model, "prior", model.fit), lambda log, seed: model.pymc_model(log)):
        with pytest.raises(InputError, match=f"{maker}.* got EventLog"):
            ask(log, seed=1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StageModel(typical_days="30"), "typical_days must be a number above 0, got '30'"),
        (lambda: InfluenceModel(typical_pull="3%"), "typical_pull must be a number above 0, got '3%'"),
        (lambda: ShiftedBetaGeometric(churn="low"), "churn is 'low'; give the range"),
        (lambda: ShiftedBetaGeometric(churn=("0.1", "0.2")), r"churn is \('0.1', '0.2'\); give the range"),
        (lambda: ShiftedBetaGeometric(odds_ratio="3"), "odds_ratio must be a number above 1, got '3'"),
        (lambda: Money(value="60"), "value is '60'; it must be a number"),
        (lambda: RetentionChange("x", churn="0.9"), "churn is a factor such as 0.9, above 0, got '0.9'"),
        (lambda: RetentionChange("x", churn=0), "above 0, got 0; for nearly nothing of it write 0.001"),
        (lambda: ContactCount((3, 1)), r"channel is the name of one, or None for all, got \(3, 1\)"),
        (lambda: ContactCount(most="2"), "most must be a whole number of at least 1, got '2'"),
        (lambda: ContactRecency(5), "channel is the name of one, or None for all, got 5"),
        (lambda: ContactRecency(days="17"), "days must be ascending numbers above 0, got '17'"),
        (lambda: PainMet(["slow"]), r"pain_point is the name of one, or None for all, got \['slow'\]"),
    ],
)
def test_settings_that_are_no_numbers_or_names_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize("bins", ["fine", "07", 7.0, (0, "2"), (0.0, None), (), [[0, 1]]])
def test_bins_that_are_no_edges_are_refused(bins):
    with pytest.raises(InputError, match=r'such as \(0, 2, 7\), or be "auto", got'):
        to_stage_history(log_of(BUYS), bins_days=bins)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([0.0, float("nan")], "time of customer 1 at 'cart' is nan, which is no number of days"),
        ([0.0, float("inf")], "time of customer 1 at 'cart' is inf, which is no number of days"),
        (["0", "1"], "time must be dates and times, or numbers of days, got String"),
    ],
)
def test_visits_at_no_time_are_refused(times, message):
    visits = pl.DataFrame({"customer": [1, 1], "time": times, "stage": ["look", "cart"]})
    with pytest.raises(InputError, match=message):
        to_panel_history(visits, stages=["look", "cart"])


@pytest.mark.parametrize("days", ["90", float("nan"), None, 0])
def test_a_horizon_that_is_no_number_is_refused(days):
    posterior = StageModel().prior(to_stage_history(log_of(BUYS)), seed=1, draws=10)
    with pytest.raises(InputError, match=r"conversion_days is .*; it must be a positive number of days"):
        forecast(posterior, [], conversion_days=days, retention_days=30, require_converged=False)
    retention = RetentionModel().prior_predictive(to_cohorts(log_of(BUYS), period_days=5), seed=1, draws=10)
    with pytest.raises(InputError, match="retention: times must be numbers >= 0, got"):
        retention.retention(-1 if days == 0 else days)


@pytest.mark.parametrize(
    ("by", "spent", "group"), [(None, [30.0] * 6, "the history"), ("plan", [30.0] * 3 + [1.0, 5.0, 9.0], "segment 'a'")]
)
def test_customers_who_all_spend_the_same_are_refused_at_once(by, spent, group):
    table = {
        "customer_id": range(6),
        "frequency": [1, 2, 3, 1, 2, 3],
        "recency": [3.0] * 6,
        "T": [9.0] * 6,
        "monetary_value": spent,
        "plan": ["a", "a", "a", "b", "b", "b"],
    }
    frame = pl.DataFrame(table)
    with pytest.raises(InputError, match=rf"customers of {group} who bought again spend 30 .* money=Money\(value=30\)"):
        RetentionModel().fit(PurchaseHistory.from_rfm(frame, by=by), **TINY)
    other = frame.with_columns(monetary_value=30.0 + pl.col("frequency"))
    RetentionModel().parts(PurchaseHistory.from_rfm(other, by=by))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (lambda f: decide(f, population="9", costs={}, measure="conversion"), "population is '9'"),
        (lambda f: decide(f, population=None, costs={}, measure="conversion"), "population is None"),
        (lambda f: decide(f, population=9, costs={}, measure="conversion", worth="3"), "worth is '3'"),
        (lambda f: decide(f, population=9, costs={"plan": 100}, measure="conversion"), "give Cost"),
        (lambda f: decide(None, population=9, costs={}), "decide takes what forecast gives"),
        (lambda _: Cost(fixed="9"), "fixed is '9'"),
        (lambda _: fit_world(None, seed=1), "fit_world takes an EventLog"),
        (lambda _: bootstrap_attribution(log_of(BUYS), "digital_twin", seed=1), "to_journeys"),
    ],
)
def test_what_is_no_number_no_cost_and_no_log_is_refused_in_words(asked, told):
    plan = [improve_stage("look", forward=1.5, name="plan")]
    made = forecast(stages(log_of(BUYS)), plan, conversion_days=30, retention_days=30, require_converged=False)
    with pytest.raises(InputError, match=told):
        asked(made)
