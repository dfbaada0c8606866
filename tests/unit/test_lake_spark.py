"""Spark and light commits on the same tables: each reads what the other wrote, and neither loses what the other commits."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from pyroaring import BitMap64

from lakehouse.delta import checkpoint, feed, reading, vectors
from lakehouse.delta.actions import DeletionVector
from lakehouse.delta.commit import commit
from lakehouse.delta.errors import VersionGoneError
from lakehouse.delta.log import TableLog
from lakehouse.delta.pruning import Between
from lakehouse.delta.store import LocalStore
from lakehouse.lake import files
from tests.unit.lake_tables import extremes, light_writer, until_done, vacuum

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_SILVER = (
    "'delta.enableDeletionVectors' = 'true', 'delta.enableTypeWidening' = 'true', 'delta.checkpointInterval' = '5', "
    "'delta.dataSkippingStatsColumns' = 'k,n,d,s,f,day,at'"
)
_COLUMNS = (
    "k BIGINT, n INT, d DECIMAL(10,2), s STRING, secret STRING, b BINARY, f DOUBLE, day DATE, at TIMESTAMP, tags ARRAY<STRING>, ok BOOLEAN"
)


def _sorted(rows: pa.Table) -> list[str]:
    return sorted(repr(sorted(row.items())) for row in rows.to_pylist())


def _by_spark(spark: SparkSession, root: str, at: int | None = None) -> list[str]:
    reader = spark.read.format("delta")
    return _sorted((reader if at is None else reader.option("versionAsOf", at)).load(root).toArrow())


def _light(log: TableLog, at: int | None = None, **where: Any) -> list[str]:
    return _sorted(reading.read(reading.connect(), log.snapshot(at), log.store, where=where or None))


@pytest.fixture(scope="module")
def silver(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> TableLog:
    """A table as silver's: rows of two partitions, some deleted, one merged, columns widened and added."""
    root = str(tmp_path_factory.mktemp("silver") / "t")
    name = f"delta.`{root}`"
    spark.sql(f"CREATE TABLE {name} ({_COLUMNS}, _last BOOLEAN) USING DELTA PARTITIONED BY (_last) TBLPROPERTIES ({_SILVER})")
    values = (
        "id, CAST(id AS INT), id / 100, concat('n', id), 'secret', CAST('x' AS BINARY), id / 3, date'2026-01-01' + CAST(id AS INT), "
        "timestamp'2026-01-01 00:00:00.123456' + make_interval(0, 0, 0, 0, 0, 0, id), array('a', NULL), id % 2 = 0"
    )
    spark.sql(f"INSERT INTO {name} SELECT {values}, id < 900 FROM range(1000)")
    spark.sql(f"DELETE FROM {name} WHERE k IN (3, 7, 11)")
    spark.sql(f"DELETE FROM {name} WHERE k % 3 = 0 AND _last")
    merge = "USING (SELECT 10 AS k, 'merged' AS s) s ON t._last = true AND t.k = s.k WHEN MATCHED THEN UPDATE SET s = s.s"
    spark.sql(f"MERGE INTO {name} t {merge}")
    spark.sql(f"ALTER TABLE {name} ALTER COLUMN n TYPE BIGINT")
    spark.sql(f"ALTER TABLE {name} ALTER COLUMN d TYPE DECIMAL(14,2)")
    spark.sql(f"ALTER TABLE {name} ADD COLUMN (extra STRING)")
    return TableLog(LocalStore(), f"file://{root}")


def test_each_version_reads_as_spark_reads_it(spark: SparkSession, silver: TableLog) -> None:
    newest = silver.snapshot()
    assert newest.version == 7
    assert {file.vector.storage_type for file in silver.snapshot(4).files if file.vector} == {"u"}
    for version in (1, 2, 3, 4):
        # A log of its own: from the nearest checkpoint, not from what is in memory.
        assert _light(TableLog(LocalStore(), silver.root), version) == _by_spark(spark, silver.root, version)
    assert _light(silver) == _by_spark(spark, silver.root)
    assert [field.type for field in newest.schema if field.name in ("n", "d", "extra")] == ["BIGINT", "DECIMAL(14,2)", "STRING"]


def test_spark_reads_merges_and_compacts_what_light_commits_made(spark: SparkSession, silver: TableLog) -> None:
    """Light commits over those of Spark; then Spark's own work on top of them."""
    name, con = f"delta.`{silver.root}`", reading.connect()
    commit(silver, silver.snapshot(), operation="WRITE", writes=[({"_last": True}, extremes(silver)), ({"_last": False}, extremes(silver))])
    assert _light(silver) == _by_spark(spark, silver.root)
    for keys in ([10, 20, 5000], [key for key in range(900) if key % 5 == 1]):
        snapshot = silver.snapshot()
        found = reading.located(con, snapshot, silver.store, where={"k": keys, "_last": [True]})
        marks: dict[str, list[int]] = {}
        for file, position in zip(found[reading.FILE].to_pylist(), found[reading.POSITION].to_pylist(), strict=True):
            marks.setdefault(file, []).append(position)
        moved = found.drop_columns([reading.FILE, reading.POSITION, "_last"])
        moved = moved.set_column(moved.column_names.index("extra"), "extra", pa.array(["light"] * len(moved)))
        writes = [({"_last": True}, moved)]
        made = commit(silver, snapshot, operation="MERGE", writes=writes, deletes=marks, txn=("w", len(keys)), metadata={"bronze": 1})
        assert _light(silver) == _by_spark(spark, silver.root)
        assert _by_spark(spark, silver.root, made - 1) == _light(silver, made - 1)
    history = spark.sql(f"DESCRIBE HISTORY {name} LIMIT 1").collect()[0]
    assert (history["operation"], history["userMetadata"], history["isBlindAppend"]) == ("MERGE", '{"bronze": 1}', False)
    before = _light(silver)
    # With the vectors of files that are live, and of those that were replaced.
    spark.sql(f"VACUUM {name}")
    assert _light(silver) == before
    merge = "WHEN MATCHED THEN UPDATE SET s = 'spark' WHEN NOT MATCHED THEN INSERT (k, s, _last) VALUES (s.k, 'new', true)"
    spark.sql(f"MERGE INTO {name} t USING (SELECT explode(array(10, 16, 5001, 7000)) AS k) s ON t._last = true AND t.k = s.k {merge}")
    spark.sql(f"DELETE FROM {name} WHERE k IN (20, 21)")
    expected = _by_spark(spark, silver.root)
    assert _light(silver) == expected and "7000" in str(expected)
    spark.sql(f"OPTIMIZE {name}")
    assert _light(silver) == expected == _by_spark(spark, silver.root)
    vacuum(spark, name)
    assert _light(silver) == expected == _by_spark(spark, silver.root)
    live = {file.path for file in silver.snapshot().files}
    assert {str(path.relative_to(silver.root)) for path in Path(silver.root).rglob("part-*.parquet")} == live
    commit(silver, silver.snapshot(), operation="WRITE", writes=[({"_last": True}, extremes(silver))])
    assert _light(silver) == _by_spark(spark, silver.root)


def test_vectors_that_an_earlier_release_wrote_into_the_log_are_replaced_before_a_vacuum(
    spark: SparkSession, silver: TableLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def inline(_: object, __: str, found: dict[str, BitMap64]) -> dict[str, DeletionVector]:
        return {path: one(vectors.encode(rows), len(rows)) for path, rows in found.items()}

    def one(data: bytes, count: int) -> DeletionVector:
        return DeletionVector(storage_type="i", path_or_inline=vectors.z85_encode(data), offset=None, size=len(data), cardinality=count)

    monkeypatch.setattr(vectors, "write", inline)
    name, snapshot = f"delta.`{silver.root}`", silver.snapshot()
    found = reading.located(reading.connect(), snapshot, silver.store, where={"k": [10], "_last": [True]})
    marks = {found[reading.FILE][0].as_py(): [found[reading.POSITION][0].as_py()]}
    commit(silver, snapshot, operation="DELETE", deletes=marks)
    before = _light(silver)
    assert "i" in _kinds_of_vectors(silver)
    assert not files.delete_unneeded(spark, name)
    assert "i" not in _kinds_of_vectors(silver)
    assert _light(silver) == before == _by_spark(spark, silver.root)
    spark.sql(f"ALTER TABLE {name} SET TBLPROPERTIES ('delta.deletedFileRetentionDuration' = 'interval 0 hours')")
    assert files.delete_unneeded(spark, name)
    assert _light(silver) == before


def _kinds_of_vectors(log: TableLog) -> set[str]:
    return {file.vector.storage_type for file in log.snapshot().files if file.vector}


def test_spark_skips_no_row_by_the_statistics_of_light_files(spark: SparkSession, silver: TableLog) -> None:
    commit(silver, silver.snapshot(), operation="WRITE", writes=[({"_last": False}, extremes(silver).slice(n, 1)) for n in range(4)])
    frame = spark.read.format("delta").load(silver.root)
    conditions = {
        "at": [
            "at = timestamp'9999-12-31 23:59:59.999999'",
            "at >= timestamp'9999-12-31 23:59:59.999999'",
            "at = timestamp'0001-01-01 00:00:00'",
        ],
        "s": [f"s >= '{chr(0x10FFFF) * 40}'", f"s = '{'é' * 33}'", "s = ''"],
        "f": ["f > 1e300", "f < -1e300", "f = 0.0"],
        "d": ["d = 99999999.99", "d < 0"],
        "day": ["day = date'9999-12-31'", "day <= date'0001-01-01'"],
        "n": ["n = 2147483647", "n < 0"],
    }
    for each in (each for listed in conditions.values() for each in listed):
        assert frame.where(f"NOT _last AND k >= 5000 AND {each}").count() >= 1, each
    assert frame.where("at IS NULL AND k = 5003").count() >= 1
    con = reading.connect()
    for where in ({"at": [253402300799999999]}, {"s": ["\U0010ffff" * 40]}, {"day": Between(high=-719162)}, {"at": [-1]}):
        found = reading.read(con, silver.snapshot(), silver.store, ["k"], where={**where, "_last": [False]})
        assert found.num_rows >= 1, where


def test_personal_columns_have_no_statistics(silver: TableLog) -> None:
    for file in silver.snapshot().files:
        assert set(file.statistics["nullCount"]) <= {"k", "n", "d", "s", "f", "day", "at"}


def test_spark_goes_on_from_a_light_checkpoint(spark: SparkSession, tmp_path: Path) -> None:
    root = str(tmp_path / "t")
    name = f"delta.`{root}`"
    spark.sql(
        f"CREATE TABLE {name} (k BIGINT, at TIMESTAMP, _last BOOLEAN) USING DELTA PARTITIONED BY (_last) "
        "TBLPROPERTIES ('delta.enableDeletionVectors' = 'true', 'delta.checkpointInterval' = '1000')"
    )
    spark.sql(f"INSERT INTO {name} SELECT id, timestamp'2026-01-01 00:00:00.5', id % 2 = 0 FROM range(100)")
    log = TableLog(LocalStore(), root)
    file = next(file for file in log.snapshot().files if file.partition["_last"] == "true")
    commit(log, log.snapshot(), operation="DELETE", deletes={file: range(0, 20, 3)}, txn=("app", 3))
    commit(log, log.snapshot(), operation="DELETE", removes=[next(f for f in log.snapshot().files if f.partition["_last"] == "false")])
    expected = _light(log)
    checkpoint.write(log, 3)
    # Spark wants the commit of the checkpoint's own version.
    for version in range(3):
        for path in (log.commit_path(version), f"{log.log}/{version:020d}.crc"):
            log.store.delete(path)
    spark.sparkContext._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()  # type: ignore[union-attr]
    assert _by_spark(spark, root) == expected == _light(TableLog(LocalStore(), root))
    detail = spark.sql(f"DESCRIBE DETAIL {name}").collect()[0]
    assert "deletionVectors" in detail["tableFeatures"] and detail["numFiles"] == len(log.snapshot().files)
    frame = spark.createDataFrame([(1, None, True)], "k BIGINT, at TIMESTAMP, _last BOOLEAN")
    for number, version in ((3, 3), (4, 4)):
        options = {"txnAppId": "app", "txnVersion": str(number)}
        frame.write.format("delta").mode("append").options(**options).save(root)
        assert log.snapshot().version == version, "the checkpoint's transaction is skipped, a later one is not"
    tombstones = spark.read.parquet(f"{log.log}/{3:020d}.checkpoint.parquet").where("remove IS NOT NULL").count()
    assert tombstones == 2
    spark.sql(f"DELETE FROM {name} WHERE k = 4")
    assert _light(log) == _by_spark(spark, root)


def test_increments_are_those_of_sparks_change_feed(spark: SparkSession, tmp_path: Path) -> None:
    """As bronze: appended to, compacted, a person taken out by a rewrite, a row changed, a day removed."""
    root = str(tmp_path / "t")
    name = f"delta.`{root}`"
    spark.sql(
        f"CREATE TABLE {name} (k BIGINT, headers ARRAY<STRUCT<key: STRING, value: BINARY>>, source_table STRING, day DATE) USING DELTA "
        "PARTITIONED BY (source_table, day) TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')"
    )
    headers = "array(named_struct('key', 'a', 'value', CAST('b' AS BINARY)))"
    rows = f"SELECT {{}} + id, {headers}, IF(id < 3, 'users', 'a b:/%'), date'{{}}' FROM range(6)"
    for first, day in ((0, "2026-01-01"), (10, "2026-01-01"), (20, "2026-01-02")):
        spark.sql(f"INSERT INTO {name} {rows.format(first, day)}")
    spark.sql(f"OPTIMIZE {name}")
    spark.sql(f"DELETE FROM {name} WHERE k = 11")
    spark.sql(f"UPDATE {name} SET k = 100 WHERE k = 12")
    spark.sql(f"DELETE FROM {name} WHERE day < date'2026-01-02'")
    log, con = TableLog(LocalStore(), root), reading.connect()
    newest = log.snapshot().version
    assert newest >= 7
    options = {"readChangeFeed": "true", "startingVersion": "1", "endingVersion": str(newest)}
    feed_rows = spark.read.format("delta").options(**options).load(root).where("_change_type = 'insert'")
    expected = [(row["_commit_version"], row["k"], row["source_table"]) for row in feed_rows.collect()]
    found = feed.added_rows(con, log, 0, newest)
    mine = list(zip(*(found[column].to_pylist() for column in (feed.VERSION, "k", "source_table")), strict=True))
    assert sorted(mine) == sorted(expected) and len(mine) == 18
    assert found["headers"].to_pylist()[0] == [{"key": "a", "value": b"b"}]
    one = feed.added_rows(con, log, 2, newest, ["k"], {"source_table": ["a b:/%"]})
    assert sorted(one["k"].to_pylist()) == [13, 14, 15, 23, 24, 25]
    vacuum(spark, name)
    with pytest.raises(VersionGoneError):
        feed.added_rows(con, log, 1, newest)


@pytest.mark.parametrize(("turns", "commits_a_turn"), [(4, 5), pytest.param(20, 12, marks=[pytest.mark.long, pytest.mark.timeout(3600)])])
def test_spark_compaction_and_two_light_writers_lose_nothing(spark: SparkSession, tmp_path: Path, turns: int, commits_a_turn: int) -> None:
    """44 commits, or 500: in each turn both light writers and Spark work on the same files at once."""
    root, writers = str(tmp_path / "t"), (1000, 2000)
    name = f"delta.`{root}`"
    spark.sql(
        f"CREATE TABLE {name} (k BIGINT, v STRING, _last BOOLEAN) USING DELTA PARTITIONED BY (_last) "
        "TBLPROPERTIES ('delta.enableDeletionVectors' = 'true', 'delta.checkpointInterval' = '6')"
    )
    spark.sql(f"INSERT INTO {name} SELECT explode(array(0, 1000, 2000)), '0', true")
    processes = multiprocessing.get_context("spawn")
    waiting, count = processes.Semaphore(0), turns * commits_a_turn
    made = [processes.Process(target=light_writer, args=(root, first, count, waiting, commits_a_turn)) for first in writers]
    for process in made:
        process.start()
    statements = [
        "INSERT INTO {name} SELECT -{turn}, 'inserted', true",
        "MERGE INTO {name} t USING (SELECT 0 AS k) s ON t._last = true AND t.k = s.k "
        "WHEN MATCHED THEN UPDATE SET v = CAST(CAST(t.v AS INT) + 1 AS STRING)",
        "OPTIMIZE {name}",
    ]
    for turn in range(1, turns + 1):
        for _ in writers:
            waiting.release()
        until_done(spark, statements[turn % 3].format(name=name, turn=turn))
    for process in made:
        process.join()
    assert [process.exitcode for process in made] == [0, 0]
    merges, inserts = (len([turn for turn in range(1, turns + 1) if turn % 3 == kind]) for kind in (1, 0))
    expected = {(first, str(count)) for first in writers} | {(0, str(merges))} | {(-turn, "inserted") for turn in range(3, turns + 1, 3)}
    expected |= {(first + number, "added") for first in writers for number in range(1, count + 1)}
    log = TableLog(LocalStore(), root)
    found = reading.read(reading.connect(), log.snapshot(), log.store, ["k", "v"])
    assert found.num_rows == len(expected) and set(zip(*found.to_pydict().values(), strict=True)) == expected
    assert _by_spark(spark, root) == _light(log)
    operations = [json.loads(Path(log.commit_path(v)).read_text().splitlines()[0])["commitInfo"] for v in range(log.snapshot().version + 1)]
    by_us = sum(info["engineInfo"] == "EBAP" for info in operations)
    assert by_us == 2 * count and inserts + merges <= len(operations) - by_us
