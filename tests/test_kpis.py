"""KPIs of logs that are small enough to count by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hand_logs import hand_log
from small_worlds import full_world

from journeysim.errors import InputError
from journeysim.events import EventLog
from journeysim.kpis import KPIS, kpis
from journeysim.simulation import simulate

START = datetime(2026, 1, 1, tzinfo=UTC)
NOT_RECORDED = {
    "lapsed_share", "win_back_rate", "csat", "csat_top_2_box", "csat_answers", "nps", "nps_answers", "referral_rate",
    "referrals_per_buyer",
}  # fmt: skip
STAGES = ("unaware", "interest", "purchase", "loyalty")
Row = tuple[int, float, str, str | None, float | None, float | None]  # customer, day, kind, stage, value, cost

ROWS: list[Row] = [
    # 0: buys on day 10, again on day 40, still there
    (0, 0, "stage", "unaware", None, None),
    (0, 2, "touch", "unaware", None, 0.5),
    (0, 4, "stage", "interest", None, None),
    (0, 10, "stage", "purchase", None, None),
    (0, 10, "purchase", "purchase", 100.0, None),
    (0, 20, "stage", "loyalty", None, None),
    (0, 40, "stage", "purchase", None, None),
    (0, 40, "purchase", "purchase", 50.0, None),
    # 1: buys on day 20, lost on day 45
    (1, 0, "stage", "unaware", None, None),
    (1, 5, "stage", "interest", None, None),
    (1, 6, "stage", "interest", None, None),  # says it again: no move
    (1, 8, "stage", "unaware", None, None),
    (1, 9, "touch", "unaware", None, 1.0),
    (1, 9, "stage", "interest", None, None),
    (1, 20, "stage", "purchase", None, None),
    (1, 20, "purchase", "purchase", 30.0, None),
    (1, 45, "lost", None, None, None),
    # 2: lost on day 3
    (2, 0, "stage", "unaware", None, None),
    (2, 3, "lost", None, None, None),
    # 3: nothing but a touch
    (3, 0, "stage", "unaware", None, None),
    (3, 7, "touch", "unaware", None, 0.5),
]


def log_of(rows: list[Row], *, n: int = 4, days: float = 100, stages: tuple[str, ...] = STAGES) -> EventLog:
    frame = pl.DataFrame(
        {
            "customer": [row[0] for row in rows],
            "time": [START + timedelta(days=row[1]) for row in rows],
            "kind": [row[2] for row in rows],
            "channel": ["search" if row[2] == "touch" else None for row in rows],
            "stage": [row[3] for row in rows],
            "value": [row[4] for row in rows],
            "cost": [row[5] for row in rows],
        },
        schema_overrides={"stage": pl.String, "channel": pl.String, "value": pl.Float64, "cost": pl.Float64},
    )
    people = pl.DataFrame({"customer": range(n), "city": ["Turin", "Turin", "Lyon", None, "Lyon", "Lyon"][:n]})
    return EventLog.from_frame(
        frame, customers=people, start=START, end=START + timedelta(days=days), stages=stages,
        purchase_stages=["purchase"] if "purchase" in stages else [], currency="EUR",
    )  # fmt: skip


def values(log: EventLog, segment: str = "all", by: str | None = None) -> dict[str, float | None]:
    frame = kpis(log, by=by).filter(pl.col("segment") == segment)
    return dict(zip(frame["kpi"], frame["value"], strict=True))


def test_the_figures_of_a_small_log_are_those_counted_by_hand() -> None:
    assert values(log_of(ROWS)) == {
        "customers": 4,
        "conversion_rate": 0.5,
        "conversion_30_days": pytest.approx(0.5),
        "conversion_90_days": pytest.approx(0.5),
        "purchases": 3,
        "revenue": 180,
        "revenue_per_customer": 45,
        "revenue_per_buyer": 90,
        "revenue_per_buyer_day": pytest.approx(180 / (90 + 80)),
        "clv_30_days": 90,  # both were observed for longer; the purchase on day 40 was 30 days after the first
        "clv_90_days": 90,
        "median_basket": 50,
        "median_days_to_purchase": pytest.approx(15),
        "median_days_deciding": pytest.approx((6 + 15) / 2),  # from days 4 and 5, when they left the first stage
        "repeat_rate": 0.5,
        "lost_share": 0.5,
        "lapsed_share": None,  # no such stage
        "win_back_rate": None,
        "retention_30_days": 0.5,  # customer 1 left 25 days after the purchase
        "retention_90_days": 0.5,  # customer 0 was observed for just 90
        "csat": None,  # nobody was asked
        "csat_top_2_box": None,
        "csat_answers": None,
        "nps": None,
        "nps_answers": None,
        "referral_rate": None,
        "referrals_per_buyer": None,
        "touches_per_customer": 0.75,
        "cost": 2,
        "cost_per_acquisition": 1,
        "return_on_spend": 90,
    }


def test_every_kpi_has_its_unit_in_each_segment() -> None:
    frame = kpis(log_of(ROWS), by="city")
    assert frame["segment"].unique(maintain_order=True).to_list() == ["Lyon", "Turin", "(none)"]
    assert frame.group_by("segment").len()["len"].to_list() == [len(KPIS)] * 3
    assert dict(zip(frame["kpi"], frame["unit"], strict=True)) == {name: unit for name, (unit, _) in KPIS.items()}


def test_the_order_of_segments_does_not_depend_on_who_comes_first() -> None:
    columns = {"customer": [1, 2, 3], "age": [11, 9, None], "city": ["b", "a", "c"]}
    log = EventLog.from_frame(
        pl.DataFrame({"customer": [1], "time": [START], "kind": ["purchase"]}),
        customers=pl.DataFrame(columns),
        end=START + timedelta(days=9),
    )
    assert kpis(log, by="age")["segment"].unique(maintain_order=True).to_list() == ["9", "11", "(none)"]
    assert kpis(log, by="city")["segment"].unique(maintain_order=True).to_list() == ["a", "b", "c"]


def test_segments_add_up() -> None:
    log = log_of(ROWS)
    parts = [values(log, segment, by="city") for segment in ("Turin", "Lyon", "(none)")]
    for name in ("customers", "purchases", "revenue", "cost"):
        assert sum(part[name] or 0 for part in parts) == values(log)[name]
    assert parts[0]["conversion_rate"] == 1
    assert parts[1]["median_basket"] is None
    assert parts[1]["cost_per_acquisition"] is None


def test_an_unknown_segment_is_told() -> None:
    with pytest.raises(InputError, match="no column 'persona' in customers; known: city"):
        kpis(log_of(ROWS), by="persona")


def test_nobody_bought() -> None:
    found = values(log_of(ROWS[-2:]))
    undefined = {name for name, value in found.items() if value is None}
    assert undefined == {
        "median_basket", "median_days_to_purchase", "median_days_deciding", "repeat_rate",
        "retention_30_days", "retention_90_days", "cost_per_acquisition", "revenue_per_buyer", "revenue_per_buyer_day",
        "clv_30_days", "clv_90_days", *NOT_RECORDED,
    }  # fmt: skip
    assert (found["conversion_rate"], found["revenue"], found["return_on_spend"]) == (0, 0, 0)


def test_log_without_stages_costs_values_or_surveys_has_the_figures_of_its_events() -> None:
    rows: list[Row] = [
        (0, 0, "touch", None, None, None),
        (0, 9, "purchase", None, None, None),
        (1, 1, "touch", None, None, None),
    ]
    found = {name: value for name, value in values(log_of(rows, stages=())).items() if value is not None}
    assert found == {
        "customers": 4,
        "conversion_rate": 0.25,
        "conversion_30_days": pytest.approx(0.5),  # of the two with a first event
        "conversion_90_days": pytest.approx(0.5),
        "purchases": 1,
        "median_days_to_purchase": pytest.approx(9),
        "repeat_rate": 0,
        "lost_share": 0,
        "retention_30_days": 1,
        "retention_90_days": 1,
        "touches_per_customer": 0.5,
    }


def test_one_customer_with_one_row() -> None:
    found = values(log_of([(0, 5, "purchase", None, None, None)], n=1, days=10, stages=()))
    assert (found["customers"], found["conversion_rate"], found["median_days_to_purchase"]) == (1, 1, 0)
    assert found["revenue"] is None  # a purchase of unknown value
    assert found["cost"] is None  # a log without any touch does not tell
    assert found["retention_30_days"] is None  # observed for five days only
    assert found["median_days_deciding"] is None


def test_unknown_costs_are_not_zero() -> None:
    rows: list[Row] = [(0, 1, "touch", None, None, None), (0, 2, "purchase", None, 10.0, None)]
    found = values(log_of(rows, stages=()))
    assert (found["cost"], found["cost_per_acquisition"], found["return_on_spend"]) == (None, None, None)


def test_who_buys_after_being_lost_is_active_again() -> None:
    rows: list[Row] = [(0, 1, "lost", None, None, None), (0, 9, "purchase", None, 10.0, None)]
    assert values(log_of(rows, stages=()))["retention_90_days"] == 1


def test_the_order_of_customers_changes_nothing() -> None:
    swapped = [(3 - row[0], *row[1:]) for row in ROWS]
    assert values(log_of(swapped)) == pytest.approx(values(log_of(ROWS)))


def frame_of(log: EventLog, **options: Any) -> dict[tuple[str, ...], dict[str, float | None]]:
    """KPIs by segment (and period)."""
    frame = kpis(log, **options)
    keys = [name for name in ("segment", "period") if name in frame.columns]
    parts = frame.partition_by(keys, as_dict=True)
    return {key: dict(part.select("kpi", "value").iter_rows()) for key, part in parts.items()}


def test_periods_are_those_in_which_a_cohort_began() -> None:
    rows = [*ROWS, (4, 35, "touch", "unaware", None, 2.0), (4, 36, "purchase", "purchase", 7.0, None)]
    log = log_of(rows, n=6)
    by_event = frame_of(log, period="month")
    assert {key: found["customers"] for key, found in by_event.items()} == {
        ("all", "2026-01"): 4,
        ("all", "2026-02"): 1,
        ("all", "(none)"): 1,  # the customer without an event
    }
    assert by_event["all", "2026-02"]["cost_per_acquisition"] == 2
    by_purchase = frame_of(log, by="city", period="week", cohort="first_purchase")
    assert {key: found["revenue"] for key, found in by_purchase.items() if found["purchases"]} == {
        ("Turin", "2026-W02"): 150,  # 11 January is the Sunday of ISO week 2, both purchases of its cohort count
        ("Turin", "2026-W04"): 30,
        ("Lyon", "2026-W06"): 7,
    }
    assert by_purchase["Lyon", "(none)"]["lost_share"] == 0.5


def test_cohorts_of_the_first_purchase_have_no_conversion() -> None:
    conversion = {"conversion_rate", "conversion_30_days", "conversion_90_days"}
    log = log_of(ROWS)
    for found in frame_of(log, period="week", cohort="first_purchase").values():
        assert {found[name] for name in conversion} == {None}
        assert found["customers"] is not None
    for options in ({"period": "week"}, {"cohort": "first_purchase"}):  # the latter does not split
        assert any(found["conversion_rate"] == 0.5 for found in frame_of(log, **options).values())


def test_intervals_of_amounts_end_at_zero_and_of_scores_at_the_scale() -> None:
    """One of twelve customers pays and refers; few answer, and most of these give the best score."""
    rows = [(c, 0, "touch", "ad") for c in range(12)]
    buyers = [(c, 1, "purchase", "buy", 100 if c == 0 else 1) for c in range(4)]
    answers = [(c, 2, "csat", "buy", 4 if c == 0 else 5) for c in range(3)]
    answers += [(c, 3, "nps", "buy", 8 if c == 0 else 10) for c in range(3)]
    log = hand_log(*sorted([*rows, *buyers, *answers, (0, 5, "referral")]), stages=["buy"], purchase_stages=["buy"])
    found = {row["kpi"]: row for row in kpis(log).iter_rows(named=True)}
    for name in ("revenue_per_customer", "revenue_per_buyer", "referrals_per_buyer"):
        assert found[name]["low"] == 0
        assert found[name]["high"] > 2 * found[name]["value"]
    assert found["csat"]["high"] == 5
    assert 1 < found["csat"]["low"] < found["csat"]["value"]
    assert found["nps"]["high"] == 100
    assert found["nps"]["low"] < found["nps"]["value"]


def test_money_that_went_back_may_take_an_interval_below_zero() -> None:
    rows = [(c, 1, "purchase", "buy", 10 if c % 2 else -9) for c in range(12)]
    row = kpis(hand_log(*rows, stages=["buy"])).row(by_predicate=pl.col("kpi") == "revenue_per_buyer", named=True)
    assert row["low"] < 0 < row["value"] == 0.5 < row["high"]


def test_periods_and_segments_add_up_to_everybody() -> None:
    log = simulate(full_world(), n_customers=3_000, horizon_days=120, seed=2)
    everybody = values(log)
    for options in ({"by": "age"}, {"by": "market"}, {"period": "day", "cohort": "first_purchase"}):
        parts = frame_of(log, **options).values()
        for name in ("customers", "purchases", "revenue", "cost", "csat_answers", "nps_answers"):
            assert sum(part[name] or 0 for part in parts) == pytest.approx(everybody[name])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"period": "year"}, "period is 'year'; it must be one of day, week, month"),
        ({"period": "day", "cohort": "visit"}, "cohort is 'visit'; it must be one of first_event, first_purchase"),
        ({"cluster": "market"}, "no column 'market' in customers; known: city"),
    ],
)
def test_unknown_choices_are_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        kpis(log_of(ROWS), **options)


def test_lapsed_customers_and_those_won_back() -> None:
    log = hand_log(
        *((0, 0, "stage", "buy"), (0, 0, "purchase", "buy"), (0, 10, "stage", "lapsed"), (0, 15, "stage", "buy")),
        (0, 15, "purchase", "buy"),
        *((1, 0, "stage", "buy"), (1, 0, "purchase", "buy"), (1, 40, "stage", "lapsed"), (1, 41, "lost")),
        *((2, 0, "stage", "buy"), (2, 0, "purchase", "buy"), (2, 60, "stage", "lapsed")),
        *((3, 0, "stage", "buy"), (3, 0, "purchase", "buy")),
        *((4, 0, "stage", "lapsed"), (4, 1, "stage", "buy"), (4, 1, "purchase", "buy")),  # a former customer at first
        days=100,
        stages=["buy", "lapsed"],
        purchase_stages=["buy"],
    )
    found = values(log)
    assert found["lapsed_share"] == 4 / 5
    assert found["win_back_rate"] == 2 / 4
    assert found["lost_share"] == 1 / 5
    assert found["retention_30_days"] == pytest.approx(4 / 5)  # customer 0 lapsed, and is not retained by coming back
    assert found["retention_90_days"] == pytest.approx(2 / 5)


def test_surveys_and_referrals_in_the_table() -> None:
    log = hand_log(
        *((0, 1, "purchase", "buy"), (0, 2, "csat", "buy", 5), (0, 3, "csat", "buy", 2), (0, 4, "referral", "buy")),
        *((1, 1, "purchase", "buy"), (1, 2, "nps", "buy", 9), (1, 3, "nps", "buy", 6), (1, 3, "nps", "buy", 10)),
        *((2, 1, "touch", "ad"), (2, 2, "referral"), (2, 3, "nps", "buy", 8)),
        stages=["buy"],
    )
    found = values(log)
    assert (found["csat"], found["csat_top_2_box"], found["csat_answers"]) == (3.5, 0.5, 2)
    assert (found["nps"], found["nps_answers"]) == (pytest.approx(100 * (2 - 1) / 4), 4)
    assert (found["referral_rate"], found["referrals_per_buyer"]) == (0.5, 0.5)  # customer 2 bought nothing
    (few,) = kpis(log).filter(kpi="referrals_per_buyer").iter_rows(named=True)
    assert few["low"] == 0 < few["high"]  # not -5.9


def test_a_simulated_log_has_every_kpi_with_its_interval() -> None:
    log = simulate(full_world(), n_customers=3_000, horizon_days=120, seed=3)
    without = {"customers", "purchases", "revenue", "cost", "csat_answers", "nps_answers"}
    for cluster in (None, "market"):
        frame = kpis(log, cluster=cluster)
        assert frame["value"].null_count() == 0
        assert set(frame.filter(pl.col("low").is_null())["kpi"]) == without
        bounded = frame.filter(~pl.col("kpi").is_in(without))
        assert (bounded["low"] < bounded["value"]).all()
        assert (bounded["value"] < bounded["high"]).all()


def test_one_cluster_gives_no_interval() -> None:
    log = simulate(full_world(), n_customers=1_000, horizon_days=60, seed=3)
    frame = kpis(log, by="market", cluster="market")
    assert frame["segment"].n_unique() == 2
    assert frame["low"].null_count() == frame["high"].null_count() == frame.height
    assert frame["value"].to_list() == kpis(log, by="market")["value"].to_list()
