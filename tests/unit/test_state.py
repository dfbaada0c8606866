"""The state of tables in Postgres: what a row says, who may move it, and what is left when the server goes away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime

import psycopg2
import pytest

from infra.services import postgres
from lakehouse import tables
from lakehouse.errors import ConflictError, NotReadyError
from lakehouse.lake import state
from lakehouse.lake.state import StateStore, TableState
from lakehouse.settings import Settings
from lakehouse.transforms.records.truncates import Truncate
from tests.e2e.own_postgres import running_postgres
from tests.refusals import refused

USERS, ORDERS = tables.source("users"), tables.source("orders")
AT = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
FULL = TableState(
    table_name=USERS.full_name,
    bronze_version=7,
    truncates=(Truncate(epoch=1, lsn=20, txid=5, offset=3, commit_us=1),),
    complete_to=AT,
    updated_at=AT,
    records=3,
    quarantined=1,
)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running_postgres(tmp_path_factory.mktemp("state")) as made:
        StateStore(made).create()
        yield made


@pytest.fixture
def store(settings: Settings) -> StateStore:
    with closing(postgres.connect(settings, "metastore")) as connection, connection.cursor() as cursor:
        cursor.execute("TRUNCATE ebap.table_state")
    return StateStore(settings)


def test_a_table_that_never_ran_has_an_empty_state(store: StateStore) -> None:
    assert store.read(USERS) == TableState(table_name="silver.users")
    assert not store.read(USERS).has_run


def test_what_is_written_is_read_to_the_microsecond(store: StateStore) -> None:
    assert store.advance(store.read(USERS), FULL) == replace(FULL, turn=1)
    assert store.read_all([USERS, ORDERS]) == {
        "silver.users": replace(FULL, turn=1),
        "silver.orders": TableState(table_name="silver.orders"),
    }


@pytest.mark.parametrize("has_row", [False, True])
def test_a_run_that_was_overtaken_moves_nothing(store: StateStore, has_row: bool) -> None:
    if has_row:
        store.advance(store.read(USERS), FULL)
    read = store.read(USERS)
    store.advance(read, replace(FULL, bronze_version=9))
    with refused("silver.users", kind=ConflictError, is_retryable=True):
        store.advance(read, replace(FULL, bronze_version=8))
    assert store.read(USERS).bronze_version == 9


def test_a_pause_and_an_error_overtake_no_run(store: StateStore) -> None:
    read = store.read(USERS)
    store.pause(USERS, "ann", "looking")
    store.stop(USERS, "its schema changed")
    assert store.read(USERS).error == "its schema changed"
    store.advance(read, FULL)
    paused = store.read(USERS)
    assert paused.error is None, "a run that went through is what the table needed"
    assert paused.pause_notice and "by ann (looking): `python -m lakehouse resume users`" in paused.pause_notice
    store.resume(USERS)
    assert store.read(USERS) == replace(FULL, turn=1)


def test_a_commits_checkpoint_makes_a_lost_row_again(store: StateStore) -> None:
    gold = replace(FULL, table_name="gold.order_lines", inputs={"orders": {"version": 4, "run": 2}}, truncates=())
    for made in (FULL, gold):
        again = state.restored(made.table_name, made.checkpoint())
        assert replace(again, updated_at=None) == replace(made, updated_at=None, records=0, quarantined=0)


def test_a_lost_connection_is_opened_again(store: StateStore, settings: Settings) -> None:
    store.advance(store.read(USERS), FULL)
    with closing(postgres.connect(settings)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'metastore'")
        assert cursor.fetchone() != (0,), "no connection was there to be lost"
    assert store.read(USERS).bronze_version == 7


def test_a_server_that_is_away_is_named_with_the_cure(settings: Settings) -> None:
    with refused("127.0.0.1:1", cure="`make status`", kind=NotReadyError):
        StateStore(replace(settings, postgres_port=1)).read(USERS)


def test_whoever_shows_the_rows_may_not_write_them(settings: Settings) -> None:
    dsn = f"host={settings.postgres_host} port={settings.postgres_port} dbname=metastore user={state.READER}"
    connected = psycopg2.connect(dsn, password=settings.secret(state.READER))
    with closing(connected) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM ebap.table_state")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("DELETE FROM ebap.table_state")
