"""What changes, as a table: complete, readable, and a way back. Composition and YAML of every lever."""

import io
import json

import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from small_worlds import full_world, rich_world, small_world

from journeysim import worlds
from journeysim.errors import InputError
from journeysim.scenario import (
    Scenario,
    change_price,
    changes_between,
    combine,
    fix_pain_point,
    improve_stage,
    reschedule,
    retarget,
    scale_channel,
    staff_desk,
    undo,
)
from journeysim.spec import Calendar, Channel, Desk, Persona, World

PHONE = Channel(name="phone", contacts_per_day={"use": 0.2}, desk=Desk(staff=2, service_minutes=10))


FULL = World.model_validate(full_world().model_dump(warnings=False))  # as if it were read from a file
WORLD = World.model_validate({**dict(FULL), "channels": (*FULL.channels, PHONE)})


def row(table, **where):
    return table.filter(**where).row(0, named=True)


# --- what it says ---------------------------------------------------------------------------------------------------


def test_one_row_for_each_field_that_differs():
    scenario = combine(
        scale_channel("ad", volume_times=0.5),
        retarget("search", contacts_per_day={"decision": 0.5, "use": 0.1}, silence_in=["interest"]),
        improve_stage("use", exit=0.5),
        change_price(times=2),
        name="many",
    )
    rows = scenario.what_changes(WORLD).rows()
    assert rows == [
        ("stage", "use", "moves_per_day.lost", "0.02", "0.01"),
        ("channel", "ad", "volume", "1.0", "0.5"),
        ("channel", "search", "contacts_per_day.decision", "0.2", "0.5"),
        ("channel", "search", "contacts_per_day.use", None, "0.1"),
        ("channel", "search", "silent_in", "[]", '["interest"]'),
        ("world", "small", "price", "1.1", "2.2"),
    ]


def test_what_is_set_to_what_it_was_is_no_change():
    same = [{"channel": "search", "contacts_per_day": {"interest": 0.2}, "active": True}, {"personas": {"quick": 0.3}}]
    assert Scenario(name="same", changes=same).what_changes(WORLD).is_empty()
    assert changes_between(WORLD, WORLD).schema == dict.fromkeys(
        ("part", "name", "field", "before", "after"), pl.String
    )


def test_a_part_that_comes_or_goes_is_one_value():
    opened = staff_desk("support", staff=1, service_minutes=3).what_changes(WORLD)
    assert row(opened) == {
        "part": "channel",
        "name": "support",
        "field": "desk",
        "before": "null",
        "after": '{"staff": 1, "service_minutes": 3.0}',
    }
    nested = staff_desk("phone", staff=7).what_changes(WORLD)
    assert nested.rows() == [("channel", "phone", "desk.staff", "2", "7")]


def test_where_the_order_of_keys_changes_the_mapping_is_one_value():
    """The first forward move of a stage is the one that contacts push, so order is part of a world."""
    one, other = (small_world({"a": moves, "buy": {}}) for moves in ({"buy": 1, "lost": 2}, {"lost": 2, "buy": 1}))
    table = changes_between(one, other)
    assert table.rows() == [("stage", "a", "moves_per_day", '{"buy": 1.0, "lost": 2.0}', '{"lost": 2.0, "buy": 1.0}')]
    assert undo(other, table) == one != other


# --- and back -------------------------------------------------------------------------------------------------------

STAGES, CHANNELS = WORLD.stage_names, WORLD.channel_names
PERSONAS, PAINS = [p.name for p in WORLD.personas], [p.name for p in WORLD.pain_points]
times = st.floats(0.3, 1.5)
rates = st.dictionaries(st.sampled_from(STAGES), st.floats(0, 2), min_size=1, max_size=3)
calendars = st.fixed_dictionaries(
    {},
    optional={
        "weekdays": st.dictionaries(st.sampled_from(["sat", "sun", "mon"]), st.floats(0, 3)),
        "months": st.dictionaries(st.sampled_from(["feb", "mar"]), st.floats(0, 3)),
        "flights": st.just([{"from_day": 2, "until_day": 9}, {"from_day": 30, "until_day": 31, "times": 3}]),
    },
)


def some_of(key, names, **fields):
    """A change of one of `names` in at least one of the fields."""
    optional = st.fixed_dictionaries({}, optional=fields).filter(bool)
    return st.tuples(st.sampled_from(names), optional).map(lambda drawn: {key: drawn[0], **drawn[1]})


levers = st.one_of(
    some_of("stage", STAGES, forward=times, back=times, exit=times),
    some_of(
        "pain_point", PAINS, chance=st.floats(0, 1), slows=st.floats(0.1, 1), loses=st.floats(1, 9), hurts=st.just(0.0)
    ),
    some_of("pain_point", PAINS, chance_times=times),
    some_of(
        "channel",
        [name for name in CHANNELS if name not in ("friends",)],
        volume_times=st.floats(0, 3),
        active=st.booleans(),
        contacts_per_day=rates,
        reach=st.dictionaries(st.sampled_from(PERSONAS), st.one_of(times, rates), min_size=1),
        calendar=calendars,
        pull=st.one_of(st.floats(0, 0.3), st.dictionaries(st.sampled_from(STAGES), st.floats(0, 0.3), min_size=1)),
        cost_per_contact=st.floats(0, 9),
    ),
    some_of("channel", CHANNELS, silence_in=st.lists(st.sampled_from(STAGES)), pull_times=times),
    some_of(
        "desk",
        ["phone"],
        staff=st.integers(0, 9),
        service_minutes=st.floats(1, 9),
        shifts=st.just([{"from_hour": 3, "until_hour": 9, "staff": 1, "weekdays": ["mon"]}]),
        patience_minutes=st.floats(1, 9),
    ),
    st.fixed_dictionaries({"desk": st.just("support"), "staff": st.integers(0, 9), "service_minutes": st.floats(1, 9)}),
    st.dictionaries(st.sampled_from(PERSONAS), st.floats(0.01, 0.9), min_size=1, max_size=1).map(
        lambda shares: {"personas": shares}
    ),
    times.map(lambda factor: {"price_times": factor}),
    st.fixed_dictionaries({}, optional={"referrals_per_day_times": times, "delay_days": st.floats(0.5, 9)})
    .filter(bool)
    .map(lambda talk: {"word_of_mouth": talk}),
)
scenarios = st.lists(levers, min_size=1, max_size=6).map(
    lambda changes: Scenario.model_validate({"name": "drawn", "changes": changes})
)


@settings(deadline=None)  # no test of speed: a busy machine is none of its business
@given(scenarios)
def test_the_table_leads_back_to_the_world(scenario):
    try:
        changed = scenario.apply(WORLD)
    except InputError:
        assume(False)
    table = scenario.what_changes(WORLD)
    assert table.is_empty() == (changed == WORLD)
    assert undo(changed, table) == WORLD
    assert not table.filter(pl.col("before").eq_missing(pl.col("after"))).height


@settings(deadline=None)  # no test of speed: a busy machine is none of its business
@given(scenarios)
def test_yaml_keeps_every_lever(scenario):
    assert Scenario.from_yaml(scenario.to_yaml()) == scenario


@settings(deadline=None)  # no test of speed: a busy machine is none of its business
@given(scenarios, scenarios)
def test_a_sum_is_one_after_the_other(one, other):
    try:
        step_by_step = other.apply(one.apply(WORLD))
    except InputError:
        assume(False)
    assert (one + other).apply(WORLD) == step_by_step


def odd_world():
    """Names that have a dot, quotes and spaces in them, and a world without the parts of the others."""
    return small_world(
        {'v1.2 "beta"': {"buy": 0.1}, "buy": {"a.b": 0.1}, "a.b": {}},
        channels=[Channel(name="x.y", contacts_per_day={'v1.2 "beta"': 0.1, "a.b": 0.2}, pull={'v1.2 "beta"': 0.1})],
        personas=[Persona(name='"', share=1, reach={"x.y": {"a.b": 2}})],
    )


POOL = {
    "rich": rich_world(),
    "full": FULL,
    "desk": WORLD,
    "odd": odd_world(),
    "odd, changed": World.model_validate(
        retarget("x.y", contacts_per_day={"a.b": 0.7, "buy": 1}, reach={'"': {"a.b": 3, 'v1.2 "beta"': 1}})
        .apply(odd_world())
        .model_dump()
    ),
    "full, other order": World.model_validate({**dict(FULL), "channels": FULL.channels[::-1]}),
    **{name: worlds.load(name) for name in worlds.names()},
}


@pytest.mark.parametrize("before", POOL)
@pytest.mark.parametrize("after", POOL)
def test_any_two_worlds_are_a_table_apart(before, after):
    table = changes_between(POOL[before], POOL[after])
    assert table.is_empty() == (before == after)
    assert undo(POOL[after], table) == POOL[before]


def test_the_table_survives_a_file():
    scenario = retarget("x.y", contacts_per_day={"buy": 0.7, 'v1.2 "beta"': 1}) + reschedule("x.y", Calendar())
    scenario += reschedule("x.y", {"weekdays": {"mon": 2}}) + staff_desk("x.y", staff=1, service_minutes=1 / 3)
    table = scenario.what_changes(odd_world())
    assert 'contacts_per_day."v1.2 \\"beta\\""' in table["field"].to_list()
    file = io.StringIO(table.write_csv())
    read = pl.read_csv(file, infer_schema=False)
    assert read.equals(table)
    assert undo(scenario.apply(odd_world()), read) == odd_world()


def test_undo_refuses_another_world_and_another_table():
    scenario = scale_channel("ad", volume_times=0.5)
    table = scenario.what_changes(WORLD)
    with pytest.raises(InputError, match=r"'volume' of channel 'ad' is 1\.0 in this world, and 0\.5 after the change"):
        undo(WORLD, table)
    with pytest.raises(InputError, match="this world has no channel 'ad'"):
        undo(odd_world(), table)
    with pytest.raises(InputError, match="the table has no column 'before'"):
        undo(WORLD, table.drop("before"))
    with pytest.raises(InputError, match="no field 'volumes'"):
        undo(scenario.apply(WORLD), table.with_columns(field=pl.lit("volumes")))
    with pytest.raises(InputError, match=r"a world that cannot be: channels\.0\.volume: must be"):
        undo(scenario.apply(WORLD), table.with_columns(before=pl.lit("-1")))
    with pytest.raises(InputError, match="is not JSON"):
        undo(scenario.apply(WORLD), table.with_columns(before=pl.lit("one")))


# --- names and files ------------------------------------------------------------------------------------------------


def test_names_and_texts_add_up():
    one = Scenario(name="a", about="First.", changes=[{"price_times": 2}])
    other = Scenario(name="b", about="Second.", changes=[{"channel": "ad", "active": False}])
    assert (one + other).name == "a + b"
    assert (one + other).about == "First. Second."
    assert combine(one, other, name="plan") == Scenario(
        name="plan", about="First. Second.", changes=(*one.changes, *other.changes)
    )


def test_order_counts_where_one_sets_and_the_other_multiplies():
    fix = {"pain_point": "boredom", "chance": 0.2}
    double = {"pain_point": "boredom", "chance_times": 2}
    for changes, chance in (([fix, double], 0.4), ([double, fix], 0.2)):
        world = Scenario(name="x", changes=changes).apply(WORLD)
        assert world.pain_points[-1].chance == chance


def test_defaults_have_telling_names():
    names = [
        fix_pain_point("boredom").name,
        retarget("ad", contacts_per_day={"use": 0.25}, reach={"quick": 2}).name,
        staff_desk("phone", staff=3, shifts=[]).name,
    ]
    assert names == ["fix boredom", "retarget ad: use 0.25 a day, reach of quick", "desk phone: staff 3, shifts"]
    assert len(improve_stage("s" * 80, forward=1.23, back=1.23, exit=1.23, name=None).name) <= 200


def test_there_is_a_json_schema():
    schema = Scenario.model_json_schema()
    kinds = schema["properties"]["changes"]["items"]["oneOf"]
    assert len(kinds) == 7
    assert json.dumps(schema)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("{chanel: email, volume_times: 1}", r"say with a key what is changed; did you mean 'channel'\?"),
        ("{}", "say with a key what is changed; one of stage, pain_point, channel, desk, personas, price_times, word"),
        ("email", r"must be a mapping such as \{channel: email, volume_times: 0.5\} \(found 'email'\)"),
        ("{channel: email, pain_point: x}", "one change is about one thing; make several of pain_point and channel"),
        ("{channel: email}", "channel 'email' stays as it is; give one of volume_times, active, contacts_per_day"),
        ("{channel: email, pull: 0.1, pull_times: 2}", "give pull or pull_times, not both"),
        ("{word_of_mouth: {delay_days: 1, referrals_per_day: 1, referrals_per_day_times: 1}}", "not both"),
        ("{price: 1.1}", r"did you mean 'price_times'\?"),
    ],
)
def test_a_change_that_does_not_say_one_thing_is_refused(change, message):
    with pytest.raises(InputError, match=rf"^scenario line 3, changes\.0: [^\n]*{message}[^\n]*$"):
        Scenario.from_yaml(f"name: x\nchanges:\n  - {change}\n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "{channel: email, volum_times: 0.5}",
            r"volum_times: unknown key; did you mean 'volume_times'\? \(found 0\.5\)",
        ),
        ("{pain_point: x, chanse: 0.5}", r"chanse: unknown key; did you mean 'chance'\?"),
        ("{channel: email, calendar: {weekday: {}}}", r"calendar\.weekday: unknown key; did you mean 'weekdays'\?"),
        (
            "{desk: x, shifts: [{from_hour: 3, until_hour: 4, staff: 1, hours: 2}]}",
            r"shifts\.0\.hours: unknown key; (did|known)",
        ),
        ("{word_of_mouth: {delay: 1}}", r"word_of_mouth\.delay: unknown key; did you mean 'delay_days'\?"),
        ("{channel: email, pull: 1.5}", r"pull: must be less than 1 \(found 1\.5\)"),
        ("{channel: email, reach: {a: {b: -1}}}", r"reach\.a\.b: must be greater than or equal to 0"),
        ("{price_times: much}", r"price_times: must be a valid number, .*\(found 'much'\)"),
        ("{personas: [a, b]}", r"personas: must be a (mapping|valid).*|personas: expected a mapping"),
    ],
)
def test_wrong_fields_are_refused_with_their_place(change, message):
    with pytest.raises(InputError, match=rf"^scenario line 3, changes\.0\.{message}"):
        Scenario.from_yaml(f"name: x\nchanges:\n  - {change}\n")
