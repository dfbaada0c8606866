"""Tables that Postgres would not publish whole, or whose updates would fail: refused before, taken out after, on a real Postgres."""

from __future__ import annotations

from dataclasses import replace

import psycopg2
import pytest

from lakehouse import tables
from lakehouse.errors import EbapError
from lakehouse.settings import Settings
from lakehouse.source import admission, apply, catalog, connection, preflight, setup
from tests.unit.changing_source import PARTITIONED, PLAIN, READINGS, Source, declared

# Where psycopg2 says what Postgres says.
REFUSED = "does not have a replica identity and publishes updates"


@pytest.fixture
def source(light_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Source:
    """One whose tables are yet to be made."""
    monkeypatch.setattr(tables, "SOURCES", (READINGS,))
    made = Source(light_settings)
    made.clear()
    return made


DEFERRABLE = "CREATE TABLE shop.readings (id bigint PRIMARY KEY DEFERRABLE, code text NOT NULL UNIQUE, value int)"
BY_CODE = "ALTER TABLE shop.readings REPLICA IDENTITY USING INDEX readings_code_key"
UNFIT = {
    "unlogged": ([PLAIN.replace("TABLE", "UNLOGGED TABLE")], r"UNLOGGED \(shop\.readings\).*SET LOGGED"),
    "an unlogged partition": (
        [PARTITIONED[0], PARTITIONED[1].replace("TABLE", "UNLOGGED TABLE")],
        r"UNLOGGED \(shop\.readings_low\)",
    ),
    "a deferrable key": ([DEFERRABLE], r"DEFERRABLE \(shop\.readings\).*NOT DEFERRABLE, or set REPLICA IDENTITY FULL"),
    "nothing": ([PLAIN, "ALTER TABLE shop.readings REPLICA IDENTITY NOTHING"], "NOTHING.*set it to DEFAULT"),
    "nothing of a partition": (
        [*PARTITIONED, "ALTER TABLE shop.readings_low REPLICA IDENTITY NOTHING"],
        r"NOTHING \(shop\.readings_low\)",
    ),
    "another key": ([PLAIN, BY_CODE], "without the key column id.*REPLICA IDENTITY DEFAULT"),
    "an index that is gone": (
        [PLAIN, BY_CODE, "ALTER TABLE shop.readings DROP CONSTRAINT readings_code_key"],
        "whose index is gone",
    ),
    "children": ([PLAIN, "CREATE TABLE shop.old () INHERITS (shop.readings)"], r"children by INHERITS \(shop\.old\).*NO INHERIT readings"),
}


@pytest.mark.parametrize("what", UNFIT)
def test_what_postgres_does_not_publish_whole_is_refused_before_anything_is_made(source: Source, what: str) -> None:
    statements, message = UNFIT[what]
    source.execute(*statements, "INSERT INTO shop.readings VALUES (1, 'a', 1)")
    (fault,) = source.faults()
    with pytest.raises(EbapError, match=message):
        raise EbapError(fault)
    apply.prepare(source.settings, frozenset(), tables.SOURCES)
    assert not source.is_published()
    source.update()


def test_a_partition_of_a_declared_table_is_refused_as_a_table_of_its_own(source: Source) -> None:
    source.execute(*PARTITIONED)
    (fault,) = source.faults(READINGS, declared("readings_low"))
    assert "shop.readings_low is a partition of shop.readings, which is captured too" in fault
    assert source.faults(declared("readings_low")) == []


@pytest.mark.parametrize("identity", ["FULL", "USING INDEX readings_both"])
def test_a_deferrable_key_beside_another_identity_is_captured(source: Source, identity: str) -> None:
    source.publish(
        DEFERRABLE,
        "CREATE UNIQUE INDEX readings_both ON shop.readings (code, id)",
        f"ALTER TABLE shop.readings REPLICA IDENTITY {identity}",
    )
    source.execute("INSERT INTO shop.readings VALUES (1, 'a', 1)")
    source.update()
    assert source.look() == []


def test_what_inherits_is_not_published_with_its_parent_and_can_be_updated(source: Source) -> None:
    source.publish()
    source.execute("CREATE TABLE shop.old () INHERITS (shop.readings)", "INSERT INTO shop.old VALUES (1, 'a', 1)")
    with connection.owner(source.settings) as cursor:
        setup.prepare(cursor, (READINGS,), "shop")
    source.execute("UPDATE shop.old SET value = 2")
    assert source.look() == [("cannot be captured", "waiting")]
    source.execute("ALTER TABLE shop.old NO INHERIT shop.readings")
    assert source.look() == [("can be captured", "applied")]


UNFIT_LATER = {
    "a deferrable key": (
        ["ALTER TABLE shop.readings DROP CONSTRAINT readings_pkey", "ALTER TABLE shop.readings ADD PRIMARY KEY (id) DEFERRABLE"],
        "ALTER TABLE shop.readings DROP CONSTRAINT readings_pkey, ADD PRIMARY KEY (id)",
    ),
    "nothing": (["ALTER TABLE shop.readings REPLICA IDENTITY NOTHING"], "ALTER TABLE shop.readings REPLICA IDENTITY DEFAULT"),
    "an index that is gone": (
        [BY_CODE, "ALTER TABLE shop.readings DROP CONSTRAINT readings_code_key"],
        "ALTER TABLE shop.readings REPLICA IDENTITY DEFAULT",
    ),
}


@pytest.mark.parametrize("what", UNFIT_LATER)
def test_a_table_whose_updates_fail_is_taken_out_at_the_next_look(source: Source, what: str) -> None:
    spoil, cure = UNFIT_LATER[what]
    source.publish()
    source.execute("INSERT INTO shop.readings VALUES (1, 'a', 1)", *spoil)
    with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState, match=REFUSED):
        source.update()
    assert source.look() == [("cannot be captured", "waiting"), ("no longer published", "waiting")]
    assert source.reasons["no longer published"] == "what is committed to it after 2026-03-04 05:06:07 UTC is not captured"
    source.update()
    with pytest.raises(EbapError, match=r"table shop\.readings has .*updates would fail"):
        admission.publish_again(source.settings, READINGS)
    source.execute(cure)
    admission.publish_again(source.settings, READINGS)
    assert source.look() == [("can be captured", "applied"), ("published", "applied")]
    source.update()


def test_a_key_that_is_dropped_lets_updates_go_on_too(source: Source) -> None:
    source.publish()
    source.execute("INSERT INTO shop.readings VALUES (1, 'a', 1)", "ALTER TABLE shop.readings DROP CONSTRAINT readings_pkey")
    assert source.look() == [("no longer published", "waiting"), ("key changed", "waiting")]
    source.update()
    with pytest.raises(EbapError, match=r"no primary key: add PRIMARY KEY \(id\)"):
        admission.publish_again(source.settings, READINGS)


def test_a_partition_whose_updates_fail_takes_its_table_out(source: Source) -> None:
    source.publish(*PARTITIONED)
    source.execute("INSERT INTO shop.readings VALUES (1, 'a', 1)", "ALTER TABLE shop.readings_low REPLICA IDENTITY NOTHING")
    with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState, match=REFUSED):
        source.update()
    assert source.look() == [("cannot be captured", "waiting"), ("no longer published", "waiting")]
    source.update()


def test_an_identity_of_another_key_stops_the_table_and_breaks_no_update(source: Source) -> None:
    source.publish()
    source.execute("INSERT INTO shop.readings VALUES (1, 'a', 1)", BY_CODE)
    source.update()
    assert source.look() == [("cannot be captured", "waiting"), ("no longer published", "waiting")]
    assert "without the key column id" in str(source.reasons["cannot be captured"])


def test_postgres_itself_keeps_a_published_table_logged_but_not_its_partitions(source: Source) -> None:
    source.publish()
    with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState, match="because it is part of a publication"):
        source.execute("ALTER TABLE shop.readings SET UNLOGGED")
    source.execute("DROP TABLE shop.readings")
    source.publish(*PARTITIONED)
    source.execute("ALTER TABLE shop.readings_low SET UNLOGGED")
    assert source.look()[:1] == [("cannot be captured", "waiting")]


def test_a_prepared_transaction_that_nobody_ends_would_hold_up_the_first_slot(source: Source) -> None:
    source.execute(PLAIN, "BEGIN; INSERT INTO shop.readings VALUES (1, 'a', 1); PREPARE TRANSACTION 'forgotten'")
    try:
        with connection.capture_session(source.settings) as opened, opened.cursor() as cursor:
            cursor.execute("SET statement_timeout = '1s'")
            with pytest.raises(psycopg2.errors.QueryCanceled):
                cursor.execute("SELECT pg_create_logical_replication_slot('held_up', 'pgoutput')")
        apply.prepare(source.settings, frozenset(), tables.SOURCES)
        with connection.owner(source.settings) as cursor:
            found = catalog.read(cursor, tables.SOURCES, "shop")
    finally:
        source.execute("ROLLBACK PREPARED 'forgotten'")
    assert found.prepared == (), "it may end by itself within a minute"
    old = replace(found, prepared=("forgotten",))
    begins, goes_on = (
        preflight.Situation(identity="1/1", login_fault=None, known_identity=None, has_offset=has_offset) for has_offset in (False, True)
    )
    with pytest.raises(EbapError, match=r"transaction 'forgotten' was prepared more than a minute ago.*ROLLBACK PREPARED"):
        preflight.check(tables.SOURCES, "shop", old, begins)
    preflight.check(tables.SOURCES, "shop", replace(old, slot_status="reserved"), goes_on)
