"""The map of a world: everything that it has is drawn, inside the picture, and in the right column."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from small_worlds import full_world, small_world

from journeysim import worlds
from journeysim.spec import Channel, PainPoint
from journeysim.world_map import world_map
from journeysim.world_tables import base_moves

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize("name", worlds.names())
def test_everything_stands_inside_the_picture(name: str) -> None:
    figure = world_map(worlds.load(name))
    figure.draw_without_rendering()
    page = figure.bbox
    for thing in (*figure.axes[0].patches, *figure.axes[0].texts):
        extent = thing.get_window_extent()
        assert page.x0 <= extent.x0 <= extent.x1 <= page.x1, thing
        assert page.y0 <= extent.y0 <= extent.y1 <= page.y1, thing


@pytest.mark.parametrize("name", worlds.names())
def test_what_is_written_in_a_box_fits_it(name: str) -> None:
    figure = world_map(worlds.load(name))
    figure.draw_without_rendering()
    (axes,) = figure.axes
    for box in (patch for patch in axes.patches if isinstance(patch, FancyBboxPatch)):
        frame = box.get_window_extent()
        middle = (frame.x0 + frame.x1) / 2
        for text in axes.texts:
            extent = text.get_window_extent()
            if frame.y0 < extent.y0 and extent.y1 < frame.y1 and abs((extent.x0 + extent.x1) / 2 - middle) < 1:
                assert frame.x0 <= extent.x0 <= extent.x1 <= frame.x1, text.get_text()


@pytest.mark.parametrize("name", worlds.names())
def test_no_label_hides_another(name: str) -> None:
    figure = world_map(worlds.load(name))
    figure.draw_without_rendering()
    boxes = [(text.get_text(), text.get_window_extent()) for text in figure.axes[0].texts if text.get_text()]
    overlaps = [
        (a, b)
        for i, (a, one) in enumerate(boxes)
        for b, other in boxes[i + 1 :]
        if one.x0 < other.x1 - 1 and other.x0 < one.x1 - 1 and one.y0 < other.y1 - 1 and other.y0 < one.y1 - 1
    ]
    assert overlaps == []


def test_there_is_an_arrow_for_every_move_a_row_for_every_channel_and_a_note_for_every_pain_point() -> None:
    world = full_world()
    figure = world_map(world)
    arrows = [patch for patch in figure.axes[0].patches if type(patch) is FancyArrowPatch]
    boxes = [patch for patch in figure.axes[0].patches if isinstance(patch, FancyBboxPatch)]
    assert len(arrows) == len(base_moves(world))
    assert len(boxes) == len(world.stages)
    written = texts(figure)
    for part in (*world.stages, *world.channels):
        assert part.name in written
    assert [text for text in written if text.startswith("tell others (friends)")]
    notes = "".join(text.strip("• ") for text in written)
    for pain in world.pain_points:
        assert pain.name.replace("_", " ") in notes


def test_wider_arrows_are_likelier_moves_and_losses_are_labelled() -> None:
    world = small_world({"home": {"buy": 0.9, "lost": 0.1}, "buy": {}})
    figure = world_map(world)
    arrows = [patch for patch in figure.axes[0].patches if type(patch) is FancyArrowPatch]
    go_on, lost = (arrow.get_arrowstyle().tail_width for arrow in arrows)
    assert go_on > 3 * lost
    assert "90%" in texts(figure)
    assert "10% lost" in texts(figure)
    assert "tell others" not in "".join(texts(figure))


def test_a_contact_is_drawn_in_the_column_of_its_stage_and_as_large_as_it_is_frequent() -> None:
    ads = [
        Channel(name=name, contacts_per_day={"home": rate}, pull=0.1)
        for name, rate in (("much", 0.4), ("little", 0.04))
    ]
    world = small_world({"home": {"buy": 0.9}, "buy": {}}, channels=ads)
    (axes,) = world_map(world).axes
    column = next(text.get_position()[0] for text in axes.texts if text.get_text() == "home")
    bubbles = [points for points in axes.collections if points.get_offsets()[0, 0] == pytest.approx(column)]
    much, little = (points.get_sizes()[0] for points in bubbles)
    assert len(bubbles) == 2
    assert much > 3 * little


def test_names_of_any_kind_can_be_drawn() -> None:
    names = ("cost $5 and $6", "<b>bold</b>", "日本語チャネル", "x" * 80)
    channels = [Channel(name=name, contacts_per_day={"home": 0.1}, pull=0.1) for name in names]
    pains = [PainPoint(name=f"no {name}"[:80], stage="home", chance=0.2) for name in names]
    moves = {"home": {names[0]: 0.9, "lost": 0.1}, names[0]: {"home": 0.1}}
    world = small_world(moves, channels=channels, pain_points=pains, stages={names[0]: {"purchase": True}})
    content = io.StringIO()
    figure = world_map(world)
    with pytest.warns(UserWarning, match="Glyph"):  # the letters of Japan are not in matplotlib's own font
        figure.savefig(content, format="svg")
    ET.fromstring(content.getvalue())
