"""Live rows in DuckDB: filters of every type against a plain comparison, and what of a file's rows is shown."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lakehouse.delta import reading
from lakehouse.delta.commit import commit
from lakehouse.delta.log import TableLog
from lakehouse.delta.predicates import array
from lakehouse.delta.pruning import Between, plain
from tests.unit.lake_tables import make_table, positions_of, replace_rows, rows, write_commit

_COLUMNS = {
    "i": "integer",
    "k": "long",
    "s": "string",
    "d": "decimal(12,2)",
    "f": "double",
    "b": "binary",
    "day": "date",
    "at": "timestamp",
    "tags": {"type": "array", "elementType": "string", "containsNull": True},
    "ok": "boolean",
    "part": "date",
    "source": "string",
}
_VALUES: dict[str, list[Any]] = {
    "i": [None, -1, 0, 2**31 - 1],
    "k": [None, *range(-20, 20)],
    "s": [None, "", "a'b", "é", "z" * 40],
    "d": [None, Decimal("-0.01"), Decimal("9999999999.99")],
    "f": [None, 0.5, -1e300],
    "b": [None, b"", b"\x00\xff'"],
    "day": [None, date(1, 1, 1), date(2026, 3, 1)],
    "at": [None, datetime(2026, 3, 1, tzinfo=UTC) + timedelta(microseconds=1), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)],
    "ok": [None, True, False],
    "part": [None, date(2026, 3, 1), date(2026, 3, 2)],
    "source": [None, "a b", "x/y=é"],
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[TableLog, list[dict[str, Any]]]:
    """A table of random rows in nine partitions, some rows marked as deleted, and the rows that are left."""
    log = make_table(str(tmp_path_factory.mktemp("t")), columns=_COLUMNS, partitions=("part", "source"))
    fields, left, chance = log.snapshot().fields, [], random.Random(1)
    for part in _VALUES["part"]:
        for source in _VALUES["source"]:
            listed = [{name: chance.choice(_VALUES[name]) for name in _VALUES} | {"part": part, "source": source} for _ in range(9)]
            table = pa.table({n: array(fields[n], [plain(row[n]) for row in listed]) for n in _VALUES if n not in ("part", "source")})
            before = set(log.snapshot().by_path)
            commit(log, log.snapshot(), operation="WRITE", writes=[({"part": part, "source": source}, table)])
            (file,) = set(log.snapshot().by_path) - before
            dead = set(chance.sample(range(9), chance.choice([0, 0, 3])))
            commit(log, log.snapshot(), operation="DELETE", deletes={file: dead})
            left += [row for number, row in enumerate(listed) if number not in dead]
    return log, left


def _matches(row: dict[str, Any], where: dict[str, Any]) -> bool:
    for name, wanted in where.items():
        value = row[name]
        if not isinstance(wanted, Between):
            if value not in wanted:
                return False
        elif value is None or (wanted.low is not None and value < wanted.low) or (wanted.high is not None and value > wanted.high):
            return False
    return True


_FILTERS: list[dict[str, Any]] = [{name: [value]} for name, values in _VALUES.items() for value in values]
_FILTERS += [{name: Between(low=low)} for name, values in _VALUES.items() for low in values[1:] if name not in ("b", "ok")]
_FILTERS += [{name: Between(high=high)} for name, values in _VALUES.items() for high in values[1:] if name not in ("b", "ok")]
_FILTERS += [{"k": list(range(-3000, 0))}, {"k": [*range(3000), None]}, {"k": []}, {"k": Between()}, {"k": [None]}, {}]
_FILTERS += [{"part": [date(2026, 3, 1), None], "source": ["a b"]}, {"source": [None, "x/y=é"], "k": list(range(-3, 1700)), "ok": [True]}]
_FILTERS += [
    {"at": [datetime(2026, 3, 1, tzinfo=UTC) + timedelta(microseconds=n) for n in range(1400)]},
    {"s": [str(n) for n in range(1500)] + ["é"]},
]


def test_filters_find_the_rows_that_a_plain_comparison_finds(made: tuple[TableLog, list[dict[str, Any]]]) -> None:
    log, left = made
    con, snapshot = reading.connect(), log.snapshot()
    for where in _FILTERS:
        found = reading.read(con, snapshot, log.store, list(_VALUES), where=where).to_pylist()
        expected = [row for row in left if _matches(row, where)]
        assert sorted(map(repr, map(_comparable, found))) == sorted(map(repr, map(_comparable, expected))), where


def _comparable(row: dict[str, Any]) -> list[Any]:
    return [plain(row[name]) for name in _VALUES]


def test_files_that_cannot_match_are_left_unread(made: tuple[TableLog, list[dict[str, Any]]]) -> None:
    log, _ = made
    snapshot = log.snapshot()
    assert len(reading.pruned(snapshot, {"part": [date(2026, 3, 1)]})) == 3
    assert len(reading.pruned(snapshot, {"part": [None], "source": ["a b"]})) == 1
    assert reading.pruned(snapshot, {"k": [1000]}) == reading.pruned(snapshot, {"day": [date(2030, 1, 1)]}) == []
    with pytest.raises(ValueError, match="no column nobody"):
        reading.pruned(snapshot, {"nobody": [1]})
    with pytest.raises(ValueError, match="no column nobody"):
        reading.read(reading.connect(), snapshot, log.store, ["nobody"])


def test_columns_come_as_wanted_and_with_the_tables_types(made: tuple[TableLog, list[dict[str, Any]]]) -> None:
    log, left = made
    con, snapshot = reading.connect(), log.snapshot()
    table = reading.read(con, snapshot, log.store)
    assert table.schema == pa.schema([(field.name, field.arrow_type) for field in snapshot.schema])
    assert table.num_rows == len(left)
    assert reading.read(con, snapshot, log.store, where={"k": [1000]}).schema == table.schema
    assert reading.read(con, snapshot, log.store, ["source", "part"]).column_names == ["source", "part"]
    assert reading.read(con, snapshot, log.store, ["ok"], where={"k": [5]}).column_names == ["ok"]
    assert reading.read(con, snapshot, log.store, ["ok"], files=snapshot.files[:1]).num_rows <= 9
    relation = reading.relation(con, snapshot, log.store, where={"source": ["a b"]})
    assert relation.aggregate("count(*)").fetchall() == [(sum(row["source"] == "a b" for row in left),)]


def test_located_rows_are_those_of_their_files(tmp_path: Path) -> None:
    log = make_table(str(tmp_path))
    for first in (0, 10):
        commit(log, log.snapshot(), operation="WRITE", writes=[({"_last": True}, rows(*((first + n, "a") for n in range(10))))])
    replace_rows(log, [3, 14], "b")
    con, snapshot = reading.connect(), log.snapshot()
    found = reading.located(con, snapshot, log.store, ["k"], where={"k": [2, 4, 13, 14, 15]})
    for key, file, position in zip(*(found[name].to_pylist() for name in ("k", reading.FILE, reading.POSITION)), strict=True):
        assert pq.read_table(log.path(snapshot.by_path[file]))["k"][position].as_py() == key
    assert sorted(found["k"].to_pylist()) == [2, 4, 13, 14, 15]
    assert positions_of(log, snapshot, [14]) != positions_of(log, log.snapshot(2), [14])


def test_values_of_partitions_come_from_the_log(tmp_path: Path) -> None:
    """A file may hold the partition column too, as Spark's do, and need not."""
    log = make_table(str(tmp_path))
    table = rows((1, "a")).append_column("_last", pa.array([False]))
    pq.write_table(table, tmp_path / "x.parquet")
    add = {"path": "x.parquet", "partitionValues": {"_last": "true"}, "size": 1, "modificationTime": 1, "dataChange": True}
    write_commit(log.store, log.root, 1, {"add": add})
    assert reading.read(reading.connect(), log.snapshot(), log.store).to_pylist() == [{"k": 1, "v": "a", "_last": True}]
    assert reading.read(reading.connect(), log.snapshot(), log.store, where={"_last": [False]}).num_rows == 0


def test_narrow_files_and_int96_are_cast(tmp_path: Path) -> None:
    log = make_table(str(tmp_path), columns={"k": "long", "d": "decimal(20,4)", "f": "double", "at": "timestamp"}, partitions=())
    at = pa.array([253402300799999999 // 10**6 - 10**6, -1], pa.timestamp("s", "UTC"))
    d = pa.array([Decimal("1.5"), None], pa.decimal128(5, 1))
    narrow = pa.table({"at": at, "d": d, "k": pa.array([2**31 - 1, -1], pa.int32()), "f": pa.array([0.5, 2], pa.float32())})
    pq.write_table(narrow, tmp_path / "x.parquet", use_deprecated_int96_timestamps=True)
    add = {"path": "x.parquet", "partitionValues": {}, "size": 1, "modificationTime": 1, "dataChange": True}
    write_commit(log.store, log.root, 1, {"add": add})
    found = reading.read(reading.connect(), log.snapshot(), log.store)
    assert found["k"].to_pylist() == [2**31 - 1, -1] and found["f"].to_pylist() == [0.5, 2.0]
    assert found["d"].to_pylist() == [Decimal("1.5000"), None]
    assert found["at"].cast(pa.int64()).to_pylist() == [(253402300799 - 10**6) * 10**6, -(10**6)]
