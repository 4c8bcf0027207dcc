"""A world as tables: what stands in them is what the world says."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from small_worlds import small_world

from journeysim import worlds
from journeysim.parts import Calendar, Channel, Desk, Flight, Shift, Stage
from journeysim.simulation import simulate
from journeysim.world_tables import (
    base_moves,
    begins,
    calendar_table,
    channel_table,
    contact_tables,
    desk_table,
    facts,
    journey_table,
    marks,
    percent,
    stay_days,
    three_digits,
    world_tables,
)

if TYPE_CHECKING:
    from journeysim.spec import World


@pytest.fixture(scope="module", params=worlds.names())
def world(request: pytest.FixtureRequest) -> World:
    return worlds.load(request.param)


def test_the_shares_of_a_stage_sum_to_one_and_stand_in_the_ratio_of_the_hazards(world: World) -> None:
    moves = base_moves(world)
    for stage in world.stages:
        mine = {move.target: move for move in moves if move.origin == stage.name}
        if any(stage.moves_per_day.values()):
            assert math.isclose(sum(move.share for move in mine.values()), 1)
            assert stay_days(stage) == pytest.approx(1 / sum(stage.moves_per_day.values()))
        for target, rate in stage.moves_per_day.items():
            assert rate == 0 or mine[target].share * sum(stage.moves_per_day.values()) == pytest.approx(rate)
            assert rate == 0 or mine[target].direction == world.direction(stage.name, target)


def test_the_shares_are_those_of_a_simulation() -> None:
    """Six of ten go on and four are lost: 20,000 customers, so that five standard errors are 1.7 points."""
    world = small_world({"home": {"buy": 0.6, "lost": 0.4}, "buy": {}})
    log = simulate(world, n_customers=20_000, horizon_days=100, seed=1).to_polars()
    bought = log.filter(log["kind"] == "purchase").height
    share = {move.target: move.share for move in base_moves(world)}["buy"]
    assert abs(bought / 20_000 - share) < 0.0175
    assert abs(bought / 20_000 - 0.5) > 0.0175  # negative control


def test_a_move_that_only_contacts_cause_is_there() -> None:
    push = Channel(name="push", contacts_per_day={"home": 0.1}, pull=0.5)
    world = small_world({"home": {"buy": 0.0, "lost": 0.2}, "buy": {"home": 0.0}}, channels=[push])
    assert [(m.origin, m.target, m.share) for m in base_moves(world)] == [("home", "buy", 0.0), ("home", "lost", 1.0)]


def test_who_never_leaves_stays_for_good() -> None:
    world = small_world({"home": {"buy": 1.0}, "buy": {}})
    assert stay_days(world.stages[1]) is None
    assert journey_table(world).rows[1][2] == "∞"


def test_every_row_has_a_cell_for_every_heading(world: World) -> None:
    for table in world_tables(world):
        assert {len(row) for row in table.rows} == {len(table.headings)}
        assert table.numbers <= {*table.headings}


def test_the_tables_of_a_framework_name_everything_that_it_has() -> None:
    world = worlds.load("aida")
    cells = "\n".join(cell for table in world_tables(world) for row in table.rows for cell in row)
    for part in (*world.stages, *world.channels, *world.personas, *world.pain_points):
        assert part.name in cells
    titles = [table.title for table in world_tables(world)]
    assert titles[0] == "The journey"
    assert "Desks" not in titles
    assert "→ advocacy 43%\n→ action 21%" in journey_table(world).rows[5][3]
    assert "pull ×1.3 after influencer" in {row[0]: row[-1] for row in channel_table(world).rows}["web_shop"]
    contacts, pulls = contact_tables(world)
    assert contacts.rows[0] == ("social", "15", "20", "18", "12", "6", "8", "10", "·")
    assert ("friends", "12", "25", "20", "20", "·", "·", "·", "5") in pulls.rows


def test_facts_say_what_holds_for_the_whole_world() -> None:
    said = facts(worlds.load("four-stages"))
    assert said[0] == "made for a window of 365 days"
    assert "price: 4% above what baskets assume" in said
    assert not [line for line in said if "word of mouth" in line]
    (told,) = [line for line in facts(worlds.load("aida")) if "word of mouth" in line]
    assert (
        told == "word of mouth: who is in advocacy tells one of 5,000 every 12.5 days, a contact on friends 1 day later"
    )


@pytest.mark.parametrize(("days", "told"), [((16, 17), "day 16"), ((0, 28), "days 0-27"), ((21, 3650), "from day 21")])
def test_flights_are_told_as_people_say_them(days: tuple[int, int], told: str) -> None:
    calendar = Calendar(flights=(Flight(from_day=days[0], until_day=days[1]),))
    channel = Channel(name="tv", contacts_per_day={"home": 1}, calendar=calendar)
    (row,) = calendar_table(small_world({"home": {"buy": 1.0}, "buy": {}}, channels=[channel])).rows
    assert row[1].startswith(f"{told} ×1, otherwise")


def test_unaware_is_not_counted_as_a_stage() -> None:
    assert begins(worlds.load("four-stages")) == "4 stages and unaware"
    assert begins(small_world({"home": {"buy": 1.0}, "buy": {}})) == "2 stages"


def test_a_desk_shows_its_shifts() -> None:
    shift = Shift(from_hour=8, until_hour=18, staff=3, weekdays=("mon", "tue"))
    desk = Desk(staff=0, service_minutes=6, patience_minutes=4, shifts=(shift,), hurts_per_hour=0.3, loses=0.1)
    phone = Channel(name="phone", contacts_per_day={"home": 1}, desk=desk, active=False)
    world = small_world({"home": {"buy": 1.0}, "buy": {}}, channels=[phone])
    (row,) = desk_table(world).rows
    assert row == ("phone", "0\n3 from 8 to 18 mon, tue", "6", "4", "0.3 an hour, 10% of those who hang up")
    assert channel_table(world).rows[0][1] == "paid, off"
    assert channel_table(world).rows[0][-1] == "has a desk"


def test_a_calendar_shows_days_as_they_are_run() -> None:
    calendar = Calendar(
        weekdays={"sun": 0}, months={"dec": 2}, flights=(Flight(from_day=3, until_day=5),), outside_flights=0.5
    )
    ad = Channel(name="ad", contacts_per_day={"home": 1}, calendar=calendar)
    world = small_world({"home": {"buy": 1.0}, "buy": {}}, channels=[ad])
    assert calendar_table(world).rows == (("ad", "sun×0\ndec×2\ndays 3-4 ×1, otherwise ×0.5"),)


def test_a_small_share_is_not_told_as_none() -> None:
    assert [percent(x) for x in (0.0, 0.004, 0.01, 0.126, 1.0)] == ["0%", "<1%", "1%", "13%", "100%"]


def test_days_are_never_told_in_powers_of_ten() -> None:
    assert [three_digits(x) for x in (0.25, 6.25, 99.96, 999.7, 1923.4)] == ["0.25", "6.25", "100", "1,000", "1,923"]


def test_marks_say_what_happens_in_a_stage() -> None:
    assert marks(Stage(name="a")) == ()
    stage = worlds.load("five-stages").stages[4]
    assert marks(stage) == ("purchase", "experience", "asks csat")


def test_contacts_and_pulls_are_those_that_the_engine_makes():
    """With volume and silence, and no pull where nothing leads forward."""
    ad = {"contacts_per_day": {"look": 1.0, "want": 1.0, "buy": 1.0}, "pull": 0.2}
    channels = [Channel(name="half", volume=0.5, silent_in=["want"], **ad), Channel(name="off", active=False, **ad)]
    world = small_world({"look": {"want": 0.1}, "want": {"buy": 0.1}, "buy": {"lost": 0.1}}, channels=channels)
    half, off = world.channels
    assert [world.contacts_in(half, stage) for stage in world.stage_names] == [0.5, 0.0, 0.5]
    assert [world.contacts_in(off, stage) for stage in world.stage_names] == [0.0, 0.0, 0.0]
    assert [world.pull_in(half, stage) for stage in world.stage_names] == [0.2, 0.2, 0.0]
