"""docs/attribution-benchmark.md: every claim stands with its row, and the row is in a committed leaderboard."""

import re
from pathlib import Path

import pytest

from journeysim.benchmark.leaderboard import overall, read_summary
from journeysim.benchmark.random_worlds import __doc__ as prior
from journeysim.benchmark.scoring import METRICS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "attribution-benchmark.md").read_text(encoding="utf-8")
BOARDS = {
    grid: read_summary(ROOT / "benchmarks" / "attribution" / f"{grid}-leaderboard.csv")
    for grid in ("small", "customers", "peers", "touches")
}
ROWS = re.findall(
    r"^\| `(\w+)` \| ([\w-]+|all worlds) \| `([\w-]+)` \| ([\d,]+) \| `(\w+)` \| ([\d.]+) \|$", PAGE, flags=re.M
)


@pytest.mark.parametrize("row", ROWS, ids=" ".join)
def test_a_row_of_the_page_is_that_of_the_leaderboard(row):
    grid, world, method, customers, metric, value = row
    size = int(customers.replace(",", ""))
    table = BOARDS[grid]
    if world == "all worlds":
        [found] = overall(table, size).filter(method=method)[metric]
    else:
        [found] = table.filter(world=world, method=method, customers=size)[metric]
    assert f"{found:.3f}" == value


def test_the_page_has_rows():
    assert len(ROWS) >= 30


def test_the_page_names_every_world_and_every_metric():
    for file in (ROOT / "benchmarks" / "attribution" / "worlds").glob("*.yaml"):
        assert file.stem.endswith("-world") or f"`{file.stem}`" in PAGE
    for metric in METRICS:
        assert f"`{metric}`" in PAGE


def test_the_prior_of_random_worlds_stands_on_the_page():
    for line in prior.splitlines():
        if line.startswith("| "):
            assert line in PAGE
