"""The source's database has settings of its own: every session of the platform sets what it relies on."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg2
import pytest

from lakehouse import tables
from lakehouse.contract import Column, History, Table
from lakehouse.forget import report
from lakehouse.reconcile import source_side
from lakehouse.reconcile.checksum_diff import Part
from lakehouse.settings import PROJECT, Settings
from lakehouse.source import apply, catalog, connection, pending, preflight, resnapshot, setup
from tests.e2e.own_postgres import running_postgres
from tests.e2e.source_settings import HOSTILE, set_hostile

SAMPLES = Table(
    name="samples",
    doc="A value of each type whose text depends on a session's settings.",
    grain="one row per sample",
    key=("sample_id",),
    history=History.FULL,
    owner="tests",
    max_age_s=60,
    columns=(
        Column(name="sample_id", type="BIGINT", doc="Key."),
        Column(name="day", type="DATE", doc="A day."),
        Column(name="at", type="TIMESTAMP", doc="An instant."),
        Column(name="span", type="STRING", doc="A range of instants."),
        Column(name="ratio", type="DOUBLE", doc="A number of 17 digits."),
        Column(name="content", type="BINARY", doc="Bytes."),
        Column(name="note", type="STRING", doc="A text of other than ASCII."),
    ),
)
TEXTS = {
    "day": "2026-03-04",
    "at": "1772582400123456",
    "span": '["2026-03-04 00:00:00+00","2026-03-05 00:00:00+00")',
    "ratio": "0x1.3333333333334p-2",
    "content": "00ff5c27",
    "note": "Zoë \\ 東京",
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A source whose database and roles are set to what breaks most; its schema has a clock and a catalog of its own."""
    with running_postgres(tmp_path_factory.mktemp("home")) as made:
        with connection.owner(made) as cursor:
            cursor.execute((PROJECT / "generator" / "schema.sql").read_text())
            cursor.execute(
                "CREATE FUNCTION shop.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT timestamptz '2000-01-01' $$;"
                "CREATE TABLE shop.pg_class (relname text);"
                "CREATE TABLE shop.samples (sample_id bigint PRIMARY KEY, day date, at timestamptz, span tstzrange, ratio float8,"
                " content bytea, note text);"
                "INSERT INTO shop.samples VALUES (1, '2026-03-04', '2026-03-04 00:00:00.123456Z', '[2026-03-04Z,2026-03-05Z)',"
                " 0.1::float8 + 0.2::float8, '\\x00ff5c27', U&'Zo\\00EB \\\\ \\6771\\4EAC')"
            )
        set_hostile(made)
        yield made


def shown(cursor: Any) -> dict[str, str]:
    cursor.execute("SELECT lower(name), setting FROM pg_settings WHERE lower(name) = ANY (%s)", [[*HOSTILE]])
    return dict(cursor.fetchall())


def test_a_session_that_sets_nothing_has_them_all(shop: Settings) -> None:
    with closing(psycopg2.connect(shop.shop_dsn, password=shop.secret("shop_owner"))) as opened, opened.cursor() as cursor:
        # psycopg2 itself asks for ISO, in the order of day and month that is set.
        assert shown(cursor) == {**HOSTILE, "datestyle": "ISO, DMY"}


@pytest.mark.parametrize("role", ["owner", "capture"])
def test_a_session_has_what_it_relies_on(shop: Settings, role: str) -> None:
    opened = connection.owner_session if role == "owner" else connection.capture_session
    with opened(shop) as made, made.cursor() as cursor:
        found = shown(cursor)
        assert found.pop("search_path").startswith("pg_catalog, ")
        assert found.pop("session_replication_role") == "replica", "only a superuser may set it, and no session relies on it"
        assert {name: value for name, value in found.items() if value == HOSTILE[name]} == {}
        assert made.encoding == "UTF8"


def test_options_of_the_address_stay_below_the_profile(shop: Settings) -> None:
    own = replace(shop, source_dsn=f"{shop.shop_dsn} options='-c work_mem=4242kB -c datestyle=German'")
    with connection.owner(own) as cursor:
        cursor.execute("SELECT current_setting('work_mem'), current_setting('datestyle')")
        assert cursor.fetchone() == ("4242kB", "ISO, YMD")


def test_the_preflight_passes_what_capture_prepared(shop: Settings) -> None:
    apply.prepare(shop, frozenset(), tables.SOURCES)
    identity, fault = connection.source_identity(shop)
    assert fault is None
    around = preflight.Situation(identity=identity, login_fault=None, known_identity=identity, has_offset=False)
    with connection.owner(shop) as cursor:
        preflight.check(tables.SOURCES, "shop", catalog.read(cursor, tables.SOURCES, "shop"), around)
        assert setup.published(cursor) == set(setup.captured(tables.SOURCES, "shop"))


def test_the_heartbeat_and_requests_are_written(shop: Settings) -> None:
    apply.prepare(shop, frozenset(), tables.SOURCES)
    before = connection.mark(shop)
    assert resnapshot.snapshot(shop, tables.source("users"), r"full_name = 'a\b' AND updated_at < now()")
    with connection.owner(shop) as cursor:
        cursor.execute("SELECT beat_at > now() - interval '1 hour', pg_current_wal_insert_lsn() > %s::pg_lsn FROM ebap.heartbeat", [before])
        assert cursor.fetchone() == (True, True), "the schema's own clock stands at 2000"


def test_a_comparison_reads_each_value_in_one_form(shop: Settings) -> None:
    with source_side.taken(shop) as (snapshot, cursor):
        side = source_side.SourceTable(cursor, "shop", SAMPLES)
        place = side.bounds()[0]
        assert side.texts(Part(0, (place,))) == {("1",): {"sample_id": "1", **TEXTS}}
        assert snapshot.taken_at.year > 2000


def test_forget_finds_the_row_at_the_source(shop: Settings) -> None:
    with patch.object(tables, "SOURCES", (SAMPLES,)):
        assert report.at_source(shop, "samples", '{"sample_id": 1}').startswith("The source still has the row")
        assert report.at_source(shop, "samples", '{"sample_id": 2}') == "The source has no such row."


def test_what_waits_in_the_log_is_measured_as_bytes_in_hex(shop: Settings) -> None:
    with connection.owner(shop) as cursor:
        setup.prepare(cursor, (SAMPLES,), "shop")
    with connection.capture_session(shop) as opened, opened.cursor() as cursor:
        cursor.execute("SELECT pg_create_logical_replication_slot('ebap', 'pgoutput')")
    try:
        with connection.owner(shop) as cursor:
            cursor.execute("INSERT INTO shop.samples (sample_id, content) VALUES (9, decode(repeat('00', 9000), 'hex'))")
        (table, size), *others = pending.largest(shop, 9000)
        assert (table, others) == ("samples", []) and 18_000 <= size < 19_000
    finally:
        with connection.capture_session(shop) as opened, opened.cursor() as cursor:
            cursor.execute("SELECT pg_drop_replication_slot('ebap')")


def test_nobody_else_connects_to_the_source() -> None:
    # The state of tables is the platform's own database, `postgres` the server that is started here, and the generator plays the shop.
    allowed = {
        "spark_apps/lakehouse/source/connection.py",
        "spark_apps/lakehouse/lake/state.py",
        "infra/services/postgres.py",
        "generator/sink.py",
    }
    folders = ("spark_apps", "infra", "generator", "dashboards", "dags", "plugins")
    found = {str(file.relative_to(PROJECT)) for folder in folders for file in sorted((PROJECT / folder).rglob("*.py")) if _connects(file)}
    assert found == allowed


def _connects(file: Path) -> bool:
    calls = (node.func for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call))
    return any(
        isinstance(call, ast.Attribute) and call.attr == "connect" and isinstance(call.value, ast.Name) and call.value.id == "psycopg2"
        for call in calls
    )
