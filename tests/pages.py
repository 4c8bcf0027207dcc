"""Reading a report as a browser would: what stands in it, and whether it is well-formed and self-contained."""

from __future__ import annotations

import base64
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from pathlib import Path

VOID = {"meta", "img", "br", "link", "hr", "input"}


class Page(HTMLParser):
    """Headings, paragraphs, tables (by caption) and pictures (by description) of a page whose tags must balance."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.paragraphs: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.images: dict[str, str] = {}
        self.addresses: list[str] = []
        self._rows: list[list[str]] = []
        self._text = self._caption = ""
        self.feed(html)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    @classmethod
    def read(cls, file: Path) -> Page:
        return cls(file.read_text(encoding="utf-8"))

    @property
    def pictures(self) -> dict[str, str]:
        """The SVG of each picture, by its description; each must be well-formed XML."""
        pictures = {}
        for description, address in self.images.items():
            kind, _, content = address.partition(",")
            assert kind == "data:image/svg+xml;base64"
            pictures[description] = base64.b64decode(content).decode()
            ET.fromstring(pictures[description])
        return pictures

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        assert not [name for name in given if name.startswith("on")], f"<{tag}> has an event handler"
        assert tag not in ("script", "iframe", "object", "link", "embed"), f"<{tag}> in a report"
        self.addresses += [given[name] for name in ("src", "href", "action") if name in given]
        if tag == "img":
            assert given.get("alt"), "a picture without a description"
            self.images[given["alt"]] = given["src"]
        if tag == "table":
            self._rows, self._caption = [], self._caption if "details" in self.open else ""
        if tag == "tr":
            self._rows.append([])
        if tag not in VOID:
            self.open.append(tag)
        self._text = ""

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes nothing"
        if tag in ("h1", "h2"):
            self.headings.append(self._text)
        if tag == "p":
            self.paragraphs.append(self._text)
        if tag in ("caption", "summary"):
            self._caption = self._text
        if tag in ("td", "th"):
            self._rows[-1].append(self._text)
        if tag == "table":
            self.tables[self._caption] = self._rows

    def handle_data(self, data):
        self._text += data


def assert_self_contained(page: Page) -> None:
    assert all(address.startswith(("data:image/svg+xml;base64,", "#section-")) for address in page.addresses)
    for svg in page.pictures.values():
        assert "<script" not in svg
        assert 'href="http' not in svg
