import io
from itertools import pairwise
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from matplotlib.figure import Figure

from journeysim.attribution import log_methods, methods
from journeysim.forecasts import Forecast, Measures
from journeysim.plots import METHODS as LOOKS
from journeysim.plots import _decimals, attribution_chart, curve_chart, forecast_chart, stage_map
from journeysim.simulation import SimulatedChange
from journeysim.stage_history import StageHistory

METHODS = ("first_touch", "last_touch", "linear", "position_based", "time_decay", "markov")


def svg(figure):
    """The picture as XML text; pytest turns every warning of matplotlib into an error."""
    content = io.StringIO()
    figure.savefig(content, format="svg")
    ET.fromstring(content.getvalue())
    return content.getvalue()


def ladder(stages, *, scale=1000.0):
    """A history that goes up, falls back to the start from everywhere, and loses customers everywhere."""
    up = list(pairwise(stages))
    back = [(stage, stages[0]) for stage in stages[1:]]
    moves = (*up, *back[len(up) == 1 :], *((stage, "lost") for stage in stages))
    return StageHistory(
        segments=("all",),
        stages=tuple(stages),
        purchase_stages=(stages[-1],),
        moves=tuple(dict.fromkeys(moves)),
        counts=np.full((1, len(dict.fromkeys(moves))), scale),
        exposure_days=np.ones((1, len(stages))),
        starts=np.full((1, len(stages)), scale),
    )


@pytest.mark.parametrize("n_stages", [2, 5, 12])
def test_every_arrow_of_the_map_stays_inside_the_picture(n_stages):
    figure = stage_map(ladder([f"stage {i}" for i in range(n_stages)]))
    figure.draw_without_rendering()
    (axes,) = figure.axes
    inside = axes.get_window_extent()
    for patch in axes.patches:
        extent = patch.get_window_extent()
        assert inside.x0 - 1 <= extent.x0 <= extent.x1 <= inside.x1 + 1
        assert inside.y0 - 1 <= extent.y0 <= extent.y1 <= inside.y1 + 1


def test_names_fit_their_boxes():
    figure = stage_map(ladder(["Kundenzufriedenheit und mehr", "WWWWWWWWWWWWWWWWWWW", "purchase"]))
    figure.draw_without_rendering()
    (axes,) = figure.axes
    names = [text for text in axes.texts if text.get_weight() == "bold"]
    boxes = [patch for patch in axes.patches if type(patch).__name__ == "FancyBboxPatch"]
    assert names[0].get_text() == "Kundenzufried…"
    assert names[0].get_window_extent().width < boxes[0].get_window_extent().width


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e12])
def test_a_map_of_any_number_of_customers_can_be_drawn(scale):
    assert f"{2 * scale:,.0f}" in svg(stage_map(ladder(["a", "b"], scale=scale)))


def test_names_are_neither_mathematics_nor_markup_nor_control_characters():
    shares = {"linear": np.array([0.6, 0.4])}
    drawn = svg(attribution_chart(("cost $5 and $6", "<b>\x00\x1b\n</b>"), shares))
    assert "cost $5 and $6" in drawn  # matplotlib notes what each path spells
    assert "\x1b" not in drawn


@pytest.mark.parametrize("n_channels", [1, 25])
def test_an_attribution_chart_holds_any_number_of_channels(n_channels):
    rng = np.random.default_rng(1)
    channels = [f"channel {i} with a rather long name" for i in range(n_channels)]
    shares = {method: rng.dirichlet(np.ones(n_channels)) for method in METHODS}
    truth = SimpleNamespace(channels=channels[::-1], share=rng.dirichlet(np.ones(n_channels)))
    figure = attribution_chart(channels, shares, truth=truth)
    svg(figure)
    (axes,) = figure.axes
    left, right = axes.get_xlim()
    assert left < 0 < max(share.max() for share in shares.values()) < right
    legend = axes.get_legend().get_window_extent()
    assert legend.y0 >= 0


def test_methods_that_agree_do_not_hide_each_other():
    figure = attribution_chart(("a", "b"), dict.fromkeys(METHODS, np.array([0.6, 0.4])))
    heights = [points.get_offsets()[0, 1] for points in figure.axes[0].collections]
    assert len(set(heights)) == len(METHODS)


def test_a_method_looks_the_same_in_every_picture():
    def looks(methods):
        axes = attribution_chart(("a", "b"), dict.fromkeys(methods, np.array([0.6, 0.4]))).axes[0]
        return {
            points.get_label(): (*points.get_facecolor()[0], points.get_paths()[0].vertices.tobytes())
            for points in axes.collections
        }

    all_of_them, two = looks(METHODS), looks(("markov", "last_touch"))
    assert two == {name: all_of_them[name] for name in ("Markov", "last touch")}
    assert len(set(all_of_them.values())) == len(METHODS)
    mine = looks(("mine", "markov", "ours"))
    assert mine["Markov"] == all_of_them["Markov"]
    assert len({*all_of_them.values(), *mine.values()}) == len(METHODS) + 2


def test_every_method_that_is_registered_has_its_look():
    assert {*LOOKS} == {*methods(), *log_methods()}


def test_channels_stand_in_the_order_of_the_truth_with_their_own_shares():
    truth = SimpleNamespace(channels=("b", "a"), share=np.array([0.9, 0.1]))
    axes = attribution_chart(("a", "b"), {"linear": np.array([0.3, 0.7])}, truth=truth).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]  # from below
    np.testing.assert_allclose(axes.collections[0].get_offsets()[:, 0], [0.3, 0.7])
    np.testing.assert_allclose(axes.collections[1].get_offsets()[:, 0], [0.1, 0.9])


@pytest.mark.parametrize("change", [0.0, 1e-9, 1e-4, 0.3])
@pytest.mark.parametrize("n_scenarios", [1, 12])
def test_a_forecast_chart_tells_its_ticks_apart(change, n_scenarios):
    rng = np.random.default_rng(2)
    base = Measures(np.full(100, 0.1), np.full(100, 0.8))
    names = tuple(f"scenario {i}, which has a name that goes on and on and on" for i in range(n_scenarios))
    changed = tuple(Measures(0.1 + change * rng.random(100), base.retention) for _ in names)
    simulated = [SimulatedChange(name, 9, 9, 0.1, change, change / 5, 0.8, *[0.0] * 20) for name in names]
    figure = forecast_chart(Forecast(90.0, 30.0, base, names, changed, ((),) * len(names)), simulated=simulated)
    figure.draw_without_rendering()
    for axes in figure.axes:
        ticks = [label.get_text() for label in axes.get_xticklabels()]
        assert len(set(ticks)) == len(ticks) > 1


def test_curves_of_nothing_and_of_everything_can_be_drawn():
    days = np.linspace(0, 90, 7)
    curves = {"nobody": np.zeros((5, 7)), "everybody, for $5": np.ones((5, 7))}
    assert "for $5" in svg(curve_chart(days, curves, ylabel="customers", title="All or nothing"))


@pytest.mark.parametrize(
    ("ticks", "decimals"), [([0, 0.0025, 0.005, 0.0075], 2), ([0, 0.02, 0.04], 0), ([-0.001, 0, 0.001], 1)]
)
def test_ticks_show_the_number_that_they_stand_at(ticks, decimals):
    axes = Figure().add_subplot()
    axes.set_xticks(ticks)
    assert _decimals(axes) == decimals
