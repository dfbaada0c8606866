"""Tables change under a running capture, on a real Postgres, Kafka and Connect: each is followed exactly, or stopped alone and named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lakehouse import tables
from lakehouse.contract import Column, History, Table
from lakehouse.errors import EbapError
from lakehouse.settings import PROJECT
from lakehouse.source import connection
from lakehouse.source.schema_log import GAP, WAITING
from tests.e2e.captured_shop import Shop, captured
from tests.e2e.conftest import until

pytestmark = pytest.mark.e2e


def _readings(name: str) -> Table:
    columns = tuple(Column(name=n, type=t, doc="A value.") for n, t in (("id", "BIGINT"), ("code", "STRING"), ("value", "INT")))
    return Table(name=name, doc="d", grain="g", key=("id",), history=History.FULL, owner="o", max_age_s=60, columns=columns)


NAMES = ("swapped", "by_code", "deferred", "parted", "prepared")
COLUMNS = "(id bigint PRIMARY KEY, code text NOT NULL UNIQUE, value int)"
USERS = (
    "INSERT INTO shop.users (user_id, email, full_name, region, country)"
    " SELECT i, 'a' || i || '@x.io', 'Anna', 'EMEA', 'DE' FROM generate_series(1, 20) i"
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A table a test, each with one row, beside the shop's users."""
    sources = (next(table for table in tables.SOURCES if table.name == "users"), *map(_readings, NAMES))
    with captured(tmp_path_factory.mktemp("home"), sources) as made:
        made.execute((PROJECT / "generator" / "schema.sql").read_text(), USERS)
        for name in NAMES:
            if name != "parted":
                made.execute(f"CREATE TABLE shop.{name} {COLUMNS}")
        made.execute(
            f"CREATE TABLE shop.parted {COLUMNS.replace(' UNIQUE', '')} PARTITION BY RANGE (id)",
            "CREATE TABLE shop.parted_low PARTITION OF shop.parted FOR VALUES FROM (0) TO (100)",
            *(f"INSERT INTO shop.{name} VALUES (1, 'a', 1)" for name in NAMES),
            # Only its case is another, and the capture may not read it.
            f'CREATE TABLE shop."Prepared" {COLUMNS}',
            "INSERT INTO shop.\"Prepared\" VALUES (1, 'a', 1)",
        )
        made.capture()
        yield made


def _states(shop: Shop, table: str) -> list[tuple[str, str]]:
    return [(change.what, change.state) for change in shop.log.changes if change.source_table == table and change.what != "first seen"]


def _values(shop: Shop, table: str, key: int = 1) -> list[Any]:
    return [found.row and found.row["value"] for found in shop.rows(table, id=key)]


def test_columns_of_any_name_are_carried_and_left_out_by_their_type(shop: Shop) -> None:
    odd = ("OrderId", "order id", "offset", "select", "a.b", "größe", "ö" * 31, 'say "so"', "it's", "a,b")
    quoted = ", ".join("ADD COLUMN \"{}\" text DEFAULT 'here'".format(name.replace('"', '""')) for name in odd)
    # Of a type that is not carried.
    shop.execute(f'ALTER TABLE shop.prepared {quoted}, ADD COLUMN "In, \'Range" int4multirange, ADD COLUMN "Real.s" real[]')
    shop.look()
    # The connector follows in its own time.
    numbers = iter(range(100, 1000))

    def newest() -> dict[str, Any]:
        number = next(numbers)
        shop.execute(f"INSERT INTO shop.prepared (id, code, value, \"Real.s\") VALUES ({number}, '{number}', 1, ARRAY[1.5])")
        return until(lambda: shop.rows("prepared", id=number), 60, f"row {number}")[0].row or {}

    def without_it() -> dict[str, Any] | None:
        row = newest()
        return None if "Real.s" in row else row

    row = until(without_it, 60, "the column to be left out")
    assert row == {"id": row["id"], "code": str(row["id"]), "value": 1, **dict.fromkeys(odd, "here")}
    assert not shop.has_failed()


def test_a_swapped_table_is_captured_again_once_it_is_accepted(shop: Shop) -> None:
    shop.execute(
        "CREATE TABLE shop.swapped_new (LIKE shop.swapped INCLUDING ALL)",
        "INSERT INTO shop.swapped_new SELECT * FROM shop.swapped",
        "ALTER TABLE shop.swapped RENAME TO swapped_old",
        "ALTER TABLE shop.swapped_new RENAME TO swapped",
        "UPDATE shop.swapped SET value = 2",
    )
    shop.look()
    assert _states(shop, "swapped") == [("replaced by another", WAITING)]
    shop.sign(1)
    assert _values(shop, "swapped") == [1], "the gap that is named is real"
    assert "`python -m lakehouse resnapshot swapped`" in shop.accept("swapped")[-1]
    shop.execute("UPDATE shop.swapped SET value = 3")
    shop.sign(2)
    assert _values(shop, "swapped") == [1, 3]
    assert not shop.has_failed()


def test_an_identity_of_another_key_stops_its_table_alone(shop: Shop) -> None:
    shop.execute(
        "INSERT INTO shop.by_code VALUES (2, 'b', 1)",
        "ALTER TABLE shop.by_code REPLICA IDENTITY USING INDEX by_code_code_key",
        "UPDATE shop.by_code SET value = 2 WHERE id = 1",
        "DELETE FROM shop.by_code WHERE id = 2",
    )
    shop.sign(3)
    # What has to be refused: the delete of 2 arrives as one of 0.
    assert [found.op for found in shop.rows("by_code", id=2)] == ["c"]
    assert [found.op for found in shop.rows("by_code", id=0)] == ["d"]
    shop.look()
    assert _states(shop, "by_code") == [("cannot be captured", WAITING), ("no longer published", WAITING)]
    with pytest.raises(EbapError, match="REPLICA IDENTITY DEFAULT"):
        shop.accept("by_code")
    shop.execute("ALTER TABLE shop.by_code REPLICA IDENTITY DEFAULT")
    shop.look()
    shop.accept("by_code")
    shop.execute("UPDATE shop.by_code SET value = 3")
    shop.sign(4)
    assert _values(shop, "by_code")[-1] == 3


def test_a_key_that_becomes_deferrable_lets_the_source_go_on(shop: Shop) -> None:
    shop.execute("ALTER TABLE shop.deferred DROP CONSTRAINT deferred_pkey, ADD PRIMARY KEY (id) DEFERRABLE")
    shop.look()
    assert _states(shop, "deferred") == [("cannot be captured", WAITING), ("no longer published", WAITING)]
    shop.execute("UPDATE shop.deferred SET value = 2")
    shop.sign(5)
    shop.execute("ALTER TABLE shop.deferred REPLICA IDENTITY FULL")
    shop.accept("deferred")
    shop.execute("UPDATE shop.deferred SET value = 3", "UPDATE shop.deferred SET id = 5", "DELETE FROM shop.deferred")
    shop.sign(6)
    assert [found.op for found in shop.rows("deferred", id=1)] == ["r", "u", "d"]
    assert [found.op for found in shop.rows("deferred", id=5)] == ["c", "d"]


def test_partitions_that_come_with_rows_and_go_with_theirs_are_gaps_and_the_table_goes_on(shop: Shop) -> None:
    shop.execute(
        "CREATE TABLE shop.parted_high (LIKE shop.parted INCLUDING ALL)",
        "INSERT INTO shop.parted_high VALUES (150, 'b', 1)",
        "ALTER TABLE shop.parted ATTACH PARTITION shop.parted_high FOR VALUES FROM (100) TO (200)",
    )
    shop.look()
    shop.execute("ALTER TABLE shop.parted DETACH PARTITION shop.parted_low", "UPDATE shop.parted_low SET value = 9")
    shop.look()
    assert _states(shop, "parted") == [("partition attached", GAP), ("partition detached", GAP)]
    shop.execute("UPDATE shop.parted SET value = 2", "INSERT INTO shop.parted VALUES (160, 'c', 1)")
    shop.sign(7)
    assert _values(shop, "parted", 1) == [1]
    assert (_values(shop, "parted", 150), _values(shop, "parted", 160)) == ([2], [1])
    shop.accept("parted")
    assert not shop.log.in_state(GAP)


def test_a_transaction_in_two_phases_arrives_when_it_is_committed(shop: Shop) -> None:
    with connection.owner_session(shop.settings) as opened, opened.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("UPDATE shop.prepared SET value = 2 WHERE id = 1")
        cursor.execute("INSERT INTO shop.prepared VALUES (2, 'b', 2)")
        cursor.execute("PREPARE TRANSACTION 'kept'")
        cursor.execute("BEGIN")
        cursor.execute("INSERT INTO shop.prepared VALUES (3, 'c', 3)")
        cursor.execute("PREPARE TRANSACTION 'dropped'")
    shop.sign(8)
    assert _values(shop, "prepared") == [1]
    shop.execute("COMMIT PREPARED 'kept'", "ROLLBACK PREPARED 'dropped'")
    shop.sign(9)
    assert (_values(shop, "prepared", 1), _values(shop, "prepared", 2), _values(shop, "prepared", 3)) == ([1, 2], [2], [])
    update, insert = shop.rows("prepared", id=1)[-1], shop.rows("prepared", id=2)[-1]
    assert update.txid == insert.txid and update.ts_us == insert.ts_us
    until(lambda: not shop.has_failed(), 10, "the connector to run")
