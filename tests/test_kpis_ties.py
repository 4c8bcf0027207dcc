"""Logs as others write them: days without hours, stages named by any row, segments without prices."""

import pandas as pd
import pytest

from journeysim.errors import InputError
from journeysim.events import EventLog
from journeysim.kpis import funnel, kpis
from journeysim.stage_history import to_stage_history

STAGES = ("browse", "buy", "lapsed")


def log_of(*rows, columns=("customer", "time", "kind", "stage"), **more):
    frame = pd.DataFrame(list(rows), columns=list(columns))
    return EventLog.from_frame(frame, stages=STAGES, purchase_stages=("buy",), **more)


def found(log, by=None, segment="all"):
    table = kpis(log, by).filter(segment=segment)
    return dict(table.select("kpi", "value").iter_rows())


@pytest.mark.parametrize("gone", ["lost", "stage"])
def test_who_comes_back_on_the_day_of_leaving_is_a_customer(gone):
    """Rows of one time stand in the order of happening."""
    rows = [
        (1, "2026-02-01", "stage", "browse"),
        (1, "2026-02-10", gone, None if gone == "lost" else "lapsed"),
        (1, "2026-02-10", "purchase", "buy"),
        (2, "2026-06-01", "stage", "browse"),
    ]
    back = found(log_of(*rows))
    assert (back["lost_share"], back["retention_30_days"]) == (0.0, 1.0)
    left = found(log_of(rows[0], rows[2], rows[1], rows[3]))  # negative control: the other order
    assert (left["lost_share"], left["retention_30_days"]) == (0.5 if gone == "lost" else 0.0, 0.0)


def test_a_purchase_row_that_names_its_stage_enters_it():
    log = log_of(
        (1, "2026-01-01", "stage", "browse"),
        (1, "2026-01-02", "purchase", "buy"),
        (1, "2026-01-03", "stage", "lapsed"),
        (1, "2026-01-04", "purchase", "buy"),
        (2, "2026-01-09", "stage", "browse"),
    )
    assert funnel(log).filter(stage="buy")["entries"].item() == 2
    assert found(log)["win_back_rate"] == 1.0
    assert set(to_stage_history(log).moves) == {("browse", "buy"), ("buy", "lapsed"), ("lapsed", "buy")}


def test_lost_is_no_stage_to_move_to():
    with pytest.raises(
        InputError, match=r"row 2 .*stage is 'lost'; it must be a stage: who leaves for good has a row of"
    ):
        log_of((1, "2026-01-01", "stage", "browse"), (1, "2026-01-05", "stage", "lost"))
    log_of((1, "2026-01-01", "stage", "browse"), (1, "2026-01-05", "lost", "lost"))


@pytest.mark.parametrize(("kind", "score", "right"), [("csat", 0, 1), ("csat", 6, 5), ("nps", -1, 0), ("nps", 11, 10)])
def test_scores_out_of_range_are_refused(kind, score, right):
    columns = ("customer", "time", "kind", "stage", "value")
    with pytest.raises(InputError, match=rf"row 1 .*value is {score}.*a score from . to \d+ \({kind}\)"):
        log_of((1, "2026-01-01", kind, "buy", score), columns=columns)
    log_of((1, "2026-01-01", kind, "buy", right), columns=columns)


def test_money_that_a_log_or_a_segment_does_not_tell_is_null_and_not_0():
    columns = ("customer", "time", "kind", "channel", "value", "cost")
    rows = [
        (1, "2026-01-01", "touch", "ad", None, 2.0),
        (1, "2026-01-02", "purchase", None, 50.0, None),
        (1, "2026-01-03", "purchase", None, None, None),
        (2, "2026-01-01", "touch", "seo", None, None),
        (2, "2026-01-02", "purchase", None, None, None),
    ]
    people = pd.DataFrame({"customer": [1, 2], "source": ["paid", "organic"]})
    log = log_of(*rows, columns=columns, customers=people)
    paid, organic = found(log, "source", "paid"), found(log, "source", "organic")
    assert (paid["cost"], paid["cost_per_acquisition"], paid["median_basket"]) == (2.0, 2.0, 50.0)
    unknown = ("cost", "cost_per_acquisition", "return_on_spend", "median_basket", "revenue", "clv_30_days")
    assert {name: organic[name] for name in unknown} == dict.fromkeys(unknown)
    no_touches = found(log_of(*(row for row in rows if row[2] == "purchase"), columns=columns))
    assert (no_touches["cost"], no_touches["revenue"]) == (None, 50.0)
