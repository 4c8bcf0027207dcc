"""Aggregated paths in, Journeys out; and every fault named where it is."""

import gzip

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journeysim.errors import InputError
from journeysim.interop import PathColumns, journeys_from_paths, read_paths

HEADER = "path;total_conversions;total_conversion_value;total_null"
GOOD = f"{HEADER}\neta > beta;1;2.5;3\nbeta;0.5;1;0\n"


@pytest.fixture
def write(tmp_path):
    def write(content, name="paths.csv"):
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return file

    return write


def assert_good(journeys):
    assert journeys.channels == ("beta", "eta")
    np.testing.assert_array_equal(journeys.codes, [1, 0, 0])
    np.testing.assert_array_equal(journeys.offsets, [0, 2, 3])
    np.testing.assert_array_equal(journeys.conversions, [1, 0.5])
    np.testing.assert_array_equal(journeys.value, [2.5, 1])
    np.testing.assert_array_equal(journeys.nulls, [3, 0])


@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
def test_the_delimiter_is_found_in_the_header(write, delimiter):
    assert_good(read_paths(write(GOOD.replace(";", delimiter))))


@pytest.mark.parametrize(
    "content",
    [
        GOOD.replace("\n", "\r\n"),
        "\ufeff" + GOOD,
        GOOD.replace("eta > beta", '"eta > beta"').replace("path", '"path"', 1),
        GOOD.replace("\nbeta", "\n\nbeta") + "\n",
        GOOD.replace("eta > beta", "  eta  > beta "),
        GOOD.replace(";1;", "; 1 ;"),
        GOOD + ";0;0;0\n",
    ],
    ids=["crlf", "byte order mark", "quotes", "blank lines", "spaces", "spaces around numbers", "empty row"],
)
def test_files_as_they_come(write, content):
    assert_good(read_paths(write(content)))


def test_gzip_and_parquet_are_read(write, tmp_path):
    assert_good(read_paths(write(gzip.compress(GOOD.encode(), mtime=0), "paths.csv.gz")))
    pl.read_csv(GOOD.encode(), separator=";").write_parquet(tmp_path / "paths.parquet")
    assert_good(read_paths(tmp_path / "paths.parquet"))


@pytest.mark.parametrize(
    "convert",
    [lambda f: f, pl.DataFrame.lazy, pl.DataFrame.to_arrow, lambda f: pd.DataFrame(f.to_dict(as_series=False))],
    ids=["polars", "lazy", "arrow", "pandas"],
)
def test_any_dataframe_is_accepted(convert):
    assert_good(journeys_from_paths(convert(pl.read_csv(GOOD.encode(), separator=";"))))


def test_pandas_categories_and_arrow_dictionaries_are_text():
    frame = pd.read_csv(pd.io.common.StringIO(GOOD), sep=";")
    assert_good(journeys_from_paths(frame.astype({"path": "category"})))
    table = pa.Table.from_pandas(frame)
    assert_good(journeys_from_paths(table.set_column(0, "path", table["path"].dictionary_encode())))


def test_columns_and_separator_can_be_named(write):
    file = write("way,sales,lost\neta|beta,1,3\nbeta,0.5,0\n")
    columns = PathColumns(path="way", conversions="sales", value=None, nulls="lost")
    journeys = read_paths(file, columns=columns, separator="|")
    assert journeys.channels == ("beta", "eta")
    assert journeys.notes == ("No column of values: only conversions can be attributed.",)


def test_what_is_missing_or_left_out_is_noted(write):
    journeys = read_paths(write("path,total_conversions\na > b,1\n,0\n"))
    assert len(journeys.notes) == 3
    assert "every path is taken to have converted" in journeys.notes[0]
    assert "1 rows with neither path nor weight" in journeys.notes[2]
    np.testing.assert_array_equal(journeys.nulls, [0])


def row(text):
    return f"{GOOD}{text}\n"


FAULTS = {
    "no path": (row(";1;0;0"), "line 4: column 'path' is blank, but the row has 1 conversions and 0 nulls"),
    "spaces for a path": (row("   ;0;0;2"), "line 4: column 'path' is blank, but the row has 0 conversions and 2"),
    "negative": (row("a;-1;0;0"), "line 4: column 'total_conversions' is '-1'; it must be a finite number >= 0"),
    "negative null": (row("a;1;0;-0.5"), "line 4: column 'total_null' is '-0.5'; it must be a finite number >= 0"),
    "word": (row("a;many;0;0"), "line 4: column 'total_conversions' is 'many', not a number"),
    "comma for a point": (row("a;1;2,5;0"), "line 4: column 'total_conversion_value' is '2,5', not a number"),
    "NaN": (row("a;1;NaN;0"), "line 4: column 'total_conversion_value' is 'NaN'; it must be a finite number"),
    "infinity": (row("a;inf;1;0"), "line 4: column 'total_conversions' is 'inf'; it must be a finite number"),
    "blank number": (row("a;1;1;"), "line 4: column 'total_null' is blank; write 0"),
    "short line": (row("a;1"), "line 4: 2 fields where the header has 4"),
    "long line": (row("a;1;2;3;4"), "line 4: 5 fields where the header has 4"),
    "value of nothing": (row("a;0;5;2"), "line 4: column 'total_conversion_value' is 5 but 'total_conversions' is 0"),
    "nameless channel": (row("a >  > b;1;1;1"), "line 4: column 'path' is 'a >  > b', which has a channel without"),
    "blank lines before": (GOOD + "\n\na;x;0;0\n", "line 6: column 'total_conversions' is 'x'"),
    "line break in quotes": (row('"a\nb";1;1;1') + "c;x;0;0\n", "line 6: column 'total_conversions' is 'x'"),
    "another separator": (f"{HEADER}\na;1;1;1\na>b;1;1;1\n", "line 3: column 'path' is 'a>b'; no path contains ' > '"),
    "empty": ("", "the file is empty"),
    "only blank lines": ("\n \n", "the file is empty"),
    "only a header": (HEADER + "\n", "there are columns but no rows"),
    "only empty rows": (f"{HEADER}\n;0;0;0\n", "no row has a path"),
    "no such column": (GOOD.replace("path", "journey"), "there is no column 'path'. Found: 'journey', 'total_conversi"),
    "near miss": (GOOD.replace("total_conversions", "total_conversion"), "Did you mean 'total_conversion'?"),
    "near miss of an optional column": (GOOD.replace("total_null", "total_nulls"), "Did you mean 'total_nulls'?"),
    "not UTF-8": (GOOD.encode() + b"caf\xe9;1;1;1\n", f"line {GOOD.count(chr(10)) + 1}: byte 0xe9 is not UTF-8"),
    "UTF-16": (GOOD.encode("utf-16"), "line 1: byte 0xff is not UTF-8"),
}


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_every_fault_is_named_where_it_is(write, fault):
    content, message = FAULTS[fault]
    file = write(content)
    with pytest.raises(InputError) as error:
        read_paths(file)
    assert message in str(error.value)
    assert str(file) in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("paths.csv.gz", b"not gzip", "cannot be read"),
        ("paths.csv.gz", gzip.compress(GOOD.encode(), mtime=0)[:-9], "cannot be read"),
        ("paths.parquet", b"not parquet", "not a Parquet file"),
        ("paths.xlsx", b"", "expected a file that ends in .csv"),
    ],
    ids=["no gzip", "cut off", "no parquet", "spreadsheet"],
)
def test_files_of_another_kind_are_refused(write, name, content, message):
    with pytest.raises(InputError, match=message):
        read_paths(write(content, name))


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_paths(tmp_path / "paths.csv")


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"path": ["a", None], "total_conversions": [1, 2]}, "paths row 2: column 'path' is blank"),
        ({"path": ["a", "b"], "total_conversions": [1, None]}, "paths row 2: column 'total_conversions' is blank"),
        ({"path": ["a"], "total_conversions": [float("nan")]}, "paths row 1: column 'total_conversions' is nan"),
        ({"path": [1], "total_conversions": [1]}, "column 'path' holds Int64, expected text"),
        ({"path": ["a"], "total_conversions": [[1]]}, "column 'total_conversions' holds List"),
    ],
)
def test_faults_in_dataframes_are_named_by_row(frame, message):
    with pytest.raises(InputError) as error:
        journeys_from_paths(pl.DataFrame(frame))
    assert message in str(error.value)


def test_what_is_not_a_dataframe_is_refused():
    with pytest.raises(InputError, match="expected a dataframe, got list"):
        journeys_from_paths([("a", 1)])


def test_a_blank_separator_is_refused(write):
    with pytest.raises(InputError, match="separator must have a character that is not a space"):
        read_paths(write(GOOD), separator=" ")


def test_a_column_that_was_asked_for_by_name_must_be_there(write):
    with pytest.raises(InputError, match="there is no column 'revenue'"):
        read_paths(write(GOOD), columns=PathColumns(value="revenue"))


names = st.text(st.characters(codec="utf-8", exclude_characters=">\0", exclude_categories=["Cc", "Zs", "Zl", "Zp"]))
paths = st.lists(st.lists(names.filter(str.strip), min_size=1, max_size=5), min_size=1, max_size=6)


@settings(max_examples=50, deadline=None)
@given(paths)
def test_paths_come_back_as_they_were_written(paths):
    frame = pl.DataFrame({"path": [" > ".join(path) for path in paths], "total_conversions": [1] * len(paths)})
    journeys = journeys_from_paths(frame)
    flat = [journeys.channels[code] for code in journeys.codes]
    assert flat == [name.strip() for path in paths for name in path]


def test_the_shared_sample_is_read_whole(shared_data):
    journeys = read_paths(shared_data / "pathdata.csv")
    assert (journeys.n_journeys, len(journeys.channels)) == (10_000, 12)
    assert (journeys.n_conversions, journeys.nulls.sum()) == (19_785, 68_602)
    assert journeys.total_value == pytest.approx(74_802.97, abs=0.005)
    assert journeys.notes == ()


def test_advice_serves_python_and_the_command_line(write):
    with pytest.raises(InputError, match=r"pass separator='>' \(--separator '>' on the command line\)\.$"):
        read_paths(write(GOOD.replace(" > ", ">")))
    with pytest.raises(InputError, match=r"Rename it\. \(In Python you may name yours instead: columns=PathColumns"):
        read_paths(write(GOOD.replace("total_conversions", "sales")))
