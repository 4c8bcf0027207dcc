import gzip

import pytest

from journeysim.errors import InputError
from journeysim.table_files import Source, read_table


@pytest.fixture
def read(tmp_path):
    def write_and_read(content, name="table.csv", **options):
        file = tmp_path / name
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        frame, source = read_table(file, **options)
        return frame.to_dict(as_series=False), source.numbers.tolist()

    return write_and_read


@pytest.mark.parametrize(
    ("text", "columns", "lines"),
    [
        ("a,b\n1,2\n3,4\n", {"a": ["1", "3"], "b": ["2", "4"]}, [2, 3]),
        ("a,b\n1,2\n3,4", {"a": ["1", "3"], "b": ["2", "4"]}, [2, 3]),
        ("a;b\r\n1,5;2\r\n", {"a": ["1,5"], "b": ["2"]}, [2]),
        ("a\tb\n1\t2\n", {"a": ["1"], "b": ["2"]}, [2]),
        ("\ufeffa,b\n1,2\n", {"a": ["1"], "b": ["2"]}, [2]),
        ("\n\r\na,b\n\n1,2\n\n\n3,4\n\n", {"a": ["1", "3"], "b": ["2", "4"]}, [5, 8]),
        ("a,b\n,\n1,\n", {"a": ["1"], "b": [None]}, [3]),
        ("a\n1\n\n2\n", {"a": ["1", "2"]}, [2, 4]),
        (" a ,b\n 1,2\n", {"a": [" 1"], "b": ["2"]}, [2]),
        ("a,\n1,\n2,\n", {"a": ["1", "2"], "": [None, None]}, [2, 3]),
        ('a,b\n"x\ny","z\r\n"\n3,"4,5"\n', {"a": ["x\ny", "3"], "b": ["z\r\n", "4,5"]}, [2, 5]),
        ('"a\nx",b\n1,2\n', {"a\nx": ["1"], "b": ["2"]}, [3]),
        ('a,b\n1,"say ""hi"""\n', {"a": ["1"], "b": ['say "hi"']}, [2]),
        ("a,b\n007,1e3\n", {"a": ["007"], "b": ["1e3"]}, [2]),
        ("a,b\nä,日本\n", {"a": ["ä"], "b": ["日本"]}, [2]),
    ],
)
def test_text_is_read_as_it_stands_with_its_lines(read, text, columns, lines):
    assert read(text) == (columns, lines)
    assert read(gzip.compress(text.encode()), "table.csv.gz") == (columns, lines)


def test_the_delimiter_is_the_one_that_finds_the_wanted_columns(read):
    text = "user,id;when,at;what\n1;2;3\n"
    assert read(text, wanted=["what", "when,at"])[0] == {"user,id": ["1"], "when,at": ["2"], "what": ["3"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("\ufeff\n \n", "the file is empty"),
        ("a,b\n", "there are columns but no rows"),
        ("a,b\n\n,\n", "there are columns but no rows"),
        ("a,b\n1,2\n3,4,5\n", r"csv line 3: 3 fields where the header has 2; quote the field"),
        ("a,b\n1,2\n3\n", r"csv line 3: 1 fields where the header has 2; fill the line up"),
        ("a,b\n,\n1\n", r"csv line 3: 1 fields where the header has 2; fill the line up"),
        ("a,b,c\n\n1,\n,,\n", r"csv line 3: 2 fields where the header has 3; fill the line up"),
        ('a,b\n\n"x\ny",2\n3\n', r"csv line 5: 1 fields where the header has 2"),
        ('a,b\n1,2\n3,"4\n5,6\n7,8\n', r"csv line 3: unexpected end of data; check the quotation marks"),
        ('a,b\n1,2\n3,"4" x\n', r"csv line 3: ',' expected after '\"'"),
        ('a,b\n1,2\n3,4"x\n5,6\n', r"csv line 3: a quotation mark inside a field; double it and quote"),
        ("a,b, a\n1,2,3\n", "column 'a' stands twice in the header"),
        ("a,b\n1,2\nä,ö\n".encode("latin-1"), r"csv line 3: byte 0xe4 is not UTF-8. Save the file as UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "line 1: byte 0xff is not UTF-8"),
    ],
)
def test_what_is_no_table_is_refused_with_the_line(read, content, message):
    with pytest.raises(InputError, match=message):
        read(content)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv.gz", gzip.compress(b"a,b\n" + b"1,2\n" * 999)[:-9], "cannot be read"),
        ("t.csv.gz", b"a,b\n1,2\n", "cannot be read .*[Nn]ot a gzipped file"),
        ("t.csv.gz", gzip.compress(b"a,b\n1,2\n")[:-8] + b"12345678", "cannot be read .*CRC"),
        ("t.parquet", b"a,b\n1,2\n" * 9, "not a Parquet file that can be read"),
        ("t.parquet", b"", "not a Parquet file that can be read"),
        ("t.xlsx", b"PK", r"expected a file that ends in \.csv, \.csv\.gz"),
    ],
    ids=["cut off", "no gzip", "wrong checksum", "no parquet", "nothing", "spreadsheet"],  # gzip writes the clock
)
def test_files_of_another_kind_are_refused_by_name(read, name, content, message):
    with pytest.raises(InputError, match=rf"{name}: {message}"):
        read(content, name)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.csv: no such file"):
        read_table(tmp_path / "nothing.csv")
    with pytest.raises(InputError, match="a directory, expected a file"):
        read_table(tmp_path)


def test_places_are_counted_from_1():
    assert Source.rows("events", 3).place(2) == "events row 3"
