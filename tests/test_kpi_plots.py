import io
from xml.etree import ElementTree as ET

import numpy as np
import polars as pl
import pytest
from hand_logs import hand_log
from small_worlds import full_world

from journeysim.errors import InputError
from journeysim.kpi_plots import conversion_chart, funnel_chart, retention_chart, value_chart
from journeysim.kpis import clv_curve, conversion_curve, funnel, loss_reasons, retention_curve
from journeysim.simulation import simulate


def svg(figure):
    """The picture as XML text; pytest turns every warning of matplotlib into an error."""
    content = io.StringIO()
    figure.savefig(content, format="svg")
    ET.fromstring(content.getvalue())
    return content.getvalue()


@pytest.fixture(scope="module")
def log():
    return simulate(full_world(), n_customers=2_000, horizon_days=90, seed=1)


@pytest.mark.parametrize(
    ("curve", "chart"),
    [(retention_curve, retention_chart), (conversion_curve, conversion_chart), (clv_curve, value_chart)],
)
def test_a_curve_is_drawn_as_it_is_with_a_line_per_segment(log, curve, chart):
    frame = curve(log, by="persona")
    figure = chart(frame)
    svg(figure)
    (axes,) = figure.axes
    for line, part in zip(axes.lines, frame.partition_by("segment", maintain_order=True), strict=True):
        known = part.drop_nulls("value")
        np.testing.assert_array_equal(line.get_ydata(), known["value"])
        assert line.get_label() == f"{part['segment'][0]} ({part['at_risk'][0]:,})"
    low, high = axes.get_ylim()
    assert low == 0
    assert high >= frame["value"].max()


def test_curves_of_nobody_can_be_drawn_and_of_too_many_not(log):
    nobody = hand_log((0, 0, "touch", "cost $5 and $6"))
    svg(retention_chart(retention_curve(nobody)))
    svg(value_chart(clv_curve(nobody, [0]), currency="EUR"))
    with pytest.raises(InputError, match="curves cannot be told apart"):
        retention_chart(retention_curve(log, [5], period="week", cohort="first_purchase"))


def widths(axes):
    """By colour the widths of the bars, from the first stage down."""
    return {bars.get_label(): [bar.get_width() for bar in bars] for bars in axes.containers}


def test_the_funnel_shows_all_entries_and_causes_that_add_up_to_the_drop_off(log):
    stages, reasons = funnel(log), loss_reasons(log)
    figure = funnel_chart(stages, reasons)
    svg(figure)
    left, right = map(widths, figure.axes)
    assert np.sum([*left.values()], axis=0) == pytest.approx(stages["entries"].to_numpy())
    assert left["lapsed"] == stages["lapsed"].to_list()
    assert np.sum([*right.values()], axis=0) == pytest.approx(stages["drop_off"].to_numpy())
    assert {"nothing in particular", "email", "hidden costs"} < set(right)
    assert len(right) <= 7


def test_associations_stand_side_by_side_and_are_called_so():
    log = hand_log(
        *((0, 0, "stage", "cart"), (0, 1, "pain", "fee"), (0, 1, "pain", "queue"), (0, 2, "lost")),
        *((1, 0, "stage", "cart"), (1, 1, "stage", "paid")),
        stages=["cart", "paid"],
    )
    figure = funnel_chart(funnel(log), loss_reasons(log))
    assert "an association, not a cause" in svg(figure)
    assert widths(figure.axes[1]) == {"fee": [0.5, 0], "queue": [0.5, 0]}
    lowest = [bars[0].get_y() for bars in figure.axes[1].containers]
    assert lowest[0] != lowest[1]


def test_a_funnel_without_losses_or_with_strange_names_can_be_drawn():
    plain = hand_log((0, 0, "stage", "cost $5"), stages=["cost $5", "<b>\x00never</b>"])
    drawn = svg(funnel_chart(funnel(plain), loss_reasons(plain)))
    assert "nobody entered" in drawn


def test_one_segment_at_a_time(log):
    stages = funnel(log, by="persona")
    with pytest.raises(InputError, match="one segment at a time"):
        funnel_chart(stages, loss_reasons(log))
    svg(funnel_chart(stages.filter(pl.col("segment") == "quick"), loss_reasons(log)))
