"""The leaderboard: means by hand, what a check finds, a page that renders, and what is committed."""

from pathlib import Path

import polars as pl
import pytest
from benchmark_worlds import quick_case, quick_plan

from journeysim.benchmark import Contestant, KnownTruth, read_grid, run_benchmark
from journeysim.benchmark.known_truth import truth_key
from journeysim.benchmark.leaderboard import (
    biases,
    by_customers,
    differences,
    markdown,
    matrix,
    overall,
    read_summary,
    refusals,
    summary,
    write_summary,
)
from journeysim.benchmark.page import to_markdown, to_page
from journeysim.benchmark.rows import TYPES

HOME = Path(__file__).parents[1] / "benchmarks" / "attribution"


def rows_of(cells):
    """Rows from (world, method, customers, seed, {metric or channel: value}); a word stands for a reason to skip."""
    rows = []
    for world, method, customers, seed, numbers in cells:
        base = {"world": world, "method": method, "settings": "", "customers": customers, "seed": seed, "version": "v"}
        base |= {"seconds": 1.0 + seed, "memory": 2.0, "channel": "", "reason": "", "cell": f"{world}{method}{seed}"}
        if isinstance(numbers, str):
            rows.append(base | {"metric": "skipped", "value": 1.0, "reason": numbers})
            continue
        for name, value in numbers.items():
            is_channel = len(name) == 1
            what = {"metric": "bias", "channel": name} if is_channel else {"metric": name}
            rows.append(base | what | {"value": value})
        rows.append(base | {"metric": "ran", "value": 1.0})
    return pl.DataFrame(rows, schema=TYPES)


ROWS = rows_of(
    [
        ("one", "good", 100, 1, {"share_error": 0.1, "a": 0.1, "b": -0.1}),
        ("one", "good", 100, 2, {"share_error": 0.3, "a": -0.1, "b": 0.1}),
        ("random-1", "good", 100, 1, {"share_error": 0.4}),
        ("random-2", "good", 100, 1, {"share_error": 0.2}),
        ("one", "bad", 100, 1, {"share_error": 0.9}),
        ("random-1", "bad", 100, 1, "too few customers"),
        ("one", "good", 1000, 1, {"share_error": 0.05}),
    ]
)


def line(table, **wanted):
    [found] = table.filter(**wanted).to_dicts()
    return found


def test_a_summary_has_means_errors_and_reasons():
    table = summary(ROWS)
    good = line(table, world="one", method="good", customers=100)
    assert good["share_error"] == pytest.approx(0.2)
    assert good["share_error_se"] == pytest.approx(0.1)  # standard deviation .141 over the root of two
    assert good["seed_spread"] == pytest.approx(0.2)
    assert (good["seeds"], good["seconds"]) == (2, 2.5)
    skipped = line(table, world="random-1", method="bad")
    assert (skipped["seeds"], skipped["share_error"], skipped["reason"]) == (0, None, "skipped: too few customers")
    assert refusals(table).rows() == [("bad", 100, "skipped: too few customers", "random-1")]


def test_every_world_counts_once():
    table = overall(summary(ROWS), 100)
    good = line(table, method="good")
    assert good["share_error"] == pytest.approx((0.2 + 0.4 + 0.2) / 3)
    assert good["random_worlds"] == pytest.approx(0.3)
    assert good["named_worlds"] == pytest.approx(0.2)
    assert good["worst_world"] == 0.4
    assert table["method"].to_list() == ["good", "bad"]


def test_tables_by_world_and_by_customers():
    table = matrix(summary(ROWS), 100)
    assert table.columns == ["method", "one", "random worlds"]
    assert table.row(0) == pytest.approx(("good", 0.2, 0.3))
    assert by_customers(summary(ROWS)).row(0) == pytest.approx(("good", 0.2, 0.05))  # the world that has both sizes
    assert biases(ROWS, 100).filter(world="one", method="good", channel="a")["bias"].item() == pytest.approx(0)


def test_a_check_finds_what_differs_and_nothing_else(tmp_path):
    table = summary(ROWS)
    write_summary(table, tmp_path / "board.csv")
    committed = read_summary(tmp_path / "board.csv")
    assert differences(table, committed, 1e-4).is_empty()
    is_bad = (pl.col("world") == "one") & (pl.col("method") == "bad")
    other = table.with_columns(share_error=pl.when(is_bad).then(0.91).otherwise("share_error"))
    found = differences(other, committed, 1e-4)
    assert found.select("world", "method", "metric").rows() == [("one", "bad", "share_error")]
    assert differences(other, committed, 0.02).is_empty()
    gone = committed.filter(pl.col("world") != "one")
    assert {*differences(table, gone, 1e-4)["world"]} == {"one"}


def test_markdown_has_a_dash_for_no_number():
    frame = pl.DataFrame({"a_b": [0.12345, None, float("nan")], "n": [1000, 2, 3], "t": ["x|y", "", "z"]})
    assert markdown(frame).splitlines() == [
        "| a b | n | t |", "|---|---|---|", "| 0.123 | 1,000 | x\\|y |", "| – | 2 |  |", "| – | 3 | z |",
    ]  # fmt: skip


def test_page_and_text_are_made_from_a_run(tmp_path):
    wanted = ["last_touch", "markov", Contestant(method="journeysim.benchmark:MarkovPosterior", name="posterior")]
    plan = quick_plan(wanted, [quick_case(), quick_case("random-1")], customers=(200, 400), seeds=(1, 2))
    table = summary(run_benchmark(plan, tmp_path))
    html = to_page(table, plan.cases, title="A & B", level=0.9).to_html()
    assert html.count("<img ") == 5
    assert "A &amp; B" in html
    text = to_markdown(table, plan.cases, title="Title")
    assert text.startswith("# Title\n")
    assert "| last_touch |" in text


@pytest.mark.parametrize("grid", ["small", "full", "peers", "touches", "twin"])
def test_grids_are_read_and_their_methods_can_be_made(grid):
    plan = read_grid(HOME / f"{grid}.yaml")
    for contestant in plan.contestants:
        contestant.made()
    files = {f"worlds/{file.name}" for file in (HOME / "worlds").glob("*.yaml") if not file.stem.endswith("-world")}
    assert grid not in ("small", "full") or files == {*plan.grid.worlds}


def cases_of_the_small_grid():
    return read_grid(HOME / "small.yaml").cases


@pytest.mark.parametrize("case", cases_of_the_small_grid(), ids=lambda case: case.name)
def test_the_committed_truth_is_that_of_the_simulator_as_it_is(case):
    file = HOME / "truth" / f"{case.loaded().name}-{truth_key(case)}.json"
    truth = KnownTruth.from_json(file.read_text(encoding="utf-8"), source=str(file))
    assert truth.channels == case.loaded().channel_names
    assert truth.moves is None or truth.moves.error < 0.1 * (truth.moves.outcome.max() - truth.moves.outcome.min())


def test_no_truth_is_left_over():
    cases = [*cases_of_the_small_grid(), *read_grid(HOME / "touches.yaml").cases]
    wanted = {f"{case.loaded().name}-{truth_key(case)}.json" for case in cases}
    assert {file.name for file in (HOME / "truth").glob("*.json")} == wanted


@pytest.mark.slow
def test_a_fresh_run_of_two_worlds_equals_the_committed_leaderboard(tmp_path):
    plan = read_grid(HOME / "small.yaml").only(worlds=("hidden-persona", "random-4"))
    fresh = summary(run_benchmark(plan, tmp_path, truths=[HOME / "truth"]))
    committed = read_summary(HOME / "small-leaderboard.csv")
    assert differences(fresh, committed, 1e-4).is_empty()
    wrong = committed.with_columns(pl.col("share_error") + 0.001)
    assert len(differences(fresh, wrong, 1e-4)) == fresh["share_error"].is_not_null().sum()
