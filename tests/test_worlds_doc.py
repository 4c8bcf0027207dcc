"""docs/worlds.md says what the models say. `python tests/test_worlds_doc.py` writes its tables anew."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from channel_effects import channel_effects, share_lost

from journeysim import worlds
from journeysim.kpis import KPIS, drop_off, kpis
from journeysim.simulation import simulate
from journeysim.spec import (
    Basket,
    Calendar,
    Channel,
    Desk,
    Flight,
    Irritation,
    PainPoint,
    Persona,
    ProductExperience,
    Shift,
    Stage,
    Survey,
    Trigger,
    WordOfMouth,
    World,
)

if TYPE_CHECKING:
    from journeysim.parts import Part

DOC = Path(__file__).parents[1] / "docs" / "worlds.md"
MODELS: tuple[type[Part], ...] = (
    World,
    Stage,
    Channel,
    Trigger,
    Irritation,
    Desk,
    Shift,
    Calendar,
    Flight,
    Survey,
    WordOfMouth,
    Persona,
    PainPoint,
    Basket,
    ProductExperience,
)
DAYS = {"considered-purchase": 180.0, "impulse-purchase": 90.0}


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
            of = next(iter(value["patternProperties"].values())) if "patternProperties" in value else None
            return f"by name: {kind(of or value['additionalProperties'])}"
        case "number" | "integer":
            low, high = value.get("minimum", value.get("exclusiveMinimum")), value.get("maximum")
            high = value.get("exclusiveMaximum", high)
            left = "(" if "exclusiveMinimum" in value else "["
            right = ")" if "exclusiveMaximum" in value else "]"
            return f"{left}{low:g}, {high:g}{right}" + (" whole" if value["type"] == "integer" else "")
        case "string":
            return {"^[A-Z]{3}$": "three capitals"}.get(value.get("pattern", ""), "text")
        case other:
            return {"boolean": "true or false"}[other]


def packaged_tables() -> str:
    """KPIs, drop-off and channels of the packaged worlds: 100,000 customers, seed 1."""
    all_worlds = {name: worlds.load(name) for name in DAYS}
    logs = {n: simulate(w, n_customers=100_000, horizon_days=DAYS[n], seed=1) for n, w in all_worlds.items()}
    found = [kpis(log) for log in logs.values()]
    lines = ["", f"| KPI | unit | {' | '.join(logs)} |", "|---|---|---|---|"]
    for name, (unit, _) in KPIS.items():
        cells = [interval(frame.filter(pl.col("kpi") == name).row(0, named=True)) for frame in found]
        lines.append(f"| `{name}` | {unit} | {' | '.join(cells)} |")
    for name, log in logs.items():
        lines += ["", f"| {name}: stage | entries | forward | back | lost | still there | drop-off |", "|---" * 7 + "|"]
        lines += [f"| {' | '.join(map(str, row[:-1]))} | {row[-1]:.1%} |" for row in drop_off(log).rows()]
    for name, log in logs.items():
        lines += ["", f"| {name}: channel | incremental effect | last touch |", "|---|---|---|"]
        effects = channel_effects(all_worlds[name], log).rows()
        lines += [f"| {channel} | {effect:.1%} | {last:.1%} |" for channel, effect, last in effects]
        lines.append(f"| all | {share_lost(all_worlds[name], log, *all_worlds[name].channel_names):.1%} | |")
    return "\n".join(lines) + "\n\n"


def interval(row: dict[str, Any]) -> str:
    if row["value"] is None:
        return "not observed"
    bounds = "" if row["low"] is None else f" ({row['low']:.4g} to {row['high']:.4g})"
    return f"{row['value']:,.0f}{bounds}" if row["value"] >= 1000 else f"{row['value']:.4g}{bounds}"


TABLES = {"fields": field_tables, "packaged": packaged_tables}


def replaced(text: str, name: str) -> str:
    """The doc with the tables between two markers made anew."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    return text[: text.index(begin) + len(begin)] + TABLES[name]() + text[text.index(end) :]


@pytest.mark.parametrize("name", ["fields", pytest.param("packaged", marks=pytest.mark.slow)])
def test_the_tables_of_the_doc_are_up_to_date(name: str) -> None:
    text = DOC.read_text(encoding="utf-8")
    assert replaced(text, name) == text, "run this file to write the tables anew"


@pytest.mark.parametrize("model", MODELS)
def test_every_field_says_what_it_means(model: type[Part]) -> None:
    assert [name for name, field in model.model_fields.items() if not field.description] == []


def test_the_example_of_the_doc_is_a_world_with_buyers() -> None:
    example = DOC.read_text(encoding="utf-8").split("<!-- example -->\n```yaml\n")[1].split("```")[0]
    log = simulate(World.from_yaml(example), n_customers=200, horizon_days=90, seed=1)
    assert "purchase" in log.to_polars()["kind"].to_list()


if __name__ == "__main__":
    for name in TABLES:
        DOC.write_text(replaced(DOC.read_text(encoding="utf-8"), name), encoding="utf-8")
