"""The contract that every registered method keeps, and what each heuristic does."""

import pickle
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journeysim.attribution import (
    Attribution,
    Attributor,
    LastTouch,
    PositionBased,
    RemovalEffect,
    TimeDecay,
    attribute,
    method_info,
    methods,
    register,
)
from journeysim.errors import InputError
from journeysim.journeys import Journeys

EVERY = [
    *methods(),
    RemovalEffect(order=3),
    RemovalEffect(order="auto"),  # other kinds of removal may have nothing to share out: test_removal.py
    PositionBased(first=1, last=0),
    TimeDecay(half_life_days=0.5),
]
every_method = pytest.mark.parametrize("method", EVERY, ids=str)


def make(paths, conversions, nulls, value, channels=("beta", "eta", "mail", "e-mail"), **more):
    codes = np.array([channels.index(name) for path in paths for name in path], dtype=np.int32)
    offsets = np.cumsum([0, *map(len, paths)], dtype=np.int64)
    ages = np.concatenate([np.arange(len(path), 0, -1.0) for path in paths])
    columns = (np.array(column, dtype=float) for column in (conversions, nulls, value))
    return Journeys(channels, codes, offsets, *columns, ages_days=ages, **more)


@pytest.fixture
def journeys():
    """Weights with fractions, and channel names that contain each other."""
    paths = [["beta", "mail", "eta"], ["eta"], ["e-mail", "eta", "eta", "mail"], ["mail", "e-mail"], ["beta"]]
    return make(
        paths,
        [1.5, 2, 0.25, 3, 0],
        [2, 0.5, 7, 0, 4],
        [30, 44.5, 1, 9, 0],
        untouched_conversions=5.0,
        untouched_value=60.0,
        untouched_nulls=100.0,
    )


def credit(attribution):
    return dict(zip(attribution.channels, zip(attribution.conversions, attribution.value, strict=True), strict=True))


def assert_same_credit(got, want, times=1.0):
    assert got.keys() == want.keys()
    for channel, numbers in want.items():
        np.testing.assert_allclose(got[channel], np.multiply(times, numbers), rtol=1e-9, atol=1e-12)


# --- the contract -------------------------------------------------------------------------------------------------


@every_method
def test_credit_adds_up_to_what_had_a_touch(method, journeys):
    result = attribute(journeys, method)
    assert result.conversions.sum() == pytest.approx(journeys.n_conversions, rel=1e-9)
    assert result.value.sum() == pytest.approx(journeys.total_value, rel=1e-9)
    assert result.share.sum() == pytest.approx(1)


@every_method
def test_what_had_no_touch_is_reported_and_not_credited(method, journeys):
    result = attribute(journeys, method)
    assert (result.untouched_conversions, result.untouched_value) == (5.0, 60.0)
    without = attribute(replace(journeys, untouched_conversions=0.0, untouched_value=0.0), method)
    assert_same_credit(credit(without), credit(result))
    assert "5.00 more conversions (value 60.00) had no touch" in str(result)


@every_method
def test_inputs_are_never_written_to(method, journeys):
    before = pickle.dumps(journeys)
    attribute(journeys, method)
    assert pickle.dumps(journeys) == before


@every_method
def test_the_same_journeys_give_the_same_bits(method, journeys):
    first, second = attribute(journeys, method), attribute(journeys, method)
    assert first.conversions.tobytes() == second.conversions.tobytes()
    assert first.value.tobytes() == second.value.tobytes()


@every_method
def test_renaming_and_reordering_channels_renames_credit_and_nothing_else(method, journeys):
    new_code = np.array([2, 0, 3, 1], dtype=np.int32)
    names = [""] * 4
    for code, name in enumerate(journeys.channels):
        names[new_code[code]] = name + "!"
    renamed = replace(journeys, channels=tuple(names), codes=new_code[journeys.codes])
    want = {name + "!": numbers for name, numbers in credit(attribute(journeys, method)).items()}
    assert_same_credit(credit(attribute(renamed, method)), want)


@every_method
def test_the_order_of_journeys_does_not_matter(method, journeys):
    order = [3, 0, 4, 2, 1]
    parts = [slice(journeys.offsets[j], journeys.offsets[j + 1]) for j in order]
    shuffled = replace(
        journeys,
        codes=np.concatenate([journeys.codes[part] for part in parts]),
        ages_days=np.concatenate([journeys.ages_days[part] for part in parts]),
        offsets=np.cumsum([0, *(part.stop - part.start for part in parts)]),
        conversions=journeys.conversions[order],
        nulls=journeys.nulls[order],
        value=journeys.value[order],
    )
    assert_same_credit(credit(attribute(shuffled, method)), credit(attribute(journeys, method)))


@every_method
def test_doubling_the_weights_doubles_the_credit(method, journeys):
    twice = replace(journeys, conversions=2 * journeys.conversions, nulls=2 * journeys.nulls, value=2 * journeys.value)
    assert_same_credit(credit(attribute(twice, method)), credit(attribute(journeys, method)), times=2)


@every_method
def test_a_channel_that_nobody_met_is_credited_with_nothing(method, journeys):
    more = replace(journeys, channels=(*journeys.channels, "radio"))
    result = attribute(more, method)
    assert credit(result)["radio"] == (0, 0)
    assert_same_credit({c: x for c, x in credit(result).items() if c != "radio"}, credit(attribute(journeys, method)))


@every_method
def test_one_channel_gets_all(method):
    result = attribute(make([["a", "a"], ["a"]], [1, 0], [0, 3], [8, 0], channels=("a",)), method)
    np.testing.assert_allclose([result.conversions[0], result.value[0]], [1, 8])


@every_method
def test_journeys_that_never_convert_are_refused(method):
    with pytest.raises(InputError, match=r"None of the 1 journeys with touches converts"):
        attribute(make([["beta"]], [0], [3], [0]), method)


@every_method
def test_no_journeys_at_all_are_refused(method):
    none = np.zeros(0)
    empty = Journeys(("a",), np.zeros(0, np.int32), np.zeros(1, np.int64), none, none, none, ages_days=none)
    with pytest.raises(InputError, match=r"None of the 0 journeys"):
        attribute(empty, method)


@every_method
def test_journeys_without_values_are_attributed_by_conversions(method, journeys):
    result = attribute(replace(journeys, value=np.zeros(5)), method)
    assert result.total_conversions == pytest.approx(journeys.n_conversions)
    np.testing.assert_array_equal(result.value, 0)
    assert result.removal_effects_value is None


@every_method
def test_results_are_frozen_and_tell_their_method(method, journeys):
    result = attribute(journeys, method)
    assert isinstance(result, Attribution)
    assert result.method in methods()
    assert pickle.loads(pickle.dumps(result)).method == result.method
    with pytest.raises(ValueError, match="read-only"):
        result.conversions[0] = 1


@every_method
def test_the_frame_has_one_row_per_channel_most_credited_first(method, journeys):
    result = attribute(journeys, method)
    frame = result.to_frame()
    assert frame.columns == ["channel", "conversions", "value", "share", "removal_effect"]
    assert frame.schema["removal_effect"] == pl.Float64
    assert sorted(frame["channel"]) == sorted(journeys.channels)
    assert frame["conversions"].is_sorted(descending=True)
    assert (frame["removal_effect"].null_count() == 4) == (result.removal_effects is None)


path = st.lists(st.sampled_from(["beta", "eta", "mail", "e-mail"]), min_size=1, max_size=6)
weight = st.floats(0, 1e6).map(lambda x: round(x, 2))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(path, weight, weight), min_size=1, max_size=8), st.sampled_from(EVERY))
def test_credit_adds_up_whatever_the_journeys(rows, method):
    paths, conversions, nulls = zip(*((p, c + 0.01, n) for p, c, n in rows), strict=True)
    journeys = make(paths, conversions, nulls, conversions)
    info = method_info(method if isinstance(method, str) else "markov")
    if "nulls" in info.needs and not any(nulls):
        with pytest.raises(InputError, match="all of these convert"):
            attribute(journeys, method)
        return
    result = attribute(journeys, method)
    assert result.conversions.sum() == pytest.approx(journeys.n_conversions, rel=1e-9)
    assert result.value.sum() == pytest.approx(journeys.total_value, rel=1e-9)
    assert info.may_be_negative or (result.conversions >= -1e-9 * journeys.n_conversions).all()


# --- each method --------------------------------------------------------------------------------------------------


def of_one_path(method, path, **more):
    journeys = make([path.split()], [1], [1], [10], channels=("a", "b", "c", "d"), **more)
    return attribute(journeys, method).conversions


@pytest.mark.parametrize(
    ("method", "path", "want"),
    [
        ("first_touch", "a b b c", [1, 0, 0, 0]),
        ("last_touch", "a b b c", [0, 0, 1, 0]),
        ("linear", "a b b c", [0.25, 0.5, 0.25, 0]),
        ("position_based", "a", [1, 0, 0, 0]),
        ("position_based", "a b", [0.5, 0.5, 0, 0]),
        ("position_based", "a b c", [0.4, 0.2, 0.4, 0]),
        ("position_based", "a b c d", [0.4, 0.1, 0.1, 0.4]),
        (PositionBased(first=0.3, last=0.1), "a b", [0.75, 0.25, 0, 0]),
        (PositionBased(first=0.3, last=0.7), "a b c", [0.3, 0, 0.7, 0]),
        (TimeDecay(half_life_days=1), "a b c", [1 / 7, 2 / 7, 4 / 7, 0]),  # touches are a day apart
    ],
)
def test_heuristics_split_one_journey_as_they_say(method, path, want):
    np.testing.assert_allclose(of_one_path(method, path), want, atol=1e-15)


def test_time_decay_of_very_old_journeys_does_not_underflow():
    journeys = make([["beta", "eta"]], [1], [0], [1])
    old = replace(journeys, ages_days=np.array([1e6 + 7, 1e6]))
    np.testing.assert_allclose(attribute(old, "time_decay").conversions, [1 / 3, 2 / 3, 0, 0])


def test_time_decay_needs_times_that_make_sense(journeys):
    with pytest.raises(InputError, match="these journeys have no times"):
        attribute(replace(journeys, ages_days=None), "time_decay")
    late = journeys.ages_days.copy()
    late[4] = -2
    with pytest.raises(InputError, match=r"a touch of journey 2 has age -2\.0 days"):
        attribute(replace(journeys, ages_days=late), "time_decay")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: PositionBased(first=0.7, last=0.4),
        lambda: PositionBased(first=-0.1),
        lambda: PositionBased(first=0, last=0),
        lambda: PositionBased(first=float("nan")),
        lambda: TimeDecay(half_life_days=0),
        lambda: TimeDecay(half_life_days=float("inf")),
        lambda: RemovalEffect(order=0),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(InputError, match="must be"):
        wrong()


def test_markov_credits_in_proportion_to_removal_effects(journeys):
    result = attribute(journeys, RemovalEffect(order=2))
    np.testing.assert_allclose(result.share, result.removal_effects / result.removal_effects.sum())
    assert result.settings == {"order": 2}
    assert ((result.removal_effects >= 0) & (result.removal_effects <= 1)).all()


def test_markov_notes_that_there_are_no_paths_without_conversion(journeys):
    (note,) = attribute(replace(journeys, nulls=np.zeros(5)), "markov").notes
    assert "P = 1" in note
    assert not attribute(journeys, "markov").notes


def test_refunds_may_lower_credit_but_not_cancel_it():
    refunds = make([["beta"], ["eta"], ["beta", "mail"]], [1, 1, 1], [1, 1, 1], [10, -4, 3])
    result = attribute(refunds, "markov")
    assert result.value.sum() == pytest.approx(9)
    assert credit(result)["eta"][1] < 0
    zero = attribute(make([["beta"], ["eta"]], [1, 1], [1, 1], [4, -4]), "markov")
    assert zero.total_value == 0
    assert any("values add up to zero" in note for note in zero.notes)


def test_removal_effects_of_value_that_cancel_are_refused():
    """x and y meet +3 and -3 alone; together 1: each removal changes the value, but the changes add up to zero."""
    paths, value = [["beta"], ["eta"], ["mail", "beta"]], [2, -4, 1]
    ends = make(paths, [1, 1, 1], [0, 0, 0], value)  # beta earns 3 in all, of which mail brings 3 / 2; eta -4
    effects = attribute(ends, "markov").removal_effects_value
    np.testing.assert_allclose(effects * -1, [3, -4, 1.5, 0])
    with pytest.raises(InputError, match="cancel out"):
        attribute(replace(ends, value=np.array([2, -4.5, 1])), "markov")


# --- the registry -------------------------------------------------------------------------------------------------


def test_an_unknown_method_is_refused_with_the_names_of_the_known(journeys):
    with pytest.raises(
        InputError, match=r"Unknown attribution method 'markow'\. Did you mean 'markov'\? Methods: first"
    ):
        attribute(journeys, "markow")


def test_users_register_their_own_method(journeys, monkeypatch):
    from journeysim.attribution import registry

    monkeypatch.setattr(registry, "_METHODS", dict(registry._METHODS))
    register("mine", LastTouch)
    assert isinstance(LastTouch(), Attributor)
    assert_same_credit(credit(attribute(journeys, "mine")), credit(attribute(journeys, "last_touch")))
    with pytest.raises(InputError, match="already"):
        register("markov", LastTouch)


# --- printing -----------------------------------------------------------------------------------------------------


def test_a_printed_attribution_shows_method_settings_totals_and_notes(journeys):
    text = str(attribute(replace(journeys, notes=("Cut at 30 days.",)), RemovalEffect(order=2)))
    lines = text.splitlines()
    assert lines[0] == "Attribution by markov (order=2)"
    assert lines[-2:] == [
        "- Cut at 30 days.",
        "- 5.00 more conversions (value 60.00) had no touch and are credited to no channel.",
    ]
    (total,) = (line for line in lines if "total" in line)
    assert total.split() == ["total", "6.75", "84.50", "100.0%"]


def test_channel_names_are_not_markup():
    journeys = make([["[red]x[/red]"]], [1], [1], [1], channels=("[red]x[/red]",))
    assert "[red]x[/red]" in str(attribute(journeys, "linear"))


def test_an_attribution_with_wrong_arrays_is_refused():
    good = {"method": "m", "settings": {}, "channels": ("a", "b")}
    with pytest.raises(InputError, match=r"conversions has shape \(1,\) for 2 channels"):
        Attribution(**good, conversions=np.ones(1), value=np.ones(2))
    with pytest.raises(InputError, match="value of 'b' is not finite"):
        Attribution(**good, conversions=np.ones(2), value=np.array([1, np.nan]))
