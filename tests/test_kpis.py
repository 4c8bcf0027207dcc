"""KPIs of logs that are small enough to count by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from journeysim.errors import InputError
from journeysim.events import EventLog
from journeysim.kpis import KPIS, drop_off, kpis, survival, wilson

START = datetime(2026, 1, 1, tzinfo=UTC)
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
    people = pl.DataFrame({"customer": range(n), "city": ["Turin", "Turin", "Lyon", None, "Lyon"][:n]})
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
        "purchases": 3,
        "revenue": 180,
        "revenue_per_customer": 45,
        "median_basket": 50,
        "median_days_to_purchase": pytest.approx(15),
        "median_days_deciding": pytest.approx((6 + 15) / 2),  # from days 4 and 5, when they left the first stage
        "repeat_rate": 0.5,
        "lost_share": 0.5,
        "retention_30_days": 0.5,  # customer 1 left 25 days after the purchase
        "retention_90_days": 0.5,  # customer 0 was observed for just 90
        "touches_per_customer": 0.75,
        "cost": 2,
        "cost_per_acquisition": 1,
        "return_on_spend": 90,
    }


def test_every_kpi_has_its_unit_in_each_segment() -> None:
    frame = kpis(log_of(ROWS), by="city")
    assert frame["segment"].unique(maintain_order=True).to_list() == ["Turin", "Lyon", "(none)"]
    assert frame.group_by("segment").len()["len"].to_list() == [len(KPIS)] * 3
    assert dict(zip(frame["kpi"], frame["unit"], strict=True)) == {name: unit for name, (unit, _) in KPIS.items()}


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
        "retention_30_days", "retention_90_days", "cost_per_acquisition",
    }  # fmt: skip
    assert (found["conversion_rate"], found["revenue"], found["return_on_spend"]) == (0, 0, 0)


def test_one_customer_with_one_row() -> None:
    found = values(log_of([(0, 5, "purchase", None, None, None)], n=1, days=10, stages=()))
    assert (found["customers"], found["conversion_rate"], found["median_days_to_purchase"]) == (1, 1, 0)
    assert found["revenue"] is None  # a purchase of unknown value
    assert found["cost"] == 0  # no touch, no cost
    assert found["retention_30_days"] is None  # observed for five days only
    assert found["median_days_deciding"] is None


def test_unknown_costs_are_not_zero() -> None:
    rows: list[Row] = [(0, 1, "touch", None, None, None), (0, 2, "purchase", None, 10.0, None)]
    found = values(log_of(rows, stages=()))
    assert (found["cost"], found["cost_per_acquisition"], found["return_on_spend"]) == (None, None, None)


def test_who_buys_after_being_lost_is_active_again() -> None:
    rows: list[Row] = [(0, 1, "lost", None, None, None), (0, 9, "purchase", None, 10.0, None)]
    assert values(log_of(rows, stages=()))["retention_90_days"] == 1


def test_drop_off_counts_every_entry_once() -> None:
    frame = drop_off(log_of(ROWS))
    assert frame.rows() == [
        ("unaware", 5, 3, 0, 1, 1, 0.2),
        ("interest", 3, 2, 1, 0, 0, 0.0),
        ("purchase", 3, 1, 0, 1, 1, pytest.approx(1 / 3)),
        ("loyalty", 1, 1, 0, 0, 0, 0.0),  # a repeat purchase counts as forward
    ]
    assert (frame["entries"] == frame.select("forward", "back", "lost", "still_there").sum_horizontal()).all()


def test_a_stage_that_nobody_entered_has_no_drop_off() -> None:
    assert drop_off(log_of(ROWS[-2:]))["drop_off"].to_list() == [0.0, None, None, None]


def test_drop_off_of_a_log_without_stages_is_refused() -> None:
    with pytest.raises(InputError, match="no stages"):
        drop_off(log_of([(0, 5, "purchase", None, 1.0, None)], stages=()))


def test_wilson_interval() -> None:
    # Newcombe (1998), Statistics in Medicine 17:857, table I, method 3: 81/263 and 0/20
    assert wilson(81, 263) == (
        pytest.approx(81 / 263),
        pytest.approx(0.2553, abs=5e-5),
        pytest.approx(0.3662, abs=5e-5),
    )
    assert wilson(0, 20) == (0, 0, pytest.approx(0.1611, abs=5e-5))
    assert wilson(0, 0) == (None, None, None)


def test_survival_of_a_textbook() -> None:
    # remission in weeks of 21 patients on 6-MP: Freireich et al. (1963), estimates as in Kleinbaum & Klein, ch. 2
    weeks = np.array([6, 6, 6, 7, 10, 13, 16, 22, 23, 6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35], dtype=float)
    ended = np.arange(21) < 9
    for week, expected in ((5, 1.0), (6, 0.8571), (7, 0.8067), (10, 0.7529), (13, 0.6902), (16, 0.6275), (23, 0.4482)):
        assert survival(week, weeks, ended)[0] == pytest.approx(expected, abs=5e-5)
    _, low, high = survival(10, weeks, ended)
    assert (low, high) == (
        pytest.approx(0.5032, abs=5e-4),
        pytest.approx(0.8894, abs=5e-4),
    )  # survfit, conf.type log-log
    assert survival(36, weeks, ended) == (None, None, None)


def test_without_censoring_survival_is_the_share_left() -> None:
    days = np.random.default_rng(1).exponential(30, 500).round()  # rounded: many ties
    for day in (0, 10, 50):
        assert survival(day, days, np.ones(500, bool))[0] == pytest.approx((days > day).mean())


def test_the_order_of_customers_changes_nothing() -> None:
    swapped = [(3 - row[0], *row[1:]) for row in ROWS]
    assert values(log_of(swapped)) == pytest.approx(values(log_of(ROWS)))
