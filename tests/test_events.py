from datetime import datetime, timedelta, timezone
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hand_logs import START, hand_events, hand_log, on
from hypothesis import given
from hypothesis import strategies as st
from log_tables import never_touched_by

from journeysim.errors import InputError
from journeysim.event_columns import COLUMNS
from journeysim.events import EventLog, check
from journeysim.log_files import read_log, write_log

ROWS = (
    (1, 0, "touch", "email"),
    (1, 1, "stage", "buy"),
    (1, 1, "purchase", "buy", 30.0),
    (2, 0, "touch", "search"),
    (2, 3, "touch", "email"),
)


def with_column(log, name, values):
    """The log with one column replaced, unchecked."""
    column = pa.array(values, log.events.schema.field(name).type)
    events = log.events.set_column(log.events.column_names.index(name), name, column)
    return EventLog(events, log.customers, log.start, log.end, log.stages, log.purchase_stages)


def dictionary(*values):
    """Words as codes into themselves, in the order of first appearance."""
    coded = pa.array(values, pa.string()).dictionary_encode()
    return pa.DictionaryArray.from_arrays(coded.indices.cast(pa.uint8()), coded.dictionary)


def times_of(values):
    touches = pl.DataFrame({"customer": range(len(values)), "time": values, "kind": "touch", "channel": "a"})
    return EventLog.from_frame(touches).events["time"].to_pylist()


@pytest.mark.parametrize("convert", [lambda f: f, pl.DataFrame.to_pandas, pl.DataFrame.to_arrow])
def test_any_frame_gives_the_same_log(convert):
    frame = hand_events(*ROWS)
    assert EventLog.from_frame(convert(frame)).equals(EventLog.from_frame(frame))


def test_categories_of_pandas_and_polars_are_words():
    frame, names = hand_events(*ROWS), ["kind", "channel", "stage"]
    as_polars = frame.with_columns(pl.col(names).cast(pl.Categorical))
    as_pandas = frame.to_pandas().astype(dict.fromkeys(names, "category"))
    assert EventLog.from_frame(as_polars).equals(EventLog.from_frame(as_pandas))
    assert EventLog.from_frame(as_polars).equals(EventLog.from_frame(frame))


def test_missing_columns_are_null_and_others_are_dropped():
    log = EventLog.from_frame(hand_events(*ROWS).select("customer", "time", "kind", "channel", "stage", noise=1))
    assert log.events.column_names == [*COLUMNS]
    assert log.events["value"].null_count == log.n_events == 5


@pytest.mark.parametrize("name", ["customer", "time", "kind"])
def test_a_missing_column_is_named_with_what_there_is(name):
    with pytest.raises(InputError, match=rf"there is no column '{name}'.*Did you mean '{name}_'.*A log needs customer"):
        EventLog.from_frame(hand_events(*ROWS).rename({name: f"{name}_"}))


def test_unsorted_input_is_sorted_and_ties_keep_their_order():
    log = hand_log((2, 1, "touch", "c"), (1, 2, "touch", "z"), (2, 0, "touch", "b"), (1, 2, "touch", "a"))
    assert log.to_polars()["channel"].to_list() == ["z", "a", "b", "c"]
    assert log.customers["customer"].to_pylist() == [1, 2]


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01T10:00:00",
        "2026-01-01 10:00",
        "2026-01-01T10:00:00Z",
        "2026-01-01 10:00:00 UTC",
        "2026-01-01T10:00:00.000000+0000",
        "2026-01-01T12:30:00+02:30",
        "2026-01-01 07:00:00-03",
        " 2026-01-01T10:00:00.0000004Z ",
    ],
)
def test_iso_text_is_read_with_and_without_zone(text):
    assert times_of([text, "2026-01-01", "2026-01-01T00:00:00.25+00:00"]) == [
        on(10 / 24),
        START,
        START + timedelta(seconds=0.25),
    ]


@pytest.mark.parametrize("text", ["01/02/2026", "01/02/2026 10:00", "2026-02-30", "soon", "", None, "1767225600"])
def test_what_is_no_iso_time_is_refused_with_row_value_and_fix(text):
    with pytest.raises(InputError, match=rf"events row 2: time is {text!r}, .*Write it as 2026-01-31 14:30:00"):
        times_of(["2026-01-01", text])


def test_times_of_other_zones_and_units_become_utc_microseconds():
    tokyo = timezone(timedelta(hours=9))
    assert times_of(pl.Series([datetime(2026, 1, 1, 9)]).dt.replace_time_zone("Asia/Tokyo")) == [START]
    assert times_of(pl.Series([datetime(2026, 1, 1, 9, tzinfo=tokyo)])) == [START]
    assert times_of(pl.Series([START]).cast(pl.Datetime("ns", "UTC"))) == [START]
    assert times_of(pl.Series([START.date()])) == [START]
    assert times_of(pd.Series([START.replace(tzinfo=None)])) == [START]
    with pytest.raises(InputError, match="column 'time' holds Int64, expected times such as"):
        times_of([1])


def test_window_without_zone_is_utc_and_other_zones_are_converted():
    tokyo = datetime(2026, 1, 1, 9, tzinfo=timezone(timedelta(hours=9)))
    log = EventLog.from_frame(hand_events(*ROWS), start=tokyo, end=datetime(2026, 1, 11))
    assert (log.start, log.end, log.days) == (START, on(10), 10)


def test_window_and_stages_are_those_of_the_events_by_default():
    log = EventLog.from_frame(hand_events(*ROWS))
    assert (log.start, log.end, log.stages) == (START, on(3), ("buy",))


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["10", "9"], [9, 10]),
        (["10", "09"], ["09", "10"]),
        (["10", "b"], ["10", "b"]),
        ([2**63, 1], ["1", str(2**63)]),
        (pl.Series(["b", "a"], dtype=pl.Categorical), ["a", "b"]),
        (pl.Series([3, 2], dtype=pl.UInt8), [2, 3]),
    ],
)
def test_customers_are_integers_only_if_nothing_is_lost(ids, expected):
    log = EventLog.from_frame(pl.DataFrame({"customer": ids, "time": START, "kind": "touch", "channel": "a"}))
    assert log.customers["customer"].to_pylist() == expected
    assert log.customer_codes().tolist() == [0, 1]


@pytest.mark.parametrize("ids", [[None, 1], ["a", None], ["", "a"], [" ", "b"]])
def test_a_blank_customer_is_refused(ids):
    with pytest.raises(InputError, match=r"events row [12]: there is no customer. Fill it in"):
        EventLog.from_frame(pl.DataFrame({"customer": ids, "time": START, "kind": "touch", "channel": "a"}))


def test_customers_of_other_types_are_refused():
    frame = pl.DataFrame({"customer": [1.0], "time": START, "kind": "touch", "channel": "a"})
    with pytest.raises(InputError, match="column 'customer' holds Float64, expected integers or text"):
        EventLog.from_frame(frame)
    mixed = pd.DataFrame({"customer": [1, "a"], "time": START, "kind": "touch", "channel": "a"})
    with pytest.raises(InputError, match=r"events: a column mixes types .*column customer"):
        EventLog.from_frame(mixed)


def test_silent_customers_and_their_segments_are_kept():
    people = pd.DataFrame({"customer": [9, 2, 0, 1], "device": ["tv", "app", "x", "web"]}).query("customer > 0")
    log = EventLog.from_frame(hand_events(*ROWS), customers=people)
    assert log.customers.to_pydict() == {"customer": [1, 2, 9], "device": ["web", "app", "tv"]}
    assert log.segment_names() == ["device"]


def test_customers_named_in_one_table_and_numbered_in_the_other_agree():
    log = EventLog.from_frame(hand_events(*ROWS), customers=pl.DataFrame({"customer": ["x", "2", "1"]}))
    assert log.customers["customer"].to_pylist() == ["1", "2", "x"]
    assert log.events["customer"].to_pylist() == ["1", "1", "1", "2", "2"]


@pytest.mark.parametrize(
    ("people", "message"),
    [
        ({"customer": [1, 2, 2]}, "customer 2 stands twice in customers; keep one"),
        ({"customer": [1]}, "customer 2 has events but is not in customers; add it"),
        ({"customer": [1, 2, None]}, "customers row 3: there is no customer"),
        ({"who": [1, 2]}, "customers: there is no column 'customer'"),
    ],
)
def test_wrong_customers_are_refused(people, message):
    with pytest.raises(InputError, match=message):
        EventLog.from_frame(hand_events(*ROWS), customers=pl.DataFrame(people))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((1, 2, "touch"), r"events row 6 \(customer 1\): channel is None; it must be set"),
        ((1, 2, "stage"), r"events row 6 \(customer 1\): stage is None; it must be one of buy"),
        ((1, 2, "stage", "b"), r"events row 6 \(customer 1\): stage is 'b'; it must be one of buy"),
        ((1, 2, "purchase", "b"), r"events row 6 \(customer 1\): stage is 'b'; it must be one of buy"),
        ((1, 11, "lost"), r"events row 6 .*time is '2026-01-12 .*inside the window 2026-01-01"),
        ((1, -1, "lost"), r"events row 6 .*time is '2025-12-31 .*inside the window 2026-01-01"),
        ((1, 2, "purchase", "buy", float("inf")), r"events row 6: column 'value' is inf; it must be a finite number"),
        ((1, 2, "purchase", "buy", float("nan")), r"events row 6: column 'value' is nan; it must be a finite number"),
    ],
)
def test_a_wrong_row_is_named_where_it_came_from(row, message):
    with pytest.raises(InputError, match=message):
        hand_log(*ROWS, row, stages=["buy"])


def test_an_unknown_or_missing_kind_is_refused_with_those_that_there_are():
    for kind in ("tuch", None):
        with pytest.raises(InputError, match=rf"row 2 .*kind is {kind!r}; it must be one of touch, stage, purchase"):
            EventLog.from_frame(
                pl.DataFrame({"customer": [2, 1], "time": START, "kind": ["touch", kind], "channel": "a"})
            )


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"purchase_stages": ["bye"]}, r"purchase stage 'bye' is not among the stages \['buy'\]"),
        ({"stages": ["buy", "buy"]}, "a stage stands twice"),
        ({"purchase_stages": ["buy", "buy"]}, "a purchase stage stands twice"),
    ],
)
def test_stages_are_checked(parts, message):
    with pytest.raises(InputError, match=message):
        hand_log(*ROWS, **parts)


def test_an_empty_log_is_refused():
    with pytest.raises(InputError, match="events: there are no events"):
        EventLog.from_frame(hand_events(*ROWS).head(0))
    log = hand_log(*ROWS)
    with pytest.raises(InputError, match="there are no events"):
        check(log.only(pa.array([7])))


@pytest.mark.parametrize("n", [255, 256, 257, 1000])
def test_there_may_be_more_names_than_fit_a_byte(n, tmp_path):
    def touches(n):
        return EventLog.from_frame(
            pl.DataFrame({"customer": 1, "time": START, "kind": "touch", "channel": [f"c{i}" for i in range(n)]})
        )

    log = touches(n)
    assert log.codes("channel", [f"c{n - 1}"]).tolist() == [-1] * (n - 1) + [0]
    assert log.codes("channel", log.names_in("channel")).tolist() == [*range(n)]
    assert log.hash() != touches(n - 1).hash()
    write_log(log, tmp_path / "log")
    assert read_log(tmp_path / "log").equals(log)


def test_check_finds_what_from_frame_would_have_mended():
    log = hand_log(*ROWS)
    with pytest.raises(InputError, match="row 2 comes before row 1; sort by customer and time"):
        check(with_column(log, "time", [on(2), *log.events["time"].to_pylist()[1:]]))
    with pytest.raises(InputError, match="row 2 comes before row 1; sort by customer and time"):
        check(with_column(log, "customer", [2, 1, 1, 2, 2]))
    with pytest.raises(InputError, match=r"EventLog row 3 .*value is inf; it must be a finite number or empty"):
        check(with_column(log, "value", [None, None, np.inf, None, None]))
    backwards = EventLog(log.events, log.customers.take([1, 0]), log.start, log.end)
    with pytest.raises(InputError, match=r"customers are not sorted"):
        check(backwards)
    text = EventLog(log.events, pa.table({"customer": ["1", "2"]}), log.start, log.end, log.stages)
    with pytest.raises(InputError, match="customer is int64 in events but string in customers"):
        check(text)
    nobody = EventLog(log.events, pa.table({"who": [1, 2]}), log.start, log.end, log.stages)
    with pytest.raises(InputError, match="first column of customers must be 'customer'"):
        check(nobody)


def test_wrong_columns_and_types_are_refused_on_construction():
    log = hand_log(*ROWS)
    with pytest.raises(InputError, match=r"columns are .*expected"):
        EventLog(log.events.drop(["cost"]), log.customers, log.start, log.end)
    wrong = log.events.set_column(3, "channel", pa.array(["a"] * 5))
    with pytest.raises(InputError, match=r"column 'channel' is string, expected dictionary.*Use EventLog.from_frame"):
        EventLog(wrong, log.customers, log.start, log.end)


@given(cuts=st.sets(st.integers(0, 5)), order=st.permutations(["email", "search", "unused"]))
def test_hash_does_not_see_chunks_nor_codes(cuts, order):
    people = pa.table({"customer": [1, 2], "age": pa.array([None, 30]), "vip": [True, None], "city": ["Rome", None]})
    log = hand_log(*ROWS)
    log = EventLog(log.events, people, log.start, log.end, log.stages)
    edges = sorted({0, 5, *cuts})
    pieces = [log.events.slice(a, b - a) for a, b in pairwise(edges)]
    words = log.events["channel"].to_pylist()
    codes = pa.array([None if w is None else order.index(w) for w in words], pa.uint8())
    recoded = log.events.set_column(3, "channel", pa.DictionaryArray.from_arrays(codes, pa.array(order)))
    coded_city = people.set_column(3, "city", people["city"].dictionary_encode())
    split = pa.concat_tables([coded_city.slice(0, 1), coded_city.slice(1)])
    for events in (pa.concat_tables(pieces), recoded):
        for customers in (people, split):
            assert EventLog(events, customers, log.start, log.end, log.stages).hash() == log.hash()


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("customer", [1, 1, 1, 1, 2]),
        ("time", [START, on(1), on(1), START, on(3) + timedelta(microseconds=1)]),
        ("kind", dictionary("touch", "stage", "purchase", "touch", "nps")),
        ("channel", dictionary("search", None, None, "email", "email")),
        ("channel", dictionary("email", None, None, None, "email")),
        ("stage", dictionary(None, "buy", None, None, None)),
        ("pain_point", dictionary("x", None, None, None, None)),
        ("cause", dictionary("base", None, None, None, None)),
        ("value", [None, None, 30.000000001, None, None]),
        ("value", [0.0, None, 30.0, None, None]),
        ("value", [None, None, None, 30.0, None]),
        ("cost", [0.0, None, None, None, None]),
    ],
)
def test_hash_sees_every_column(column, values):
    log = hand_log(*ROWS)
    assert not with_column(log, column, values).equals(log)
    assert with_column(log, column, log.events[column].combine_chunks()).equals(
        EventLog(log.events, log.customers, log.start, log.end, log.stages)
    )


@pytest.mark.parametrize(
    "part",
    [
        {"end": on(11)},
        {"start": on(-1)},
        {"currency": "EUR"},
        {"stages": ["buy", "use"]},
        {"purchase_stages": ["buy"]},
        {"customers": pl.DataFrame({"customer": [1, 2, 3]})},
        {"customers": pl.DataFrame({"customer": [1, 2], "age": [None, 0]})},
        {"customers": pl.DataFrame({"customer": [1, 2], "age": [0, None]})},
        {"customers": pl.DataFrame({"customer": [1, 2], "age": [0, 0]})},
        {"customers": pl.DataFrame({"customer": [1, 2], "city": ["Rome", None]})},
        {"customers": pl.DataFrame({"customer": [1, 2], "city": [None, "Rome"]})},
    ],
)
def test_hash_sees_window_stages_currency_and_customers(part):
    seen = hand_log(*ROWS).hash(), hand_log(*ROWS, stages=["buy"]).hash()
    changed = EventLog.from_frame(hand_events(*ROWS), **{"start": START, "end": on(10)} | part)
    assert seen[0] == seen[1] != changed.hash()


def test_codes_and_names_survive_chunks_nulls_and_slices():
    log = hand_log(*ROWS)
    parts = pa.concat_tables([hand_log(*ROWS[3:]).events, log.events.slice(1)])
    joined = EventLog(parts, log.customers, log.start, log.end, log.stages)
    assert joined.names_in("channel") == ("search", "email")
    assert joined.codes("channel", ["email", "search"]).tolist() == [1, 0, -1, -1, 1, 0]
    assert joined.codes("channel", []).tolist() == [-1] * 6
    assert log.codes("pain_point", ["x"]).tolist() == [-1] * 5
    assert log.names_in("pain_point") == ()


def test_only_some_customers_and_those_never_touched():
    people = pl.DataFrame({"customer": [1, 2, 3]})
    log = hand_log(*ROWS, customers=people)
    assert never_touched_by(log, "search").to_pylist() == [1, 3]
    assert never_touched_by(log, "email").to_pylist() == [3]
    assert never_touched_by(log, "radio").to_pylist() == [1, 2, 3]
    spared = log.only(never_touched_by(log, "search"))
    assert spared.equals(hand_log(*ROWS[:3], customers=people.filter(pl.col("customer") != 2)))
    assert log.only(pa.array([2, 1, 3])).equals(log)


def test_a_channel_on_a_row_that_is_no_touch_touches_nobody():
    frame = hand_events((1, 0, "touch", "email"), (2, 1, "purchase", None))
    log = EventLog.from_frame(frame.with_columns(channel=pl.lit("email")))
    assert never_touched_by(log, "email").to_pylist() == [2]


def test_frames_out_say_what_came_in():
    frame = hand_events(*ROWS)
    log = EventLog.from_frame(frame)
    assert EventLog.from_frame(log.to_polars()).equals(log)
    assert EventLog.from_frame(log.to_pandas()).equals(log)
    assert log.to_polars().select(pl.col("kind").cast(pl.String))["kind"].to_list() == frame["kind"].to_list()
