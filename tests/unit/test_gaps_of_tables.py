"""What a captured table misses because it was changed at the source, on a real Postgres: each with its time and its cure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lakehouse import tables
from lakehouse.settings import Settings
from lakehouse.source import admission, apply, connection, gate, schema_diff
from lakehouse.source.schema_diff import SeenColumn, Shape
from lakehouse.source.schema_log import SchemaLog
from lakehouse.source.standing import Standing
from tests.refusals import refused
from tests.unit.changing_source import PARTITIONED, PLAIN, READINGS, SINCE, Source
from tests.unit.light_lake import LightLake


@pytest.fixture
def source(light_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Source:
    """One whose tables are yet to be made."""
    monkeypatch.setattr(tables, "SOURCES", (READINGS,))
    made = Source(light_settings)
    made.clear()
    return made


Gap = tuple[Callable[[Source], None], list[tuple[str, str]]]


def _swap(source: Source) -> None:
    source.execute(
        "CREATE TABLE shop.readings_new (LIKE shop.readings INCLUDING ALL)",
        "INSERT INTO shop.readings_new SELECT * FROM shop.readings",
        "ALTER TABLE shop.readings RENAME TO readings_old",
        "ALTER TABLE shop.readings_new RENAME TO readings",
    )


def _altered(*changes: str) -> Callable[[Source], None]:
    return lambda source: source.execute(*(f"ALTER PUBLICATION ebap {change}" for change in changes))


AGAIN = ("published anew", "waiting")
GAPS: dict[str, Gap] = {
    "swapped": (_swap, [("replaced by another", "waiting")]),
    "made again": (lambda s: s.execute("DROP TABLE shop.readings", PLAIN), [("replaced by another", "waiting")]),
    "taken out": (_altered("DROP TABLE shop.readings"), [("no longer published", "waiting")]),
    "taken out and added": (_altered("DROP TABLE shop.readings", "ADD TABLE shop.readings"), [AGAIN]),
    "filtered": (_altered("SET TABLE shop.readings WHERE (id > 5), ebap.heartbeat, ebap.signal"), [("no longer published", "waiting")]),
    "filtered for a while": (
        _altered("SET TABLE shop.readings (id, code), ebap.heartbeat, ebap.signal", "SET TABLE shop.readings, ebap.heartbeat, ebap.signal"),
        [AGAIN],
    ),
    "without deletes": (_altered("SET (publish = 'insert, update')"), [("no longer published", "waiting")]),
    "without deletes for a while": (
        _altered("SET (publish = 'insert, update')", "SET (publish = 'insert, update, delete, truncate')"),
        [AGAIN],
    ),
    "the whole publication": (lambda s: s.execute("DROP PUBLICATION ebap"), [("no longer published", "waiting")]),
    "dropped": (lambda s: s.execute("DROP TABLE shop.readings"), [("dropped", "waiting")]),
    "renamed": (lambda s: s.execute("ALTER TABLE shop.readings RENAME TO others"), [("dropped", "waiting")]),
}


@pytest.mark.parametrize("what", GAPS)
def test_a_gap_stops_the_table_with_its_time_and_its_cure(source: Source, what: str) -> None:
    change, expected = GAPS[what]
    source.publish()
    change(source)
    assert source.look() == expected
    assert source.look() == []
    reason = source.reasons.get(expected[0][0])
    assert reason is None or "2026-03-04 05:06:07 UTC" in reason


@pytest.mark.parametrize("what", ["swapped", "taken out", "filtered"])
def test_a_table_that_is_accepted_is_published_whole_and_read_by_the_capture(source: Source, what: str) -> None:
    source.publish()
    GAPS[what][0](source)
    source.look()
    for _ in range(2):
        admission.publish_again(source.settings, READINGS)
    assert source.look() == [("published", "applied")]
    with connection.capture_session(source.settings) as opened, opened.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM shop.readings")


def test_other_work_on_a_table_is_no_gap(source: Source) -> None:
    source.publish()
    source.execute(
        "INSERT INTO shop.readings VALUES (1, 'a', 1)",
        "VACUUM FULL shop.readings",
        "CLUSTER shop.readings USING readings_pkey",
        "REINDEX TABLE shop.readings",
        "TRUNCATE shop.readings",
        "CREATE TABLE shop.others (id int PRIMARY KEY)",
        "ALTER PUBLICATION ebap ADD TABLE shop.others",
        "ALTER PUBLICATION ebap DROP TABLE shop.others",
    )
    apply.prepare(source.settings, frozenset(), tables.SOURCES)
    assert source.look() == []


ATTACHABLE = "CREATE TABLE shop.readings_high (LIKE shop.readings INCLUDING ALL)"
ATTACH = "ALTER TABLE shop.readings ATTACH PARTITION shop.readings_high FOR VALUES FROM (100) TO (200)"


def test_a_partition_attached_with_rows_is_a_gap_and_an_empty_one_is_none(source: Source) -> None:
    source.publish(*PARTITIONED)
    source.execute(ATTACHABLE, "INSERT INTO shop.readings_high VALUES (150, 'a', 1)", ATTACH)
    assert source.look() == [("partition attached", "gap")]
    assert "shop.readings_high had rows before" in str(source.reasons["partition attached"])
    assert "`python -m lakehouse resnapshot readings`" in str(source.reasons["partition attached"])
    source.execute(
        "CREATE TABLE shop.readings_top PARTITION OF shop.readings FOR VALUES FROM (200) TO (300)",
        "INSERT INTO shop.readings VALUES (250, 'b', 1)",
    )
    assert source.look() == [("partition attached", "applied")]
    source.execute("UPDATE shop.readings SET value = 2")
    assert source.look() == []


def test_a_partition_that_goes_leaves_its_rows_in_silver_as_a_gap(source: Source) -> None:
    source.publish(*PARTITIONED)
    source.execute("ALTER TABLE shop.readings DETACH PARTITION shop.readings_low")
    assert source.look() == [("partition detached", "gap")]
    assert "`python -m lakehouse reconcile readings --repair`" in str(source.reasons["partition detached"])


def test_a_partition_that_is_truncated_alone_is_a_gap_and_a_rewritten_one_is_none(source: Source) -> None:
    source.publish(*PARTITIONED)
    source.execute("INSERT INTO shop.readings VALUES (1, 'a', 1)")
    for harmless in ("VACUUM FULL shop.readings_low", "CLUSTER shop.readings_low USING readings_low_pkey"):
        source.execute(harmless)
        assert source.look() == []
    source.execute("TRUNCATE shop.readings_low")
    assert source.look() == [("partition truncated", "gap")]
    assert "`python -m lakehouse reconcile readings --repair`" in str(source.reasons["partition truncated"])


def test_partitions_below_a_partition_count_by_their_last_attachment(source: Source) -> None:
    source.publish(*PARTITIONED)
    source.execute(
        "CREATE TABLE shop.upper (LIKE shop.readings INCLUDING ALL) PARTITION BY RANGE (id)",
        "CREATE TABLE shop.upper_half PARTITION OF shop.upper FOR VALUES FROM (100) TO (150)",
        "INSERT INTO shop.upper VALUES (120, 'a', 1)",
        "ALTER TABLE shop.readings ATTACH PARTITION shop.upper FOR VALUES FROM (100) TO (200)",
    )
    assert source.look() == [("partition attached", "gap")]


def test_another_postgres_and_an_older_memory_are_no_gap(source: Source) -> None:
    source.publish()
    assert source.seen and source.seen.standing
    known, stood = source.seen, source.seen.standing
    after = replace(known, oid=known.oid + 1, standing=replace(stood, server="88/1", publication="9/9/9"))
    assert schema_diff.changes(READINGS, known, after, SINCE) == []
    old = replace(known, standing=None)
    assert schema_diff.changes(READINGS, old, known, SINCE) == []
    out = replace(known, standing=replace(stood, publication=None))
    assert [change.what for change in schema_diff.changes(READINGS, old, out, SINCE)] == ["no longer published"]


def test_what_a_table_missed_stops_it_and_a_gap_does_not(light_settings: Settings, tmp_path: Path) -> None:
    lake, table = LightLake.at(light_settings, tmp_path), tables.source("products")
    columns = {name: SeenColumn(type="text", position=place) for place, name in enumerate(table.column_names)}

    def look(standing: Standing | None) -> list[str]:
        shapes = {each.name: Shape(key=each.key, columns={}) for each in tables.SOURCES}
        shapes["products"] = Shape(key=table.key, columns=columns, standing=standing)
        return [change.what for change in gate.record_found(lake.lake, shapes, since=SINCE) if change.source_table == "products"]

    stood = Standing(server="77/1", publication="1/2/3", partitions={"9": "shop.old"})
    assert look(None) == ["first seen"]
    assert look(stood) == [], "a lake of an earlier release knows of no publication"
    assert look(replace(stood, publication=None)) == ["no longer published"]
    assert look(replace(stood, publication=None, partitions={})) == ["partition detached"]
    lake.land("products", ("c", 10, {"product_id": 1, "stock": 3}))
    with refused(
        "silver.products is stopped: products: no longer published (what is committed", "`python -m lakehouse resnapshot products`"
    ):
        lake.refine("products")
    assert [change.what for change in SchemaLog(lake.lake).accept(table)] == ["no longer published", "partition detached"]
    assert lake.refine("products").changed
    assert {change.state for change in SchemaLog(lake.lake).changes if change.source_table == "products"} == {"applied", "accepted"}
