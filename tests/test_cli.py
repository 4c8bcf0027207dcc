"""The command line as a user meets it: what it accepts, what it refuses and how, and what it leaves behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

from journeysim import worlds
from journeysim.bayes import StageModel
from journeysim.cli import app
from journeysim.cli import simulate as simulate_command
from journeysim.cli.results import print_forecasts
from journeysim.cli.terminal import out
from journeysim.errors import InputError
from journeysim.log_files import read_log

PATHS = "path,total_conversions,total_conversion_value,total_null\n"
EVENTS = "user,when,what,source\n"
MAP = """\
columns: {customer: user, time: when, event: what, channel: source}
stages:
  browse: [view]
  purchase: [buy]
purchase: purchase
lost_after_days: 10
"""
NAMES_OF_ALL_KINDS = ("<script>alert(1)</script>", "[bold]x[/bold]", "cost $5 and $6", "日本語チャネル", "x" * 200)
CREDIT = ["channel", "conversions", "value", "share", "removal_effect"]


def run(*arguments, code=0):
    """What a command prints, after checking its exit code."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.output


def refused(*arguments, folder):
    """The message of a command that must fail with exit code 2 and leave `folder` as it was."""
    before = sorted(folder.rglob("*"))
    message = run(*arguments, code=2)
    assert sorted(folder.rglob("*")) == before  # rglob finds hidden files too
    assert "Traceback" not in message
    return message


@pytest.fixture
def write(tmp_path):
    """Write a file into the test's folder: text as UTF-8, or bytes."""

    def write(name, content):
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    return write


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def subprocess_of(*arguments, **options):
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "FORCE_COLOR", "CLICOLOR_FORCE")}
    command = [sys.executable, "-m", "journeysim.cli", *map(str, arguments)]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=environment, text=True, encoding="utf-8", **{**pipes, **options})


# --- help ---


def test_every_command_explains_itself_with_an_example():
    overview = run("--help")
    for command in ("demo", "simulate", "whatif", "attribute", "compare", "kpis", "analyze", "worlds"):
        assert command in overview
        assert re.search(rf"Examples?[^:]*:\s+journeysim {command}", run(command, "--help"))
    assert run("--version").startswith("journeysim ")


def test_without_a_command_the_help_is_shown():
    assert "Usage" in run(code=2)


# --- attribute ---


def test_attribute_writes_the_columns_that_are_documented(write, folder):
    paths = write("paths.csv", PATHS + "a > b,3,30,5\nb,1,10,4\n")
    printed = run("attribute", paths, "--order", 2, "--out", folder / "credit.csv")
    credit = pl.read_csv(folder / "credit.csv")
    assert credit.columns == CREDIT
    assert credit["conversions"].sum() == pytest.approx(4)
    assert credit["value"].sum() == pytest.approx(40)
    assert credit["share"].sum() == pytest.approx(1)
    assert "order=2" in printed
    for channel, conversions in credit.select("channel", "conversions").iter_rows():
        assert re.search(rf"{channel} +{conversions:.2f}", printed)


def test_a_method_without_removal_effects_leaves_the_column_empty(write, folder):
    run("attribute", write("p.csv", PATHS + "a > b,2,0,5\n"), "--method", "linear", "--out", folder / "credit.csv")
    assert (folder / "credit.csv").read_text().splitlines() == [",".join(CREDIT), "a,1.0,0.0,0.5,", "b,1.0,0.0,0.5,"]


def test_public_paths_at_order_two(shared_data, folder):
    run("attribute", shared_data / "pathdata.csv", "--order", 2, "--out", folder / "credit.csv")
    credit = pl.read_csv(folder / "credit.csv")
    assert credit["conversions"].sum() == pytest.approx(19785)
    assert credit["removal_effect"].is_between(0, 1).all()
    assert credit["channel"].to_list()[:3] == ["alpha", "iota", "eta"]


def test_one_channel_gets_everything(write):
    assert re.search(r"a +3\.00 +10\.00 +100\.0% +0?1\.0000", run("attribute", write("p.csv", PATHS + "a,3,10,5\n")))


def test_a_path_of_ten_thousand_touches(write, folder):
    path = " > ".join("abc"[i * i % 7 % 3] for i in range(10_000))
    run("attribute", write("p.csv", PATHS + f"{path},3,10,5\na > b,1,1,9\n"), "--out", folder / "credit.csv")
    assert pl.read_csv(folder / "credit.csv")["conversions"].sum() == pytest.approx(4)


def test_names_are_printed_as_they_are(write, folder):
    paths = write("p.csv", PATHS + " > ".join(NAMES_OF_ALL_KINDS) + ",5,0,5\n")
    printed = run("attribute", paths, "--out", folder / "credit.csv")
    assert set(pl.read_csv(folder / "credit.csv")["channel"]) == set(NAMES_OF_ALL_KINDS)
    for name in NAMES_OF_ALL_KINDS[:-1]:
        assert name in printed
    assert printed.count("x") >= 200  # the longest is folded over several lines, not cut


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "the file is empty"),
        (PATHS, "columns but no rows"),
        ("path,conversions\na,1\n", "no column 'total_conversions'"),
        (PATHS + "a,1,1,1\na > b,-3,10,5\n", "line 3: column 'total_conversions' is '-3'"),
        (PATHS + "a,1,1,-1\n", "line 2: column 'total_null' is '-1'"),
        (PATHS + "a,many,1,1\n", "'many', not a number"),
        (PATHS + "a > b,0,0,5\n", "nothing to attribute"),
        (PATHS + "a >  > b,1,0,5\n", "channel without a name"),
        (PATHS.encode() + "café,1,1,1\n".encode("latin-1"), "line 2: byte 0xe9 is not UTF-8"),
    ],
)
def test_paths_that_cannot_be_read_are_refused_with_the_place(content, told, write, folder):
    message = refused("attribute", write("p.csv", content), "--out", folder / "credit.csv", folder=folder)
    assert told in message
    assert str(folder / "p.csv") in message or "nothing to attribute" in message


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--method", "markow"], "Did you mean 'markov'?"),
        (["--method", "linear", "--order", "2"], "--order belongs to --method markov"),
        (["--order", "0"], "--order"),
        (["--order", "two"], "--order"),
        (["--method", "time_decay"], "no times"),
        (["--separator", " "], "separator"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, told, write, folder):
    paths = write("p.csv", PATHS + "a > b,3,10,5\n")
    assert told in refused("attribute", paths, *options, "--out", folder / "credit.csv", folder=folder)


def test_files_that_are_not_there_or_are_none(folder):
    assert "no such file" in refused("attribute", folder / "none.csv", folder=folder)
    assert "manifest.json" in refused("attribute", folder, folder=folder)  # a directory may be a log, this one is not


def test_results_never_overwrite_a_file(write, folder):
    paths = write("p.csv", PATHS + "a > b,3,10,5\n")
    assert "exists already" in refused("attribute", paths, "--out", paths, folder=folder)
    assert paths.read_text().startswith(PATHS)


# --- outputs that cannot be made ---


@pytest.fixture(params=["attribute", "analyze", "simulate", "demo"])
def to_out(request, write):
    """A command that would succeed, up to its --out."""
    return {
        "attribute": ["attribute", write("p.csv", PATHS + "a,3,10,5\n"), "--format", "csv"],
        "analyze": ["analyze", write("e.csv", EVENTS + "1,2026-01-01,view,a\n"), "--map", write("map.yaml", MAP)],
        "simulate": ["simulate", "impulse-purchase", "--customers", 10],
        "demo": ["demo", "--customers", 1000],
    }[request.param] + ["--out"]


def test_what_stands_at_the_output_stays_untouched(to_out, folder):
    (folder / "out").mkdir()
    (folder / "out" / "mine").write_text("mine")
    assert "exists already" in refused(*to_out, folder / "out", folder=folder)
    assert (folder / "out" / "mine").read_text() == "mine"


def test_output_below_a_file_is_refused(to_out, write, folder):
    file = write("file", "mine")
    for target in (file / "out", file / "deeper" / "out"):
        assert "cannot be made" in refused(*to_out, target, folder=folder)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_output_where_nobody_may_write_is_refused(to_out, folder):
    closed = folder / "closed"
    closed.mkdir(mode=0o555)
    assert "Permission denied" in refused(*to_out, closed / "out", folder=folder)


def test_a_fault_of_the_system_is_one_line_and_exit_code_one(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(worlds, "names", full)
    assert run("worlds", code=1) == "Error: [Errno 28] No space left on device\n"


def test_a_fault_of_the_program_is_not_hidden(monkeypatch):
    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(worlds, "names", broken)
    result = CliRunner().invoke(app, ["worlds"])
    assert isinstance(result.exception, ZeroDivisionError)
    assert result.exit_code == 1


def test_what_fails_halfway_leaves_nothing(monkeypatch, folder):
    def fail(*_, **__):
        raise InputError("no luck")

    monkeypatch.setattr(StageModel, "fit", fail)
    assert refused("demo", "--customers", 1000, "--out", folder / "new" / "out", folder=folder / "new") == (
        "Error: no luck\n"
    )


# --- analyze: what it refuses (what it finds is in test_analysis.py) ---


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "the file is empty"),
        (EVENTS, "columns but no rows"),
        ("user,when,event,source\n1,2026-01-01,view,a\n", "no column 'what'"),
        (EVENTS + "1,2026-01-01,view,a\n1,2026-13-45,view,a\n", "line 3: when is '2026-13-45', which is no time"),
        (EVENTS + "1,2026-01-01,vieww,a\n", "line 2: event 'vieww' is not in the map (did you mean 'view'?)"),
        (EVENTS + ",2026-01-01,view,a\n", "line 2: user is blank"),
        (EVENTS.encode() + b"1,2026-01-01,view,caf\xe9\n", "line 2: byte 0xe9 is not UTF-8"),
        (EVENTS + "1,2026-01-01,view,a\n2,2026-03-01,view,a\n", "Nobody in this log purchases"),
        (EVENTS + "1,2026-01-01,view,a\n1,2026-01-01,buy,a\n", "spent no time in 'browse'"),
        (EVENTS + "1,2026-01-01,view,\n1,2026-01-02,buy,\n2,2026-01-01,buy,a\n2,2026-01-02,buy,a\n", None),
    ],
)
def test_events_that_cannot_be_read_are_refused_with_the_place(content, told, write, folder):
    arguments = ["analyze", write("e.csv", content), "--map", write("map.yaml", MAP), "--out", folder / "out"]
    if told is None:  # the negative control: almost the same, and it works
        run(*arguments)
    else:
        assert told in refused(*arguments, folder=folder)


def test_a_log_without_channels_in_which_nobody_purchases_has_nothing_to_forecast(write, folder):
    map_file = write("map.yaml", MAP.replace(", channel: source", ""))
    events = write("e.csv", EVENTS + "1,2026-01-01,view,\n2,2026-03-01,view,\n")
    message = refused("analyze", events, "--map", map_file, "--out", folder / "out", folder=folder)
    assert "Nobody in this log purchases" in message


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("lost_after_days: 10", "lost_after_days: 10\ncolour: red"), "line 7, colour: unknown key"),
        (("lost_after_days: 10", ""), "lost_after_days: this key is required"),
        (("purchase: purchase", "purchase: purchsae"), "did you mean 'purchase'?"),
        (("stages:", "\tstages:"), "not valid YAML"),
    ],
)
def test_maps_that_are_wrong_are_refused_with_the_line(change, told, write, folder):
    arguments = ["analyze", write("e.csv", EVENTS + "1,2026-01-01,view,a\n"), "--out", folder / "out"]
    message = refused(*arguments, "--map", write("map.yaml", MAP.replace(*change)), folder=folder)
    assert told in message


SOME = EVENTS + "".join(f"{i},2026-01-01T{i:02}:00,view,a\n{i},2026-01-02,buy,a\n" for i in range(1, 20))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--by", "device"], "no column 'device'"),
        (["--conversion-days", "0"], "must be a positive number of days"),
        (["--retention-days", "nan"], "must be a positive number of days"),
        (["--seed", "-1"], "seed must be in"),
        (["--scenario", "none.yaml"], "cannot be read"),
    ],
)
def test_questions_that_the_log_cannot_answer_are_refused(options, told, write, folder):
    arguments = ["analyze", write("e.csv", SOME), "--map", write("map.yaml", MAP), "--out", folder / "out"]
    assert told in refused(*arguments, *options, folder=folder)


def test_a_scenario_for_an_unknown_stage_is_refused(write, folder):
    scenario = write("s.yaml", "name: better\nchanges: [{stage: brows, exit: 0.5}]\n")
    arguments = ["analyze", write("e.csv", SOME), "--map", write("map.yaml", MAP), "--out", folder / "out"]
    message = refused(*arguments, "--scenario", scenario, folder=folder)
    assert "changes stage 'brows', which is unknown (did you mean 'browse'?)." in message


def test_a_directory_is_no_event_log_and_no_map(write, folder):
    options = ["--map", write("map.yaml", MAP), "--out", folder / "out"]
    assert "a directory, expected a file" in refused("analyze", folder, *options, folder=folder)
    options[1] = folder
    assert "Is a directory" in refused("analyze", write("e.csv", SOME), *options, folder=folder)


# --- simulate and worlds ---


RESULT = (
    r"([\d,]+) events of 200 customers in [\d.]+ s \([\d,]+ events per second, simulated and written\)\nhash (\w+)\n"
)


def test_simulate_ends_with_events_seconds_speed_and_hash(folder):
    options = ["--customers", 200, "--days", 30, "--seed", 3]
    printed = run("simulate", "impulse-purchase", *options, "--out", folder / "log")
    log = read_log(folder / "log")
    told = re.search(RESULT, printed)
    assert told
    assert int(told[1].replace(",", "")) == log.n_events
    assert told[2] == log.hash()
    again = run("simulate", "impulse-purchase", *options, "--threads", 1, "--out", folder / "again")
    assert told[2] in again
    parts = run("simulate", "impulse-purchase", *options, "--engine", "simpy", "--out", folder / "third")
    assert told[2] in parts
    assert "Attribution by last_touch" in run("attribute", folder / "log", "--method", "last_touch")


def test_the_speed_is_events_by_seconds(monkeypatch, folder):
    monkeypatch.setattr(simulate_command, "time", SimpleNamespace(perf_counter=iter([10.0, 12.5]).__next__))
    printed = run("simulate", "impulse-purchase", "--customers", 200, "--days", 30, "--out", folder / "log")
    events, speed = read_log(folder / "log").n_events, re.search(r"([\d,]+) events per second", printed)[1]
    assert " in 2.50 s (" in printed
    assert int(speed.replace(",", "")) == pytest.approx(events / 2.5, abs=0.5)
    assert events > 100


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nope"], "No packaged world is called 'nope' (known: aida, "),
        (["nope.yaml"], "cannot be read"),
        (["impulse-purchase", "--customers", "0"], "--customers"),
        (["impulse-purchase", "--days", "0"], "--days is 0.0; it must be above 0"),
        (["impulse-purchase", "--days", "nan"], "--days is nan; it must be above 0"),
        (["impulse-purchase", "--seed", "-1"], "--seed is -1; it must be"),
        (["impulse-purchase", "--engine", "fast"], "--engine"),
        (["impulse-purchase", "--shard-customers", "0"], "--shard-customers"),
        (["impulse-purchase", "--processes", "0"], "--processes"),
        (["impulse-purchase", "--threads", "2", "--processes", "2"], "both given; choose one"),
    ],
)
def test_worlds_and_settings_that_do_not_exist_are_refused(arguments, told, folder):
    assert told in refused("simulate", *arguments, "--out", folder / "log", folder=folder)


def test_a_printed_world_can_be_changed_and_simulated(write, folder):
    mine = write("mine.yaml", run("worlds", "yaml", "impulse-purchase").replace("name: impulse-purchase", "name: mine"))
    run("simulate", mine, "--customers", 10, "--out", folder / "log")
    assert read_log(folder / "log").provenance["world"] == "mine"
    assert "No packaged world" in run("worlds", "yaml", "nope", code=2)
    assert "mine" in run("worlds", "show", mine)


def test_worlds_are_listed_in_groups_within_eighty_columns():
    listed = run("worlds")
    assert listed == run("worlds", "list")
    for name in worlds.names():
        assert re.search(rf"^  {name} ", listed, flags=re.MULTILINE)
    assert "4 stages and unaware, 9 channels, 365 days" in listed  # four-stages
    assert listed.index("Frameworks") < listed.index("aida") < listed.index("Products") < listed.index("gift-purchase")


@pytest.mark.parametrize("name", worlds.names())
def test_a_shown_world_names_its_parts_and_fits_eighty_columns(name, monkeypatch):
    monkeypatch.setattr(out, "_width", 80)
    shown = run("worlds", "show", name)
    assert max(map(cell_len, shown.splitlines())) <= 80
    world = worlds.load(name)
    for part in (*world.stages, *world.channels, *world.personas, *world.pain_points):
        assert part.name in shown
    assert "The journey" in shown
    told = shown.split("\nChannels\n")[1].split("\nContacts in 100 days")[0]
    assert [channel.name for channel in world.channels if f" {channel.name} " not in told] == []  # none is broken


def test_a_map_is_written_as_picture_and_never_over_another_file(folder):
    for file, begins in (("map.png", b"\x89PNG"), ("map.svg", b"<?xml")):
        assert f"Written: {folder / file}" in run("worlds", "show", "four-stages", "--map", folder / file)
        assert (folder / file).read_bytes().startswith(begins)
    show = ("worlds", "show", "four-stages", "--map")
    assert "exists already" in refused(*show, folder / "map.png", folder=folder)
    assert "must end in .png or .svg" in refused(*show, folder / "map.pdf", folder=folder)
    assert "no directory" in refused(*show, folder / "nowhere" / "map.png", folder=folder)
    assert "No packaged world" in refused("worlds", "show", "nope", "--map", folder / "new.png", folder=folder)


def test_the_name_of_a_world_is_not_a_command_and_the_message_says_what_is():
    told = run("worlds", "considered-purchase", code=2)
    assert "journeysim worlds show considered-purchase" in told
    assert "journeysim worlds yaml considered-purchase > my-world.yaml" in told
    assert "No packaged world is called 'considered-purchas'" in run("worlds", "considered-purchas", code=2)


def test_every_command_of_worlds_explains_itself_with_an_example():
    for command in ("list", "show", "yaml"):
        assert re.search(rf"Examples?[^:]*:\s+journeysim worlds {command}", run("worlds", command, "--help"))


def test_the_demo_needs_enough_customers(folder):
    assert "--customers" in refused("demo", "--customers", 10, "--out", folder / "out", folder=folder)


# --- as a process ---


def test_piped_output_has_no_colours_and_fits_eighty_columns(write):
    big = "".join(f"channel number {i} > channel {i % 5},{10**9 + i},{10**12},{10**9}\n" for i in range(25))
    process = subprocess_of("attribute", write("p.csv", PATHS + big))
    printed, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert "\x1b" not in printed
    assert max(map(len, printed.splitlines())) <= 80
    assert "25,000,000,000,000.00" in printed


def test_a_refusal_goes_to_standard_error():
    process = subprocess_of("worlds", "nope")
    printed, errors = process.communicate(timeout=60)
    assert (process.returncode, printed) == (2, "")
    assert errors.startswith("Error: ")
    assert errors.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
def test_a_reader_who_has_seen_enough_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess_of("worlds", "yaml", "considered-purchase", stdout=writing)
    os.close(writing)
    _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors
    assert "Error" not in errors


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(
    ("sent", "code", "said"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_stopped_run_says_so_and_leaves_nothing(sent, code, said, tmp_path):
    out = tmp_path / "out"
    process = subprocess_of("demo", "--customers", 200_000, "--out", out)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".out.*/log")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(sent)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert (printed, errors) == ("", f"Error: {said}; nothing was written.\n")
    assert list(tmp_path.iterdir()) == []


# --- tables of forecasts ---


def test_scenarios_of_any_name_stand_above_their_numbers(capsys):
    name = "[bold]checkout[/bold] " + "and all the rest of it " * 5
    row = {"measure": "conversion", "days": 90.0, "baseline": 0.1, "forecast": 0.12}
    change = {"difference": 0.02, "low": 0.01, "high": 0.03, "p_improves": 1.0, "unseen": None}
    none = {"difference": 0.0, "low": 0.0, "high": 0.0, "p_improves": None, "unseen": None}
    print_forecasts(pl.DataFrame([{"scenario": name, **row, **change}, {"scenario": "idle", **row, **none}]))
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert f"  {name}".rstrip() in lines
    assert [line.split() for line in lines[4::2]] == [
        ["conversion,", "90", "days", "10.00%", "12.00%", "+2.00", "+1.00", "to", "+3.00"],
        ["conversion,", "90", "days", "10.00%", "12.00%", "no", "change"],
    ]


def test_paths_in_messages_are_not_markup(tmp_path):
    assert "[red]gone[/red].csv: no such file" in run("attribute", Path("[red]gone[/red].csv"), code=2)
