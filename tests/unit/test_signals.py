"""Requests for an incremental snapshot, left in a real Postgres' signal table; how far the connector is comes from a fake of Connect."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from lakehouse import tables
from lakehouse.settings import Settings
from lakehouse.source import connection, resnapshot
from lakehouse.source import setup as capture
from tests.e2e.own_postgres import running_postgres
from tests.refusals import refused

USERS, ITEMS = tables.source("users"), tables.source("order_items")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A source prepared for capture, as an earlier release left it: a signal's data no longer than 2,048 characters."""
    home: Path = tmp_path_factory.mktemp("signals")
    with running_postgres(home) as made:
        with connection.owner(made) as cursor:
            cursor.execute("CREATE SCHEMA IF NOT EXISTS ebap; CREATE SCHEMA IF NOT EXISTS shop")
            cursor.execute("CREATE TABLE ebap.signal (id varchar(64) PRIMARY KEY, type varchar(32) NOT NULL, data varchar(2048))")
            cursor.execute("CREATE TABLE shop.users (user_id bigint PRIMARY KEY, email text)")
            cursor.execute("CREATE TABLE shop.order_items (order_id bigint, line_no int, PRIMARY KEY (order_id, line_no))")
            cursor.execute("INSERT INTO shop.order_items VALUES (1, 1), (1, 2), (2, 1)")
            capture.prepare(cursor, [USERS, ITEMS], "shop")
        yield made


def _sent(settings: Settings, snapshot_id: str) -> dict[str, object]:
    with connection.owner(settings) as cursor:
        cursor.execute("SELECT data FROM ebap.signal WHERE id = %s AND type = 'execute-snapshot'", [snapshot_id.split("@")[0]])
        made: dict[str, object] = json.loads(cursor.fetchone()[0])
    return made


def test_a_request_names_the_table_as_a_pattern_and_the_rows_by_condition(settings: Settings) -> None:
    whole = {"type": "incremental", "data-collections": [r"shop\.users"]}
    assert _sent(settings, resnapshot.snapshot(settings, USERS)) == whole
    condition = "email = 'it''s \\ 100%' OR user_id IN (" + ", ".join(map(str, range(2000))) + ")"
    assert _sent(settings, resnapshot.snapshot(settings, USERS, condition)) == {
        **whole,
        "additional-conditions": [{"data-collection": r"shop\.users", "filter": condition}],
    }


def test_keys_become_a_condition_that_meets_them_alone(settings: Settings) -> None:
    condition = resnapshot.condition_of(settings, ITEMS, [("1", "2"), ("2", "1")])
    with connection.owner(settings) as cursor:
        cursor.execute(f"SELECT order_id, line_no FROM shop.order_items WHERE {condition} ORDER BY 1")
        assert cursor.fetchall() == [(1, 2), (2, 1)]


def test_a_text_in_a_condition_is_quoted_whatever_it_holds(settings: Settings) -> None:
    hostile = "O'Neil\\; DROP TABLE shop.users; --"
    named = replace(USERS, key=("email",), columns=tuple(replace(column, person=None, pii=False) for column in USERS.columns))
    condition = resnapshot.condition_of(settings, named, [(hostile,)])
    assert resnapshot.snapshot(settings, USERS, condition)
    with connection.owner(settings) as cursor:
        cursor.execute(f"SELECT %s IN (SELECT email FROM (VALUES (%s)) AS users (email) WHERE {condition})", (hostile, hostile))
        assert cursor.fetchone() == (True,)


@pytest.mark.parametrize("condition", ["nobody = 1", "user_id = 'x'", "true); DROP TABLE shop.users; --"])
def test_what_the_source_cannot_read_is_refused_before_it_is_sent(settings: Settings, condition: str) -> None:
    with refused(repr(condition)):
        resnapshot.ask(settings, Namespace(table="users", keys=None, where=condition, wait=None))


def test_the_capture_role_may_mark_its_chunks_and_change_no_request(settings: Settings) -> None:
    address = make_dsn(**capture.capture_address(settings), password=settings.secret("capture"))
    with closing(psycopg2.connect(address)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("INSERT INTO ebap.signal (id, type, data) VALUES ('a-open', 'snapshot-window-open', '{}')")
        for statement in ("DELETE FROM ebap.signal", "UPDATE ebap.signal SET data = ''"):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(statement)


def test_a_reading_has_ended_where_the_connector_is_past_it_with_nothing_left(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    made = resnapshot.snapshot(settings, USERS)
    high, low = made.partition("@")[2].split("/")
    position = (int(high, 16) << 32) + int(low, 16)
    offsets = [{}, {"lsn": position - 1}, {"lsn": position + 9, "incremental_snapshot_collections": "[]"}, {"lsn": position}]
    expected = [False, False, False, True]
    monkeypatch.setattr(resnapshot.connect, "running_offset", lambda _: offsets.pop(0))
    assert [resnapshot.has_ended(settings, made) for _ in expected] == expected
