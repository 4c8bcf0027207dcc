"""Two worlds, field by field: a table of what differs, and the way back from it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import polars as pl
from pydantic import ValidationError

from journeysim.errors import InputError
from journeysim.parts import Part
from journeysim.spec import World
from journeysim.yaml_files import tell

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Steps = tuple[str, ...]

PARTS: Final[Mapping[str, str]] = {
    "stages": "stage",
    "channels": "channel",
    "personas": "persona",
    "pain_points": "pain point",
}
"""Fields of a world that list named parts, and what such a part is called."""

COLUMNS: Final = ("part", "name", "field", "before", "after")

_ABSENT: Final = object()
"""What a mapping has under a key that it does not have."""


def changes_between(before: World, after: World) -> pl.DataFrame:
    """A row for each field in which two worlds differ.

    Columns: part (`stage`, `channel`, `persona`, `pain point` or `world`), name, field (dotted, a step with a dot in
    quotes), before and after, as JSON; null where a mapping does not have the key. A mapping is compared key by key,
    unless other keys come first in it: their order counts, so it is then one value. So is a list, and a part that is
    only there in one of both worlds.
    """
    rows: list[tuple[str, str, str, str | None, str | None]] = []
    for field in World.model_fields:
        old, new = getattr(before, field), getattr(after, field)
        if field in PARTS and [part.name for part in old] == [part.name for part in new]:
            for one, other in zip(old, new, strict=True):
                for steps, was, is_now in _differences(one, other, ()):
                    rows.append((PARTS[field], one.name, _dotted(steps), _text(was), _text(is_now)))
        else:
            for steps, was, is_now in _differences(old, new, (field,)):
                rows.append(("world", before.name, _dotted(steps), _text(was), _text(is_now)))
    return pl.DataFrame(rows, schema=dict.fromkeys(COLUMNS, pl.String), orient="row")


def undo(world: World, table: pl.DataFrame) -> World:
    """The world from before the changes of a table, which `changes_between` or `Scenario.what_changes` made.

    Raises
    ------
    InputError : the table has other columns, or this is not the world that its changes lead to

    >>> from journeysim import worlds
    >>> from journeysim.scenario import drop_channel
    >>> world, scenario = worlds.load("considered-purchase"), drop_channel("email")
    >>> undo(scenario.apply(world), scenario.what_changes(world)) == world
    True
    """
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise InputError(f"undo: the table has no column {missing[0]!r}; it needs {', '.join(COLUMNS)}.")
    content = world.model_dump(warnings=False)  # it is checked below
    for part, name, field, before, after in table.select(COLUMNS).iter_rows():
        steps = _steps(field or "")
        found, place = _part(world, content, part, name)
        current = _at(found, steps)
        if _text(current) != after:
            was = "nothing" if _text(current) is None else _text(current)
            raise InputError(
                f"undo: {field!r} of {part} {name!r} is {was} in this world, and {after or 'nothing'} after the change "
                "of the table. Pass the world that the change led to."
            )
        for step in steps[:-1]:
            place = place[step]
        if before is None:
            del place[steps[-1]]
            continue
        try:
            place[steps[-1]] = json.loads(before)
        except ValueError:
            raise InputError(f"undo: {field!r} of {part} {name!r} was {before!r}, which is not JSON.") from None
    try:
        return World.model_validate(content)
    except ValidationError as error:
        raise InputError(f"undo: the table leads back to a world that cannot be: {tell(error, World)}") from None


def _differences(old: Any, new: Any, steps: Steps) -> Iterator[tuple[Steps, Any, Any]]:
    """Where two values differ: the steps to it, and both."""
    if old is new or old == new:
        return
    if isinstance(old, Part) and type(old) is type(new):
        for field in type(old).model_fields:
            yield from _differences(getattr(old, field), getattr(new, field), (*steps, field))
    elif isinstance(old, Mapping) and isinstance(new, Mapping) and _one_begins_with_the_other([*old], [*new]):
        for key in max(old, new, key=len):
            yield from _differences(old.get(key, _ABSENT), new.get(key, _ABSENT), (*steps, key))
    else:
        yield steps, old, new


def _one_begins_with_the_other(old: list[str], new: list[str]) -> bool:
    """Keys that are put back come last, so only then does a way back by keys restore their order."""
    common = min(len(old), len(new))
    return old[:common] == new[:common]


def _text(value: Any) -> str | None:
    return None if value is _ABSENT else json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    """As JSON has it, parts without the fields that are at their defaults."""
    if isinstance(value, Part):
        return value.model_dump(mode="json", exclude_defaults=True)
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return value


def _dotted(steps: Steps) -> str:
    return ".".join(json.dumps(step, ensure_ascii=False) if re.search(r'[."]', step) else step for step in steps)


def _steps(field: str) -> Steps:
    """The steps of a dotted field, see `_dotted`."""
    found = re.findall(r'"(?:[^"\\]|\\.)*"|[^."]+', field)
    return tuple(json.loads(step) if step.startswith('"') else step for step in found)


def _part(world: World, content: dict[str, Any], part: str, name: str) -> tuple[Any, Any]:
    """A part of a world, and where it stands in the content."""
    if part == "world":
        return world, content
    for field, what in PARTS.items():
        parts: Sequence[Any] = getattr(world, field)
        for i, one in enumerate(parts):
            if (what, one.name) == (part, name):
                return one, content[field][i]
    raise InputError(f"undo: this world has no {part} {name!r}. Pass the world that the change led to.")


def _at(found: Any, steps: Steps) -> Any:
    for step in steps:
        if isinstance(found, Mapping):
            found = found.get(step, _ABSENT)
        elif isinstance(found, Part) and step in type(found).model_fields:
            found = getattr(found, step)
        else:
            raise InputError(f"undo: this world has no field {_dotted(steps)!r}. Was the table made by what_changes?")
    return found
