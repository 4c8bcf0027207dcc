"""Defects of logs: what they take away, that they leave the rest alone, and that the result is still a log."""

import numpy as np
import polars as pl
import pytest
from benchmark_worlds import quick_case, three_channels
from statistical import assert_proportion

from journeysim import EventLog, InputError, simulate, to_journeys, worlds
from journeysim.benchmark import MissTouches, ShortWindow, SplitCustomers, as_observed, load_case, with_defects
from journeysim.events import check


@pytest.fixture(scope="module")
def log():
    return simulate(three_channels(), n_customers=3_000, horizon_days=60, seed=1)


def touches(log):
    frame = log.to_polars()
    return frame.filter(pl.col("kind").cast(pl.String) == "touch").with_columns(pl.col("channel").cast(pl.String))


def test_missing_touches_are_missing_at_the_rate_that_is_asked_for_and_no_others(log):
    less = with_defects(log, [MissTouches(missing={"ad": 0.3})], seed=5)
    before, after = (dict(touches(x)["channel"].value_counts().rows()) for x in (log, less))
    assert_proportion(after["ad"], before["ad"], 0.7)
    assert {name: after[name] for name in ("mail", "shop")} == {name: before[name] for name in ("mail", "shop")}
    assert less.n_events == log.n_events - before["ad"] + after["ad"]
    check(less)


def test_a_channel_of_which_all_is_missing_is_not_in_the_paths(log):
    assert to_journeys(with_defects(log, [MissTouches(missing={"ad": 1})], seed=5)).channels == ("mail", "shop")


def test_more_missing_loses_the_same_touches_and_more(log):
    some, more = (with_defects(log, [MissTouches(missing={"ad": m})], seed=5) for m in (0.3, 0.6))
    kept = [{*touches(x).select("customer", "time").rows()} for x in (some, more)]
    assert kept[1] < kept[0]


def hand_log():
    """One buyer with touches 9 and 2 days before the purchase and one after it; one who does not buy."""
    rows = [(1, 1, "touch", "a"), (1, 8, "touch", "b"), (1, 10, "purchase", None), (1, 12, "touch", "a")]
    rows += [(2, 3, "touch", "a"), (2, 9, "touch", "b"), (2, 20, "touch", "c")]
    frame = pl.DataFrame(rows, schema=["customer", "day", "kind", "channel"], orient="row")
    time = pl.datetime(2026, 1, 1) + pl.duration(days="day")
    return EventLog.from_frame(frame.select("customer", time.alias("time"), "kind", "channel"))


def test_a_short_window_looks_back_from_the_purchase_or_from_the_last_touch():
    kept = touches(with_defects(hand_log(), [ShortWindow(days=11)], seed=1))
    assert kept.select("customer", "channel").rows() == [(1, "a"), (1, "b"), (1, "a"), (2, "b"), (2, "c")]
    kept = touches(with_defects(hand_log(), [ShortWindow(days=3)], seed=1))
    assert kept.select("customer", "channel").rows() == [(1, "b"), (1, "a"), (2, "c")]


def test_split_customers_lose_no_event_and_are_two(log):
    split = with_defects(log, [SplitCustomers(share=0.4)], seed=5)
    check(split)
    assert split.n_events == log.n_events
    columns = ["time", "kind", "channel"]
    assert split.to_polars().select(columns).sort(columns).equals(log.to_polars().select(columns).sort(columns))
    met = log.to_polars()["customer"].n_unique()
    several = log.to_polars().group_by("customer").agg(pl.col("time").n_unique())["time"].gt(1).sum()
    new = split.n_customers - log.n_customers
    assert 0 < new <= several <= met
    assert_proportion(new, several, 0.4)  # who breaks has an event after the break, but for rounding


def test_nobody_is_split_where_none_shall_be(log):
    assert with_defects(log, [SplitCustomers(share=0)], seed=5).equals(log)


def test_customers_with_names_are_split_too():
    log = hand_log()
    named = EventLog.from_frame(log.to_polars().with_columns(pl.col("customer").cast(pl.String) + "x"))
    split = with_defects(named, [SplitCustomers(share=1)], seed=1)
    check(split)
    assert split.n_customers == 4


def test_an_observed_log_shows_neither_causes_nor_personas_and_stages_only_if_asked(log):
    seen, bare = as_observed(log), as_observed(log, stages=False)
    assert {*seen.to_polars()["cause"].to_list()} == {None}
    assert seen.customers.column_names == ["customer"]
    assert seen.stages == log.stages
    assert bare.stages == ()
    assert {*bare.to_polars()["kind"].cast(pl.String)} == {"touch", "purchase"}
    one, other = to_journeys(bare), to_journeys(log)
    np.testing.assert_array_equal(one.codes, other.codes)
    np.testing.assert_array_equal(one.conversions, other.conversions)
    check(bare)


def test_a_case_says_what_is_wrong_with_it(tmp_path):
    file = tmp_path / "case.yaml"
    file.write_text("name: x\ntests: y\nworld: plain-channels\ndefects: [{defect: lost_touches, share: 0.4}]\n")
    with pytest.raises(InputError, match="defects"):
        load_case(file)
    file.write_text("name: x\ntests: y\nworld: plain-chanels\n")
    with pytest.raises(InputError, match="plain-channels"):
        load_case(file)


def test_a_case_takes_its_world_from_a_file_beside_it(tmp_path):
    (tmp_path / "mine.yaml").write_text(worlds.source("plain-channels"))
    (tmp_path / "case.yaml").write_text("name: x\ntests: y\nworld: mine.yaml\n")
    assert load_case(tmp_path / "case.yaml").loaded() == worlds.load("plain-channels")


def test_the_key_of_a_case_changes_with_its_world_and_its_defects():
    plain = quick_case()
    other = [quick_case(world=three_channels(market_size=50)), quick_case(defects=[ShortWindow(days=3)])]
    assert len({plain.key, *(case.key for case in other)}) == 3
    assert quick_case(name="another name").key == plain.key
