"""docs/scenarios.md says what the models say. `python tests/test_scenarios_doc.py` writes its tables anew."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from test_worlds_doc import field_table

from journeysim import worlds
from journeysim.scenario import (
    ChannelChange,
    DeskChange,
    MixChange,
    PainPointChange,
    PriceChange,
    Scenario,
    StageChange,
    TalkChange,
    WordOfMouthChange,
    changes_between,
    undo,
)
from journeysim.spec import Channel, WordOfMouth, World

if TYPE_CHECKING:
    from journeysim.parts import Part

DOC = Path(__file__).parents[1] / "docs" / "scenarios.md"
MODELS: tuple[type[Part], ...] = (
    Scenario,
    StageChange,
    PainPointChange,
    ChannelChange,
    DeskChange,
    MixChange,
    PriceChange,
    WordOfMouthChange,
    TalkChange,
)


def talking_world() -> World:
    """The packaged refrigerator, in a world where loyal customers talk."""
    world = worlds.load("considered-purchase")
    stages = tuple(s.model_copy(update={"advocates": s.name == "loyalty"}) for s in world.stages)
    talk = {"channels": (*world.channels, Channel(name="friends", kind="earned", pull=0.1)), "stages": stages}
    word_of_mouth = WordOfMouth(channel="friends", referrals_per_day=0.01)
    return World.model_validate({**dict(world), **talk, "word_of_mouth": word_of_mouth})


def examples() -> dict[str, Scenario]:
    blocks = re.findall(r"<!-- applies -->\n```yaml\n(.*?)```", DOC.read_text(encoding="utf-8"), flags=re.DOTALL)
    return {scenario.name: scenario for scenario in map(Scenario.from_yaml, blocks)}


def field_tables() -> str:
    return "\n".join(field_table(model) for model in MODELS) + "\n"


def changes_table() -> str:
    found = examples()
    plan = found["leave ready buyers alone"] + found["hard times"]
    rows = ["", "| part | name | field | before | after |", "|---|---|---|---|---|"]
    for part, name, field, before, after in plan.what_changes(worlds.load("considered-purchase")).iter_rows():
        values = ("" if value is None else f"`{value}`" for value in (before, after))
        rows.append(f"| {part} | {name} | `{field}` | {' | '.join(values)} |")
    return "\n".join(rows) + "\n\n"


TABLES = {"fields": field_tables, "table": changes_table}


def replaced(text: str, name: str) -> str:
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    return text[: text.index(begin) + len(begin)] + TABLES[name]() + text[text.index(end) :]


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_of_the_doc_are_up_to_date(name: str) -> None:
    text = DOC.read_text(encoding="utf-8")
    assert replaced(text, name) == text, "run this file to write the tables anew"


@pytest.mark.parametrize("model", MODELS)
def test_every_field_says_what_it_means(model: type[Part]) -> None:
    assert [name for name, field in model.model_fields.items() if not field.description] == []


@pytest.mark.parametrize("name", examples())
def test_every_example_changes_the_packaged_world_and_back(name: str) -> None:
    scenario = examples()[name]
    talks = any(isinstance(change, WordOfMouthChange) for change in scenario.changes)
    world = talking_world() if talks else worlds.load("considered-purchase")
    changed = scenario.apply(world)
    assert changed != world
    assert undo(changed, changes_between(world, changed)) == world
    assert Scenario.from_yaml(scenario.to_yaml()) == scenario


def test_every_lever_has_an_example_and_every_yaml_block_is_one() -> None:
    text = DOC.read_text(encoding="utf-8")
    assert text.count("```yaml") == len(examples())
    shown = {type(change) for scenario in examples().values() for change in scenario.changes}
    assert shown == {*MODELS} - {Scenario, TalkChange}


def test_the_calls_of_the_doc_can_be_made() -> None:
    import journeysim

    calls = re.findall(
        r"`((?:[a-z]+_[a-z_]+|retarget|reschedule)\((?:\"|\{|[a-z_]+=)[^`]*\))`", DOC.read_text(encoding="utf-8")
    )
    assert len(calls) == 13
    for call in calls:
        scenario = eval(call.replace("\n", " "), {name: getattr(journeysim, name) for name in journeysim.__all__})
        world = talking_world()
        assert scenario.apply(world) != world


def test_the_python_of_the_doc_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", DOC.read_text(encoding="utf-8"), flags=re.DOTALL)
    exec(compile(example, DOC.name, "exec"), {})
    printed = capsys.readouterr().out
    assert printed.startswith("email: volume x0.5 + fix hidden_fees\n")
    assert "EUR per customer" in printed


if __name__ == "__main__":
    for name in TABLES:
        DOC.write_text(replaced(DOC.read_text(encoding="utf-8"), name), encoding="utf-8")
