"""What README and docs promise: the example runs, links lead somewhere, the map names every part of the tree."""

import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def yaml_of(page: str) -> str:
    """The first YAML block of a page of the docs."""
    return (ROOT / "docs" / page).read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]


@pytest.fixture(scope="module")
def log_of_the_readme():
    from journeysim import simulate, worlds

    return simulate(worlds.load("considered-purchase"), n_customers=2_000, horizon_days=180, seed=1)


def test_the_example_of_the_readme_runs_and_says_something(capsys):
    (example,) = python_blocks(ROOT / "README.md")
    assert len([line for line in example.splitlines() if line.strip()]) <= 15
    found: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), found)
    printed = capsys.readouterr().out
    assert "Attribution by markov" in printed
    assert "standard_error" in printed
    assert re.search(r"conversion +180 +[0-9.]+% +[0-9.]+% +\+", printed)
    difference = found["result"].difference("improve decision: exit x0.5", "conversion")  # type: ignore[attr-defined]
    assert (difference > 0).all()


@pytest.mark.parametrize(
    "page",
    [
        "logs.md",
        "forecasts.md",
        "kpis.md",
        "scale.md",
        "stage-model.md",
        pytest.param("retention-model.md", marks=pytest.mark.slow),
        pytest.param("influence-model.md", marks=pytest.mark.slow),
        "attribution-methods.md",
    ],
)
def test_the_examples_of_the_docs_run(page, capsys):
    names = {}  # later examples of a page go on from earlier ones
    for example in python_blocks(ROOT / "docs" / page):
        exec(compile(example, page, "exec"), names)
    assert capsys.readouterr().out


def test_the_files_that_the_readme_names_are_the_examples_of_the_docs():
    from journeysim import Scenario, read_paths, worlds

    journeys = read_paths(ROOT / "examples" / "paths.csv")
    assert (journeys.n_conversions, {*journeys.channels}) == (4, {"search", "email", "display"})
    table = (ROOT / "docs" / "attribution.md").read_text(encoding="utf-8").split("### The journeys")[1]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[4:9]]
    file = (ROOT / "examples" / "paths.csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(",") for line in file[1:]] == rows
    plan = Scenario.from_yaml(ROOT / "examples" / "plan.yaml")
    assert not plan.what_changes(worlds.load("considered-purchase")).is_empty()
    assert plan.to_yaml() == Scenario.from_yaml(yaml_of("scenarios.md")).to_yaml()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in re.findall(r"examples/[\w.-]+", readme) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file(page):
    links = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def test_the_map_of_the_readme_names_every_module():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = text.split("## The map of the tree", 1)[1].split("```")[1]
    parts = {part.name for part in (ROOT / "journeysim").iterdir() if not part.name.startswith(("_", "."))}
    parts -= {"py.typed", "templates"}
    assert [part for part in sorted(parts) if part not in tree] == []


def test_the_source_distribution_has_all_that_the_tests_need():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included = {name.removeprefix("/") for name in project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]}
    assert [name for name in sorted(included) if not (ROOT / name).exists()] == []
    code = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").glob("*.py"))
    needed = {*re.findall(r"^from (benchmarks|docs|experiments|notebooks)\b", code, flags=re.MULTILINE)}
    needed |= {*re.findall(r"(?:ROOT|parents\[1\]) / \"([\w.]+)\"", code), "Makefile", "CITATION.cff"}
    assert needed >= {"benchmarks", "experiments", "CONTRIBUTING.md"}
    assert sorted(name for name in needed - included if (ROOT / name).exists() and name != "pyproject.toml") == []


def test_public_names_are_there_and_hide_no_module():
    import journeysim

    modules = {file.stem for file in (ROOT / "journeysim").iterdir()}
    for name in journeysim.__all__:
        assert getattr(journeysim, name) is not None
        if isinstance(getattr(journeysim, name), ModuleType):
            assert getattr(journeysim, name).__name__ == f"journeysim.{name}"
            continue
        assert name not in modules, f"{name} is a module and a public name: which one you get depends on imports"


def test_results_say_in_one_line_what_they_are(log_of_the_readme):
    from journeysim import StageModel, forecast, improve_stage, to_journeys, to_stage_history

    history = to_stage_history(log_of_the_readme, by="persona")
    posterior = StageModel().fit(history, seed=1)
    result = forecast(posterior, [improve_stage("decision", exit=0.5)], conversion_days=90, retention_days=30)
    said = [repr(thing) for thing in (log_of_the_readme, to_journeys(log_of_the_readme), history, posterior, result)]
    assert [line.split("(")[0] for line in said] == ["EventLog", "Journeys", "StageHistory", "Posterior", "Forecast"]
    assert all(len(line) < 150 and "\n" not in line for line in said)
    assert "2,000 customers, 2026-01-01 to 2026-06-30" in said[0]
