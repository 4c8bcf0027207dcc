"""What happened in each period of the calendar, counted by hand and against the table of KPIs."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest
from hand_logs import hand_log
from small_worlds import full_world
from test_kpis import ROWS, log_of

from journeysim.errors import InputError
from journeysim.events import EventLog
from journeysim.kpis import calendar, kpis
from journeysim.simulation import simulate


def test_a_month_counts_what_happened_in_it() -> None:
    frame = calendar(log_of(ROWS), "month")
    assert frame.columns[:3] == ["segment", "period", "days"]
    assert frame["period"].to_list() == ["2026-01", "2026-02", "2026-03", "2026-04"]
    assert frame["days"].to_list() == [31, 28, 31, 10]
    named = frame.to_dict(as_series=False)
    assert named["touches"] == [3, 0, 0, 0]
    assert named["new_customers"] == [4, 0, 0, 0]
    assert named["new_buyers"] == [2, 0, 0, 0]
    assert named["purchases"] == [2, 1, 0, 0]  # day 40 is 10 February
    assert named["revenue"] == [130, 50, 0, 0]
    assert named["lost"] == [1, 1, 0, 0]
    assert named["cost_per_new_buyer"] == [1, None, None, None]
    assert named["return_on_spend"] == [65, None, None, None]
    assert named["csat"] == [None] * 4


@pytest.mark.parametrize("period", ["day", "week", "month"])
@pytest.mark.parametrize("by", [None, "persona"])
def test_periods_add_up_to_the_whole_window(period: str, by: str | None) -> None:
    log = simulate(full_world(), n_customers=1_000, horizon_days=75.5, seed=1)
    frame = calendar(log, period, by=by)  # type: ignore[arg-type]
    whole = dict(kpis(log).select("kpi", "value").iter_rows())
    for name in ("purchases", "revenue", "cost"):
        assert frame[name].sum() == pytest.approx(whole[name])
    assert frame["new_customers"].sum() == 1_000
    assert frame["touches"].sum() == len(log.to_polars().filter(kind="touch"))
    assert frame["lapsed"].sum() == len(log.to_polars().filter(kind="stage", stage="lapsed"))
    for (_,), part in frame.group_by("segment"):
        assert part["days"].sum() == pytest.approx(75.5)
        assert part["period"].is_sorted()
        assert part["period"].is_unique().all()


def test_a_window_within_a_week_and_one_that_ends_at_midnight() -> None:
    start, end = datetime(2026, 1, 28, 12, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
    frame = pl.DataFrame({"customer": [1, 1], "time": [start, end], "kind": ["touch", "touch"], "channel": ["a", "a"]})
    log = EventLog.from_frame(frame, start=start, end=end)
    months = calendar(log, "month")
    assert months.select("period", "days", "touches").rows() == [("2026-01", 3.5, 2)]  # the last moment still counts
    assert calendar(log, "week").select("period", "days", "touches").rows() == [("2026-W05", 3.5, 2)]
    assert calendar(log, "day")["days"].to_list() == [0.5, 1, 1, 1]


def test_scores_of_a_period() -> None:
    log = hand_log(
        *((0, 0, "csat", None, 5), (0, 0, "csat", None, 2), (0, 1, "nps", None, 10), (0, 1, "nps", None, 3)),
        *((1, 1, "nps", None, 9), (1, 1, "csat"), (1, 2, "referral")),
        days=3,
    )
    frame = calendar(log, "day")
    assert frame["csat"].to_list() == [3.5, None, None]  # an answer without a score counts for nothing
    assert frame["nps"].to_list() == [None, pytest.approx(100 / 3), None]
    assert frame["referrals"].to_list() == [0, 0, 1]


def test_an_unknown_period_is_told() -> None:
    with pytest.raises(InputError, match="period is 'quarter'; it must be one of day, week, month"):
        calendar(log_of(ROWS), "quarter")  # type: ignore[arg-type]
