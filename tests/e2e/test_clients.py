"""What people's tools see: every gold table over PyHive and over the Hive JDBC driver, with columns and comments; the beat in Kafka."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lakehouse import tables
from lakehouse.contract import Table
from lakehouse.health import liveness
from lakehouse.spark import thrift
from tests.e2e.beeline import beeline
from tests.e2e.conftest import Platform, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

GOLD = pytest.mark.parametrize("table", tables.GOLD, ids=lambda table: table.name)
# JDBC's TABLE_NAME, COLUMN_NAME and REMARKS in what `!columns` prints, which is DatabaseMetaData.getColumns.
NAME, COLUMN, REMARKS = 2, 3, 11


@pytest.fixture(scope="module")
def jdbc(platform: Platform) -> dict[str, str]:
    """What Beeline, the Hive JDBC driver's own shell, answers to one script: by statement."""
    statements = [f"SELECT * FROM gold.{table.name} LIMIT 3;" for table in tables.GOLD] + [
        f"!columns {table.name}" for table in tables.GOLD
    ]
    return {"out": beeline(platform.settings, statements)}


@GOLD
def test_pyhive_reads_it(platform: Platform, table: Table) -> None:
    names, _ = thrift.query(platform.settings, f"SELECT * FROM {table.full_name} LIMIT 3")
    assert [name.split(".")[-1] for name in names] == list(table.column_names)


@GOLD
def test_jdbc_reads_it(jdbc: dict[str, str], table: Table) -> None:
    assert "\t".join(table.column_names) in jdbc["out"].replace(f"{table.name}.", "")


@GOLD
def test_jdbc_metadata_has_every_column_with_its_comment(jdbc: dict[str, str], table: Table) -> None:
    rows = [row for row in (line.split("\t") for line in jdbc["out"].splitlines()) if row[1 : NAME + 1] == ["gold", table.name]]
    assert {row[COLUMN]: row[REMARKS] for row in rows} == {column.name: column.doc for column in table.columns}


def test_kafka_tells_when_the_heart_last_beat(platform: Platform) -> None:
    began = datetime.now(UTC)
    beat = until(lambda: (beat := liveness.beat_sent_at(platform.settings)).sent_at and beat.sent_at >= began and beat, 60, "a beat")
    assert beat.has_answered and beat.sent_at < datetime.now(UTC) + timedelta(seconds=1)
