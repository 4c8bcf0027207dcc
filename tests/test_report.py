import polars as pl
import pytest
from matplotlib.figure import Figure
from pages import Page, assert_self_contained

from journeysim.report import Report, Section, Table
from journeysim.sections import in_unit, kpi_table

HOSTILE = '<script>alert(1)</script> & "quotes"'


def picture(text):
    figure = Figure(figsize=(2, 1))
    figure.add_subplot().set_title(text)
    return figure


def page(*sections, title="Title", summary=("Summary",)):
    return Page(Report(title, summary, sections).to_html())


def test_whatever_the_data_says_is_escaped_in_the_page_and_in_its_pictures():
    table = Table(pl.DataFrame({HOSTILE: [HOSTILE]}), HOSTILE)
    found = page(Section(HOSTILE, (HOSTILE,), {HOSTILE: picture(HOSTILE)}, (table,)), title=HOSTILE, summary=(HOSTILE,))
    assert_self_contained(found)
    assert found.headings == [HOSTILE, HOSTILE]
    assert found.paragraphs == [HOSTILE, HOSTILE]
    assert found.tables == {HOSTILE: [[HOSTILE], [HOSTILE]]}
    assert "&lt;script&gt;" in found.pictures[HOSTILE]


def test_text_in_any_alphabet_stays_text_in_pictures():
    assert "日本語" in page(Section("s", (), {"d": picture("日本語")})).pictures["d"]


def test_the_same_report_is_the_same_page():
    def html():
        return Report("t", (), (Section("s", (), {"d": picture("text")}),)).to_html()

    assert html() == html()


@pytest.mark.parametrize(
    ("value", "specification", "shown"),
    [
        (None, "", "–"),
        (float("nan"), ".1%", "–"),
        (0.1234, ".1%", "12.3%"),
        (-0.01234, "pp", "-1.234"),
        (1234567, "", "1,234,567"),
        (1234.5678, "", "1,235"),
        (True, "", "yes"),
        ("text", "", "text"),
    ],
)
def test_cells_are_written_for_readers(value, specification, shown):
    assert Table(pl.DataFrame({"a": [value]}), formats={"a": specification}).rows == [[shown]]


def test_long_tables_are_folded_and_short_ones_are_not():
    def table(n):
        return Table(pl.DataFrame({"a": range(n)}), f"{n} numbers")

    html = Report("t", (), (Section("s", (), {}, (table(30), table(31))),)).to_html()
    assert html.count("<details>") == 1
    assert list(Page(html).tables) == ["30 numbers", "31 numbers (31 rows)"]


def test_names_of_kpis_are_words_with_acronyms_and_nothing_has_no_sign():
    figures = pl.DataFrame(
        {"kpi": ["clv_30_days", "nps"], "value": [1.5, -0.001], "low": [None, -0.2], "high": [None, 0.2],
         "unit": ["money", "points"]}
    )  # fmt: skip
    table = kpi_table(figures)
    assert table.rows == [["CLV 30 days", "1.50", ""], ["NPS", "0.00", "-0.20 to 0.20"]]
    assert in_unit(-0.0001, "share") == "0.0%"
