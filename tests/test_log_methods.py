"""Methods that need a log with stages: the digital twin, by name, beside the methods of journeys."""

import json

import numpy as np
import pytest
from influence_stays import known_world
from test_twin import quick_twin
from typer.testing import CliRunner

from journeysim import attribute, compare, simulate, to_journeys, write_log
from journeysim.attribution import Attribution, log_methods, method_info, method_table, methods, register
from journeysim.cli.app import app
from journeysim.errors import InputError
from journeysim.twin import DigitalTwin, twin_attribution


class Alike:
    """All channels alike, from a log."""

    def attribute_log(self, log):
        channels = to_journeys(log).channels
        return Attribution("alike", {}, channels, np.ones(len(channels)), np.ones(len(channels)))


@pytest.fixture(scope="module")
def log():
    return simulate(known_world(), n_customers=1500, horizon_days=60, seed=1)


@pytest.fixture
def quick(monkeypatch):
    """The sampler is cut short; all else is what a user runs."""
    monkeypatch.setattr("journeysim.twin.method.fit_world", lambda log, *, seed, by, **_: quick_twin(log, by))


def run(*arguments):
    return CliRunner().invoke(app, [str(part) for part in arguments])


def test_a_log_is_credited_by_name_with_what_the_twin_says(log, quick):
    credit, journeys = attribute(log, "digital_twin"), to_journeys(log)
    effects = twin_attribution(quick_twin(log), seed=1)
    expected = dict(zip(effects.channels, effects.share, strict=True))
    assert credit.channels == journeys.channels
    np.testing.assert_allclose(credit.share, [expected[name] for name in credit.channels])
    np.testing.assert_allclose(
        [credit.total_conversions, credit.total_value], [journeys.n_conversions, journeys.total_value]
    )
    assert credit.untouched_conversions == journeys.untouched_conversions


def test_draws_add_up_and_surround_the_credit(log, quick):
    found = DigitalTwin(n_worlds=150).attribute_log(log)
    low, high = found.interval(0.9, of="share")
    np.testing.assert_allclose(found.share.sum(axis=1), 1.0)
    assert ((low <= found.point.share) & (found.point.share <= high)).all()


def test_methods_of_journeys_take_a_log_too(log):
    np.testing.assert_array_equal(
        attribute(log, "linear").conversions, attribute(to_journeys(log), "linear").conversions
    )


def test_journeys_have_no_stages(log):
    for source in (lambda: attribute(to_journeys(log), "digital_twin"), lambda: attribute(to_journeys(log), Alike())):
        with pytest.raises(InputError, match="needs a log with stages"):
            source()


def test_they_stand_beside_others_in_a_comparison(log, quick):
    both = compare(log, ["markov", "digital_twin", Alike()])
    assert [*both.results] == ["markov", "digital_twin", "Alike"]
    assert [*compare(to_journeys(log), ["markov", "digital_twin"]).refused] == ["digital_twin"]
    assert "digital_twin" not in compare(log, "all").results  # it takes minutes


def test_the_registry_knows_them_apart():
    assert log_methods() == ("digital_twin",)
    assert "digital_twin" not in methods()
    assert method_table().filter(method="digital_twin")["needs"].item() == "nulls, stages, times"
    assert isinstance(method_info("digital_twin").factory(), DigitalTwin)
    with pytest.raises(InputError, match="Did you mean 'digital_twin'"):
        method_info("digital_twins")
    with pytest.raises(InputError, match="already"):
        register("digital_twin", Alike)


def test_the_command_line_credits_a_log(tmp_path, log, quick):
    write_log(log, tmp_path / "log")
    options = ["attribute", tmp_path / "log", "--method", "digital_twin"]
    record = json.loads(run(*options, "--intervals", "--draws", 150, "--format", "json").stdout)
    assert {row["channel"] for row in record["rows"]} == {*to_journeys(log).channels}
    assert "conversions_low" in record["rows"][0]
    assert "digital_twin" in run("compare", tmp_path / "log", "--methods", "markov,digital_twin").stdout
    for more, told in (
        (["--by", "persona"], "takes a whole log"),
        (["--intervals", "--interval-method", "bootstrap"], "own"),
    ):
        found = run(*options, *more)
        assert found.exit_code != 0
        assert told in str(found.exception) + found.output


def test_paths_are_refused_at_once():
    found = run("attribute", "examples/paths.csv", "--method", "digital_twin")
    assert found.exit_code != 0
    assert "needs a log" in str(found.exception) + found.output
