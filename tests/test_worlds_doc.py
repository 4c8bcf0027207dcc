"""docs/worlds.md says what the models say. `python tests/test_worlds_doc.py` writes its tables anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from journeysim.simulation import simulate
from journeysim.spec import Basket, Channel, PainPoint, Part, Persona, ProductExperience, Stage, Trigger, World

DOC = Path(__file__).parents[1] / "docs" / "worlds.md"
MODELS: tuple[type[Part], ...] = (
    World,
    Stage,
    Channel,
    Trigger,
    Persona,
    PainPoint,
    Basket,
    ProductExperience,
)
BEGIN, END = "<!-- fields -->\n", "<!-- end of fields -->"


def field_tables() -> str:
    return "\n".join(field_table(model) for model in MODELS)


def field_table(model: type[Part]) -> str:
    schema = model.model_json_schema()
    rows = [f"### {model.__name__}\n", "| field | value | default | meaning |", "|---|---|---|---|"]
    for name, value in schema["properties"].items():
        needed = name in schema.get("required", ())
        default = "required" if needed else shown(value.get("default"))
        rows.append(f"| `{name}` | {kind(value)} | {default} | {value['description']} |")
    return "\n".join(rows) + "\n"


def shown(default: Any) -> str:
    if default is None or default in ("", [], {}) or isinstance(default, dict):
        return ""
    return f"{default}".lower() if isinstance(default, bool) else f"{default}"


def kind(value: dict[str, Any]) -> str:
    if "enum" in value:
        return ", ".join(value["enum"])
    if "$ref" in value:
        return value["$ref"].split("/")[-1]
    for choice in ("anyOf", "oneOf"):
        if choice in value:
            return " or ".join(kind(one) for one in value[choice] if one.get("type") != "null")
    match value["type"]:
        case "array":
            return f"list of {kind(value['items'])}"
        case "object":
            return f"by name: {kind(value['additionalProperties'])}"
        case "number":
            low, high = value.get("minimum", value.get("exclusiveMinimum")), value.get("maximum")
            high = value.get("exclusiveMaximum", high)
            left = "(" if "exclusiveMinimum" in value else "["
            right = ")" if "exclusiveMaximum" in value else "]"
            return f"{left}{low:g}, {high:g}{right}"
        case "string":
            return {"^[A-Z]{3}$": "three capitals"}.get(value.get("pattern", ""), "text")
        case other:
            return {"boolean": "true or false"}[other]


def test_the_tables_of_the_doc_are_those_of_the_models() -> None:
    text = DOC.read_text(encoding="utf-8")
    assert text[text.index(BEGIN) + len(BEGIN) : text.index(END)] == field_tables(), "run this file to write them anew"


@pytest.mark.parametrize("model", MODELS)
def test_every_field_says_what_it_means(model: type[Part]) -> None:
    assert [name for name, field in model.model_fields.items() if not field.description] == []


def test_the_example_of_the_doc_is_a_world_with_buyers() -> None:
    example = DOC.read_text(encoding="utf-8").split("<!-- example -->\n```yaml\n")[1].split("```")[0]
    log = simulate(World.from_yaml(example), n_customers=200, horizon_days=90, seed=1)
    assert "purchase" in log.to_polars()["kind"].to_list()


if __name__ == "__main__":
    text = DOC.read_text(encoding="utf-8")
    DOC.write_text(text[: text.index(BEGIN) + len(BEGIN)] + field_tables() + text[text.index(END) :], encoding="utf-8")
