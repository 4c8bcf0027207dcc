"""docs/worlds.md says what the models say, docs/worlds/ what the packaged worlds do.

`python tests/test_worlds_doc.py` writes their tables anew.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from channel_effects import share_lost, up_to_purchase

from journeysim import worlds
from journeysim.kpis import drop_off, kpis
from journeysim.simulation import incremental_effects, simulate
from journeysim.simulation.engines import couples_customers
from journeysim.simulation.estimates import MIN_UNITS
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
    from journeysim.events import EventLog
    from journeysim.parts import Part

DOC = Path(__file__).parents[1] / "docs" / "worlds.md"
PAGES = DOC.parent / "worlds"
INDEX = PAGES / "README.md"
CUSTOMERS, AT_DESKS = 40_000, 4_000  # worlds with desks are simulated on SimPy, a hundred times slower
HEADLINES = {
    "conversion_rate": "conversion",
    "median_days_deciding": "days to decide",
    "median_basket": "basket",
    "repeat_rate": "repeat",
    "retention_90_days": "retention, 90 days",
    "lost_share": "gone",
    "csat": "CSAT",
    "nps": "NPS",
    "touches_per_customer": "contacts per customer",
    "cost_per_acquisition": "cost per buyer",
    "return_on_spend": "revenue / cost",
}
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


@cache
def measured(name: str) -> EventLog:
    world = worlds.load(name)
    n = AT_DESKS if world.has_desks else CUSTOMERS
    return simulate(world, n_customers=n, horizon_days=world.horizon_days, seed=1)


def index_table() -> str:
    """One row per packaged world: the KPIs that tell worlds apart."""
    lines = ["", f"| world | days | {' | '.join(HEADLINES.values())} |", "|---|" + "---:|" * (1 + len(HEADLINES))]
    for names in worlds.groups().values():
        for name in names:
            found = {row["kpi"]: row for row in kpis(measured(name)).iter_rows(named=True)}
            cells = " | ".join(headline(found[kpi]) for kpi in HEADLINES)
            lines.append(f"| [{name}]({name}.md) | {worlds.load(name).horizon_days:g} | {cells} |")
    return "\n".join(lines) + "\n\n"


def headline(row: dict[str, Any]) -> str:
    if row["value"] is None:
        return "-"
    value: float = row["value"]
    rounded = float(f"{value:.3g}")
    return f"{value:.1%}" if row["unit"] == "share" else f"{rounded:,g}"


def world_page_tables(name: str) -> str:
    """KPIs, drop-off and channels of one world."""
    world, log = worlds.load(name), measured(name)
    size = f"{log.n_customers:,} customers, {world.horizon_days:g} days, seed 1; money in {world.currency}."
    coupled = couples_customers(world)
    n_markets = len(log.customers["market"].unique())
    honest = not coupled or n_markets >= MIN_UNITS
    told = {
        (False, True): "",
        (True, True): f"Customers of a market influence each other: intervals and errors rest on {n_markets} markets.",
        (True, False): f"Customers of a market influence each other, and {n_markets} markets are too few (it takes "
        f"{MIN_UNITS}) to say how far figures are off, so there are no intervals. `journeysim truth {name}` simulates "
        "enough of them to say how far the effects of channels are off.",
    }[coupled, honest]
    lines = ["", size, *(["", told] if told else [])]
    lines += ["", f"| KPI | unit | value{' (95% interval)' if honest else ''} |", "|---|---|---|"]
    figures = kpis(log, cluster="market" if coupled and honest else None)
    if not honest:
        figures = figures.with_columns(low=None, high=None)
    lines += [f"| `{row['kpi']}` | {row['unit']} | {interval(row)} |" for row in figures.iter_rows(named=True)]
    lines += ["", "| stage | entries | forward | back | lost | still there | drop-off |", "|---" * 7 + "|"]
    lines += [
        f"| {' | '.join(map(str, row[:-1]))} | {'-' if row[-1] is None else f'{row[-1]:.1%}'} |"
        for row in drop_off(log).rows()
    ]
    return "\n".join([*lines, "", *channel_lines(world, log)]) + "\n\n"


def channel_lines(world: World, log: EventLog) -> list[str]:
    """What each channel really does, with its Monte Carlo standard error, beside what last touch says."""
    truth = incremental_effects(world, n_customers=log.n_customers, horizon_days=log.days, seed=1)
    touches = up_to_purchase(log).filter(pl.col("kind") == "touch")
    last = touches.group_by("customer").agg(pl.col("channel").last())["channel"]
    lines = ["| channel | incremental effect | standard error | true share | last touch |", "|---|---|---|---|---|"]
    for name, effect, error, share in zip(truth.channels, truth.effect, truth.standard_error, truth.share, strict=True):
        known = f"{error:.1%}" if error == error else "-"
        lines.append(f"| {name} | {effect:z.1%} | {known} | {share:.1%} | {(last == name).mean():.1%} |")
    lines.append(f"| all | {share_lost(world, log, *world.channel_names):z.1%} | | | |")
    return lines


def interval(row: dict[str, Any]) -> str:
    if row["value"] is None:
        return "not observed"
    bounds = "" if row["low"] is None else f" ({four_digits(row['low'])} to {four_digits(row['high'])})"
    return f"{four_digits(row['value'])}{bounds}"


def four_digits(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"


def replaced(text: str, name: str, tables: str) -> str:
    """The doc with what stands between two markers made anew."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    return text[: text.index(begin) + len(begin)] + tables + text[text.index(end) :]


def up_to_date(page: Path, name: str, tables: str) -> bool:
    text = page.read_text(encoding="utf-8")
    return replaced(text, name, tables) == text


def test_the_tables_of_fields_are_up_to_date() -> None:
    assert up_to_date(DOC, "fields", field_tables()), "run this file to write the tables anew"


@pytest.mark.slow
def test_the_table_of_all_worlds_is_up_to_date() -> None:
    assert up_to_date(INDEX, "measured", index_table()), "run this file to write the tables anew"


@pytest.mark.slow
@pytest.mark.parametrize("name", worlds.names())
def test_the_tables_of_every_world_are_up_to_date(name: str) -> None:
    assert up_to_date(PAGES / f"{name}.md", "measured", world_page_tables(name)), (
        "run this file to write the tables anew"
    )


@pytest.mark.parametrize("name", worlds.names())
def test_every_packaged_world_has_a_page_with_its_map_and_a_row_in_the_table(name: str) -> None:
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    assert f"](../images/worlds/{name}.png)" in page
    assert f"journeysim worlds show {name}" in page
    assert f"| [{name}]({name}.md) | {worlds.load(name).horizon_days:g} |" in INDEX.read_text(encoding="utf-8")


@pytest.mark.parametrize("model", MODELS)
def test_every_field_says_what_it_means(model: type[Part]) -> None:
    assert [name for name, field in model.model_fields.items() if not field.description] == []


def test_the_example_of_the_doc_is_a_believable_world() -> None:
    example = DOC.read_text(encoding="utf-8").split("<!-- example -->\n```yaml\n")[1].split("```")[0]
    log = simulate(World.from_yaml(example), n_customers=20_000, horizon_days=90, seed=1)
    found = {row["kpi"]: row["value"] for row in kpis(log).iter_rows(named=True)}
    assert found["purchases"] > 1_000
    assert 10 < found["cost_per_acquisition"] < 0.1 * found["median_basket"]


@pytest.mark.parametrize(("name", "n_markets"), [("trap-word-of-mouth", 200), ("gift-purchase", 4)])
def test_a_page_shows_intervals_only_where_they_can_be_known(name: str, n_markets: int) -> None:
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8").split("<!-- measured -->")[1]
    assert couples_customers(worlds.load(name))
    assert f"{n_markets} markets" in page
    (row,) = [line for line in page.splitlines() if line.startswith("| `conversion_rate`")]
    assert (" to " in row) == (n_markets >= MIN_UNITS)


def write(page: Path, name: str, tables: str) -> None:
    page.write_text(replaced(page.read_text(encoding="utf-8"), name, tables), encoding="utf-8")


if __name__ == "__main__":
    write(DOC, "fields", field_tables())
    write(INDEX, "measured", index_table())
    for world_name in worlds.names():
        write(PAGES / f"{world_name}.md", "measured", world_page_tables(world_name))
