"""What retention models see of a log or a table, and what they refuse."""

from datetime import UTC, datetime, timedelta
from importlib.resources import files

import numpy as np
import pandas as pd
import polars as pl
import pytest

from journeysim import EventLog, simulate, worlds
from journeysim.bayes.retention import CohortHistory, PurchaseHistory, RetentionModel, to_cohorts, to_purchase_history
from journeysim.errors import InputError
from journeysim.kpis import retained_after

DAY0 = datetime(2026, 1, 1, tzinfo=UTC)


def log_of(rows, *, end=100.0, customers=None, stages=()):
    """(customer, day, kind, value or stage)."""
    frame = pl.DataFrame(
        [
            (who, DAY0 + timedelta(days=day), kind, x if kind == "purchase" else None, x if kind == "stage" else None)
            for who, day, kind, x in rows
        ],
        schema={"customer": pl.String, "time": pl.Datetime("us", "UTC"), "kind": pl.String, "value": pl.Float64,
                "stage": pl.String},
        orient="row",
    )  # fmt: skip
    return EventLog.from_frame(frame, customers=customers, start=DAY0, end=DAY0 + timedelta(days=end), stages=stages)


BOUGHT = [
    ("ann", 2, "purchase", 10.0), ("ann", 9, "purchase", 20.0), ("ann", 30, "purchase", 40.0),
    ("bob", 16, "purchase", 5.0), ("cat", 3, "touchless", None), ("dan", 60, "purchase", 7.0),
]  # fmt: skip
BOUGHT = [row for row in BOUGHT if row[2] == "purchase"]


def test_a_purchase_history_counts_from_each_customers_first_purchase():
    history = to_purchase_history(log_of(BOUGHT), until=DAY0 + timedelta(days=44))
    assert history.customers.tolist() == ["ann", "bob"]  # dan came later
    assert history.frequency.tolist() == [2, 0]
    np.testing.assert_allclose(history.recency, [4.0, 0.0])
    np.testing.assert_allclose(history.age, [6.0, 4.0])
    np.testing.assert_allclose(history.mean_value, [30.0, np.nan])  # the first purchase is no repeat purchase
    in_days = to_purchase_history(log_of(BOUGHT), until=DAY0 + timedelta(days=44), unit="days")
    np.testing.assert_allclose(in_days.recency, 7 * history.recency)


def test_purchases_of_one_day_can_be_taken_for_one():
    rows = [("ann", 1.1, "purchase", 1.0), ("ann", 1.3, "purchase", 2.0), ("ann", 8.6, "purchase", 3.0),
            ("ann", 8.7, "purchase", 4.0)]  # fmt: skip
    assert to_purchase_history(log_of(rows)).frequency.tolist() == [3]
    merged = to_purchase_history(log_of(rows), merge_same_day=True)
    assert (merged.frequency.tolist(), merged.recency.tolist(), merged.mean_value.tolist()) == ([1], [1.0], [7.0])


def test_a_missing_value_makes_a_customers_mean_unknown():
    rows = [("ann", 1, "purchase", 1.0), ("ann", 2, "purchase", None), ("ann", 3, "purchase", 3.0),
            ("bob", 1, "purchase", 1.0), ("bob", 2, "purchase", 2.0)]  # fmt: skip
    np.testing.assert_array_equal(to_purchase_history(log_of(rows)).mean_value, [np.nan, 2.0])


def test_the_history_of_cdnow_is_that_of_the_published_summary():
    """Fader & Hardie's own table: 2,357 customers, 946 of them with 2,457 repeat purchases, in 39 weeks."""
    rows = pl.read_csv(files("journeysim") / "datasets" / "cdnow.csv.gz").with_columns(kind=pl.lit("purchase"))
    history = to_purchase_history(EventLog.from_frame(rows), until=datetime(1997, 9, 30), merge_same_day=True)
    assert (history.n_customers, (history.frequency > 0).sum(), history.frequency.sum()) == (2357, 946, 2457)
    first = [(int(history.frequency[i]), round(history.recency[i], 2), round(history.age[i], 2)) for i in (0, 1, 2)]
    assert first == [(2, 30.43, 38.86), (1, 1.71, 38.86), (0, 0.0, 38.86)]
    assert history.mean_value[0] == pytest.approx(22.345)


RFM = {"customer_id": [1, 2, 3], "frequency": [2, 0, 1], "recency": [5.0, 0.0, 3.0], "T": [9.0, 8.0, 7.0]}


@pytest.mark.parametrize("frame", [pl.DataFrame, pd.DataFrame])
def test_a_table_of_other_tools_is_read_from_any_dataframe(frame):
    table = frame({**RFM, "monetary_value": [12.0, 0.0, 5.0], "plan": ["b", "a", "b"]})
    history = PurchaseHistory.from_rfm(table, by="plan")
    assert history.segments == ("a", "b")
    assert history.segment.tolist() == [1, 0, 1]
    np.testing.assert_array_equal(history.mean_value, [12.0, np.nan, 5.0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recency": [10.0, 0.0, 3.0]}, "customer 1 has frequency 2, recency 10 and T 9: the last purchase cannot"),
        ({"recency": [5.0, 2.0, 3.0]}, "customer 2 .* without a repeat purchase the recency is 0"),
        ({"recency": [0.0, 0.0, 3.0]}, "customer 1 .* repeat purchases come later"),
        ({"recency": [-1.0, 0.0, 3.0]}, "rfm row 1: column 'recency' is -1.0; it must be a finite number >= 0"),
        ({"T": [9.0, None, 7.0]}, "rfm row 2: column 'T' is blank"),
        ({"frequency": [1.5, 0, 1]}, "frequency is 1.5; it must be a whole number"),
        ({"frequency": [0, 0, 0], "recency": [0.0, 0.0, 0.0]}, "no customer bought twice"),
        ({"customer_id": [1, 2, 1]}, "customer 1 stands twice"),
    ],
)
def test_contradictions_are_refused_by_name(change, message):
    with pytest.raises(InputError, match=message):
        PurchaseHistory.from_rfm(pl.DataFrame(RFM | change, strict=False))


def test_a_log_without_purchases_a_wrong_end_and_a_wrong_segment_are_refused():
    with pytest.raises(InputError, match="there are no customers"):
        to_purchase_history(log_of([("ann", 1, "lost", None)]))
    with pytest.raises(InputError, match=r"until is .* must be after"):
        to_purchase_history(log_of(BOUGHT), until=DAY0 + timedelta(days=101))
    with pytest.raises(InputError, match="no column 'plan'"):
        to_purchase_history(log_of(BOUGHT), by="plan")


def test_a_segment_of_one_customer_pools_and_says_so():
    table = {**RFM, "plan": ["a", "b", "a"]}
    history = PurchaseHistory.from_rfm(pl.DataFrame(table), by="plan")
    assert history.notes == (
        "Segment 'b' has one customer: its results are borrowed from the other segments and the priors.",
    )
    posterior = RetentionModel().fit(history, seed=1, draws=100, warmup=200)
    assert posterior.notes == history.notes
    assert np.isfinite(posterior.parameters.values).all()


def test_spend_of_nothing_is_refused_with_the_customer():
    history = PurchaseHistory.from_rfm(pl.DataFrame({**RFM, "monetary_value": [12.0, 0.0, 0.0]}))
    with pytest.raises(InputError, match="customer 3 has mean value 0; values must be above 0"):
        RetentionModel().fit(history, seed=1)


CONTRACTS = [
    ("ann", 0, "purchase", None), ("ann", 45, "lost", None),  # renews once, leaves in her second period
    ("bob", 0, "purchase", None),  # three whole periods of 30 days
    ("cat", 20, "purchase", None), ("cat", 85, "lost", None),  # two whole periods; leaves in the third, not whole
    ("dan", 95, "purchase", None),  # no whole period
    ("eve", 10, "purchase", None), ("eve", 20, "stage", "lapsed"), ("eve", 50, "purchase", None),
]  # fmt: skip


def test_renewals_count_where_the_window_holds_the_whole_period():
    """Of cat's third period the window holds 20 days: counting her loss, and no one who stays, would raise churn."""
    history = to_cohorts(log_of(CONTRACTS, stages=("lapsed", "back")), period_days=30)
    assert history.left.tolist() == [[1, 1, 0]]  # eve at once, ann at her second renewal
    assert history.stayed.tolist() == [[3, 2, 1]]
    assert history.active.tolist() == [[1, 0, 0, 1]]  # dan and bob are customers today
    only_lost = to_cohorts(log_of(CONTRACTS, stages=("lapsed", "back")), period_days=30, ends=["lost"])
    assert only_lost.left.tolist() == [[0, 1, 0]]


def test_retention_of_cohorts_is_that_of_the_kpis():
    """The share that stays through its first whole period, by Kaplan-Meier and by cohorts of a simulated log."""
    log = simulate(worlds.load("six-stages"), n_customers=3_000, horizon_days=365, seed=1)
    history = to_cohorts(log, period_days=30)
    of_cohorts = history.stayed[0, 0] / history.at_risk[0, 0]
    n = history.at_risk[0, 0]
    assert abs(of_cohorts - retained_after(log, 30)[0]) < 3 / np.sqrt(n)


def test_a_survival_table_is_added_up_over_cohorts():
    table = pd.DataFrame(
        {"cohort": ["jan"] * 4 + ["feb"] * 3, "period": [0, 1, 2, 3, 0, 1, 2], "alive": [100, 80, 70, 60, 50, 45, 40]}
    )
    history = CohortHistory.from_alive(table, period="month")
    assert history.stayed.tolist() == [[125, 110, 60]]
    assert history.left.tolist() == [[25, 15, 10]]
    assert history.active.tolist() == [[0, 0, 40, 60]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alive": [100, 80, 90]}, "alive grows from 80 in period 1 to 90"),
        ({"period": [0, 1, 3]}, "periods are .*0.0, 1.0, 3.0.* once each"),
        ({"alive": [100, None, 70]}, "row 2: column 'alive' is blank"),
        ({"alive": [100, 100, 100]}, "nobody left"),
        ({"alive": [0, 0, 0]}, "nobody came up for renewal"),
        ({"plan": [1.0, 1.0, 2.0]}, "a covariate changes"),
    ],
)
def test_impossible_survival_tables_are_refused(change, message):
    table = pl.DataFrame({"period": [0, 1, 2], "alive": [100, 80, 70], "plan": [1.0, 1.0, 1.0]} | change)
    with pytest.raises(InputError, match=message):
        CohortHistory.from_alive(table, period="month", covariates=["plan"])


def test_a_log_in_which_nobody_leaves_has_no_churn():
    with pytest.raises(InputError, match="nobody left"):
        to_cohorts(log_of(BOUGHT), period_days=10)
    with pytest.raises(InputError, match="no stage 'paused'"):
        to_cohorts(log_of(BOUGHT), ends=["paused"])
    with pytest.raises(InputError, match="made by to_cohorts or to_purchase_history, got EventLog"):
        RetentionModel().fit(log_of(BOUGHT), seed=1)
