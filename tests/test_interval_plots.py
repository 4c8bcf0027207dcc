import io
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from journeysim.attribution import Attribution, LiftTest, UncertainAttribution, calibrate
from journeysim.errors import InputError
from journeysim.interval_plots import calibration_chart, interval_chart


def result(n_channels=4, seed=1, name="channel {} $x$"):
    rng = np.random.default_rng(seed)
    share = rng.dirichlet(np.full(n_channels, 5.0), 200)
    point = Attribution(
        "linear",
        {},
        tuple(name.format(c) for c in range(n_channels)),
        40 * share.mean(axis=0),
        1e5 * share.mean(axis=0),
    )
    return UncertainAttribution(point, "bootstrap", share, 1e5 * share)


def text_of(figure):
    content = io.StringIO()
    figure.savefig(content, format="svg")
    ET.fromstring(content.getvalue())
    return content.getvalue()


@pytest.mark.parametrize("n_channels", [1, 25])
def test_a_chart_holds_any_number_of_channels_and_methods(n_channels):
    drawn = text_of(interval_chart({f"method {i}": result(n_channels, seed=i) for i in range(8)}))
    assert "channel 0 $x$" in drawn  # a name is no mathematics
    assert "method 7" in drawn
    assert "thin line: 90% interval, thick: 50%" in drawn


def test_lines_are_the_intervals():
    one = result()
    (axes,) = interval_chart({"linear": one}, of="value", level=0.8).axes
    order = np.argsort(one.point.value, kind="stable")
    for lines, level in zip(axes.collections[:2], (0.8, 0.5), strict=True):
        ends = np.array([segment[:, 0] for segment in lines.get_segments()])
        np.testing.assert_allclose(ends.T, one.interval(level, of="value")[:, order])
    assert [label.get_text().replace("\\", "") for label in axes.get_yticklabels()] == [one.channels[c] for c in order]
    assert axes.get_xlabel().startswith("value credited")


def test_the_truth_stands_in_the_row_of_its_channel():
    one = result()
    truth = {channel: 0.1 * (c + 1) for c, channel in enumerate(one.channels)}
    (axes,) = interval_chart({"linear": one}, truth=truth).axes
    marks = axes.collections[-1].get_segments()
    order = np.argsort(one.point.share, kind="stable")
    np.testing.assert_allclose([mark[0, 0] for mark in marks], 0.1 * (order + 1))


@pytest.mark.parametrize("n_channels", [1, 25])
def test_effects_are_drawn_before_and_after_with_the_tests_marked(n_channels):
    one = result(n_channels)
    tests = [LiftTest(one.channels[0], effect, 0.02, unit="share") for effect in (0.04, 0.05)]
    found = calibrate(one, tests, seed=1)
    truth = dict.fromkeys(one.channels, 0.05)
    figure = calibration_chart(found, level=0.8, truth=truth)
    drawn = text_of(figure)
    for word in ("channel 0 $x$", "before tests", "after tests", "lift test", "credited", "truth", "80% interval"):
        assert word in drawn
    lines = [c.get_segments() for c in figure.axes[0].collections if hasattr(c, "get_segments")]
    order = np.argsort(found.after.mean(axis=0), kind="stable")
    for segments, when in zip(lines[1:3], ("before", "after"), strict=True):
        ends = np.array([segment[:, 0] for segment in segments])
        np.testing.assert_allclose(ends.T, found.interval(0.8, when=when, of="share")[:, order])
    (first,), (second,) = lines[3:]
    np.testing.assert_allclose(first[:, 0], 0.04 + np.array([-1.645, 1.645]) * 0.02)
    assert first[0, 1] > second[0, 1]  # two tests of a channel do not hide each other
    assert "lift test" not in text_of(calibration_chart(calibrate(one, [], seed=1)))
    with pytest.raises(InputError, match="truth has no number for channel 'channel 0"):
        calibration_chart(found, truth={})


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(InputError, match="at least one result"):
        interval_chart({})
    with pytest.raises(InputError, match="'other' has other channels"):
        interval_chart({"one": result(), "other": result(name="c{}")})
    with pytest.raises(InputError, match="no number for channel 'channel 0"):
        interval_chart({"one": result()}, truth={})
    with pytest.raises(InputError, match="no draws of removal_effect"):
        interval_chart({"one": result()}, of="removal_effect")
