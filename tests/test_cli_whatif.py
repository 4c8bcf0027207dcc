"""`journeysim whatif` as a user meets it."""

import polars as pl
import pytest
from typer.testing import CliRunner

from journeysim import worlds
from journeysim.cli import app
from journeysim.cli.terminal import out
from journeysim.cli.whatif import print_changes
from journeysim.scenario import Scenario
from journeysim.simulation import changes_table, simulate_changes

FEWER = """\
name: fewer mails
changes:
  - {channel: email, volume_times: 0.5}
  - {channel: display, calendar: {flights: [{from_day: 0, until_day: 30}, {from_day: 60, until_day: 90}]}}
"""
SAME = "name: all as it is\nchanges: [{price_times: 1}]\n"


@pytest.fixture
def files(tmp_path):
    (tmp_path / "fewer.yaml").write_text(FEWER)
    (tmp_path / "same.yaml").write_text(SAME)
    return tmp_path


def run(*arguments, code=0):
    result = CliRunner().invoke(app, ["whatif", *map(str, arguments)])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def test_help_has_an_example():
    assert "journeysim whatif considered-purchase --scenario" in run("--help")


def test_it_prints_what_changes_and_what_comes_of_it(files):
    options = ["--customers", 500, "--conversion-days", 60, "--seed", 3, "--out", files / "out.csv"]
    printed = run(
        "considered-purchase", "--scenario", files / "fewer.yaml", "--scenario", files / "same.yaml", *options
    )
    lines = [line.rstrip() for line in printed.splitlines()]
    assert "    channel email: volume   1 -> 0.5" in lines
    place = lines.index("    channel display: calendar.flights")
    assert lines[place + 1 : place + 3] == [
        "        []",
        '     -> [{"from_day": 0, "until_day": 30}, {"from_day": 60, "until_day": 90}]',
    ]
    assert "    nothing: the world is so already" in lines
    scenarios = [Scenario.from_yaml(FEWER), Scenario.from_yaml(SAME)]
    days = {"conversion_days": 60, "retention_days": 30}
    changes = simulate_changes(worlds.load("considered-purchase"), scenarios, n_customers=500, seed=3, **days)
    written = pl.read_csv(files / "out.csv")
    assert written.equals(changes_table(changes))
    one = changes[0]
    assert (
        f"conversion, 60 days {one.conversion_baseline:9.2%} {100 * one.conversion:+.2f} pp "
        f"{100 * one.conversion_error:.2f} pp"
    ).split() in [line.split() for line in lines]
    money = f"cost of contacts, 90 days {one.cost_baseline:.2f} {one.cost:+.2f} {one.cost_error:.2f}"
    assert money.split() in [line.split() for line in lines]
    assert "Money is EUR per customer" in " ".join(printed.split())
    assert "markets" not in printed


def test_coupled_customers_are_told(files):
    world = worlds.load("considered-purchase")
    (files / "world.yaml").write_text(world.model_copy(update={"market_size": 20}).to_yaml())
    (files / "desk.yaml").write_text("name: staffed\nchanges: [{desk: support, staff: 1, service_minutes: 9}]\n")
    printed = run(files / "world.yaml", "--scenario", files / "desk.yaml", "--customers", 60)
    assert '     -> {"staff": 1, "service_minutes": 9.0}' in printed
    assert "errors rest on 3 independent markets, which are few" in " ".join(printed.split())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\nchanges: [{channel: emial, active: false}]\n", "changes channel 'emial', which is unknown (did you"),
        (
            "name: x\nchanges: [{channel: email, actve: 0}]\n",
            "line 2, changes.0.actve: unknown key; did you mean 'active'",
        ),
        ("name: x\nchanges: [{desk: support, staff: 1, service_minutes: 9}]\n", "all in one market of 10000"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_written(files, text, message):
    (files / "wrong.yaml").write_text(text)
    out = files / "out.csv"
    said = run("considered-purchase", "--scenario", files / "wrong.yaml", "--customers", 50, "--out", out, code=2)
    assert message in " ".join(said.split())
    assert "What changes" not in said
    assert not out.exists()


def test_a_file_that_is_there_is_kept_and_told_before_anything_is_simulated(files, monkeypatch):
    monkeypatch.setattr("journeysim.simulation.simulate_changes", lambda *_, **__: pytest.fail("simulated in vain"))
    (files / "out.csv").write_text("mine")
    said = run("considered-purchase", "--scenario", files / "same.yaml", "--out", files / "out.csv", code=2)
    assert "exists already" in " ".join(said.split())
    assert "What changes" not in said
    assert (files / "out.csv").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--conversion-days", "-3"], "--conversion-days is -3.0; it must be a positive number of days"),
        (["--conversion-days", "40000"], "--conversion-days plus --retention-days is 40030.0; it must be above 0"),
        (["--seed", "-1"], "--seed is -1; it must be a whole number"),
        (["--threads", "2000"], "--threads is 2000; it must be a whole number"),
        (["--threads", "2", "--processes", "2"], "--threads and --processes were both given"),
    ],
)
def test_numbers_that_are_wrong_are_told_by_the_names_of_options(files, options, message):
    said = run("considered-purchase", "--scenario", files / "same.yaml", "--customers", 50, *options, code=2)
    assert message in " ".join(said.split())


def test_two_scenarios_of_one_name_are_told_by_it(files):
    same = ["--scenario", files / "same.yaml"]
    said = run("considered-purchase", *same, *same, code=2)
    assert "Two scenarios share a name, 'all as it is'" in " ".join(said.split())


def test_processes_say_the_same(files):
    desk = files / "desk.yaml"
    desk.write_text("name: staffed\nchanges: [{desk: support, staff: 1, service_minutes: 9}]\n")
    world = worlds.load("considered-purchase").model_copy(update={"market_size": 20})
    (files / "world.yaml").write_text(world.to_yaml())
    asked = [files / "world.yaml", "--scenario", desk, "--customers", 60, "--conversion-days", 30]
    assert run(*asked, "--processes", 1) == run(*asked, "--threads", 2)


def test_a_scenario_is_required():
    assert "--scenario" in run("considered-purchase", code=2)


def test_long_values_are_folded_below_each_other(monkeypatch, capsys):
    monkeypatch.setattr(out, "_width", 80)
    desk = '{"staff": 3, "service_minutes": 12.0, "patience_minutes": 20.0, "shifts": [{"from_hour": 8}], "loses": 0.1}'
    frame = pl.DataFrame([("channel", "call", "desk", "null", desk)], orient="row", schema=["a", "b", "c", "d", "e"])
    print_changes({"staff": frame})
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[-2].startswith('     -> {"staff"')
    assert "".join(line[8:] + " " for line in lines[lines.index("        -") + 1 :]).strip() == desk
