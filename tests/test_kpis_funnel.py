"""The funnel and the reasons of loss, surveys by stage and spend by channel, of logs that are counted by hand."""

from __future__ import annotations

import polars as pl
import pytest
from hand_logs import hand_log
from small_worlds import full_world
from test_kpis import ROWS, log_of

from journeysim.errors import InputError
from journeysim.kpis import channel_spend, drop_off, funnel, loss_reasons, surveys, wilson
from journeysim.simulation import simulate
from journeysim.stage_history import to_stage_history


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


def rows_of(frame: pl.DataFrame, *names: str) -> list[tuple]:
    return frame.select(names).rows()


LAPSING = hand_log(
    *((0, 0, "stage", "buy"), (0, 1, "stage", "lapsed"), (0, 2, "stage", "buy"), (0, 3, "stage", "lapsed")),
    *((1, 0, "stage", "buy"), (1, 5, "lost")),
    *((2, 0, "stage", "buy"), (2, 1, "stage", "lapsed"), (2, 2, "lost")),
    stages=["buy", "lapsed"],
    purchase_stages=["buy"],
)  # fmt: skip


def test_a_stay_may_end_in_lapsed_and_who_comes_back_goes_forward() -> None:
    assert rows_of(
        funnel(LAPSING), "stage", "entries", "customers", "forward", "lost", "lapsed", "still_there", "drop_off"
    ) == [("buy", 4, 3, 0, 1, 3, 0, 1.0), ("lapsed", 3, 2, 1, 1, 0, 1, pytest.approx(1 / 3))]
    assert drop_off(LAPSING)["lost"].to_list() == [4, 1]  # in short: both ways out


def test_segments_of_a_funnel_add_up_and_agree_with_the_history() -> None:
    log = simulate(full_world(), n_customers=2_000, horizon_days=100, seed=4)
    counts = ["entries", "customers", "forward", "back", "lost", "lapsed", "still_there"]
    parts = funnel(log, by="persona").group_by("stage", maintain_order=True).agg(pl.col(counts).sum())
    everybody = funnel(log)
    assert parts.rows() == everybody.select("stage", *counts).rows()
    history = to_stage_history(log)
    moved = dict.fromkeys([(s, way) for s in log.stages for way in ("forward", "back", "lost", "lapsed")], 0)
    for (origin, target), way, n in zip(history.moves, history.directions, history.counts[0], strict=True):
        moved[origin, target if way == "exit" else way] += n
    assert {(row["stage"], way): row[way] for row in everybody.iter_rows(named=True) for way in counts[2:6]} == moved
    assert (everybody["entries"] == everybody.select(counts[2:]).sum_horizontal()).all()


def test_the_interval_of_a_drop_off_is_wilsons_where_everybody_enters_once() -> None:
    log = hand_log(
        *((i, 0, "stage", "a") for i in range(263)), *((i, 1, "lost") for i in range(81)), stages=["a"]
    )  # fmt: skip
    (row,) = funnel(log).iter_rows(named=True)
    assert (row["low"], row["high"]) == (pytest.approx(0.2553, abs=5e-5), pytest.approx(0.3662, abs=5e-5))


def test_customers_who_enter_often_and_end_alike_count_once() -> None:
    rows = [
        (i, day, "stage", stage)
        for i in range(40)
        for day, stage in enumerate(("a", "lapsed" if i < 20 else "b") * 4)  # four times the same
    ]
    row = funnel(hand_log(*rows, stages=["a", "b", "lapsed"])).row(0, named=True)
    assert row["entries"] == 160
    assert (row["drop_off"], row["low"], row["high"]) == pytest.approx(wilson(20, 40))


REASONS = (
    *((0, 0, "stage", "cart"), (0, 1, "pain", "fee"), (0, 1, "pain", "fee"), (0, 2, "lost")),
    *((1, 0, "stage", "cart"), (1, 1, "pain", "fee"), (1, 1, "pain", "queue"), (1, 2, "lost")),
    *((2, 0, "stage", "cart"), (2, 1, "pain", "fee"), (2, 2, "stage", "paid")),
    *((3, 0, "stage", "cart"), (3, 2, "lost")),
    *((4, 0, "stage", "cart"), (4, 1, "stage", "paid"), (4, 2, "pain", "fee"), (4, 3, "stage", "cart")),
)
REASON_COLUMNS = ("stage", "reason", "lost", "share_of_lost", "met", "drop_off_met", "drop_off_not_met")


def test_without_causes_the_pain_points_of_a_stay_are_associations() -> None:
    found = loss_reasons(hand_log(*REASONS, stages=["cart", "paid"]))
    assert set(found["evidence"]) == {"association"}
    third = pytest.approx(1 / 3)
    assert rows_of(found, *REASON_COLUMNS) == [
        ("cart", "fee", 2, pytest.approx(2 / 3), 3, pytest.approx(2 / 3), third),  # three stays met none, one was lost
        ("cart", "queue", 1, third, 1, 1.0, pytest.approx(2 / 5)),
        ("paid", "fee", 0, None, 1, 0.0, 0.0),
    ]


def test_causes_share_all_losses_among_them() -> None:
    log = hand_log(*REASONS, stages=["cart", "paid"])
    causes = iter(["fee", "email"])
    events = log.to_polars().with_columns(
        cause=pl.Series([next(causes, None) if kind == "lost" else None for kind in log.to_polars()["kind"]])
    )
    events = events.with_columns(channel=pl.when(pl.col("kind") == "touch").then(pl.lit("email")))
    told = type(log).from_frame(events, start=log.start, end=log.end, stages=log.stages)
    assert rows_of(loss_reasons(told), "stage", "reason", "reason_kind", "evidence", "lost", "share_of_lost") == [
        ("cart", "fee", "pain point", "cause", 1, pytest.approx(1 / 3)),
        ("cart", "email", "channel", "cause", 1, pytest.approx(1 / 3)),
        ("cart", "(unknown)", "unknown", "cause", 1, pytest.approx(1 / 3)),
        ("cart", "queue", "pain point", "cause", 0, 0.0),
        ("paid", "fee", "pain point", "cause", 0, None),
    ]


def test_reasons_of_a_simulated_log_add_up_to_its_funnel() -> None:
    log = simulate(full_world(), n_customers=2_000, horizon_days=100, seed=5)
    reasons = loss_reasons(log)
    assert set(reasons["reason_kind"]) == {"base", "channel", "pain point"}
    by_stage = dict(reasons.group_by("stage").agg(pl.col("lost").sum()).iter_rows())
    assert {stage: by_stage.get(stage, 0) for stage in log.stages} == dict(
        drop_off(log).select("stage", "lost").iter_rows()
    )
    met = reasons.filter(pl.col("met").is_not_null())
    pains = log.to_polars().filter(kind="pain").group_by("pain_point").len()
    assert dict(met.select("reason", "met").iter_rows()) == dict(pains.iter_rows())  # each lives in one stage


def test_nobody_lost_has_no_reasons() -> None:
    assert loss_reasons(hand_log((0, 0, "stage", "a"), stages=["a"])).is_empty()
    with pytest.raises(InputError, match="loss_reasons: this log has no stages"):
        loss_reasons(hand_log((0, 0, "touch", "ad")))


def test_surveys_by_stage_with_answers_per_entry() -> None:
    log = hand_log(
        *((0, 0, "stage", "use"), (0, 1, "nps", "use", 10), (0, 2, "csat", "use", 3), (0, 3, "nps", None, 0)),
        *((1, 0, "stage", "use"), (1, 1, "nps", "use", 7), (2, 0, "stage", "use"), (3, 0, "stage", "use")),
        stages=["use"],
    )
    assert rows_of(surveys(log), "survey", "stage", "answers", "answers_per_entry", "measure", "value") == [
        ("csat", None, 1, None, "mean", 3.0),
        ("csat", None, 1, None, "top_2_box", 0.0),
        ("csat", "use", 1, 0.25, "mean", 3.0),
        ("csat", "use", 1, 0.25, "top_2_box", 0.0),
        ("nps", None, 3, None, "nps", 0.0),
        ("nps", "use", 2, 0.5, "nps", 50.0),
    ]
    assert surveys(hand_log((0, 0, "touch", "ad"))).is_empty()


def test_spend_counts_whom_a_channel_touched_before_they_bought() -> None:
    rows = [
        *((0, 0, "ad"), (0, 1, "ad"), (0, 2, "mail"), (0, 3, None), (0, 4, "shop"), (0, 5, None)),
        *((1, 0, "mail"), (2, 0, "ad"), (2, 1, None)),
    ]
    frame = pl.DataFrame(
        {
            "customer": [row[0] for row in rows],
            "time": [f"2026-01-0{1 + row[1]}" for row in rows],
            "kind": ["purchase" if row[2] is None else "touch" for row in rows],
            "channel": [row[2] for row in rows],
            "value": [10.0 if row[2] is None else None for row in rows],
            "cost": [{"ad": 2.0, "mail": 0.0, "shop": 1.0}.get(row[2]) for row in rows],
        }
    )
    spend = channel_spend(type(LAPSING).from_frame(frame))
    assert spend.drop("segment").rows() == [
        ("ad", 3, 2, 2, pytest.approx(2 / 3), 2, 6.0, 2.0, 3.0, 30.0, 5.0),
        ("mail", 2, 2, 1, pytest.approx(1 / 3), 1, 0.0, 0.0, 0.0, 20.0, None),
        ("shop", 1, 1, 0, 0.0, 0, 1.0, 1.0, None, 0.0, 0.0),  # met between two purchases only
    ]


def test_spend_of_segments_adds_up() -> None:
    log = simulate(full_world(), n_customers=1_000, horizon_days=60, seed=6)
    sums = ["touches", "customers", "first_touches", "buyers_touched", "cost", "revenue_of_buyers_touched"]
    parts = channel_spend(log, by="persona").group_by("channel").agg(pl.col(sums).sum()).sort("channel")
    for part, whole in zip(
        parts.rows(), channel_spend(log).select("channel", *sums).sort("channel").rows(), strict=True
    ):
        assert part == (whole[0], *(pytest.approx(number) for number in whole[1:]))


def test_a_log_without_touches_has_no_spend() -> None:
    assert channel_spend(hand_log((0, 0, "purchase", None, 3), stages=["a"])).is_empty()
