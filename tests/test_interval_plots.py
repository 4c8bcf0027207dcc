import io
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from journeysim.attribution import Attribution, UncertainAttribution
from journeysim.errors import InputError
from journeysim.interval_plots import interval_chart


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


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(InputError, match="at least one result"):
        interval_chart({})
    with pytest.raises(InputError, match="'other' has other channels"):
        interval_chart({"one": result(), "other": result(name="c{}")})
    with pytest.raises(InputError, match="no number for channel 'channel 0"):
        interval_chart({"one": result()}, truth={})
    with pytest.raises(InputError, match="no draws of removal_effect"):
        interval_chart({"one": result()}, of="removal_effect")
