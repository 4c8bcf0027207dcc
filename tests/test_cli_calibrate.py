"""`calibrate`: the same numbers in every format as from Python, on 80 columns, and refusals before the long work."""

import json
from datetime import date

import numpy as np
import polars as pl
import pytest
from pages import Page, assert_self_contained
from rich.cells import cell_len
from test_cli import refused, run

from journeysim import read_paths
from journeysim.attribution import calibrate, posterior_attribution, read_lift_tests

PATHS = """\
path,total_conversions,total_conversion_value,total_null
search > email,200,2000,100
display > search > email,100,3000,150
display,30,101,250
email,70,400,30
"""
TESTS = "channel,effect,standard_error,unit,start,end\nemail,20,10,conversions,2026-01-01,2026-01-31\n"
WINDOW = ("--start", "2026-01-01", "--end", "2026-01-31")


@pytest.fixture
def paths(tmp_path):
    (tmp_path / "paths.csv").write_text(PATHS)
    (tmp_path / "tests.csv").write_text(TESTS)
    (tmp_path / "costs.csv").write_text("channel,cost\nsearch,100\nemail,33\ndisplay,0\n")
    return tmp_path / "paths.csv"


def options(paths):
    return [str(paths), "--tests", str(paths.with_name("tests.csv")), "--draws", "400", *WINDOW]


def test_every_format_holds_what_python_says(paths, tmp_path):
    files = [tmp_path / f"effects.{ending}" for ending in ("csv", "json", "html")]
    outs = [word for file in files for word in ("--out", str(file))]
    run("calibrate", *options(paths), "--costs", str(tmp_path / "costs.csv"), *outs)
    credit = posterior_attribution(read_paths(paths), seed=1, n_draws=400)
    window = (date(2026, 1, 1), date(2026, 1, 31))
    expected = calibrate(credit, read_lift_tests(tmp_path / "tests.csv"), seed=1, window=window).to_frame()
    np.testing.assert_allclose(pl.read_csv(files[0])["after"], expected["after"])
    record = json.loads(files[1].read_text())
    assert [row["before"] for row in record["rows"]] == pytest.approx(expected["before"].to_list())
    assert record["tests"][0]["verdict"] == "far less than the credit"
    assert {row["channel"] for row in record["returns"]} == {"search", "email", "display"}
    assert_self_contained(Page(files[2].read_text()))


def test_the_screen_fits_80_columns(paths, tmp_path):
    shown = run("calibrate", *options(paths), "--costs", str(tmp_path / "costs.csv"))
    assert "caused after tests" in shown
    assert max(map(cell_len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--start", "2026-02-01"], "--end 2026-01-31 is before --start 2026-02-01"),
        (["--out", "effects.what"], "the ending says no format"),
    ],
)
def test_refusals(paths, more, told):
    assert told in refused("calibrate", *options(paths), *more, folder=paths.parent)


def test_half_a_window_is_refused(paths):
    without_end = options(paths)[:-2]
    assert "both --start and --end" in refused("calibrate", *without_end, folder=paths.parent)


def test_a_misspelt_channel_is_told(paths):
    paths.with_name("tests.csv").write_text(TESTS.replace("email", "emial"))
    assert "did you mean 'email'" in refused("calibrate", *options(paths), folder=paths.parent)
