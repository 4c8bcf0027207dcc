import numpy as np
import pytest
from closed_forms import base_generator

from journeysim.errors import InputError
from journeysim.moves import LOST
from journeysim.scenario import Scenario, StageChange, improve_stage
from journeysim.simulation import simulate
from journeysim.spec import World

WORLD = World.from_yaml("""
name: tiny
stages:
  - {name: look, moves_per_day: {cart: 0.3, buy: 0.05, lost: 0.2}, influence: 1.5}
  - {name: cart, moves_per_day: {look: 0.4, buy: 0.2, lost: 0.1}}
  - {name: buy, purchase: true, moves_per_day: {use: 1}}
  - {name: use, moves_per_day: {buy: 0.1, look: 0.2, lost: 0.05}, pushes_to: buy}
channels:
  - {name: ad, contacts_per_day: {look: 0.5, use: 0.2}, pull: 0.3}
personas: [{name: quick, share: 0.4, pace: 2, patience: 0.5}, {name: slow, share: 0.6}]
pain_points: [{name: fee, stage: cart, chance: 0.5, slows: 0.5, loses: 2}]
basket: {median: 10}
""")
PLAN = Scenario(
    name="plan",
    changes=(
        StageChange(stage="look", forward=2, exit=0.5),
        StageChange(stage="use", forward=3, back=0.25),
        StageChange(stage="look", forward=1.5, exit=0.5, back=7),
    ),
)


def test_factors_by_hand_multiply_over_changes_of_one_stage():
    moves = (("look", "cart"), ("look", "buy"), ("look", LOST), ("use", "buy"), ("use", "look"), ("cart", "look"))
    factors = PLAN.hazard_factors(moves, stages=WORLD.stage_names, purchase_stages=WORLD.purchase_stages)
    assert factors.tolist() == [3, 3, 0.25, 3, 0.25, 1]


@pytest.mark.parametrize("persona", WORLD.personas, ids=lambda persona: persona.name)
def test_a_changed_world_and_changed_hazards_are_the_same(persona):
    names = (*WORLD.stage_names, LOST)
    before, after = base_generator(WORLD, persona), base_generator(PLAN.apply(WORLD), persona)
    moves = [(a, b) for a in WORLD.stage_names for b in names if a != b]
    factors = PLAN.hazard_factors(moves, stages=WORLD.stage_names, purchase_stages=WORLD.purchase_stages)
    for (origin, target), factor in zip(moves, factors, strict=True):
        cell = names.index(origin), names.index(target)
        assert after[cell] == pytest.approx(before[cell] * factor, rel=1e-14)


def test_contacts_do_more_where_forward_is_easier():
    influence = {stage.name: stage.influence for stage in PLAN.apply(WORLD).stages}
    assert influence == {"look": 4.5, "cart": 1, "buy": 1, "use": 3}
    assert {stage.name: stage.influence for stage in WORLD.stages}["look"] == 1.5


def test_improving_by_1_changes_nothing():
    nothing = improve_stage("look")
    assert nothing.name == "improve look: nothing"
    assert nothing.apply(WORLD) == WORLD
    run = {"n_customers": 300, "horizon_days": 30, "seed": 5}
    assert simulate(nothing.apply(WORLD), **run).hash() == simulate(WORLD, **run).hash()
    assert simulate(PLAN.apply(WORLD), **run).hash() != simulate(WORLD, **run).hash()


def test_a_changed_world_is_as_sound_as_any():
    assert hash(improve_stage("look").apply(WORLD)) == hash(WORLD)
    changed = PLAN.apply(WORLD)
    assert World.from_yaml(changed.to_yaml()) == changed
    assert {changed: "a world can be a key"}[PLAN.apply(WORLD)]


def test_changes_may_pass_a_bound_on_the_way_but_not_end_beyond_it():
    tenfold = improve_stage("look", forward=10, name="tenfold")
    bound = r"^Scenario 'tenfold' takes stage 'look' out of bounds: influence: must be less than or equal to 100 \("
    with pytest.raises(InputError, match=bound + r"found 150\.0\)\.$"):
        tenfold.apply(tenfold.apply(WORLD))
    there = StageChange(stage="look", forward=100, exit=100)
    back = StageChange(stage="look", forward=0.01, exit=0.01)
    assert Scenario(name="and back", changes=(there, back)).apply(WORLD).stages[0].influence == pytest.approx(1.5)
    with pytest.raises(InputError, match=r"takes stage 'look' out.* moves_per_day\.lost: must be .* equal to 10000 \("):
        Scenario(name="exits", changes=(StageChange(stage="look", exit=100),) * 3).apply(WORLD)


def test_a_change_that_leaves_no_way_to_a_purchase_is_refused():
    never = StageChange(stage="look", forward=1e-300)
    with pytest.raises(
        InputError, match=r"^Scenario 'never' makes a world that cannot be by changing stage 'look': .*no "
    ):
        Scenario(name="never", changes=(never, never)).apply(World.model_validate({**dict(WORLD), "channels": ()}))


def test_only_customers_who_reach_the_changed_stage_change():
    run = {"n_customers": 300, "horizon_days": 30, "seed": 5}
    before, after = simulate(WORLD, **run), simulate(improve_stage("cart", forward=2).apply(WORLD), **run)
    carts = before.codes("stage", ["cart"]) == 0
    spared = (
        before.customers["customer"]
        .filter(~np.isin(before.customers["customer"], before.customer_codes()[carts]))
        .combine_chunks()
    )
    assert 0 < len(spared) < 300
    assert before.only(spared).equals(after.only(spared))


def test_an_unknown_stage_is_refused_with_the_nearest():
    wrong = improve_stage("crat", forward=2)
    for use in (
        lambda: wrong.apply(WORLD),
        lambda: wrong.hazard_factors([], stages=WORLD.stage_names, purchase_stages=("buy",)),
    ):
        with pytest.raises(InputError, match=r"changes stage 'crat', which is unknown \(did you mean 'cart'\?\)"):
            use()


@pytest.mark.parametrize("factor", [0, -1, 101, float("nan"), float("inf")])
def test_a_factor_out_of_range_is_refused(factor):
    with pytest.raises(
        InputError, match=rf"improve_stage 'look': exit is {factor}; it must be above 0 and at most 100"
    ):
        improve_stage("look", exit=factor)


def test_yaml_gives_the_same_scenario_back(tmp_path):
    assert Scenario.from_yaml(PLAN.to_yaml()) == PLAN
    (tmp_path / "plan.yaml").write_text(PLAN.to_yaml())
    assert Scenario.from_yaml(tmp_path / "plan.yaml") == PLAN


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\nchanges: []\n", "scenario line 2, changes: "),
        (
            "name: x\nchanges:\n - {stage: a, foward: 2}\n",
            r"line 3, changes.0.foward: unknown key; did you mean 'forward'",
        ),
        ("name: x\nchanges:\n - {stage: a, exit: -1}\n", r"line 3, changes.0.exit: .*greater than 0 \(found -1\)"),
        ("name: x\nchanges:\n - {stage: a, exit: -1}\n", r"^[^\n]*must be greater than 0 [^\n]*$"),
        ("name: x\nchanges: []\n", r"changes: must have at least 1 item, not 0 \(found "),
        ("changes:\n - {stage: a}\n", "name: this key is required"),
    ],
)
def test_wrong_yaml_is_refused_with_the_line(text, message):
    with pytest.raises(InputError, match=message):
        Scenario.from_yaml(text)
