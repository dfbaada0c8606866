"""The golden cases through stored tables by Spark: Debezium's records in bronze, refined, read through the views.

Steps are refined alternately in this process and by Spark. All cases share one table, each with its own keys, and take each step together;
a case with a truncate has its own table, and two of those are enough here: `test_light_stored` has all of them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from lakehouse import platform_tables, tables
from lakehouse.contract import Table
from lakehouse.lake import catalog, storage
from lakehouse.lake.lake import Lake
from lakehouse.settings import Settings
from lakehouse.silver import heavy_refine, rebuild
from lakehouse.silver import refine as light
from tests.conftest import empty_lake
from tests.golden.carrier import declared, in_step, version
from tests.golden.notation import Case, summary
from tests.golden.oracle import COLUMNS, UNCHANGED, WHOLE_TABLE, Change, Version
from tests.golden.test_fold import CASES
from tests.golden.world import deliveries

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

pytestmark = pytest.mark.timeout(900)

PLACEHOLDER = "__ebap_unchanged_of_this_test"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TRUNCATED = ("T4", "T8")
_OPS = {"upsert": "u", "delete": "d", "read": "r", "truncate": "t"}


@dataclass
class Stored:
    """One table and its cases; a case's number is its index, in a shared table once as written and once shuffled."""

    table: Table
    cases: list[Case]
    versions: dict[int, list[Version]] = field(default_factory=dict)
    live: dict[int, list[tuple[Any, ...]]] = field(default_factory=dict)
    contested: dict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    is_silent: bool = False

    def steps(self) -> Iterator[list[tuple[int, Change]]]:
        """Batch after batch; those of a case that is in twice alternate."""
        written = [case.batches for case in self.cases]
        carried = [deliveries([change for batch in case.batches for change in batch], 1) for case in self.cases]
        return iter(in_step([*written, *carried] if len(self.cases) > 1 else written))


def groups() -> list[Stored]:
    def named(name: str, case: Case) -> Table:
        return replace(declared(case.tracked), name=name)

    groups: dict[str, Stored] = {}
    for case in CASES:
        has_truncate = any(change.key == WHOLE_TABLE for batch in case.batches for change in batch)
        name = f"cases_{case.name.lower()}" if has_truncate else f"cases_{'_'.join(case.tracked)}"
        groups.setdefault(name, Stored(named(name, case), [])).cases.append(case)
    return list(groups.values())


@pytest.fixture(scope="module")
def stored(spark: SparkSession, lake_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Stored]]:
    """Every case refined, by table."""
    folder: Path = tmp_path_factory.mktemp("golden")
    with pytest.MonkeyPatch.context() as patch:
        made = [group for group in groups() if len(group.cases) > 1 or group.cases[0].name in TRUNCATED]
        patch.setattr(tables, "SOURCES", (*tables.SOURCES, *(group.table for group in made)))
        settings = empty_lake(spark, lake_settings, folder)
        catalog.bring_up(spark, settings)
        known = {"ebap.epoch": "1", "ebap.source.1": "a test", "ebap.placeholder.1": PLACEHOLDER}
        listed = ", ".join(f"'{name}' = '{value}'" for name, value in known.items())
        spark.sql(f"ALTER TABLE {storage.BRONZE} SET TBLPROPERTIES ({listed})")
        for group in made:
            _refine(spark, settings, group)
        yield {group.table.name: group for group in made}


def _refine(spark: SparkSession, settings: Settings, group: Stored) -> None:
    lake, every = Lake(settings), []
    for number, step in enumerate(group.steps()):
        every += step
        _land(spark, group.table, step)
        if number % 2:
            heavy_refine.run(spark, settings, group.table.name)
        else:
            light.run(lake, group.table.name)
    _land(spark, group.table, every)
    is_silent = not light.run(lake, group.table.name).changed
    _land(spark, group.table, every)
    group.is_silent = is_silent and not heavy_refine.run(spark, settings, group.table.name).changed
    for row in spark.table(f"silver.{group.table.name}_history").collect():
        group.versions.setdefault(row["case_id"], []).append(version(row))
    for row in spark.table(f"silver.{group.table.name}").collect():
        group.live.setdefault(row["case_id"], []).append((row["first"], row["second"], *(row[name] for name in COLUMNS)))
    for row in storage.read_quarantine(spark, group.table).collect():
        assert row["reason"] == "conflicting_duplicate", row
        group.contested[json.loads(row["key"])["case_id"]].add(json.loads(row["value"])["source"]["lsn"])


def _land(spark: SparkSession, table: Table, batch: list[tuple[int, Change]]) -> None:
    rows = [record(table, case, change) for case, change in batch]
    frame = spark.createDataFrame(rows, platform_tables.CHANGES.schema_ddl())
    frame.write.format("delta").mode("append").insertInto(storage.BRONZE)


def record(table: Table, case: int, change: Change) -> tuple[Any, ...]:
    """The change as captured and landed."""
    at = _EPOCH + timedelta(microseconds=change.at_us)
    commit = None if change.last_commit_lsn is None else str(change.last_commit_lsn)
    sequence = json.dumps([commit, str(change.lsn)], separators=(",", ":"))
    place = {"lsn": change.lsn, "txId": change.txid, "ts_us": change.at_us, "sequence": sequence}
    row = None if change.values is None else _key(case, change.key) | dict(zip(COLUMNS, map(_text, change.values), strict=True))
    value = {"op": _OPS[change.kind], "before": None, "after": row, "source": {"schema": "shop", "table": table.name, **place}}
    header = "__debezium.newkey" if change.kind == "delete" else "__debezium.oldkey"
    headers = [(header, json.dumps(_key(case, change.linked)).encode())] if change.linked else []
    key = None if change.key == WHOLE_TABLE else json.dumps(_key(case, change.key)).encode()
    parsed = (change.epoch, value["op"], change.lsn, sequence, change.txid, at)
    topic = platform_tables.topic(table.name)
    # The partition is the case's, so that offsets of different histories do not collide.
    return (table.name, at.date(), at, topic, case, change.offset, at, key, json.dumps(value).encode(), headers, *parsed)


def _key(case: int, key: tuple[str, str]) -> dict[str, Any]:
    return {"case_id": case, "first": key[0], "second": key[1]}


def _text(value: str | None) -> str | None:
    return PLACEHOLDER if value == UNCHANGED else value


def test_every_case_has_its_expected_history_on_stored_tables(stored: dict[str, Stored]) -> None:
    for group in stored.values():
        assert group.is_silent, f"{group.table.name}: a repetition of everything wrote something"
        for number, case in enumerate(group.cases * (2 if len(group.cases) > 1 else 1)):
            found = sorted(group.versions.get(number, []), key=lambda v: (v.key, v.from_us))
            assert tuple(map(summary, found)) in (case.versions, case.either), f"{case.name}: {case.doc}, number {number}"
            assert group.contested[number] == set(case.contested), f"{case.name}: {case.doc}"
            live = sorted(((*v.key, *v.values) for v in found if v.to_us is None), key=str)
            assert sorted(group.live.get(number, []), key=str) == live, f"{case.name}: {case.doc}"


def test_a_rebuild_equals_the_incremental_runs(stored: dict[str, Stored], spark: SparkSession, lake_settings: Settings) -> None:
    group = next(group for group in stored.values() if len(group.cases) > 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "SOURCES", (*tables.SOURCES, group.table))
        rebuild.run(spark, lake_settings, group.table.name)
    found: dict[int, list[Version]] = {}
    for row in spark.table(f"silver.{group.table.name}_history").collect():
        found.setdefault(row["case_id"], []).append(version(row))
    assert {n: sorted(v, key=str) for n, v in found.items()} == {n: sorted(v, key=str) for n, v in group.versions.items()}
