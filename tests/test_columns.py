import polars as pl
import pytest

from journeysim.columns import column, numbers, times
from journeysim.errors import InputError
from journeysim.table_files import Source

SOURCE = Source.rows("shop.csv", 9)


def read(values, **options):
    return numbers(pl.Series("price", values), SOURCE, **options).to_list()


def test_numbers_are_read_from_numbers_and_text():
    assert read(["1.5", " 2 ", "1e3", "-0.25"]) == [1.5, 2.0, 1000.0, -0.25]
    assert read([1, 2]) == [1.0, 2.0]
    assert read(pl.Series(["3"], dtype=pl.Categorical)) == [3.0]


def test_blanks_are_null_where_they_are_allowed():
    assert read(["", " ", None, "1"], blank=True) == [None, None, None, 1.0]
    assert read([None, None], blank=True) == [None, None]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["1", "1,234.50"], r"shop.csv row 2: column 'price' is '1,234.50', not a number .*no separators of thousands"),
        (["1,5"], r"row 1: column 'price' is '1,5', not a number \(use a point for decimals"),
        (["€5"], "is '€5', not a number"),
        (["nan"], "is 'nan'; it must be a finite number"),
        (["1e999"], "is '1e999'; it must be a finite number"),
        ([1.0, float("nan")], "row 2: column 'price' is nan; it must be a finite number"),
        ([1.0, -1.0], "row 2: column 'price' is -1.0; it must be a finite number >= 0"),
        (["1", ""], "row 2: column 'price' is blank; write 0 if there were none"),
        ([1, None], "row 2: column 'price' is blank"),
        ([True], "column 'price' holds Boolean, expected numbers"),
    ],
)
def test_what_is_no_number_is_refused_with_place_value_and_fix(values, message):
    with pytest.raises(InputError, match=message):
        read(values, least=0)


def test_a_missing_column_is_named_with_those_there_are_and_a_hint():
    frame = pl.DataFrame({"customers": [1], "when": [2]})
    with pytest.raises(InputError, match=r"no column 'customer'. Did you mean 'customers'\? Found: .* Mend the map\."):
        column(frame, "customer", SOURCE, hint="Mend the map.")
    with pytest.raises(InputError, match=r"no column 'zzz'. Found: 'customers', 'when'\.$"):
        column(frame, "zzz", SOURCE)


def test_a_wrong_time_is_named_with_its_line():
    with pytest.raises(InputError, match=r"shop.csv row 2: at is '3/4/26', which is no time"):
        times(pl.Series("at", ["2026-01-01", "3/4/26"]), SOURCE)
