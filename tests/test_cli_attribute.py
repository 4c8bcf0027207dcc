"""`attribute` and `compare`: every format holds the same numbers, money adds up, what makes no sense is refused."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pages import Page, assert_self_contained
from polars.testing import assert_frame_equal
from rich.cells import cell_len
from test_cli import refused, run

from journeysim import read_log, read_paths, simulate, to_journeys, worlds, write_csv, write_log
from journeysim.attribution import (
    STANDARD_METHODS,
    RemovalEffect,
    attribute,
    bootstrap_attribution,
    costs_of,
    journeys_by_segment,
    methods,
    posterior_attribution,
)
from journeysim.attribution.credit import outside_note
from journeysim.cli.result_files import ENDINGS
from journeysim.errors import InputError

ROOT = Path(__file__).parents[1]
PATHS = """\
path,total_conversions,total_conversion_value,total_null
search > email,20,200.01,10
display > search > email,10,300.55,15
display,3,10.10,25
email,7,40,3
email > search,4,33.33,12
"""
COSTS = "channel,cost\nsearch,100.01\nemail,33.33\ndisplay,0\n"
MAP = """\
columns: {customer: customer, time: time, event: kind, channel: channel}
stages: {browse: [touch], purchase: [purchase]}
purchase: purchase
lost_after_days: 10
"""


@pytest.fixture
def paths(tmp_path):
    (tmp_path / "paths.csv").write_text(PATHS)
    (tmp_path / "costs.csv").write_text(COSTS)
    return tmp_path / "paths.csv"


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs") / "log"
    write_log(simulate(worlds.load("considered-purchase"), n_customers=1_500, horizon_days=120, seed=1), folder)
    return folder


def cents(column):
    return sum(round(100 * float(str(amount).replace(",", ""))) for amount in column)


def rows_of(table):
    """Rows of a page's table by heading."""
    return [dict(zip(table[0], row, strict=True)) for row in table[1:]]


def test_each_format_holds_the_numbers_of_the_functions(paths, tmp_path):
    files = [tmp_path / f"credit{ending}" for ending in ENDINGS]
    options = [
        "--intervals",
        "--draws",
        50,
        "--seed",
        3,
        "--order",
        2,
        "--level",
        0.8,
        "--costs",
        tmp_path / "costs.csv",
    ]
    printed = run("attribute", paths, *options, *(part for file in files for part in ("--out", file)))
    assert all(f"Written: {file}" in printed.replace("\n", "") for file in files)
    want = posterior_attribution(read_paths(paths), order=2, seed=3, n_draws=50)
    frame = pl.read_parquet(tmp_path / "credit.parquet")
    assert_frame_equal(frame.select(want.to_frame(0.8).columns), want.to_frame(0.8))
    assert_frame_equal(pl.read_csv(tmp_path / "credit.csv"), frame)
    record = json.loads((tmp_path / "credit.json").read_text())
    assert_frame_equal(pl.DataFrame(record["rows"], schema=frame.schema), frame)
    assert (record["method"], record["settings"]) == ("markov", {"order": 2})
    assert (record["intervals"]["level"], record["intervals"]["draws"]) == (0.8, 50)
    assert record["journeysim"]
    assert record["source"] == {"file": "paths.csv"}
    assert record["totals"]["conversions"] == pytest.approx(44)
    search = frame.filter(channel="search").row(0, named=True)
    assert search["cost_per_conversion"] == pytest.approx(100.01 / search["conversions"])
    assert search["return_on_spend_low"] == pytest.approx(search["value_low"] / 100.01)
    assert frame.filter(channel="display")["return_on_spend"].item() is None
    page = Page.read(tmp_path / "credit.html")
    assert_self_contained(page)
    assert len(page.pictures) == 1
    assert {row["channel"]: row["conversions"] for row in rows_of(page.tables["Credit"])} == {
        channel: f"{conversions:,.1f}" for channel, conversions in frame.select("channel", "conversions").iter_rows()
    }
    assert "Attribution by markov (order=2)" in (tmp_path / "credit.txt").read_text()


def test_money_adds_up_to_the_cent_in_every_output(paths, tmp_path):
    files = [tmp_path / f"credit{ending}" for ending in ENDINGS]
    printed = run(
        "attribute", paths, "--costs", tmp_path / "costs.csv", *(part for file in files for part in ("--out", file))
    )
    spent, earned = cents(["133.34"]), cents(["583.99"])
    frames = [pl.read_csv(tmp_path / "credit.csv"), pl.read_parquet(tmp_path / "credit.parquet")]
    record = json.loads((tmp_path / "credit.json").read_text())
    for frame in (*frames, pl.DataFrame(record["rows"]), pl.DataFrame([record["totals"]])):
        assert (round(100 * frame["cost"].sum()), round(100 * frame["value"].sum())) == (spent, earned)
    page = Page.read(tmp_path / "credit.html")
    rows = rows_of(page.tables["Costs and returns"])
    for name, want in (("cost", spent), ("value", earned)):
        assert cents(row[name] for row in rows[:-1]) == cents([rows[-1][name]]) == want
    assert cents(row["value"] for row in rows_of(page.tables["Credit"])) == earned
    for shown in (printed, (tmp_path / "credit.txt").read_text()):
        credit, _, money = shown.partition("Costs and returns")
        for text, column, want in ((credit, 2, earned), (money, 1, spent), (money, 4, earned)):
            lines = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
            assert cents(lines[name][column] for name in ("search", "email", "display")) == want
            assert cents([lines["total"][column]]) == want


def test_order_auto_says_which_and_why(paths, tmp_path):
    printed = run("attribute", paths, "--order", "auto", "--out", tmp_path / "a.html", "--out", tmp_path / "a.json")
    record = json.loads((tmp_path / "a.json").read_text())
    order = record["order"]["order"]
    assert record["settings"] == {"order": order}
    assert record["order"]["criterion"] == "cross_validation"
    assert len(record["order"]["curve"]) == 5
    assert f"Order {order} of 1 to 5 predicts held-out journeys best" in " ".join(printed.split())
    assert any("Order" in note for note in record["notes"])
    assert "Log-likelihood and BIC by order of the chain" in Page.read(tmp_path / "a.html").pictures
    fixed = run("attribute", paths, "--order", order, "--format", "json")
    assert json.loads(fixed)["rows"] == record["rows"]


def test_a_bootstrap_for_any_method(paths):
    options = ["--intervals", "--draws", 20, "--seed", 2, "--format", "json"]
    rows = json.loads(run("attribute", paths, "--method", "linear", *options))["rows"]
    want = bootstrap_attribution(read_paths(paths), "linear", seed=2, n_draws=20).to_frame()
    assert_frame_equal(pl.DataFrame(rows, schema=want.schema), want)
    boot = json.loads(run("attribute", paths, "--interval-method", "bootstrap", *options))
    assert boot["intervals"]["source"] == "bootstrap"


def test_the_hidden_markov_method_has_a_posterior_of_its_own(log):
    options = ["--method", "hidden_markov", "--intervals", "--draws", 3, "--seed", 2, "--format", "json"]
    record = json.loads(run("attribute", log, *options))
    assert record["intervals"]["source"] == "posterior"
    assert all(row["conversions_low"] < row["conversions_high"] for row in record["rows"])


def test_what_is_printed_without_out_is_the_format_alone(paths):
    assert pl.read_csv(run("attribute", paths, "--format", "csv").encode()).height == 3
    assert Page(run("attribute", paths, "--format", "html")).headings[0] == "Attribution: paths.csv"


def test_segments_of_a_log_with_the_costs_of_its_touches(log, tmp_path):
    files = ["--out", tmp_path / "a.csv", "--out", tmp_path / "a.json", "--out", tmp_path / "a.html"]
    printed = run("attribute", log, "--by", "persona", "--costs", "log", *files)
    events, frame = read_log(log), pl.read_csv(tmp_path / "a.csv")
    parts = journeys_by_segment(events, "persona")
    assert frame["segment"].unique(maintain_order=True).to_list() == [*parts]
    for part, journeys in parts.items():
        want = attribute(journeys, RemovalEffect()).to_frame()
        assert_frame_equal(frame.filter(segment=part).select(want.columns), want)
        assert f"persona: {part}" in printed
    record = json.loads((tmp_path / "a.json").read_text())
    assert record["by"] == "persona"
    assert round(100 * record["totals"]["cost"]) == round(100 * sum(costs_of(events).values()))
    assert round(100 * frame["value"].sum()) == round(100 * to_journeys(events).total_value)
    assert [*record["segments"]] == [*parts]
    assert record["source"]["log"]["world"] == "considered-purchase"
    assert {f"Credit, {part}" for part in parts} <= {*Page.read(tmp_path / "a.html").tables}


def test_costs_by_segment_from_a_file(log, tmp_path):
    events = read_log(log)
    parts, channels = journeys_by_segment(events, "persona"), events.names_in("channel")
    lines = [f"{part},{channel},{i + 1}.5" for i, part in enumerate(parts) for channel in channels]
    (tmp_path / "costs.csv").write_text("\n".join(["persona,channel,cost", *lines]))
    options = ["--by", "persona", "--format", "json", "--costs"]
    record = json.loads(run("attribute", log, *options, tmp_path / "costs.csv"))
    for i, part in enumerate(parts):
        assert record["segments"][part]["cost"] == pytest.approx((i + 1.5) * len(channels))
    (tmp_path / "few.csv").write_text("\n".join(["persona,channel,cost", *lines[: len(channels)]]))
    assert "there are no costs for persona" in run("attribute", log, *options, tmp_path / "few.csv", code=2)


def test_an_event_log_made_by_others(log, tmp_path):
    write_csv(read_log(log), tmp_path / "events.csv.gz")
    raw = pl.read_csv(tmp_path / "events.csv.gz").filter(pl.col("kind").is_in(["touch", "purchase"]))
    raw.write_csv(tmp_path / "raw.csv")
    (tmp_path / "map.yaml").write_text(MAP)
    record = json.loads(run("attribute", tmp_path / "raw.csv", "--map", tmp_path / "map.yaml", "--format", "json"))
    want = attribute(to_journeys(read_log(log)))
    assert {row["channel"]: row["conversions"] for row in record["rows"]} == pytest.approx(
        dict(zip(want.channels, want.conversions.tolist(), strict=True))
    )
    compared = json.loads(run("compare", tmp_path / "raw.csv", "--map", tmp_path / "map.yaml", "--format", "json"))
    assert [*compared["methods"]] == [*STANDARD_METHODS]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--draws", 50], "--draws belongs to --intervals"),
        (["--level", 0.8], "--level belongs to --intervals"),
        (["--intervals", "--level", 1.0], "--level must be between 0 and 1"),
        (
            ["--intervals", "--interval-method", "posterior", "--method", "linear"],
            "posterior belongs to --method markov",
        ),
        (["--by", "persona"], "--by needs a log"),
        (["--costs", "log"], "--costs log needs a log"),
        (["--out", "x.doc"], "the ending says no format"),
        (["--format", "parquet"], "give it a file with --out"),
        (["--out", "x.csv", "--out", "./x.csv"], "given twice"),
        (["--order", "1.5"], "neither a whole number"),
        (["--costs", "none.csv"], "no such file"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, told, paths, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = refused("attribute", paths, *options, folder=tmp_path)
    assert told in " ".join(message.replace("│", " ").split())


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("channel,cost\nsearch,1\nemail,2\n", "no cost for channel 'display'"),
        (COSTS + "radio,5\n", "costs.csv: Costs are given for channel 'radio'"),
        (COSTS + "email,5\n", "line 5: channel 'email' has a cost already"),
        (COSTS.replace("33.33", "-1"), "line 3: column 'cost' is '-1'"),
        (COSTS.replace("33.33", ""), "line 3: column 'cost' is blank"),
        (COSTS.replace("email", " "), "line 3: channel is blank"),
        ("channel,price\nsearch,1\n", "no column 'cost'"),
    ],
)
def test_costs_that_are_not_those_of_the_channels_are_refused(content, told, paths, tmp_path):
    (tmp_path / "costs.csv").write_text(content)
    options = ["--costs", tmp_path / "costs.csv", "--out", tmp_path / "credit.json"]
    assert told in refused("attribute", paths, *options, folder=tmp_path)


def test_outputs_are_checked_before_the_long_work_and_never_overwritten(paths, tmp_path, monkeypatch):
    def too_late(*_, **__):
        raise AssertionError("the work had begun")

    monkeypatch.setattr("journeysim.interop.read_paths", too_late)
    for command in ("attribute", "compare"):
        for name, told in (("paths.csv", "exists already"), ("x.xlsx", "the ending says no format")):
            options = ["--out", tmp_path / "new.csv", "--out", tmp_path / name]
            assert told in refused(command, paths, *options, folder=tmp_path)
    assert paths.read_text() == PATHS


def test_a_fault_in_one_output_leaves_none(paths, tmp_path, monkeypatch):
    def fault(*_, **__):
        raise InputError("no page today")

    monkeypatch.setattr("journeysim.attribution_report.credit_report", fault)
    options = ["--out", tmp_path / "a.csv", "--out", tmp_path / "a.html", "--out", tmp_path / "a.json"]
    assert "no page today" in refused("attribute", paths, *options, folder=tmp_path)


def test_the_list_of_methods_fits_eighty_columns(monkeypatch):
    monkeypatch.setattr("journeysim.cli.terminal.out._width", 80)
    printed = run("attribute", "--list")
    lines = printed.splitlines()
    assert max(map(cell_len, lines)) <= 80
    assert {*methods()} <= {*lines}
    for word in ("paper", "assumes", "misleads", "needs", "the times of touches", "credit may be negative"):
        assert word in printed


@pytest.mark.parametrize("command", ["attribute", "compare"])
def test_screens_fit_eighty_columns(command, log, monkeypatch, tmp_path):
    monkeypatch.setattr("journeysim.cli.terminal.out._width", 80)
    options = ["--intervals", "--draws", 50, "--order", "auto", "--costs", "log"] if command == "attribute" else []
    printed = run(command, log, *options, "--out", tmp_path / "screen.txt")
    told = ("Costs and returns", "Which order?", "90% interval") if command == "attribute" else ("distance", "disputed")
    for text in (printed.partition("Written")[0], (tmp_path / "screen.txt").read_text()):
        assert max(map(cell_len, text.splitlines())) <= 80
        assert [word for word in told if word not in text] == []


def test_credit_outside_its_own_interval_is_told(log):
    heavy = posterior_attribution(to_journeys(read_log(log)), seed=1, n_draws=200, prior=2_000.0)
    low, high = heavy.interval(0.9, of="share")
    outside = (heavy.point.share < low) | (heavy.point.share > high)
    (told,) = outside_note(heavy, 0.9)
    assert outside.any()
    named = [name for name in heavy.channels if name in told]  # of many, the first
    assert named
    assert outside[[heavy.channels.index(name) for name in named]].all()
    assert "the prior outweighs" in told
    for order in (1, 2):
        inside = run("attribute", log, "--intervals", "--draws", 200, "--order", order, "--format", "json")
        assert not [note for note in json.loads(inside)["notes"] if "outside its own" in note]


def test_compare_writes_every_format(paths, tmp_path):
    files = [tmp_path / f"shares{ending}" for ending in ENDINGS]
    printed = run("compare", paths, "--methods", "all", *(part for file in files for part in ("--out", file)))
    frame = pl.read_parquet(tmp_path / "shares.parquet")
    assert_frame_equal(pl.read_csv(tmp_path / "shares.csv"), frame)
    record = json.loads((tmp_path / "shares.json").read_text())
    assert_frame_equal(pl.DataFrame(record["rows"], schema=frame.schema), frame)
    assert {*record["methods"]} | {*record["refused"]} == {*methods()}
    np.testing.assert_allclose(frame.group_by("method").agg(pl.col("value").sum())["value"], 583.99)
    page = Page.read(tmp_path / "shares.html")
    assert_self_contained(page)
    assert [*page.pictures] == ["Share of credit by channel"]
    credit = rows_of(page.tables["Credit by method and channel (%d rows)" % frame.height])  # noqa: UP031
    for method in frame["method"].unique():
        assert cents(row["value"] for row in credit if row["method"] == method) == 58399
    for text in (printed, " ".join(page.paragraphs)):
        assert "Not compared, time_decay" in " ".join(text.split())


@pytest.mark.parametrize(
    "arguments", ["attribute examples/paths.csv --intervals --costs examples/costs.csv", "compare examples/paths.csv"]
)
def test_the_page_shows_what_the_commands_print(arguments, monkeypatch):
    page = (ROOT / "docs" / "attribution.md").read_text(encoding="utf-8")
    shown = page.split(f"`journeysim {arguments}`")[1].split("```")[1]
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("journeysim.cli.terminal.out._width", 80)
    assert run(*arguments.split()).split() == shown.split()


def test_compare_refuses_unknown_methods(paths, tmp_path):
    assert "Did you mean 'linear'" in refused("compare", paths, "--methods", "markov,linaer", folder=tmp_path)
    assert "Unknown attribution method ''" in refused("compare", paths, "--methods", "markov,", folder=tmp_path)
