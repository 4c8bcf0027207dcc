"""`journeysim truth` as a user meets it."""

import polars as pl
import pytest
from small_worlds import rich_world
from test_cli import refused, run

from journeysim.simulation import truth


@pytest.fixture
def world(tmp_path):
    path = tmp_path / "rich.yaml"
    path.write_text(rich_world().to_yaml(), encoding="utf-8")
    return path


def test_it_prints_and_writes_what_the_function_finds(world, tmp_path):
    out = tmp_path / "new" / "truth.csv"
    printed = run("truth", world, "--days", 60, "--precision", 0.05, "--by", "persona", "--shapley", "--out", out)
    found = truth(rich_world(), horizon_days=60, seed=1, precision=0.05, by="persona", shapley=True)
    written = pl.read_csv(out)
    assert written.columns == found.to_frame().columns
    assert written["value"].to_list() == pytest.approx(found.to_frame()["value"].to_list())
    words = " ".join(printed.split())
    assert found.status in words
    assert "By persona" in words
    assert "Shapley" in words
    assert f"{found.find('incremental', 'conversions', 'search')[0]:.1%}" in words


def test_it_says_when_the_precision_was_not_reached(world):
    words = " ".join(run("truth", world, "--precision", 0.001, "--max-customers", 2_000).split())
    assert "NOT as precise as asked" in words
    assert "after 2,000 customers" in words


def test_bad_arguments_are_refused_and_leave_nothing(world, tmp_path):
    out = tmp_path / "truth.csv"
    assert "--precision is 2.0" in refused("truth", world, "--precision", 2, "--out", out, folder=tmp_path)
    assert "exists already" in refused("truth", world, "--out", world, folder=tmp_path)
    assert "No packaged world is called 'nothing'" in refused("truth", "nothing", folder=tmp_path)
    assert "persona" in refused("truth", world, "--by", "channel", folder=tmp_path)
