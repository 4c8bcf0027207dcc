"""Several methods beside each other: labels, refusals, distances, the screen and the picture."""

import numpy as np
import polars as pl
import pytest
from hand_logs import hand_log
from rich.cells import cell_len
from rich.console import Console

from journeysim import Comparison, RemovalEffect, TimeDecay, attribute, compare, read_paths, to_journeys
from journeysim.attribution import STANDARD_METHODS, Attribution, CustomWeights, methods
from journeysim.errors import InputError
from journeysim.interop import journeys_from_paths
from journeysim.plots import comparison_chart


def journeys_of(*rows):
    names = ["path", "total_conversions", "total_conversion_value", "total_null"]
    return journeys_from_paths(pl.DataFrame(rows, schema=names, orient="row"))


@pytest.fixture
def journeys():
    return journeys_of(("a > b > c", 6, 60.0, 4), ("b > c", 2, 10.0, 9), ("c", 1, 5.0, 20), ("a > b", 3, 7.0, 1))


def screen(comparison, width=80):
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(comparison)
    return capture.get()


def test_every_method_says_what_it_says_alone(journeys):
    found = compare(journeys)
    assert [*found.results] == [name for name in STANDARD_METHODS if name != "time_decay"]
    for name, result in found.results.items():
        np.testing.assert_array_equal(result.conversions, attribute(journeys, name).conversions)
    frame = found.to_frame()
    assert frame.columns == ["method", "channel", "conversions", "value", "share", "rank"]
    sums = frame.group_by("method").agg(pl.col("conversions", "value", "share").sum())
    np.testing.assert_allclose(sums.select("conversions", "value", "share"), [[12, 82, 1]] * 5)
    last = frame.filter(method="last_touch").select("channel", "rank", "conversions")
    assert last.rows() == [("c", 1, 9.0), ("b", 2, 3.0), ("a", 3, 0.0)]
    wide = found.shares()
    assert wide.columns == ["channel", *found.results]
    assert wide.filter(channel="c")["last_touch"].item() == pytest.approx(9 / 12)


def test_ties_share_a_rank():
    frame = compare(journeys_of(("a > b", 2, 0.0, 1), ("c", 1, 0.0, 1)), ["linear"]).to_frame()
    assert frame["rank"].to_list() == [1, 1, 1]


def test_a_method_that_refuses_is_listed_and_spoils_nothing(journeys):
    found = compare(journeys, ["time_decay", "linear"])
    assert [*found.results] == ["linear"]
    assert "no times" in found.refused["time_decay"]
    assert "Not compared, time_decay: TimeDecay needs" in screen(found)
    with pytest.raises(InputError, match=r"No method takes these journeys\. time_decay: .* no times"):
        compare(journeys, ["time_decay"])


def test_settings_that_are_not_the_defaults_make_the_label():
    log = hand_log((1, 0, "touch", "a"), (1, 2, "touch", "b"), (1, 3, "purchase", "buy"), (2, 1, "touch", "a"),
                   stages=["buy"], purchase_stages=["buy"])  # fmt: skip
    given = ["markov", RemovalEffect(order=3), RemovalEffect(), TimeDecay(2.0), CustomWeights(lambda n: [1] * n)]
    found = compare(to_journeys(log), given)
    labels = [
        "markov",
        "markov order=3",
        "markov (2)",
        "time_decay half_life_days=2.0",
        "CustomWeights weights=function",
    ]
    assert [*found.results] == labels
    mine = {"old": RemovalEffect(), "new": RemovalEffect(order=2)}
    assert [*compare(to_journeys(log), mine).results] == ["old", "new"]


def test_all_registered_methods(journeys):
    found = compare(journeys, "all")
    assert {*found.results} | {*found.refused} == {*methods()}
    assert {"time_decay", "additive_hazard"} <= {*found.refused}


def test_progress_counts_refusals_too(journeys):
    done = []
    compare(journeys, ["time_decay", "linear", "markov"], on_progress=done.append)
    assert done == [1, 2, 3]


class Rogue:
    """A method of somebody else."""

    def __init__(self, result):
        self.result = result

    def attribute(self, journeys):
        return self.result


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ("no attribution", "returned str, not an Attribution"),
        (Attribution("mine", {}, ("x", "y"), np.ones(2), np.ones(2)), "credits other channels"),
    ],
)
def test_what_a_foreign_method_gives_is_checked(result, told, journeys):
    assert told in compare(journeys, ["linear", Rogue(result)]).refused["Rogue"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["markow"], "Did you mean 'markov'"),
        (["linear", "linear"], "given twice"),
        ([], "at least one"),
        ("linear", "must be a sequence"),
        ([3], "has attribute"),
    ],
)
def test_slips_of_the_caller_are_no_refusals(given, told, journeys):
    with pytest.raises(InputError, match=told):
        compare(journeys, given)


def test_nothing_converts():
    with pytest.raises(InputError, match="nothing to attribute"):
        compare(journeys_of(("a", 0, 0.0, 3)))


def test_distances_are_those_of_a_worked_example():
    found = compare(journeys_of(("a > b", 3, 0.0, 0), ("b", 1, 0.0, 0)), ["first_touch", "last_touch", "linear"])
    # first: a 3/4, b 1/4; last: b 1; linear: a 3/8, b 5/8
    assert found.distances().rows() == [
        ("first_touch", "linear", 0.375),
        ("last_touch", "linear", 0.375),
        ("first_touch", "last_touch", 0.75),
    ]
    a = found.disagreements().row(0, named=True)
    assert (a["channel"], a["lowest_by"], a["highest_by"], a["spread"]) == ("a", "last_touch", "first_touch", 0.75)
    assert "first_touch and last_touch: 75.0% of the credit" in found.sentences()[0]
    assert "56.2%" in screen(found)  # mean distance of first_touch: (.375 + .75) / 2
    assert Comparison({"one": found.results["linear"]}, {}).sentences() == []


@pytest.mark.parametrize("width", [80, 120])
def test_all_methods_fit_the_terminal(width, journeys):
    shown = screen(compare(journeys, "all"), width)
    assert max(map(cell_len, shown.splitlines())) <= width
    for word in ("propensity", "elimination", "probabilistic"):
        assert word in shown  # not cut, not folded
    long = journeys_of(("[b]" + "x" * 70 + " > 日本語チャネル" * 9, 2, 0.0, 3), ("b", 1, 0.0, 1))
    shown = screen(compare(long))
    assert max(map(cell_len, shown.splitlines())) <= 80
    assert "[b]" in shown


def test_value_shown_in_cents_adds_up_to_the_total():
    shown = str(attribute(journeys_of(("a > b > c", 1, 100.0, 0)), "linear"))
    assert sorted(line.split()[2] for line in shown.splitlines() if line.split()[:1] in (["a"], ["b"], ["c"])) == [
        "33.33", "33.33", "33.34",
    ]  # fmt: skip


def test_the_picture_is_dots_for_a_few_methods_and_a_shaded_table_for_many(journeys):
    few = comparison_chart(compare(journeys, ["shapley", "markov", RemovalEffect(order=2)])).axes[0]
    assert {text.get_text() for text in few.get_legend().texts} == {"Shapley, set-based", "Markov", "markov order=2"}
    found = compare(journeys, "all")
    (axes,) = comparison_chart(found).axes
    assert len(axes.texts) == 3 * len(found.results)
    shares = found.shares()
    shown = np.array([float(text.get_text()) for text in axes.texts]).reshape(3, -1)
    np.testing.assert_allclose(shown, 100 * shares.drop("channel").to_numpy(), atol=0.51)
    assert [tick.get_text() for tick in axes.get_yticklabels()] == shares["channel"].to_list()


def test_negative_credit_stays_in_the_picture():
    journeys = read_paths("examples/paths.csv")
    found = compare(journeys, ["shapley", "linear"])
    lowest = found.results["shapley"].share.min()
    assert lowest < 0
    low, high = comparison_chart(found).axes[0].get_xlim()
    assert low < lowest
    assert high > found.results["shapley"].share.max()
