"""The preflight against a real Postgres: each fault is made in the source and must be refused by name, with its cure."""

import re
from contextlib import closing, contextmanager
from dataclasses import replace

import psycopg2
import pytest
from psycopg2.extensions import make_dsn

from lakehouse import tables
from lakehouse.errors import EbapError
from lakehouse.settings import PROJECT
from lakehouse.source import catalog, connection, preflight, setup
from tests.e2e.own_postgres import running_postgres
from tests.refusals import refused

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A Postgres of its own with the shop's tables and everything capture needs in it."""
    with running_postgres(tmp_path_factory.mktemp("home")) as settings:
        execute(settings, (PROJECT / "generator" / "schema.sql").read_text())
        prepare(settings)
        yield settings


def execute(settings, *statements, superuser=False):
    """Run statements as the shop's owner, each committed by itself."""
    dsn = settings.shop_dsn.replace("user=shop_owner", "user=postgres") if superuser else settings.shop_dsn
    password = settings.secret("postgres_superuser" if superuser else "shop_owner")
    with closing(psycopg2.connect(dsn, password=password)) as connection:
        connection.autocommit = True
        for statement in statements:
            connection.cursor().execute(statement)


def prepare(settings):
    with setup.owner(settings) as cursor:
        setup.prepare(cursor, tables.SOURCES, settings.source_schema)


def situation(settings):
    """What is right for a lake that this very Postgres filled, before its connector made a slot."""
    identity, login_fault = connection.source_identity(settings)
    return preflight.Situation(identity=identity, login_fault=login_fault, known_identity=identity, has_offset=False)


def check(settings, around=None):
    with setup.owner(settings) as cursor:
        found = catalog.read(cursor, tables.SOURCES, settings.source_schema)
    preflight.check(tables.SOURCES, settings.source_schema, found, around or situation(settings))


@contextmanager
def spoiled(settings, spoil, cure):
    execute(settings, *spoil)
    try:
        yield
    finally:
        execute(settings, *cure)
        check(settings)


def test_what_apply_prepares_passes_and_repeats_to_nothing(shop):
    with setup.owner(shop) as cursor:
        cursor.execute("SELECT oid, xmin FROM pg_publication WHERE pubname = 'ebap'")
        before = cursor.fetchall()
    prepare(shop)
    check(shop)
    with setup.owner(shop) as cursor:
        cursor.execute("SELECT oid, xmin FROM pg_publication WHERE pubname = 'ebap'")
        assert cursor.fetchall() == before
        assert setup.published(cursor) == set(setup.captured(tables.SOURCES, "shop"))


def test_identity_is_system_and_timeline(shop):
    assert re.fullmatch(r"\d{15,}/1", situation(shop).identity)


def test_the_publication_follows_the_declarations(shop):
    execute(shop, "ALTER PUBLICATION ebap SET TABLE shop.users WHERE (user_id > 5)")
    with refused("shop.orders is not published", "shop.users is not published"):
        check(shop)
    prepare(shop)
    check(shop)


def test_a_table_no_longer_declared_is_no_longer_readable(shop):
    execute(shop, "CREATE TABLE shop.secrets (id int PRIMARY KEY)", "GRANT SELECT ON shop.secrets TO ebap_capture")
    prepare(shop)
    with closing(psycopg2.connect(make_dsn(**setup.capture_address(shop), password=shop.secret("capture")))) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT has_table_privilege('shop.secrets', 'SELECT'), has_table_privilege('shop.users', 'SELECT')")
        assert cursor.fetchone() == (False, True)
        cursor.execute("SELECT has_table_privilege('shop.users', 'UPDATE'), has_table_privilege('ebap.heartbeat', 'UPDATE')")
        assert cursor.fetchone() == (False, True)
    execute(shop, "DROP TABLE shop.secrets")


@pytest.mark.parametrize(
    ("spoil", "cure", "message"),
    [
        (
            ["ALTER TABLE shop.order_items DROP CONSTRAINT order_items_pkey"],
            ["ALTER TABLE shop.order_items ADD PRIMARY KEY (order_id, line_no)"],
            r"table shop\.order_items has no primary key.*add PRIMARY KEY \(order_id, line_no\)",
        ),
        (
            ["ALTER TABLE shop.users RENAME COLUMN region TO area"],
            ["ALTER TABLE shop.users RENAME COLUMN area TO region"],
            r"table shop\.users has no column region",
        ),
        (
            ["ALTER TABLE shop.orders ALTER total_usd TYPE numeric(14, 4)"],
            ["ALTER TABLE shop.orders ALTER total_usd TYPE numeric(12, 2)"],
            r"total_usd as numeric\(14,4\), which DECIMAL\(12,2\) cannot hold",
        ),
        (
            ["ALTER TABLE shop.products RENAME TO articles"],
            ["ALTER TABLE shop.articles RENAME TO products"],
            r"table shop\.products does not exist",
        ),
        (
            ["REVOKE SELECT ON shop.orders FROM ebap_capture"],
            ["GRANT SELECT ON shop.orders TO ebap_capture"],
            r"cannot read shop\.orders: GRANT SELECT",
        ),
        (
            ["ALTER TABLE shop.users ENABLE ROW LEVEL SECURITY"],
            ["ALTER TABLE shop.users DISABLE ROW LEVEL SECURITY"],
            r"shop\.users has row-level security",
        ),
    ],
)
def test_a_spoiled_table_is_refused_by_name(shop, spoil, cure, message):
    with spoiled(shop, spoil, cure), pytest.raises(EbapError, match=message):
        check(shop)


def test_a_publication_for_all_tables_is_refused_and_left_alone(shop):
    execute(shop, "DROP PUBLICATION ebap")
    execute(shop, "CREATE PUBLICATION ebap FOR ALL TABLES", superuser=True)
    prepare(shop)
    with refused("FOR ALL TABLES"):
        check(shop)
    execute(shop, "DROP PUBLICATION ebap", superuser=True)
    with refused("publication ebap does not exist"):
        check(shop)
    prepare(shop)
    check(shop)


def test_a_slot_and_offsets_that_do_not_belong_together_are_refused(shop):
    right = situation(shop)
    with refused("slot ebap is gone", "make wipe"):
        check(shop, replace(right, has_offset=True))
    execute(shop, "SELECT pg_create_logical_replication_slot('ebap', 'pgoutput')", superuser=True)
    try:
        check(shop, replace(right, has_offset=True))
        with refused("offsets are gone", "make wipe"):
            check(shop, right)
    finally:
        execute(shop, "SELECT pg_drop_replication_slot('ebap')", superuser=True)


def test_a_slot_that_fell_too_far_behind_is_refused_as_lost(shop):
    execute(shop, "SELECT pg_create_logical_replication_slot('ebap', 'pgoutput')", superuser=True)
    execute(shop, "ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'", "SELECT pg_reload_conf()", superuser=True)
    try:
        for _ in range(4):  # a slot is invalidated at a checkpoint, once whole segments lie beyond the limit
            execute(shop, "SELECT pg_logical_emit_message(false, 'fill', 'x')", "SELECT pg_switch_wal()", superuser=True)
        execute(shop, "CHECKPOINT", superuser=True)
        with refused("slot ebap is lost", "make wipe"):
            check(shop, replace(situation(shop), has_offset=True))
    finally:
        execute(shop, "SELECT pg_drop_replication_slot('ebap')", superuser=True)
        execute(shop, "ALTER SYSTEM RESET max_slot_wal_keep_size", "SELECT pg_reload_conf()", superuser=True)


def test_a_capture_role_that_cannot_log_in_is_refused(shop):
    execute(shop, "ALTER ROLE ebap_capture NOLOGIN", superuser=True)
    try:
        with refused("role ebap_capture", "not permitted to log in"):
            check(shop)
    finally:
        execute(shop, "ALTER ROLE ebap_capture LOGIN", superuser=True)


def test_a_wrong_wal_level_is_refused(shop):
    with setup.owner(shop) as cursor:
        found = catalog.read(cursor, tables.SOURCES, shop.source_schema)
    assert found.wal_level == "logical"
    with refused("wal_level=replica", "wal_level=logical"):
        preflight.check(tables.SOURCES, shop.source_schema, replace(found, wal_level="replica"), situation(shop))
