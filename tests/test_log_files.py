import json

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hand_logs import hand_log

import journeysim.log_parts as log_parts
from journeysim.errors import InputError
from journeysim.log_files import read_log, write_csv, write_log
from journeysim.new_outputs import new_directory, new_file

ROWS = (
    (7, 0, "touch", "email, weekly"),
    (7, 1.123456789, "stage", "buy"),
    (7, 2, "purchase", "buy", 0.1 + 0.2),
    (12, 10, "lost"),
)
TEXT_ROWS = tuple((f"id\n{row[0]}", *row[1:]) for row in ROWS)
STAGES = {"stages": ["look", "buy"], "purchase_stages": ["buy"]}


@pytest.fixture(params=[ROWS, TEXT_ROWS], ids=["integers", "text"])
def log(request):
    return hand_log(*request.param, **STAGES)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_directory_gives_the_same_log_back(log, tmp_path):
    people = log.customers.append_column("device", pa.array(["app", None]).dictionary_encode())
    log = type(log)(log.events, people, log.start, log.end, log.stages, ("buy",), "EUR", {"seed": "1"})
    write_log(log, tmp_path / "deep" / "log")
    back = read_log(tmp_path / "deep" / "log")
    assert back.hash() == log.hash()
    assert (back.provenance, back.currency) == ({"seed": "1"}, "EUR")
    assert names(tmp_path / "deep") == ["log"]
    assert names(tmp_path / "deep" / "log") == [
        "customers-00000.parquet",
        "events-00000.parquet",
        "manifest.json",
    ]


@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz"])
def test_a_csv_gives_the_same_log_back(log, tmp_path, name):
    write_csv(log, tmp_path / name)
    assert read_log(tmp_path / name, **STAGES).hash() == log.hash()
    assert names(tmp_path) == [name]


def test_a_parquet_file_gives_the_same_log_back(log, tmp_path):
    pq.write_table(log.events, tmp_path / "log.parquet")
    assert read_log(tmp_path / "log.parquet", **STAGES).hash() == log.hash()
    log.to_polars().write_parquet(tmp_path / "polars.parquet")
    assert read_log(tmp_path / "polars.parquet", **STAGES).hash() == log.hash()


def test_a_wrong_row_of_a_csv_is_named_by_its_line(tmp_path):
    (tmp_path / "log.csv").write_text("customer,time,kind\n\n9,2026-01-02,lost\n1,2026-01-01,gone\n")
    with pytest.raises(InputError, match=r"log.csv line 4 \(customer 1\): kind is 'gone'; it must be one of touch"):
        read_log(tmp_path / "log.csv")


def test_nothing_is_overwritten(log, tmp_path):
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "mine.txt").write_text("mine")
    (tmp_path / "log.csv").write_text("mine")
    for write, name in ((write_log, "log"), (write_log, "log.csv"), (write_csv, "log.csv")):
        with pytest.raises(InputError, match=rf"{name} exists already. Choose another name"):
            write(log, tmp_path / name)
    assert names(tmp_path) == ["log", "log.csv"]
    assert (tmp_path / "log" / "mine.txt").read_text() == (tmp_path / "log.csv").read_text() == "mine"


def test_a_csv_must_say_that_it_is_one(log, tmp_path):
    with pytest.raises(InputError, match=r"log.parquet: expected a name that ends in \.csv or \.csv\.gz"):
        write_csv(log, tmp_path / "log.parquet")


@pytest.mark.parametrize("make", [new_directory, new_file])
def test_what_cannot_be_made_is_named(make, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"log cannot be made: "), make(tmp_path / "file" / "log"):
        pass


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
@pytest.mark.parametrize("call", ["write_table", "close", "checksum"])
def test_a_failure_in_the_middle_leaves_nothing_behind(log, tmp_path, monkeypatch, error, call):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(log_parts if call == "checksum" else pq.ParquetWriter, call, fail)
    with pytest.raises(type(error)):
        write_log(log, tmp_path / "log")
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("make", [new_directory, new_file])
def test_what_is_unfinished_is_removed(tmp_path, make, error):
    def fail_half_way():
        with make(tmp_path / "log") as unfinished:
            (unfinished / "half" if unfinished.is_dir() else unfinished).write_text("half")
            assert not (tmp_path / "log").exists()
            raise error

    with pytest.raises(error):
        fail_half_way()
    assert names(tmp_path) == []


def change_manifest(**parts):
    def change(folder):
        manifest = json.loads((folder / "manifest.json").read_text()) | parts
        kept = {key: value for key, value in manifest.items() if key not in parts or value is not None}
        (folder / "manifest.json").write_text(json.dumps(kept))

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "manifest.json").unlink(), "no manifest.json; it is not the directory of a log"),
        (lambda f: (f / "manifest.json").write_text("{"), "manifest.json: damaged, it is not JSON"),
        (lambda f: (f / "manifest.json").write_text("[]"), "written with schema None, this version reads 2"),
        (change_manifest(schema_version=1), "written with schema 1, this version reads 2"),
        (change_manifest(start=None), "manifest.json: damaged, it has no 'start'"),
        (change_manifest(parts=None), "manifest.json: damaged, it has no 'parts'"),
        (change_manifest(parts=[]), "manifest.json: damaged, its hash is not that of its parts"),
        (change_manifest(parts=[{"n_events": 3}]), "manifest.json: damaged, it has no 'sha256'"),
        (change_manifest(parts=3), "manifest.json: damaged"),
        (change_manifest(currency="USD"), "manifest.json: damaged, its hash is not that of its parts"),
        (
            lambda f: (f / "customers-00000.parquet").unlink(),
            "customers-00000.parquet is missing; the log is",
        ),
        (lambda f: (f / "events-00000.parquet").unlink(), "events-00000.parquet is missing"),
        (lambda f: (f / "events-00000.parquet").write_bytes(b"x"), "checksum differs from the manifest"),
    ],
)
def test_a_damaged_directory_is_refused_by_name(log, tmp_path, damage, message):
    write_log(log, tmp_path / "log")
    damage(tmp_path / "log")
    with pytest.raises(InputError, match=message):
        read_log(tmp_path / "log")


def test_a_part_that_the_manifest_does_not_know_is_no_part(log, tmp_path):
    write_log(log, tmp_path / "log")
    pq.write_table(log.events, tmp_path / "log" / "events-00001.parquet")
    assert read_log(tmp_path / "log").equals(log)


def test_a_missing_log_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.csv: no such file"):
        read_log(tmp_path / "nowhere.csv")
    with pytest.raises(InputError, match=r"no manifest\.json"):
        read_log(tmp_path)


def test_stages_of_a_file_are_in_the_order_of_first_appearance(tmp_path):
    rows = {"customer": [2, 1], "time": ["2026-01-01", "2026-01-02"], "kind": "stage", "stage": ["b", "a"]}
    pl.DataFrame(rows).write_csv(tmp_path / "log.csv")
    assert read_log(tmp_path / "log.csv").stages == ("b", "a")
