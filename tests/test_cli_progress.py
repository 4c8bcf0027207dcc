"""What commands show while they work: every long step has a bar of its own, in terminals only."""

import io

import pytest
from hand_logs import hand_log
from rich.console import Console
from typer.testing import CliRunner

from journeysim.cli import app, terminal
from journeysim.log_files import write_log

SCENARIO = "name: dearer\nchanges: [{price_times: 1.1}]\n"


@pytest.fixture
def shown(monkeypatch):
    """Where bars go: a terminal that keeps what it was sent."""
    screen = io.StringIO()
    monkeypatch.setattr(terminal, "err", Console(file=screen, force_terminal=True, width=110))
    return screen


def bars(screen, *arguments):
    """All that a command sent to the screen, which must end well."""
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, (result.output, result.exception)
    return screen.getvalue()


@pytest.fixture
def log(tmp_path):
    rows = ((1, 0, "touch", "ad"), (1, 1, "purchase", "buy"), (2, 1, "touch", "ad"))
    write_log(hand_log(*rows, stages=["buy"], purchase_stages=["buy"]), tmp_path / "log")
    return tmp_path / "log"


@pytest.mark.parametrize(
    ("command", "steps"),
    [
        ("kpis", ("read the log", "compute")),
        ("attribute", ("read the log", "attribute")),
        ("compare", ("read the log", "methods", "6 of 6")),
    ],
)
def test_a_log_is_read_and_counted_in_sight(command, steps, log, shown):
    seen = bars(shown, command, log)
    assert [step for step in steps if step not in seen] == []


def test_draws_are_counted_and_the_choice_of_the_order_is_in_sight(log, shown, tmp_path):
    seen = bars(shown, "attribute", log, "--order", "auto", "--intervals", "--draws", 40, "--out", tmp_path / "a.csv")
    assert [step for step in ("choose the order", "40 of 40", "write") if step not in seen] == []


def test_simulate_compiles_before_its_customers_are_counted(shown, tmp_path):
    seen = bars(shown, "simulate", "aida", "--customers", 60, "--days", 9, "--out", tmp_path / "log")
    assert "60 of 60" in seen
    assert seen.index("compile (first run only)") < seen.index("customers")


def test_truth_compiles_too(shown):
    seen = bars(shown, "truth", "considered-purchase", "--max-customers", 500, "--days", 9)
    assert "500 of 500" in seen
    assert seen.index("compile (first run only)") < seen.index("customers")


def test_whatif_counts_the_customers_of_all_versions(shown, tmp_path):
    (tmp_path / "dearer.yaml").write_text(SCENARIO)
    seen = bars(shown, "whatif", "considered-purchase", "--scenario", tmp_path / "dearer.yaml", "--customers", 50)
    assert "100 of 100" in seen
    assert seen.index("compile (first run only)") < seen.index("customers")


def test_a_step_in_one_piece_shows_no_numbers(shown):
    with terminal.progress() as on_progress, terminal.step(on_progress, "think"):
        pass
    assert "think" in shown.getvalue()
    assert "of 1" not in shown.getvalue()
    assert "left" not in shown.getvalue()


def test_elsewhere_nothing_is_shown(log, monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(terminal, "err", Console(file=screen))
    assert bars(screen, "kpis", log) == ""
