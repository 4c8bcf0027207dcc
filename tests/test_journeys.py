from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hand_logs import hand_log
from hypothesis import given, settings
from hypothesis import strategies as st

from journeysim.errors import InputError
from journeysim.journeys import Journeys, to_journeys


def paths(journeys):
    """What a Journeys says, row by row: (channels, conversions, nulls, value, ages)."""
    rows = []
    for j in range(journeys.n_journeys):
        own = slice(*journeys.offsets[j : j + 2])
        touched = [journeys.channels[code] for code in journeys.codes[own]]
        ages = [round(age, 6) for age in journeys.ages_days[own].tolist()]
        rows.append((touched, journeys.conversions[j], journeys.nulls[j], journeys.value[j], ages))
    return rows


def untouched(journeys):
    return journeys.untouched_conversions, journeys.untouched_value, journeys.untouched_nulls


ROWS = (
    (1, 1, "touch", "a"),
    (1, 2, "stage", "look"),
    (1, 3, "touch", "b"),
    (1, 4, "purchase", None, 30.0),
    (1, 5, "touch", "c"),
    (1, 6, "purchase", None, 20.0),
    (1, 7, "purchase", None, 5.0),
    (1, 9, "touch", "a"),
    (2, 2, "touch", "b"),
    (3, 8, "purchase", None, 7.0),
    (4, 8, "stage", "look"),
)
PEOPLE = pl.DataFrame({"customer": [1, 2, 3, 4, 5, 6]})


def test_first_conversions_by_hand():
    journeys = to_journeys(hand_log(*ROWS, customers=PEOPLE))
    assert paths(journeys) == [(["a", "b"], 1, 0, 30, [3, 1]), (["b"], 0, 1, 0, [8])]
    assert untouched(journeys) == (1, 7, 3)
    assert journeys.notes == (
        "2 touches after a first purchase are left out.",
        "2 repeat purchases (value 25.00) are left out.",
    )
    assert (journeys.n_conversions, journeys.total_value, journeys.channels) == (1, 30, ("a", "b", "c"))


def test_every_conversion_by_hand():
    journeys = to_journeys(hand_log(*ROWS, customers=PEOPLE), conversion="every")
    assert paths(journeys) == [
        (["a", "b"], 1, 0, 30, [3, 1]),
        (["c"], 1, 0, 20, [1]),
        (["a"], 0, 1, 0, [1]),
        (["b"], 0, 1, 0, [8]),
    ]
    assert untouched(journeys) == (2, 12, 3)
    assert journeys.notes == ()


def test_lookback_leaves_out_old_touches_and_keeps_the_edge():
    log = hand_log(*ROWS, customers=PEOPLE)
    journeys = to_journeys(log, lookback_days=1)
    assert paths(journeys) == [(["b"], 1, 0, 30, [1])]
    assert untouched(journeys) == (1, 7, 4)
    assert journeys.notes[2] == "2 touches older than 1 days are left out."
    assert paths(to_journeys(log, lookback_days=np.inf)) == paths(to_journeys(log))


def test_a_touch_counts_if_it_is_logged_before_the_purchase_of_the_same_microsecond():
    before = to_journeys(hand_log((1, 1, "touch", "a"), (1, 1, "purchase", None, 2.0)))
    assert paths(before) == [(["a"], 1, 0, 2, [0])]
    after = hand_log((1, 1, "purchase", None, 2.0), (1, 1, "touch", "a"), (2, 1, "touch", "a"))
    assert paths(to_journeys(after)) == [(["a"], 0, 1, 0, [9])]
    assert untouched(to_journeys(after)) == (1, 2, 0)
    assert paths(to_journeys(after, conversion="every"))[0] == (["a"], 0, 1, 0, [9])


def test_a_purchase_without_value_counts_as_0_and_is_noted():
    log = hand_log((1, 1, "touch", "a"), (1, 2, "purchase"), (2, 1, "touch", "a"), (2, 2, "purchase", None, 3.0))
    journeys = to_journeys(log)
    assert journeys.value.tolist() == [0, 3]
    assert journeys.notes == ("1 conversions have no value and count as 0.",)


def test_ages_are_exact_to_the_microsecond():
    log = hand_log((1, 0, "touch", "a"), (1, timedelta(microseconds=1) / timedelta(days=1), "purchase"))
    assert to_journeys(log).ages_days[0] * 86_400e6 == pytest.approx(1, rel=1e-12)


def test_ten_thousand_touches_of_one_channel_are_one_journey():
    log = hand_log(*((1, i / 1000, "touch", "a") for i in range(10_000)), (1, 10, "purchase", None, 1.0))
    journeys = to_journeys(log)
    assert journeys.offsets.tolist() == [0, 10_000]
    assert (np.diff(journeys.ages_days) < 0).all()


def test_text_customers_and_shuffled_rows_change_nothing():
    shuffled = [(f"id {row[0]}", *row[1:]) for row in (*ROWS[7:], *ROWS[:7])]
    people = PEOPLE.select("id " + pl.col("customer").cast(pl.String))
    log = hand_log(*shuffled, customers=people.rename({people.columns[0]: "customer"}))
    assert paths(to_journeys(log)) == paths(to_journeys(hand_log(*ROWS, customers=PEOPLE)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lookback_days": 0}, "lookback_days is 0; it must be positive"),
        ({"lookback_days": float("nan")}, "lookback_days is nan; it must be positive"),
        ({"lookback_days": 0.5}, "no touch before a conversion"),
        ({"conversion": "last"}, "conversion is 'last'; it must be 'first' or 'every'"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        to_journeys(hand_log((1, 1, "touch", "a"), (1, 2, "purchase")), **options)


def arrays(**parts):
    plain = {"codes": [0, 1], "offsets": [0, 2], "conversions": [1.0], "nulls": [0.0], "value": [2.0]} | parts
    types = {"codes": np.int32, "offsets": np.int64}
    return {name: np.array(values, types.get(name, float)) for name, values in plain.items()}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"offsets": [0, 1]}, "offsets must rise from 0 to the 2 touches"),
        ({"offsets": []}, "offsets must rise"),
        ({"offsets": [0, 0, 2]}, "offsets must rise"),
        ({"codes": [0, 2]}, r"codes must be in 0\.\.1"),
        ({"codes": [-1, 0]}, r"codes must be in 0\.\.1"),
        ({"conversions": [-1]}, r"conversions of journey 0 is -1.0; it must be a finite number >= 0"),
        ({"nulls": [np.nan]}, "nulls of journey 0 is nan"),
        ({"value": [np.inf]}, "value of journey 0 is inf; it must be a finite number"),
        ({"value": [1, 2]}, r"value has shape \(2,\), expected \(1,\)"),
        ({"ages_days": [1]}, "1 ages_days for 2 touches"),
    ],
)
def test_arrays_that_contradict_each_other_are_refused(parts, message):
    with pytest.raises(InputError, match=message):
        Journeys(channels=("a", "b"), **arrays(**parts))


def test_journeys_never_change():
    journeys = Journeys(channels=("a", "b"), **arrays(value=[-1]))
    with pytest.raises(ValueError, match="read-only"):
        journeys.codes[0] = 1


def reference(rows, customers, days, every, lookback):
    """The definition of journeys, customer by customer and event by event."""
    found, alone = [], [0.0, 0.0, 0.0]
    for customer in customers:
        own = sorted((row for row in rows if row[0] == customer), key=lambda row: row[1])
        open_path, n_bought = [], 0
        for _, day, kind, *rest in own:
            if n_bought and not every:
                break
            if kind == "touch":
                open_path.append((rest[0], day))
            elif kind == "purchase":
                n_bought += 1
                kept = [(channel, day - at) for channel, at in open_path if day - at <= lookback]
                if kept:
                    found.append(([c for c, _ in kept], 1, 0, rest[1] or 0, [age for _, age in kept]))
                else:
                    alone[0], alone[1] = alone[0] + 1, alone[1] + (rest[1] or 0)
                open_path = []
        kept = [(channel, days - at) for channel, at in open_path if days - at <= lookback]
        if kept and (every or not n_bought):
            found.append(([c for c, _ in kept], 0, 1, 0, [age for _, age in kept]))
        elif not n_bought:
            alone[2] += 1
    return found, tuple(alone)


events = st.one_of(
    st.tuples(st.integers(0, 3), st.integers(0, 10), st.just("touch"), st.sampled_from("ab")),
    st.tuples(st.integers(0, 3), st.integers(0, 10), st.just("purchase"), st.none(), st.sampled_from([None, 2.0, 5.0])),
    st.tuples(st.integers(0, 3), st.integers(0, 10), st.just("stage"), st.just("look")),
)


@given(st.lists(events, min_size=1, max_size=25), st.booleans(), st.sampled_from([2, 5, None]))
@settings(deadline=None)
def test_random_logs_agree_with_the_definition(rows, every, lookback):
    log = hand_log(*rows, customers=pl.DataFrame({"customer": range(5)}))
    expected, alone = reference(rows, range(5), 10, every, lookback or 99)
    if not expected:
        with pytest.raises(InputError, match="no touch before a conversion"):
            to_journeys(log, conversion="every" if every else "first", lookback_days=lookback)
        return
    journeys = to_journeys(log, conversion="every" if every else "first", lookback_days=lookback)
    assert paths(journeys) == expected
    assert untouched(journeys) == alone
