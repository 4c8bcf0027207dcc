"""A World is checked when it is read, and never changes afterwards."""

from __future__ import annotations

import copy
import pickle
import re
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from pydantic import ValidationError
from small_worlds import small_world

from journeysim.errors import InputError
from journeysim.simulation.recipe import Recipe
from journeysim.spec import Basket, Channel, PainPoint, Persona, ProductExperience, Stage, Trigger, World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEXT = """\
name: shoes
basket: {median: 60}
stages:
  - name: unaware
    moves_per_day: {evaluation: 0.1, lost: 0.01}
  - name: evaluation
    moves_per_day: {unaware: 0.05, purchase: 0.1}
  - name: purchase
    purchase: true
channels:
  - name: search
    contacts_per_day: {evaluation: 0.2}
    pull: {evaluation: 0.4}
    triggers: [{entering: evaluation}]
  - {name: email, pull: 0.5}
personas:
  - {name: runner, share: 0.5, reach: {search: 2}, appeal: {search: 2}}
  - {name: walker, share: 0.5}
pain_points:
  - {name: wrong_size, stage: evaluation, chance: 0.3}
"""


def error_of(text: str) -> str:
    with pytest.raises(InputError) as caught:
        World.from_yaml(text)
    return str(caught.value)


def test_the_text_that_these_tests_break_is_a_world() -> None:
    world = World.from_yaml(TEXT)
    assert world.stage_names == ("unaware", "evaluation", "purchase")
    assert world.direction("evaluation", "unaware") == "back"
    assert world.pushed_move(world.stages[1]) == "purchase"


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("evaluation: 0.1, lost", "evaluatoin: 0.1, lost", 5, "did you mean 'evaluation'?"),
        ("{unaware: 0.05, purch", "{evaluation: 0.05, purch", 7, "a stage cannot move to itself"),
        ("{unaware: 0.05, purchase: 0.1}", "{unaware: 0.05}\n    pushes_to: unaware", 8, "no such forward move"),
        ("walker, share: 0.5", "walker, share: 0.6", 16, "must sum to 1 (found 1.1)"),
        ("walker", "runner", 17, "2 personas share this name"),
        ("name: evaluation", "name: unaware", 4, "2 stages share this name"),
        ("name: email", "name: search", 11, "2 channels share this name"),
        ("name: email", "name: base", 15, "a meaning of its own"),
        ("name: unaware", "name: lost", 4, "a meaning of its own"),
        ("name: wrong_size", "name: email", 20, "a channel has this name too"),
        ("reach: {search", "reach: {serach", 17, "did you mean 'search'?"),
        ("appeal: {search", "appeal: {tv", 17, "known: search, email"),
        ("stage: evaluation, chance", "stage: evaluating, chance", 20, "did you mean 'evaluation'?"),
        ("entering: evaluation", "entering: evaluate", 14, "did you mean 'evaluation'?"),
        ("contacts_per_day: {evaluation", "contacts_per_day: {checkout", 12, "no such stage"),
        ("pull: {evaluation", "pull: {checkout", 13, "no such stage"),
        ("appeal: {search: 2}", "appeal: {search: 2.5}", 17, "'runner' times the pull 0.4 of 'search' in evaluation"),
        ("appeal: {search: 2}", "appeal: {email: 2}", 17, "of 'email' in every stage is 1; keep it below 2"),
        ("    purchase: true\n", "", 3, "set `purchase: true`"),
        (", purchase: 0.1}", "}", 8, "no move leads here"),
        ("pull: 0.5", "pulls: 0.5", 15, "did you mean 'pull'?"),
        ("name: shoes", "name: shoes\nchanels: []", 2, "did you mean 'channels'?"),
        ("pull: 0.5", "pull: 1", 15, "channels.1.pull: must be less than 1 (found 1)"),
        ("pull: 0.5", "pull: .inf", 15, "finite number (found inf)"),
        ("lost: 0.01", "lost: .nan", 5, "(found nan)"),
        ("lost: 0.01", "lost: -1", 5, "greater than or equal to 0 (found -1)"),
        ("lost: 0.01", "lost: often", 5, "(found 'often')"),
        ("{median: 60}", "{median: 0}", 2, "greater than 0 (found 0)"),
        ("{median: 60}", "{}", 2, "this key is required; add it"),
        ("{median: 60}", "[60]", 2, "expected a mapping"),
        ("{entering: evaluation}", "evaluation", 14, "expected a mapping"),
        ("[{entering: evaluation}]", "evaluation", 14, "expected a list"),
        ("chance: 0.3", "chance: 0.3, chance: 0.4", 20, "key 'chance' stands twice"),
        ("    purchase: true", "\tpurchase: true", 9, "Indent with spaces, not tabs"),
        ("[{entering: evaluation}]", "[{entering: evaluation}", 15, "not valid YAML"),
        ("pull: 0.5", "pull: !!python/name:os.system", 15, "not valid YAML"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_the_fix(old: str, new: str, line: int, says: str) -> None:
    assert TEXT.count(old) == 1
    message = error_of(TEXT.replace(old, new))
    assert f"line {line}" in message
    assert says in message


def test_all_that_is_wrong_is_told_at_once() -> None:
    message = error_of(TEXT.replace("share: 0.5", "share: 0.4").replace("stage: evaluation,", "stage: nowhere,"))
    assert "must sum to 1" in message
    assert "no such stage" in message


def test_a_purchase_that_no_move_leads_to_is_told() -> None:
    message = error_of(TEXT.replace("purchase: 0.1", "purchase: 0").replace("pull: {evaluation: 0.4}", "pull: 0"))
    assert "no move leads here" in message
    World.from_yaml(TEXT.replace("purchase: 0.1", "purchase: 0"))  # contacts alone may lead there


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        (b"# nothing yet\n", "the file is empty"),
        (b"- name: shoes\n", "the top level is a list"),
        (b"shoes", "the top level is a str"),
        (b"name: shoes\ntitle: caf\xe9\n", "line 2: byte 0xe9 is not UTF-8"),
        (b"a: 1\n---\nb: 2\n", "line 2: not valid YAML"),
        (b"a: \x00\n", "not valid YAML"),
        (b"? [a]\n: 1\n", "not valid YAML"),
        (b"[" * 10_000, "not valid YAML"),
        (b"a: " + b"9" * 5000, "not valid YAML"),
    ],
)
def test_files_that_are_no_world_are_refused(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "world.yaml"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"world\.yaml") as caught:
        World.from_yaml(file)
    assert says in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        World.from_yaml(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "bomb",
    [
        "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)),
        "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 12)),
        "a: &a [*a]\n",
        "a: &a {b: *a}\n",
    ],
    ids=["billion laughs", "merges", "list in itself", "mapping in itself"],
)
def test_aliases_that_expand_without_end_are_refused_at_once(bomb: str) -> None:
    began = time.perf_counter()
    assert "more than" in error_of(bomb + "\n")
    assert time.perf_counter() - began < 5  # a tenth of a second here; without the limit, years


def test_harmless_aliases_work() -> None:
    text = TEXT.replace("{evaluation: 0.2}", "&rates {evaluation: 0.2}").replace(
        "{name: email,", "{name: email, contacts_per_day: *rates,"
    )
    assert World.from_yaml(text).channels[1].contacts_per_day == {"evaluation": 0.2}


def test_python_gets_the_same_checks() -> None:
    with pytest.raises(ValidationError, match=r"personas: the shares of the personas must sum to 1 \(found 0.5\)"):
        World(name="w", stages=(Stage(name="a", moves_per_day={"b": 1}), Stage(name="b", purchase=True)),
              personas=(Persona(name="p", share=0.5),), basket=Basket(median=1))  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        lambda w: setattr(w, "name", "other"),
        lambda w: setattr(w.stages[0], "name", "other"),
        lambda w: w.stages[0].moves_per_day.__setitem__("lost", 5.0),
        lambda w: w.stages[0].moves_per_day.__delitem__("lost"),
        lambda w: w.stages[0].moves_per_day.update(lost=5.0),
        lambda w: w.stages[0].moves_per_day.pop("lost"),
        lambda w: w.stages[0].moves_per_day.clear(),
        lambda w: w.stages[0].moves_per_day.__ior__({"lost": 5.0}),
        lambda w: w.channels[0].pull.setdefault("unaware", 0.5),
        lambda w: w.personas[1].demographics.__setitem__("age", "30"),  # a default
    ],
)
def test_a_world_never_changes(change: Callable[[World], object]) -> None:
    world = World.from_yaml(TEXT)
    with pytest.raises((ValidationError, TypeError), match="frozen"):
        change(world)
    assert world == World.from_yaml(TEXT)


def test_a_mapping_that_a_world_was_made_of_may_change_afterwards() -> None:
    moves = {"b": 1.0}
    stage = Stage(name="a", moves_per_day=moves)
    moves["b"] = 2.0
    assert stage.moves_per_day == {"b": 1.0}


def test_equal_worlds_have_equal_hashes_and_survive_copies_and_pickles() -> None:
    world = World.from_yaml(TEXT)
    for twin in (World.from_yaml(TEXT), pickle.loads(pickle.dumps(world)), copy.deepcopy(world), copy.copy(world)):
        assert twin == world
        assert hash(twin) == hash(world)
        with pytest.raises(TypeError, match="frozen"):
            twin.stages[0].moves_per_day["lost"] = 5.0
    assert World.from_yaml(TEXT.replace("0.05", "0.06")) != world
    swapped = TEXT.replace("{unaware: 0.05, purchase: 0.1}", "{purchase: 0.1, unaware: 0.05}")
    assert World.from_yaml(swapped) != world  # contacts push along the first forward move, so order counts


def test_without_switches_off_and_names_what_it_does_not_know() -> None:
    world = World.from_yaml(TEXT)
    assert [c.active for c in world.without("email").channels] == [True, False]
    with pytest.raises(InputError, match="did you mean 'email'"):
        world.without("emial")


names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8).filter(
    lambda name: name not in ("lost", "base")
)
rates = st.floats(0, 1e4)
chances = st.floats(0, 1)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Small worlds of any names and numbers that keep the rules."""
    stages = draw(st.lists(names, min_size=2, max_size=4, unique=True))
    others = draw(st.lists(names, min_size=3, max_size=4, unique=True))
    split = draw(st.floats(0.1, 0.9))
    by_stage = st.dictionaries(st.sampled_from(stages), rates)
    channel = Channel(
        name=others[0],
        contacts_per_day=draw(by_stage),
        triggers=draw(st.lists(st.builds(Trigger, entering=st.sampled_from(stages), chance=chances), max_size=2)),
        pull=draw(st.floats(0, 0.5) | st.dictionaries(st.sampled_from(stages), st.floats(0, 0.5))),
        online=draw(st.booleans()),
    )
    chain = [
        Stage(name=a, moves_per_day={b: draw(st.floats(1e-9, 10)), "lost": draw(rates)}, purchase=i > 0)
        for i, (a, b) in enumerate(pairwise(stages))
    ]
    text = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), max_size=20)
    return World(
        name=draw(names),
        about=draw(text),
        stages=[*chain, Stage(name=stages[-1], purchase=True, experience=draw(st.booleans()))],
        channels=[channel],
        personas=[
            Persona(name=others[1], share=split, appeal={others[0]: draw(st.floats(0, 1.9))}, about=draw(text)),
            Persona(name=others[2], share=1 - split, goals=draw(st.lists(text)), demographics={"age": draw(text)}),
        ],
        pain_points=[PainPoint(name=others[2], stage=stages[-1], chance=draw(chances), loses=2)],
        basket=Basket(median=draw(st.floats(0.01, 1e6)), log_sd=draw(st.floats(0, 3))),
        product_experience=ProductExperience(mean_shift=draw(st.floats(-1, 1))),
    )  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_any_world_survives_yaml_and_json(world: World) -> None:
    back = World.from_yaml(world.to_yaml())
    assert back == world
    assert World.model_validate_json(world.model_dump_json()) == world


@pytest.mark.parametrize("text", ["a\x85b", "a\u2028b", "a\x00b", "a\rb"])
def test_control_characters_are_refused_since_yaml_takes_some_for_line_ends(text: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        Persona(name="p", share=1, about=text)
    with pytest.raises(ValueError, match="pattern"):
        Persona(name=text, share=1)


def test_shifts_surveys_and_prices_that_contradict_are_refused():
    desk = {"staff": 1, "service_minutes": 5}
    shift = {"from_hour": 8, "until_hour": 18, "staff": 2}

    def world(**changes):
        return small_world({"look": {"buy": 0.1}, "buy": {}}, **changes)

    def phone(*shifts):
        return [Channel(name="phone", contacts_per_day={"look": 1}, desk={**desk, "shifts": shifts})]

    with pytest.raises(ValueError, match=r"shifts\.1\.from_hour: another shift is worked then, 8 to 18"):
        world(channels=phone(shift, {**shift, "from_hour": 12, "until_hour": 20}))
    world(channels=phone(shift, {**shift, "from_hour": 18, "until_hour": 20}))
    world(channels=phone({**shift, "weekdays": ["mon"]}, {**shift, "weekdays": ["tue"]}))
    with pytest.raises(ValueError, match="weekdays"):
        phone({**shift, "weekdays": []})
    with pytest.raises(ValueError, match=r"surveys: asked 2 times; ask each survey once per stage"):
        world(stages={"look": {"surveys": [{"kind": "csat"}, {"kind": "csat", "response": 0.5}]}})
    with pytest.raises(
        ValueError, match=r"price_elasticity: with the price 1e-40, price \*\* -elasticity must be between"
    ):
        world(price=1e-40)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"world": "aida"}, "world is 'aida'; it must be a World"),
        ({"start": "2026-01-01"}, "start is '2026-01-01'; it must be a datetime"),
        ({"horizon_days": None}, "horizon_days is None; it must be above 0"),
    ],
)
def test_arguments_of_a_wrong_type_are_told(change, told):
    recipe = {"world": small_world({"look": {"buy": 0.1}, "buy": {}}), "n_customers": 2, "horizon_days": 1, "seed": 1}
    with pytest.raises(InputError, match=re.escape(told)):
        Recipe(**{**recipe, **change})
