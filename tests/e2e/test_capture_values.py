"""No value stops the capture: every type of Postgres, and each kind of failure, on a real Postgres, Kafka and Connect.

There is no Spark: nothing here widens a stored column. The source's database has settings of its own, the worst of each kind.
"""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg2
import pytest

from lakehouse import platform_tables, tables
from lakehouse.contract import Column, History, Table
from lakehouse.settings import PROJECT
from lakehouse.source import catalog, connection, preflight, setup, types
from lakehouse.source.schema_log import DRIFT, NOT_CAPTURED, WAITING, SchemaChange
from lakehouse.transforms.records import envelope
from tests.e2e import type_samples, wire
from tests.e2e.captured_shop import PLACEHOLDER, Shop, captured
from tests.e2e.conftest import until
from tests.e2e.source_settings import set_hostile

pytestmark = pytest.mark.e2e


def _samples(name: str, types: list[tuple[str, str]]) -> Table:
    declared = [Column(name=f"v{number}", type=type_, doc="A value.") for number, (_, type_) in enumerate(types)]
    columns = (Column(name="id", type="BIGINT", doc="Key."), *declared)
    return Table(name=name, doc="d", grain="g", key=("id",), history=History.FULL, owner="o", max_age_s=60, columns=columns)


CARRIED = _samples("carried", [(each.name, each.declared) for each in type_samples.CARRIED])
LEFT_OUT = _samples("left_out", [])
REFUSED = [name for kind in types.KINDS if not kind.is_carried for name in kind.types if name != "a type of an extension"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The shop's tables and two of samples, captured; the samples' first rows come with the snapshot."""
    with captured(tmp_path_factory.mktemp("home"), (*tables.SOURCES, CARRIED, LEFT_OUT)) as made:
        # Not one of them may change a value, end the snapshot or keep the heartbeat from being written.
        set_hostile(made.settings)
        made.execute((PROJECT / "generator" / "schema.sql").read_text(), *type_samples.SETUP)
        made.execute(*USERS)
        _create_samples(made)
        _write_samples(made, first_id=1)
        made.capture()
        yield made


USERS = (
    "INSERT INTO shop.users (user_id, email, full_name, region, country)"
    " SELECT i, 'a' || i || '@x.io', 'Anna', 'EMEA', 'DE' FROM generate_series(1, 20) i",
    "INSERT INTO shop.products (product_id, sku, name, category, price_usd, stock) VALUES (1, 's1', 'Lamp', 'home', 9.99, 1)",
    "INSERT INTO shop.orders (order_id, user_id, total_usd) VALUES (1, 1, 5)",
)
_available: dict[str, bool] = {}


def _is_here(shop: Shop, type_: str, value: str) -> bool:
    """Whether this server has the type; the bundled one is built without xml, and without extensions."""
    if type_ not in _available:
        try:
            shop.execute(f"SELECT ({value})::{type_}")
            _available[type_] = True
        except (psycopg2.errors.FeatureNotSupported, psycopg2.errors.UndefinedObject):
            _available[type_] = False
    return _available[type_]


def _create_samples(shop: Shop) -> None:
    carried = [(f"v{n}", c.sql or c.name, c.values[0][0], c.large) for n, c in enumerate(type_samples.CARRIED)]
    left = [(f"v{n}", *type_samples.left_out(name)) for n, name in enumerate(REFUSED)]
    for table, columns in (("carried", carried), ("left_out", left)):
        made = [f"{name} {type_ if _is_here(shop, type_, value) else 'text'}" for name, type_, value, _ in columns]
        shop.execute(f"CREATE TABLE shop.{table} (id bigint PRIMARY KEY, n int, {', '.join(made)})")
        # Not compressed, and out of line from 2 kB on.
        for name, type_, _, large in columns:
            if large and _is_here(shop, type_, "NULL"):
                with suppress(psycopg2.errors.FeatureNotSupported):  # a type that is never stored out of line
                    shop.execute(f"ALTER TABLE shop.{table} ALTER COLUMN {name} SET STORAGE EXTERNAL")


def _write_samples(shop: Shop, first_id: int) -> None:
    """A row of NULLs, a row for each value of a carried type, rows of small and of large values."""
    nulls, large = first_id, first_id + 1
    shop.execute(f"INSERT INTO shop.carried (id) VALUES ({nulls})", f"INSERT INTO shop.left_out (id) VALUES ({nulls})")
    big = {f"v{n}": c.large for n, c in enumerate(type_samples.CARRIED) if c.large and _is_here(shop, c.sql or c.name, c.values[0][0])}
    shop.execute(f"INSERT INTO shop.carried (id, {', '.join(big)}) VALUES ({large}, {', '.join(big.values())})")
    for number, each in enumerate(type_samples.CARRIED):
        if _is_here(shop, each.sql or each.name, each.values[0][0]):
            for place, (value, _) in enumerate(each.values):
                at = first_id + 2 + 10 * number + place
                shop.execute(f"INSERT INTO shop.carried (id, v{number}) VALUES ({at}, {value})")
    samples = [(n, *type_samples.left_out(name)) for n, name in enumerate(REFUSED)]
    here = [(n, small, big) for n, type_, small, big in samples if _is_here(shop, type_, small)]
    for at, values in ((first_id + 1, [small for _, small, _ in here]), (first_id + 2, [big for _, _, big in here])):
        shop.execute(f"INSERT INTO shop.left_out (id, {', '.join(f'v{n}' for n, *_ in here)}) VALUES ({at}, {', '.join(values)})")


def _arrived(shop: Shop, table: str) -> dict[int, list[dict[str, Any] | None]]:
    """The rows of every record of a table, by key, in order."""
    found: dict[int, list[dict[str, Any] | None]] = {}
    for record in wire._records(shop.settings, platform_tables.topic(table)):
        found.setdefault(json.loads(record.key)["id"], []).append(json.loads(record.value)["after"])
    return found


def _check_samples(shop: Shop, first_id: int) -> None:
    arrived, wrong = _arrived(shop, "carried"), []
    for number, each in enumerate(type_samples.CARRIED):
        if not _is_here(shop, each.sql or each.name, each.values[0][0]):
            continue
        assert arrived[first_id][0][f"v{number}"] is None, each  # type: ignore[index]
        if each.large:
            assert arrived[first_id + 1][0][f"v{number}"] not in (None, PLACEHOLDER), each  # type: ignore[index]
        for place, (_, expected) in enumerate(each.values):
            row = arrived[first_id + 2 + 10 * number + place][0] or {}
            expected = (expected.stream if first_id > 1 else expected.snapshot) if isinstance(expected, type_samples.Differs) else expected
            if row[f"v{number}"] != expected:
                wrong.append((each.name, expected, row[f"v{number}"]))
    assert wrong == []
    left = _arrived(shop, "left_out")
    skipped = {f"v{n}" for n, name in enumerate(REFUSED) if not _is_here(shop, *type_samples.left_out(name)[:2])}
    for at in range(first_id, first_id + 3):
        assert {name for name in left[at][0] or {} if name.startswith("v")} <= skipped, "left out is not sent as NULL"
        assert {"id", "n"} <= set(left[at][0] or {})


def test_every_type_has_a_sample() -> None:
    carried = {name for kind in types.KINDS if kind.is_carried for name in kind.types}
    assert {each.name for each in type_samples.CARRIED} == carried
    assert [name for name in REFUSED if not type_samples.left_out(name)] == []


def test_every_type_passes_the_snapshot_and_the_stream(shop: Shop) -> None:
    _check_samples(shop, first_id=1)
    _write_samples(shop, first_id=10_001)
    shop.execute(
        "UPDATE shop.carried SET n = 1 WHERE id = 10002",
        "UPDATE shop.left_out SET n = 1",
        "UPDATE shop.left_out SET id = 10003 + 1 WHERE id = 10003",
        "DELETE FROM shop.carried WHERE id = 10001",
        "DELETE FROM shop.left_out WHERE id IN (10001, 10002)",
    )
    shop.sign(1)
    assert not shop.has_failed()
    _check_samples(shop, first_id=10_001)
    row = _arrived(shop, "carried")[10_002][1] or {}
    unchanged = {"BINARY": b64encode(PLACEHOLDER.encode()).decode(), "ARRAY<STRING>": [PLACEHOLDER]}
    for number, each in enumerate(type_samples.CARRIED):
        if each.large and _is_here(shop, each.sql or each.name, each.values[0][0]):
            expected = [envelope._as_uuid(PLACEHOLDER)] if each.name == "uuid[]" else unchanged.get(each.declared, PLACEHOLDER)
            assert row[f"v{number}"] == expected, each


def test_what_is_left_out_is_drift_with_its_reason(shop: Shop) -> None:
    known = {change.column: change for change in shop.log.changes if change.source_table == "left_out" and change.reason}
    for number, name in enumerate(REFUSED):
        type_, small, _ = type_samples.left_out(name)
        if _is_here(shop, type_, small):
            change = known[f"v{number}"]
            assert (change.state, change.reason) == (DRIFT, types.kind(name).note), name


def test_a_declared_type_that_is_not_carried_is_refused_with_the_way_out(shop: Shop) -> None:
    with setup.owner(shop.settings) as cursor:
        found = catalog.read_tables(cursor, tables.SOURCES, "shop")
    declared = _samples("left_out", [(name, "ARRAY<STRING>" if "array" in name or "[]" in name else "STRING") for name in REFUSED])
    whole = catalog.Catalog(wal_level="logical", tables=found, published=None)
    faults = "\n".join(preflight.table_faults([declared], "shop", whole))
    for number, name in enumerate(REFUSED):
        if _is_here(shop, *type_samples.left_out(name)[:2]):
            assert f"has column v{number} as " in faults, name
    assert "nothing can (" in faults and "declare that one" in faults
    assert preflight.table_faults([CARRIED], "shop", whole) == [
        fault
        for number, each in enumerate(type_samples.CARRIED)
        if not _is_here(shop, each.sql or each.name, each.values[0][0]) and each.declared != "STRING"
        for fault in [f"v{number}"]
    ]


def test_a_null_is_not_sent_as_the_columns_default(shop: Shop) -> None:
    shop.execute(
        "ALTER TABLE shop.orders ADD COLUMN channel text DEFAULT 'web'",
        "UPDATE shop.orders SET channel = NULL WHERE order_id = 1",
    )
    shop.sign(2)
    assert (shop.rows("orders", order_id=1)[-1].row or {})["channel"] is None


def test_an_array_that_nobody_declared_is_left_out_within_a_look(shop: Shop) -> None:
    shop.look()
    shop.execute(
        "ALTER TABLE shop.products ADD COLUMN embedding real[]",
        "UPDATE shop.products SET embedding = (SELECT array_agg(random()::real) FROM generate_series(1, 1536))",
        "UPDATE shop.products SET price_usd = 1.25 WHERE product_id = 1",
    )
    until(shop.has_failed, 60, "the connector to fail: without it the test is void")
    shop.sign(3)
    last = shop.rows("products", product_id=1)[-1].row or {}
    assert last["price_usd"] == "1.25" and "embedding" not in last
    change = next(change for change in shop.log.changes if change.column == "embedding")
    assert (change.what, change.type_after, change.state) == ("added", "float4[]", DRIFT) and change.reason
    shop.execute("UPDATE shop.products SET price_usd = 1.50 WHERE product_id = 1")
    shop.sign(4)
    assert (shop.rows("products", product_id=1)[-1].row or {})["price_usd"] == "1.50"


def _stopped(shop: Shop, table: str) -> SchemaChange:
    found = [change for change in shop.log.in_state(WAITING, table) if change.what == NOT_CAPTURED]
    assert len(found) == 1, shop.log.changes
    told = shop.log.stop(tables.source(table))
    assert told and f"`python -m lakehouse accept {table}`" in told and str(found[0]) in told
    return found[0]


def test_a_declared_column_that_becomes_a_domain_over_an_array_stops_its_table_alone(shop: Shop) -> None:
    long = type_samples.LONG
    shop.execute(
        f"UPDATE shop.products SET tags = ARRAY[{long}, {long}]",
        "ALTER TABLE shop.products ALTER COLUMN tags TYPE shop.words",
        "ALTER TABLE shop.products ALTER COLUMN tags SET STORAGE EXTERNAL",
        f"UPDATE shop.products SET tags = ARRAY[{long}, {long}]",
        "UPDATE shop.products SET price_usd = 2.25",
    )
    shop.sign(5)
    change = _stopped(shop, "products")
    assert change.column == "tags" and "Failed to properly convert" in str(change.reason)
    assert [c.type_after for c in shop.log.in_state(WAITING, "products") if c.what == "retyped"] == ["domain over text[]"]
    shop.execute("ALTER TABLE shop.products ALTER COLUMN tags TYPE text[]", "UPDATE shop.products SET price_usd = 3.25")
    shop.look()
    assert "`python -m lakehouse resnapshot products`" in shop.accept("products")[-1]
    shop.execute("UPDATE shop.products SET price_usd = 4.25")
    until(lambda: (shop.rows("products", product_id=1)[-1].row or {})["price_usd"] == "4.25", 60, "the table to be captured again")


def test_an_interval_that_the_driver_cannot_read_stops_its_table_alone(shop: Shop) -> None:
    shop.execute("ALTER TABLE shop.orders ADD COLUMN waited interval")
    shop.look()
    shop.sign(6)
    shop.execute("UPDATE shop.orders SET waited = '2562047788 hours'")
    shop.sign(7)
    change = _stopped(shop, "orders")
    assert change.column == "waited" and change.reason == "PSQLException: Conversion of interval failed"


def test_a_row_that_is_too_large_stops_its_table_alone(shop: Shop) -> None:
    large = shop.settings.max_record_mb * 2**20
    shop.execute(f"UPDATE shop.products SET description = repeat('x', {large - 100_000})")
    shop.sign(8)
    assert not shop.log.in_state(WAITING, "products")
    shop.execute(f"UPDATE shop.products SET description = repeat('x', {large})")
    shop.sign(9)
    change = _stopped(shop, "products")
    assert change.column is None and f"EBAP_MAX_RECORD_MB={shop.settings.max_record_mb}" in str(change.reason)


def test_columns_that_differ_only_by_case_stop_their_table_alone(shop: Shop) -> None:
    shop.execute('ALTER TABLE shop.carried ADD COLUMN "N" int')
    shop.look()
    shop.sign(10)
    assert "N and n differ only by case" in str(_stopped(shop, "carried").reason)
    began_at = time.monotonic()
    shop.sign(11)
    assert time.monotonic() - began_at < 60


def test_the_connector_writes_its_heartbeat(shop: Shop) -> None:
    def beats() -> list[Any]:
        with connection.owner(shop.settings) as cursor:
            cursor.execute("SELECT beat_at FROM ebap.heartbeat")
            return [beat for (beat,) in cursor.fetchall()]

    before = beats()
    until(lambda: beats() != before, 60, "the heartbeat, which nobody else writes meanwhile")
