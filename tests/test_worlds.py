"""The packaged worlds load, say what they are about, and behave believably."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest
from channel_effects import channel_effects, share_lost, up_to_purchase

from journeysim import worlds
from journeysim.errors import InputError
from journeysim.kpis import drop_off, kpis
from journeysim.simulation import simulate
from journeysim.spec import World

if TYPE_CHECKING:
    from pathlib import Path

    from journeysim.events import EventLog

N = 20_000
DAYS = {"considered-purchase": 180.0, "impulse-purchase": 90.0}

# Believable ranges. At 20,000 customers the standard error of a rate is at most 0.4 points, and of a median or a rate
# of the 1,300 buyers (considered) a few percent; every figure lies several
# of these inside its range, whatever the seed.
BELIEVABLE = {
    "considered-purchase": {
        "conversion_rate": (0.03, 0.08),
        "median_basket": (800, 1000),
        "median_days_deciding": (14, 45),
        "repeat_rate": (0.01, 0.08),
        "retention_90_days": (0.6, 0.9),
        "touches_per_customer": (15, 35),
        "return_on_spend": (10, 50),
    },
    "impulse-purchase": {
        "conversion_rate": (0.1, 0.25),
        "median_basket": (10, 14),
        "median_days_deciding": (3, 15),
        "repeat_rate": (0.2, 0.4),
        "retention_30_days": (0.4, 0.8),
        "touches_per_customer": (15, 35),
        "return_on_spend": (3, 20),
    },
}


@pytest.fixture(scope="module", params=DAYS)
def world(request: pytest.FixtureRequest) -> World:
    return worlds.load(request.param)


@pytest.fixture(scope="module")
def log(world: World) -> EventLog:
    return simulate(world, n_customers=N, horizon_days=DAYS[world.name], seed=1)


def test_the_packaged_worlds_have_the_names_of_their_files() -> None:
    assert set(DAYS) < set(worlds.names())  # the worlds of test_traps.py are packaged as well
    assert [worlds.load(name).name for name in worlds.names()] == [*worlds.names()]


def test_a_world_survives_its_yaml(world: World) -> None:
    assert World.from_yaml(world.to_yaml()) == world


def test_a_file_loads_as_well(world: World, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(world.to_yaml(), encoding="utf-8")
    assert worlds.load(file) == worlds.load(str(file)) == world


def test_an_unknown_name_is_told_with_a_suggestion() -> None:
    with pytest.raises(InputError, match="did you mean 'impulse-purchase'"):
        worlds.load("impulse-purchas")
    with pytest.raises(InputError, match="known: considered-purchase, impulse-purchase"):
        worlds.load("xyz")
    with pytest.raises(InputError, match="No such file"):
        worlds.load("impulse-purchas.yaml")


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        # the seven stages of the field and loyalty, after the state before the journey
        ("considered-purchase", "unaware awareness interest evaluation decision purchase experience loyalty"),
        # AIDA: attention is awareness, action the purchase
        ("impulse-purchase", "unaware awareness interest desire action loyalty advocacy"),
    ],
)
def test_the_stages_are_those_of_the_framework(name: str, stages: str) -> None:
    world = worlds.load(name)
    assert world.stage_names == tuple(stages.split())
    assert len(world.purchase_stages) == 1


def test_a_world_has_what_a_journey_is_made_of(world: World) -> None:
    assert {channel.kind for channel in world.channels} == {"paid", "owned", "earned"}
    assert {channel.online for channel in world.channels} == {True, False}
    assert any(channel.triggers for channel in world.channels)
    assert len(world.personas) >= 4
    assert all(p.about and p.demographics and p.goals and p.challenges for p in world.personas)
    assert {"hidden_fees", "information_overload", "unclear_return_policy", "slow_checkout"} <= {
        pain.name for pain in world.pain_points
    }
    assert any(stage.experience for stage in world.stages)
    directions = {world.direction(s.name, to) for s in world.stages for to in s.moves_per_day}
    assert directions == {"forward", "back", "exit"}
    advertising = [c for c in world.channels if c.name in ("display", "social", "retargeting")]
    assert max(rate for c in advertising for rate in c.contacts_per_day.values()) <= 0.4


def test_the_kpis_are_believable(world: World, log: EventLog) -> None:
    found = dict(kpis(log).select("kpi", "value").iter_rows())
    outside = {
        name: found[name] for name, (low, high) in BELIEVABLE[world.name].items() if not low <= found[name] <= high
    }
    assert outside == {}


def test_every_stage_is_entered_and_loses_some(log: EventLog) -> None:
    frame = drop_off(log)
    assert frame["entries"].min() > 100  # type: ignore[operator]
    assert frame["drop_off"].is_between(0.005, 0.4).all()


def test_contacts_matter_but_do_not_decide_everything(world: World, log: EventLog) -> None:
    before = up_to_purchase(log)
    pushed = before.filter(pl.col("cause").is_in(world.channel_names))["customer"].n_unique()
    assert 0.3 < pushed / before["customer"].n_unique() < 0.65
    assert 0.25 < share_lost(world, log, *world.channel_names) < 0.5


def test_channels_differ_from_what_last_touch_says(world: World, log: EventLog) -> None:
    effects = channel_effects(world, log)
    incremental, last_touch = (dict(effects.select("channel", of).iter_rows()) for of in ("incremental", "last_touch"))
    # twin runs share all draws: the standard error of an effect of 2% of 1,300 buyers is about 0.4 points
    assert all(-0.01 < effect < 0.2 for effect in incremental.values())
    assert last_touch["retargeting"] > 0.25
    assert incremental["retargeting"] < 0.02
    early = {"considered-purchase": "display", "impulse-purchase": "social"}[world.name]
    assert incremental[early] / sum(incremental.values()) > 1.2 * last_touch[early]
