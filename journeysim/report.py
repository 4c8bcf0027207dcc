"""Report: words, tables and pictures as one self-contained HTML page."""

from __future__ import annotations

import base64
import io
import warnings
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
from jinja2 import Environment, PackageLoader, StrictUndefined

from journeysim.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl
    from jinja2 import Template
    from matplotlib.figure import Figure

_LONG: Final = 30  # rows


@dataclass(frozen=True, slots=True)
class Table:
    """A frame with a caption; `formats` gives a format specification per column, such as `.1%`,
    `pp` for differences in percentage points, or `probability`.

    The specification `pp` shows a difference of shares in percentage points.
    """

    frame: pl.DataFrame
    caption: str = ""
    formats: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """Headings in words."""
        return [name.replace("_", " ") for name in self.frame.columns]

    @property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers."""
        return [dtype.is_numeric() for dtype in self.frame.dtypes]

    @property
    def is_long(self) -> bool:
        """Whether readers would rather open the table than scroll past it."""
        return self.frame.height > _LONG

    @property
    def rows(self) -> list[list[str]]:
        """Cells as text."""
        formats = [self.formats.get(name, "") for name in self.frame.columns]
        return [[_cell(value, f) for value, f in zip(row, formats, strict=True)] for row in self.frame.iter_rows()]


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, then paragraphs, pictures (by their description) and tables."""

    heading: str
    paragraphs: tuple[str, ...] = ()
    figures: Mapping[str, Figure] = field(default_factory=dict)
    tables: tuple[Table, ...] = ()

    @property
    def images(self) -> list[tuple[str, str]]:
        """Descriptions and data addresses of the pictures."""
        return [(description, _data_address(figure)) for description, figure in self.figures.items()]


@dataclass(frozen=True, slots=True)
class Report:
    """A page that needs no server, no network and no script; `footer` says where to find more."""

    title: str
    summary: tuple[str, ...]
    sections: tuple[Section, ...]
    footer: str = "The tables are also in the CSV files beside this page."

    def to_html(self) -> str:
        """The page. Whatever the data says is escaped."""
        return _template().render(report=self, version=__version__)


def probability(share_of_draws: float) -> str:
    """Thousands of draws show 99.9%, but never certainty."""
    if share_of_draws > 0.999:
        return "above 99.9%"
    return "below 0.1%" if share_of_draws < 0.001 else f"{share_of_draws:.1%}"


def _cell(value: Any, specification: str) -> str:
    if value is None or value != value:  # NaN is the only value that differs from itself
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if specification == "pp":
        return f"{100 * value:+z.3f}"
    if specification == "probability":
        return probability(value)
    if isinstance(value, float):
        return format(value, specification or ",.4g")
    return format(value, specification or ("," if isinstance(value, int) else ""))


def _data_address(figure: Figure) -> str:
    picture = io.BytesIO()
    # The same figure is the same SVG; text stays text, so that readers see any alphabet that their machine knows.
    with warnings.catch_warnings(), mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "journeysim"}):
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(picture, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(picture.getvalue()).decode()


@cache
def _template() -> Template:
    environment = Environment(loader=PackageLoader("journeysim"), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("report.html")
