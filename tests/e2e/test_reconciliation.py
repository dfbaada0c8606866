"""Reconciliation against a real Postgres and a lake whose changes are landed by hand: what counts as seen, and what is named."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
from pyspark.sql import functions as F

from lakehouse import platform_tables, tables
from lakehouse.health import catch_up
from lakehouse.lake import maintenance, storage
from lakehouse.reconcile import compare, repair
from lakehouse.reconcile.compare import Outcome
from lakehouse.reconcile.source_side import Snapshot, taken
from lakehouse.settings import PROJECT, Settings
from lakehouse.silver import heavy_refine, rebuild
from tests.conftest import empty_lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

USERS = tables.source("users")
_DAY = datetime(2026, 1, 1, tzinfo=UTC)
_STAMPS = ("created_at", "updated_at")


@dataclass
class Shop:
    """A Postgres and a lake; what is done in the one is landed in the other by hand, or is not."""

    settings: Settings
    spark: SparkSession
    pending: list[tuple[Any, ...]] = field(default_factory=list)

    def connect(self) -> Any:
        return psycopg2.connect(self.settings.shop_dsn, password=self.settings.secret("shop_owner"), options="-c timezone=UTC")

    def write(self, key: int, tier: str | None, connection: Any = None, *, is_captured: bool = True) -> None:
        """Insert or update a user, delete one for no tier; committed, unless on a connection that is given."""
        own = connection or self.connect()
        with own.cursor() as cursor:
            if tier is None:
                cursor.execute("DELETE FROM shop.users WHERE user_id = %s", [key])
            else:
                cursor.execute(
                    "INSERT INTO shop.users (user_id, email, full_name, region, country, tier, interests, preferences, birth_on)"
                    " VALUES (%s, 'u' || %s || '@x.io', 'Zoë', 'EMEA', 'DE', %s, '{a,\"b c\",NULL}', '{\"b\": 1.0}', '1990-02-03')"
                    " ON CONFLICT (user_id) DO UPDATE SET tier = excluded.tier",
                    [key, key, tier],
                )
            cursor.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn, pg_current_xact_id()::text, clock_timestamp()")
            lsn, txid, at = cursor.fetchone()
            cursor.execute("SELECT to_jsonb(u) FROM shop.users u WHERE user_id = %s", [key])
            image = cursor.fetchone()
        if connection is None:
            own.commit()
            own.close()
        if is_captured:
            self.pending.append(("d" if tier is None else "c", int(lsn), int(txid) % 2**32, at, key, image[0] if image else None))

    def read_again(self, key: int) -> None:
        """What a snapshot of the table would send of one row."""
        with closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn, clock_timestamp(), to_jsonb(u) FROM shop.users u WHERE user_id = %s",
                [key],
            )
            lsn, at, image = cursor.fetchone()
        self.pending.append(("r", int(lsn), None, at, key, image))

    def land(self) -> None:
        """Bring what is pending into silver."""
        held = storage.read_bronze(self.spark, storage.bronze_version(self.spark)).agg(F.max("offset")).collect()[0][0] or 0
        rows = [_landed(held + number, *change) for number, change in enumerate(self.pending, 1)]
        self.pending.clear()
        if rows:
            frame = self.spark.createDataFrame(rows, platform_tables.CHANGES.schema_ddl())
            frame.write.format("delta").mode("append").insertInto(storage.BRONZE)
        heavy_refine.run(self.spark, self.settings, "users")

    def compare(self) -> Outcome:
        return compare.compare(self.spark, self.settings, ["users"], 60)[0]


def _landed(offset: int, op: str, lsn: int, txid: int | None, at: datetime, key: int, image: dict[str, Any] | None) -> tuple[Any, ...]:
    if image:
        image = {**image, "birth_on": f"{image['birth_on']}Z", "preferences": '{"b": 1.0}'}
        image |= {name: datetime.fromisoformat(image[name]).isoformat().replace("+00:00", "Z") for name in _STAMPS}
    us = int(at.timestamp()) * 1_000_000 + at.microsecond
    place = {"schema": "shop", "table": "users", "lsn": lsn, "txId": txid, "ts_us": us, "sequence": f'[null,"{lsn}"]'}
    value = {"op": op, "source": place, "before": {"user_id": key} if op == "d" else None, "after": image}
    bronze = (1, op, lsn, place["sequence"], txid, at)
    key_bytes = json.dumps({"user_id": key}).encode()
    return ("users", at.date(), at, platform_tables.topic("users"), 0, offset, at, key_bytes, json.dumps(value).encode(), [], *bronze)


@pytest.fixture(scope="module")
def shop(spark: SparkSession, lake_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    made = Shop(empty_lake(spark, lake_settings, tmp_path_factory.mktemp("lake")), spark)
    with closing(made.connect()) as connection, connection, connection.cursor() as cursor:
        cursor.execute((PROJECT / "generator" / "schema.sql").read_text())
    for key in range(1, 41):
        made.write(key, "bronze")
    made.write(40, None)
    made.land()
    return made


@pytest.fixture(autouse=True)
def _no_pipeline(monkeypatch: pytest.MonkeyPatch, shop: Shop) -> None:
    """In place of the pipeline: what is pending when the snapshot has been taken is landed."""
    monkeypatch.setattr(catch_up, "reach_silver", lambda *_: shop.land())


def _keys(found: dict[Any, Any]) -> list[int]:
    return sorted(int(key[0]) for key in found)


def test_transactions_decide_what_the_snapshot_has_seen(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it is in silver when the comparison begins: what was open, what came later, what was rolled on to."""
    with closing(shop.connect()) as before, closing(shop.connect()) as across:
        shop.write(1, "silver", across)  # writes before the snapshot, commits after it
        shop.write(2, "silver", before)
        before.commit()  # began later, has the greater position, is seen

        def while_waiting(*_: Any) -> None:
            across.commit()
            shop.write(2, "gold")  # after a change that is seen
            shop.write(3, None)
            shop.write(100, "gold")  # a key that is new
            shop.write(4, "silver")
            shop.write(4, "gold")
            shop.land()

        monkeypatch.setattr(catch_up, "reach_silver", while_waiting)
        outcome = shop.compare()
    assert outcome.is_equal, outcome
    assert outcome.found.rows == 39
    monkeypatch.undo()
    monkeypatch.setattr(catch_up, "reach_silver", lambda *_: shop.land())
    assert shop.compare().is_equal


def test_planted_differences_are_found_by_name_and_only_they_and_the_repair_ends_them(shop: Shop) -> None:
    stored = platform_tables.stored(USERS).full_name
    shop.write(50, "gold")
    shop.land()
    shop.write(50, None, is_captured=False)  # deleted while capture was off
    shop.spark.sql(f"DELETE FROM {stored} WHERE user_id = 10")
    shop.spark.sql(f"UPDATE {stored} SET full_name = 'Zoe', interests = array('a', 'b c') WHERE _last AND user_id = 11")
    known = maintenance.reconciliation(shop.spark, "users")
    assert known and known.verified_through
    outcome = shop.compare()
    found = outcome.found
    assert (_keys(found.missing), _keys(found.missing_at_source), _keys(found.different)) == ([10], [50], [11])
    assert outcome.columns == {("11",): ["full_name", "interests"]}
    assert "1 different: user_id=11 (full_name, interests)" in str(outcome)
    noted = maintenance.reconciliation(shop.spark, "users")
    assert noted and (noted.missing, noted.ghosts, noted.different, noted.verified_through) == (1, 1, 1, known.verified_through)

    shop.read_again(10)
    shop.read_again(11)
    shop.write(50, "silver")  # the key is used again before its ghost is closed
    _land_repair(shop, outcome)
    again = shop.compare()
    assert again.is_equal, again
    noted = maintenance.reconciliation(shop.spark, "users")
    assert noted and noted.verified_through == again.taken_at
    tiers = [r["tier"] for r in shop.spark.table("silver.users_history").where("user_id = 50").orderBy("_valid_from").collect()]
    assert tiers == ["gold", "silver"], "the ghost's delete stands between the two lives of the key"
    assert shop.spark.table("silver.users_history").where("user_id = 50 AND _is_current").count() == 1
    rebuild.run(shop.spark, shop.settings, "users")
    assert shop.compare().is_equal, "bronze holds the repair"


def _land_repair(shop: Shop, outcome: Outcome) -> None:
    """The repair's own deletes, into bronze as land would."""
    at = datetime.now(UTC)
    rows: list[tuple[Any, ...]] = []
    for key, row in outcome.found.missing_at_source.items():
        key_bytes, value, headers = repair.delete_record(outcome, key, row, "shop")
        assert dict(headers) == {"ebap.epoch": b"1", "ebap.repair": b"reconcile"}
        place = json.loads(value)["source"]
        bronze = (1, "d", place["lsn"], place["sequence"], None, at)
        rows.append(("users", at.date(), at, platform_tables.topic("users"), 0, 10_000, at, key_bytes, value, [], *bronze))
    shop.spark.createDataFrame(rows, platform_tables.CHANGES.schema_ddl()).write.format("delta").mode("append").insertInto(storage.BRONZE)


def test_a_key_whose_change_waits_in_quarantine_is_named_and_no_fault(shop: Shop) -> None:
    shop.write(20, "gold", is_captured=False)
    with closing(shop.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
        lsn = int(cursor.fetchone()[0])
    shop.pending.append(
        ("c", lsn, 1, datetime.now(UTC), 20, {"user_id": 20, "birth_on": "no day", "created_at": "2026-01-01", "updated_at": "2026-01-01"})
    )
    outcome = shop.compare()
    assert outcome.is_equal and outcome.blocked == (("20",),)
    assert "1 blocked by quarantine: user_id=20" in str(outcome)


def test_ids_of_transactions_are_compared_across_their_wraparound(spark: SparkSession) -> None:
    base = 7 * 2**32
    now = datetime(2026, 3, 1, tzinfo=UTC)
    snapshot = Snapshot(xmax=base + 10, in_progress=(base - 5, base + 3), lsn=1_000, taken_at=now)
    #        id on the wire, lsn, epoch, committed, unseen
    cases = [
        (9, 900, 2, now, False),
        (3, 900, 2, now, True),  # was in progress
        (2**32 - 5, 900, 2, now, True),  # so was this one, from before the wraparound
        (2**32 - 6, 900, 2, now, False),
        (10, 900, 2, now, True),  # began later
        (2**31, 900, 2, now, True),
        (2**31 + 20, 900, 2, now, False),
        (3, 900, 2, now - timedelta(days=2), False),  # the same number, 4 billion transactions ago
        (3, 2_000, 1, now, False),  # of the Postgres before
        (None, 1_000, 2, now, False),  # a read of what was there before
        (None, 1_001, 2, now, True),
    ]
    frame = spark.createDataFrame(cases, "_txid BIGINT, _lsn BIGINT, _epoch INT, _commit_at TIMESTAMP, expected BOOLEAN")
    wrong = frame.withColumn("is_unseen", snapshot.is_unseen(2)).where("is_unseen IS DISTINCT FROM expected").collect()
    assert wrong == []


def test_a_snapshot_sees_nothing_later(shop: Shop) -> None:
    with taken(shop.settings) as (snapshot, cursor):
        shop.write(60, "gold")
        cursor.execute("SELECT count(*) FROM shop.users WHERE user_id = 60")
        assert cursor.fetchall() == [(0,)]
        assert snapshot.lsn < shop.pending[-1][1]
