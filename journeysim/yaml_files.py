"""YAML files into checked models, with errors that name the line, the value and the fix."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import yaml
from pydantic import BaseModel, Tag, ValidationError
from pydantic_core import PydanticCustomError

from journeysim.errors import InputError
from journeysim.text_files import read_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pydantic_core import ErrorDetails

Model = TypeVar("Model", bound=BaseModel)
Place = tuple[str | int, ...]

TAG = "tag: "
"""How the tags of tagged unions begin: pydantic puts them among the keys of a place, we take them out."""

MAX_NODES = 100_000  # of a file after its aliases are expanded; a packaged world has about a thousand
MAX_DEPTH = 50  # of keys and lists within each other; a world has six

_ADVICE = {
    "missing": "this key is required; add it",
    "dict_type": "expected a mapping, such as {name: value}",
    "model_type": "expected a mapping with keys",
    "tuple_type": "expected a list, such as [first, second]",
    "string_type": "expected text; put it in quotes",
}
"""Advice in the words of YAML, where pydantic speaks of Python."""


class Problem(NamedTuple):
    """One thing that is wrong in a file: where, what was found there, and what to do."""

    place: Place
    found: object
    advice: str


def problems_error(problems: Sequence[Problem]) -> PydanticCustomError:
    """The error for a model validator to raise when checks across fields fail; it keeps every place."""
    listing = "; ".join(f"{_dotted(p.place)}: {p.advice} (found {p.found!r})" for p in problems)
    return PydanticCustomError("cross_check", "{listing}", {"listing": listing, "problems": tuple(problems)})


def did_you_mean(wrong: object, known: Sequence[str]) -> str:
    """A sentence that names the closest known name, or lists the first few of them."""
    near = difflib.get_close_matches(str(wrong), list(known), n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    listed = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    return f"known: {listed}" if known else "none is defined"


def read_model(path: str | Path, model: type[Model]) -> Model:
    """Read a YAML file into `model`.

    Raises
    ------
    InputError : the file is missing, not UTF-8, not YAML, or breaks a rule of the model; every broken rule is
        listed with its line.
    """
    return parse_model(read_text(path), model, source=str(path))


def parse_model(text: str, model: type[Model], *, source: str) -> Model:
    """As `read_model`, from text; `source` names it in errors."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        lines = _lines(root)
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" line {mark.line + 1}" if mark else ""
        advice = " Indent with spaces, not tabs." if "\\t" in (error.problem or "") else ""
        raise InputError(f"{source}{where}: not valid YAML: {error.problem or error.context}.{advice}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{source}: not valid YAML: {error}.") from None
    if not isinstance(content, dict):
        found = "the file is empty" if content is None else f"the top level is a {type(content).__name__}"
        keys = ", ".join(list(model.model_fields)[:4])
        raise InputError(f"{source}: {found}; expected a mapping with keys like {keys}.")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        told = [f"{source} line {_line_of(p.place, lines)}, {_dotted(p.place)}: {_clip(p)}" for p in _all(error, model)]
        raise InputError("\n".join(told)) from None


def tell(error: ValidationError, model: type[BaseModel]) -> str:
    """What is wrong with a model that was built in Python: each place, the advice and what was found, in one line."""
    return " ".join(f"{_dotted(p.place)}: {_clip(p)}" for p in _all(error, model))


def to_yaml(model: BaseModel) -> str:
    """The model as YAML that `parse_model` reads back to an equal model; fields at their defaults are left out."""
    content = model.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def _lines(root: yaml.Node | None) -> dict[Place, int]:
    """Line of every place in a file; refuses keys that stand twice, and aliases that expand without end."""
    lines: dict[Place, int] = {}
    todo: list[tuple[Place, yaml.Node]] = [((), root)] if root else []
    while todo:
        place, node = todo.pop()
        lines.setdefault(place, node.start_mark.line + 1)
        if len(lines) > MAX_NODES or len(place) > MAX_DEPTH:
            limits = f"{MAX_NODES} values or {MAX_DEPTH} levels"
            problem = f"more than {limits} once aliases (*name) are expanded; write it without them"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                inner = (*place, str(key.value))
                if inner in lines:
                    raise yaml.MarkedYAMLError(problem=f"key {key.value!r} stands twice", problem_mark=key.start_mark)
                lines[inner] = key.start_mark.line + 1
                todo.append((inner, value))
        elif isinstance(node, yaml.SequenceNode):
            todo += (((*place, i), child) for i, child in enumerate(node.value))
    return lines


def _line_of(place: Place, lines: dict[Place, int]) -> int:
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place, 1)


def _all(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """Every problem once: a list is not also said to be too short because what is wrong in it was left out."""
    details = error.errors()
    spurious = {
        detail["loc"]
        for detail in details
        if any(len(d["loc"]) > len(detail["loc"]) and d["loc"][: len(detail["loc"])] == detail["loc"] for d in details)
    }
    kept = [detail for detail in details if detail["type"] != "too_short" or detail["loc"] not in spurious]
    return [problem for detail in kept for problem in _problems(detail, model)]


def _problems(detail: ErrorDetails, model: type[BaseModel]) -> list[Problem]:
    if "problems" in detail.get("ctx", {}):
        return list(detail["ctx"]["problems"])
    place = tuple(step for step in detail["loc"] if not str(step).startswith(TAG))
    if detail["type"] == "extra_forbidden":
        advice = f"unknown key; {did_you_mean(place[-1], _keys_at(detail['loc'][:-1], model))}"
        return [Problem(place, detail["input"], advice)]
    found = None if detail["type"] == "missing" else detail["input"]
    return [Problem(place, found, _ADVICE.get(detail["type"]) or _in_our_words(detail["msg"]))]


def _in_our_words(message: str) -> str:
    """Pydantic's "Input should be greater than 0" as "must be greater than 0"."""
    return re.sub(r"^\w+ should", "must", message).replace(" after validation", "")


def _keys_at(place: Place, model: type[BaseModel]) -> list[str]:
    """Names of the keys that a mapping at `place`, tags included, may have."""
    models: dict[str, Any] = {"": model}
    for step in place:
        if str(step).startswith(TAG):
            models = {"": models[str(step)]} if str(step) in models else models
        elif not isinstance(step, int):
            field = next(iter(models.values())).model_fields.get(step) if models else None
            models = _models_in(field.annotation) if field else {}
    return list(next(iter(models.values())).model_fields) if models else []


def _models_in(annotation: Any, tag: str = "") -> dict[str, Any]:
    """The models that a value may be of, by their tag in a tagged union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {tag: annotation}
    tag = next((extra.tag for extra in getattr(annotation, "__metadata__", ()) if isinstance(extra, Tag)), tag)
    found: dict[str, Any] = {}
    for inner in getattr(annotation, "__args__", ()):
        found |= {name: model for name, model in _models_in(inner, tag).items() if name not in found}
    return found


def _dotted(place: Place) -> str:
    return ".".join(str(step) for step in place) or "(top level)"


def _clip(problem: Problem) -> str:
    found = repr(problem.found)
    found = found if len(found) <= 60 else found[:57] + "..."
    return f"{problem.advice}." if problem.found is None else f"{problem.advice} (found {found})."
