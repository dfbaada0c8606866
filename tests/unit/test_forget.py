"""Forgetting a person: gone from every read at once, never back, gone from the files in the end; and everyone else as they were."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pyarrow import parquet
from pyspark.sql import functions as F

from lakehouse import platform_tables, tables
from lakehouse.contract import Expect, Severity
from lakehouse.errors import EbapError
from lakehouse.forget import forget, verify
from lakehouse.gold import heavy_aggregate
from lakehouse.lake import commits, ddl, storage, stored_schema
from lakehouse.lake.lake import Lake as LightLake
from lakehouse.silver import erasure_list, rebuild, replay, sweep
from lakehouse.silver.batch import Batch
from lakehouse.spark import delta
from lakehouse.transforms.heavy.keys import key_json
from lakehouse.transforms.records import keys
from tests.conftest import empty_lake
from tests.unit import wire
from tests.unit.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.settings import Settings

ANN, BOB = 7654321, 2
# Stand in every value of Ann's, and nowhere else; her number does so too.
PLANTED = "planted-5f3a"
TRACES = (PLANTED, str(ANN))


def account(key: int, word: str, **values: Any) -> dict[str, Any]:
    named = {"email": f"{word}@x.io", "full_name": f'{word} "the" \\ Great', "birth_on": "1990-01-01Z"}
    return {"user_id": key, "region": "EMEA", "tier": "gold", **named, **values}


def order(number: int, user: int | None, word: str, **values: Any) -> dict[str, Any]:
    address = json.dumps({"street": f'{word} 1, "rear"', "city": "Ulm"})
    moment = "2026-01-01T00:00:00Z"
    return {"order_id": number, "user_id": user, "status": "paid", "ordered_at": moment, "shipping_address": address, **values}


@pytest.fixture(scope="module")
def lake(spark: SparkSession, lake_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Ann and Bob with orders, everything refined and aggregated; some records of theirs wait in quarantine."""
    made = Lake(spark, empty_lake(spark, lake_settings, tmp_path_factory.mktemp("forget")))
    made.land("users", ("c", 10, account(ANN, PLANTED)), ("c", 10, account(BOB, "bob")))
    made.land("users", ("u", 20, account(ANN, PLANTED, tier="silver")), ("u", 20, account(BOB, "bob", tier="silver")))
    made.land("users", ("u", 30, account(ANN, PLANTED, birth_on="no day")), ("u", 30, account(BOB, "bob", birth_on="no day")))
    made.land("orders", ("c", 40, order(10, ANN, PLANTED)), ("c", 40, order(11, BOB, "bob")))
    # Order 12 was a guest's before it was Ann's; order 10 names nobody once her account is closed; 14 cannot be read.
    made.land("orders", ("c", 41, order(12, None, PLANTED)), ("u", 50, order(12, ANN, PLANTED)))
    made.land("orders", ("u", 60, order(10, None, PLANTED)), ("u", 61, order(10, None, f"{PLANTED} moved")))
    made.land("orders", ("c", 70, order(14, ANN, PLANTED, total_usd="much")))
    made.land("products", ("c", 5, {"product_id": 1, "price_usd": "2.00", "category": "toys"}))
    made.land("order_items", *(("c", 45, line(number)) for number in (10, 11, 12)))
    refresh(made)
    return made


def line(number: int) -> dict[str, Any]:
    return {"order_id": number, "line_no": 1, "product_id": 1, "quantity": 1, "unit_price_usd": "2.00"}


def refresh(lake: Lake) -> None:
    for table in tables.SOURCES:
        lake.refine(table.name)
    for table in tables.GOLD:
        if not table.is_view:
            heavy_aggregate.run(lake.spark, lake.settings, table.name)


def names() -> list[str]:
    """All that can be read, but for the list itself."""
    stored = [table.full_name for table in ddl.stored_tables() if table is not platform_tables.ERASURES]
    return [*stored, *ddl.view_names()]


def seen(lake: Lake) -> set[str]:
    """Names of tables and views that show something of Ann's."""
    return {name for name in names() if not _telling(lake.spark.table(name)).isEmpty()}


def _telling(rows: Any) -> Any:
    texts = [F.col(f.name).cast("string") if f.dataType.simpleString() == "binary" else F.col(f.name) for f in rows.schema.fields]
    text = F.to_json(F.struct(*texts))
    return rows.where(F.contains(text, F.lit(TRACES[0])) | F.contains(text, F.lit(TRACES[1])))


def others(lake: Lake) -> dict[str, list[str]]:
    """Every row of bronze, silver and quarantine that says nothing of Ann's and nothing of her orders."""
    key = "CAST(key AS STRING)"
    own = f"contains({key}, '{ANN}') OR source_table = 'orders' AND NOT contains({key}, ': 11}}')"
    found = {}
    for name in (storage.BRONZE, platform_tables.QUARANTINE.full_name):
        found[name] = sorted(map(str, lake.spark.table(name).where(f"NOT ({own})").collect()))
    for name, condition in (("users", f"user_id <> {ANN}"), ("orders", "order_id = 11")):
        for view in (f"silver.{name}", f"silver.{name}_changes", f"silver.{name}_history", f"bronze.{name}"):
            found[view] = sorted(map(str, lake.spark.table(view).where(condition).collect()))
    found["gold.order_lines"] = sorted(map(str, lake.spark.table("gold.order_lines").where("order_id = 11").collect()))
    return found


def test_a_person_is_gone_from_every_read_at_once_and_everyone_else_is_as_before(lake: Lake) -> None:
    before, sales = others(lake), lake.spark.table("gold.order_lines").count()
    assert all(before.values())
    assert {storage.BRONZE, "bronze.users", "silver.users", "silver.orders_history", "silver.quarantine", "gold.customers"} <= seen(lake)
    told = forget.run(lake.spark, lake.settings, "users", str(ANN))
    assert (told.key, told.linked) == (f'{{"user_id":{ANN}}}', {"orders": 3})
    assert {"silver.users", "silver.orders", "gold.order_lines"} <= set(told.changed)
    assert seen(lake) == set()
    assert others(lake) == before
    lines = {row.order_id: (row.region, row.is_assumed) for row in lake.spark.table("gold.order_lines").collect()}
    assert lines == {10: (None, False), 11: ("EMEA", False), 12: (None, False)}
    assert lake.spark.table("gold.order_lines").count() == sales, "the orders stay, as a guest's"
    versions = lake.spark.table("silver.orders_history").where("order_id = 10").count()
    assert versions == 1, "a change of nothing but what was erased is no version"


def test_to_forget_again_changes_nothing(lake: Lake) -> None:
    before = {table.full_name: commits.version(lake.spark, table.full_name) for table in ddl.stored_tables()}
    told = forget.run(lake.spark, lake.settings, "users", f'{{"user_id": {ANN}}}')
    assert (told.changed, told.linked) == ((), {})
    assert {name: commits.version(lake.spark, name) for name in before} == before


def test_records_that_come_again_or_late_do_not_bring_the_person_back(lake: Lake) -> None:
    before = others(lake)
    # What Kafka sends again after a lost checkpoint, and what the shop still says of her: an update, a record that cannot be read,
    # a new order, and the same order once more without her name.
    lake.land("users", ("c", 10, account(ANN, PLANTED)), ("u", 80, account(ANN, PLANTED)), ("u", 81, account(ANN, PLANTED, birth_on="?")))
    lake.land("orders", ("c", 40, order(10, ANN, PLANTED)), ("c", 82, order(13, ANN, PLANTED)), ("u", 83, order(12, None, PLANTED)))
    lake.land("orders", ("c", 84, order(15, None, PLANTED)), ("u", 85, order(15, ANN, PLANTED, total_usd="much")))
    assert seen(lake) & {"bronze.users", "silver.users"} == set(), "the typed view hides her before refine has run"
    refresh(lake)
    assert seen(lake) == set()
    live = lake.spark.table("silver.orders").where("order_id IN (10, 12, 13, 15)")
    assert live.where("user_id IS NULL AND shipping_address IS NULL").count() == 4
    kept = others(lake)
    assert {name: set(before[name]) - set(kept[name]) for name in before} == {name: set() for name in before}


def test_a_rebuild_does_not_bring_the_person_back_and_gives_the_same_history(lake: Lake) -> None:
    shown = [name for name in platform_tables.stored(tables.source("orders")).column_names if name != "_run"]

    def stored() -> list[str]:
        return sorted(map(str, lake.spark.table("silver.orders_changes").select(*shown).collect()))

    before = stored()
    for name in ("users", "orders"):
        rebuild.run(lake.spark, lake.settings, name)
    assert stored() == before
    assert seen(lake) == set()


def test_the_search_for_traces_sees_one(lake: Lake) -> None:
    """The negative control: what refine keeps out is seen where nothing keeps it out."""
    lake.land("users", ("u", 90, account(ANN, PLANTED)))
    assert seen(lake) == {storage.BRONZE}
    lake.refine("users")
    assert seen(lake) == set()
    listed = erasure_list.forgotten(lake.spark, tables.source("users"))
    assert listed == {"users": frozenset({f'{{"user_id":{ANN}}}'})}


@pytest.mark.parametrize(
    ("table", "key", "said"),
    [
        ("order_items", "{}", "order_items holds no personal data: a row of users, orders can be forgotten"),
        ("users", "anna", "user_id 'anna' is not a BIGINT"),
        ("users", '{"id": 1}', "is not a key of silver.users: give a value of user_id (BIGINT)"),
        ("users", "[5, 6]", "'[5, 6]' names 2 keys of users: give one"),
        ("users", "99", r'the lake has no record of users {"user_id":99}'),
    ],
)
def test_what_cannot_be_forgotten_is_said(lake: Lake, table: str, key: str, said: str) -> None:
    with pytest.raises(EbapError) as raised:
        forget.run(lake.spark, lake.settings, table, key)
    assert said in str(raised.value)


def test_spark_writes_a_key_of_a_moment_as_the_list_does(lake: Lake) -> None:
    moments = replace(wire.THINGS, key=("at",))
    # Two of one millisecond: cut there, they would be one person.
    rows = lake.spark.sql(f"SELECT timestamp_micros({wire.COMMITTED_US} + id) AS at FROM range(2)")
    written = rows.select(key_json(moments).alias("by_column"), F.expr(keys.as_json_sql(moments, ["at"])).alias("by_sql"))
    expected = sorted(keys.as_json(moments)((wire.COMMITTED_US + more,)) for more in range(2))
    assert sorted(row.by_column for row in written.collect()) == expected
    assert sorted(row.by_sql for row in written.collect()) == expected
    assert len(set(expected)) == 2


def test_the_files_hold_the_person_until_retention_has_passed_and_not_after(lake: Lake) -> None:
    now, root = datetime.now(UTC), Path(lake.settings.lake_root.removeprefix("file://"))
    held = _files_with(root, PLANTED)
    assert {file.parts[len(root.parts) + 1] for file in held} == {"changes", "quarantine", "users_changes", "orders_changes"}
    found = verify.find(lake.spark, lake.settings)
    assert {left.table for left in found if left.files} == {
        storage.BRONZE,
        "silver.quarantine",
        "silver.users_changes",
        "silver.orders_changes",
    }
    assert [left.live for left in found] == [0] * 6
    assert all(timedelta(days=8) - timedelta(minutes=30) < left.gone_by - now <= timedelta(days=8, minutes=30) for left in found)
    assert all(left.is_as_promised(now) for left in found)
    assert not all(left.is_as_promised(left.gone_by) for left in found), "after the day that was promised it is a fault"

    # No file is deleted while a mark waits for it; this test deletes without asking.
    for table in tables.SOURCES:
        lake.refine(table.name)
    with delta.configured(lake.spark, {"spark.databricks.delta.retentionDurationCheck.enabled": "false"}):
        for stored in ddl.stored_tables():
            lake.spark.sql(f"VACUUM {stored.full_name} RETAIN 0 HOURS")
    assert [(left.files, left.live) for left in verify.find(lake.spark, lake.settings)] == [(0, 0)] * 6
    assert _files_with(root, PLANTED) == set()
    assert _files_with(root, str(ANN)) == {file for file in _files_with(root, str(ANN)) if "erasures" in file.parts}
    logs = [file for file in root.rglob("_delta_log/*.json") if PLANTED in file.read_text()]
    assert logs == [], "a log lists the least and greatest values of each file"


def test_a_live_file_that_holds_the_person_is_found(lake: Lake) -> None:
    """The negative control: what landed and was not refined yet."""
    lake.land("users", ("u", 91, account(ANN, PLANTED)))
    found = {(left.table, left.source): left for left in verify.find(lake.spark, lake.settings)}
    assert {place for place, left in found.items() if left.live} == {(storage.BRONZE, "users")}
    assert not found[storage.BRONZE, "users"].is_as_promised(datetime.now(UTC))
    forget.run(lake.spark, lake.settings, "users", str(ANN))
    assert not any(left.live for left in verify.find(lake.spark, lake.settings))


def _files_with(root: Path, text: str) -> set[Path]:
    """Parquet files of any kind in which the text stands, read without the product."""
    return {file for file in root.rglob("*.parquet") if text in str(parquet.ParquetFile(file).read().to_pylist())}


def test_a_guest_is_forgotten_by_the_order(lake: Lake) -> None:
    lake.land("orders", ("c", 95, order(20, None, "guest")), ("u", 96, order(20, None, "guest", status="shipped")))
    lake.refine("orders")
    forget.run(lake.spark, lake.settings, "orders", "20")
    assert lake.spark.table("silver.orders_history").where("order_id = 20 AND shipping_address IS NULL").count() == 2
    assert lake.spark.table(storage.BRONZE).where("contains(CAST(value AS STRING), 'guest 1')").isEmpty()


def test_a_refine_that_had_read_the_list_before_takes_out_what_it_wrote(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    lake.land("users", ("c", 97, account(77, "dan")))
    merge = storage.merge_silver

    def with_forget_first(*arguments: Any, **named: Any) -> None:
        monkeypatch.setattr(storage, "merge_silver", merge)
        forget.run(lake.spark, lake.settings, "users", "77")
        merge(*arguments, **named)

    monkeypatch.setattr(storage, "merge_silver", with_forget_first)
    lake.refine("users")
    assert lake.spark.table("silver.users_changes").where("user_id = 77").isEmpty()


def test_an_order_that_is_refined_while_its_person_is_being_forgotten_does_not_keep_the_name(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.land("users", ("c", 98, account(78, "eve")))
    lake.refine("users")
    enter = erasure_list.enter

    def with_order_first(*arguments: Any) -> None:
        monkeypatch.setattr(erasure_list, "enter", enter)
        lake.land("orders", ("c", 99, order(78, 78, "eve")))
        lake.refine("orders")
        enter(*arguments)

    monkeypatch.setattr(erasure_list, "enter", with_order_first)
    assert forget.run(lake.spark, lake.settings, "users", "78").linked == {"orders": 1}
    assert [row["user_id"] for row in lake.spark.table("silver.orders").where("order_id = 78").collect()] == [None]


def test_a_replay_that_had_read_the_list_before_takes_out_what_it_wrote(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    users = tables.source("users")
    refused = Expect(name="is_no_zoe", condition="full_name NOT LIKE 'zoe%'", doc="Refused.", severity=Severity.REFUSE)
    lake.land("users", ("c", 100, account(79, "zoe")))
    with monkeypatch.context() as patch:
        patch.setattr(tables, "source", lambda _: replace(users, expects=(*users.expects, refused)))
        assert lake.refine("users").quarantined == 1
    apply = Batch.apply

    def with_forget_first(*arguments: Any) -> int | None:
        monkeypatch.setattr(Batch, "apply", apply)
        forget.run(lake.spark, lake.settings, "users", "79")
        return apply(*arguments)

    monkeypatch.setattr(Batch, "apply", with_forget_first)
    swept = partial(sweep.sweep, lake.spark, lake.settings, users)
    replay.run_swept(LightLake(lake.settings), "users", "refused", swept)
    assert lake.spark.table("silver.users_changes").where("user_id = 79").isEmpty()
    assert storage.read_quarantine(lake.spark, users).where("CAST(key AS STRING) LIKE '%79%'").isEmpty()


def test_a_person_is_forgotten_in_a_table_that_the_source_has_widened(lake: Lake) -> None:
    lake.land("users", ("c", 110, account(80, "fay")))
    lake.land("orders", ("c", 111, order(80, 80, "fay")))
    stored_schema.widen(lake.spark, tables.source("orders"), "total_usd", "DECIMAL(14,2)")
    refresh(lake)
    assert "silver.orders" in [name.removesuffix("_changes") for name in forget.run(lake.spark, lake.settings, "users", "80").changed]
    assert [row["user_id"] for row in lake.spark.table("silver.orders").where("order_id = 80").collect()] == [None]
