"""The schema's gate on real Delta tables: what follows by itself, what stops its table alone, and what takes a rebuild."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import functions as F

from lakehouse import platform_tables, tables
from lakehouse.contract import Column, History, Table
from lakehouse.lake import catalog, commits, storage, stored_schema
from lakehouse.lake.lake import Lake as InProcess
from lakehouse.settings import Settings
from lakehouse.silver import rebuild
from lakehouse.source import gate, mending, schema_log
from lakehouse.source.schema_diff import SeenColumn, Shape
from lakehouse.spark import session
from tests.conftest import empty_lake
from tests.refusals import refused
from tests.unit.lake import Lake, user

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_POSTGRES = {"BIGINT": "int8", "INT": "int4", "STRING": "text", "DATE": "date", "DECIMAL(10,2)": "numeric(10,2)"}


@pytest.fixture(scope="module")
def lake(spark: SparkSession, lake_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    made = Lake(spark, empty_lake(spark, lake_settings, tmp_path_factory.mktemp("gate")))
    with pytest.MonkeyPatch.context() as patch:
        # The gate opens a session of its own where it widens a table, and ends it.
        patch.setattr(session, "connect", lambda _: _Kept(spark))
        record(made, source())
        yield made


class _Kept:
    """The tests' session, which outlives whoever is given it."""

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark

    def __getattr__(self, name: str) -> Any:
        return getattr(self._spark, name)

    def stop(self) -> None:
        pass


def record(lake: Lake, found: gate.Shapes, blamed: Sequence[mending.Blame] = ()) -> list[schema_log.SchemaChange]:
    return gate.record_found(InProcess(lake.settings), found, blamed)


def log(lake: Lake) -> schema_log.SchemaLog:
    return schema_log.SchemaLog(InProcess(lake.settings))


_altered: dict[str, dict[str, str]] = {}


def source(**types: dict[str, str]) -> gate.Shapes:
    """The source as it is declared, but for these columns' types and those of earlier calls, by table."""
    _altered.update({name: _altered.get(name, {}) | columns for name, columns in types.items()})
    return {table.name: _shape(table, _altered.get(table.name, {})) for table in tables.SOURCES}


def _shape(table: Table, types: dict[str, str]) -> Shape:
    given = {column.name: _POSTGRES.get(column.type, "text") for column in table.columns} | types
    return Shape(key=table.key, columns={name: SeenColumn(type=given[name], position=n) for n, name in enumerate(given)})


@pytest.fixture
def declare(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Callable[[Table], None]:
    """Declare a source table anew, and bring the catalog up to it."""

    def declared(table: Table) -> None:
        monkeypatch.setattr(tables, "SOURCES", tuple(table if table.name == other.name else other for other in tables.SOURCES))
        catalog.bring_up(lake.spark, lake.settings)

    return declared


def with_column(table: Table, name: str, **values: Any) -> Table:
    return replace(table, columns=tuple(replace(c, **values) if c.name == name else c for c in table.columns))


def states(lake: Lake, table: str) -> list[tuple[str, str, str]]:
    rows = lake.spark.table(platform_tables.SCHEMA_CHANGES.full_name).where(f"source_table = '{table}' AND what <> 'first seen'")
    return [(row["column"], row["what"], row["state"]) for row in rows.orderBy("seen_at", "column").collect()]


def test_what_is_no_widening_stops_its_table_alone_until_it_is_accepted(lake: Lake) -> None:
    lake.land("users", ("c", 10, user(1, "bronze")))
    lake.refine("users")
    record(lake, source(users={"region": "int4"}))
    lake.land("users", ("u", 20, user(1, "silver")))
    lake.land("products", ("c", 20, {"product_id": 1, "stock": 3}))
    for _ in range(2):
        with refused("silver.users", "column region retyped, text before, int4 now", "`python -m lakehouse accept users`"):
            lake.refine("users")
    assert lake.refine("products").changed, "another table must not be held back"
    assert "accept users" in (lake.state("users").error or "")
    assert [str(change) for change in log(lake).accept(tables.source("users"))] == ["users: column region retyped, text before, int4 now"]
    assert lake.refine("users").changed
    assert lake.history("users", 1) == [("bronze", 10, 20, False), ("silver", 20, None, False)]
    assert states(lake, "users") == [("region", "retyped", "accepted")]
    with refused("users", cure="no table is stopped"):
        log(lake).accept(tables.source("users"))


def test_a_look_that_sees_nothing_new_writes_nothing(lake: Lake) -> None:
    seen = source(users={"region": "int4"})
    before = commits.version(lake.spark, platform_tables.SCHEMA_CHANGES.full_name)
    assert record(lake, seen) == []
    assert commits.version(lake.spark, platform_tables.SCHEMA_CHANGES.full_name) == before


def test_a_wider_source_widens_silver_and_its_views(lake: Lake) -> None:
    big = 5_000_000_000
    lake.land("products", ("c", 30, {"product_id": 2, "stock": 3}), ("c", 30, {"product_id": 3, "stock": big}))
    lake.refine("products")
    # What came before anybody looked is not lost and not NULL: it waits with its bytes.
    waiting = storage.read_quarantine(lake.spark, tables.source("products")).collect()
    assert [(row["reason"], row["detail"]) for row in waiting] == [("bad_value", f"stock: '{big}' is not a INT")]
    record(lake, source(products={"stock": "int8", "price_usd": "numeric(12,2)"}))
    assert states(lake, "products") == [("price_usd", "widened", "applied"), ("stock", "widened", "applied")]
    lake.land("products", ("u", 40, {"product_id": 2, "stock": big, "price_usd": "1234567890.12"}))
    assert lake.refine("products").quarantined == 0
    for view, condition in (("silver.products", "true"), ("silver.products_history", "_is_current"), ("bronze.products", "lsn = 40")):
        rows = lake.spark.table(view).where(condition).where("product_id = 2").selectExpr("stock", "CAST(price_usd AS STRING)").collect()
        assert [tuple(row) for row in rows] == [(big, "1234567890.12")], view
    # Brought up to declarations that know nothing of it, it stays as wide.
    lake.spark.sql(f"ALTER TABLE {platform_tables.STATE} SET TBLPROPERTIES ('ebap.catalog' = 'another')")
    assert catalog.bring_up(lake.spark, lake.settings)
    assert lake.spark.table("silver.products").where("product_id = 2").first()["stock"] == big  # type: ignore[index]


def test_a_temporary_view_is_not_taken_for_the_table_of_its_name(lake: Lake) -> None:
    lake.spark.sql("DROP TABLE silver.compactions")
    lake.spark.range(1).createOrReplaceTempView("compactions")
    try:
        assert catalog.bring_up(lake.spark, lake.settings)
    finally:
        lake.spark.catalog.dropTempView("compactions")
    assert tuple(lake.spark.table("silver.compactions").columns) == tuple(platform_tables.COMPACTIONS.column_names)


def test_gold_takes_a_wider_value_that_fits_and_fails_on_one_that_does_not(spark: SparkSession) -> None:
    table = next(table for table in tables.GOLD if table.name == "order_lines")
    wide = spark.range(1).select(F.lit(2).cast("BIGINT").alias("quantity"), F.lit("1.10").cast("DECIMAL(14,2)").alias("list_price_usd"))
    made = stored_schema.fitted(wide, table)
    assert [tuple(map(str, row)) for row in made.collect()] == [("2", "1.10")]
    declared = [stored_schema.as_declared(field.dataType.simpleString()) for field in made.schema.fields]
    assert declared == [table.column(name).type for name in ("quantity", "list_price_usd")]
    with pytest.raises(Exception, match="CAST_OVERFLOW"):
        stored_schema.fitted(spark.range(1).select(F.lit(5_000_000_000).alias("quantity")), table).collect()


def test_a_wider_declaration_widens_what_is_stored(lake: Lake, declare: Callable[[Table], None]) -> None:
    lake.land("order_items", ("c", 10, {"order_id": 1, "line_no": 1, "quantity": 2}))
    lake.refine("order_items")
    declare(with_column(tables.source("order_items"), "quantity", type="BIGINT"))
    lake.land("order_items", ("u", 20, {"order_id": 1, "line_no": 1, "quantity": 5_000_000_000}))
    assert lake.refine("order_items").quarantined == 0
    assert [row["quantity"] for row in lake.spark.table("silver.order_items").collect()] == [5_000_000_000]


def test_a_column_declared_later_is_null_until_a_rebuild_fills_it(lake: Lake, declare: Callable[[Table], None]) -> None:
    record(lake, source(orders={"channel": "text"}))
    assert states(lake, "orders") == [("channel", "added", "drift")]
    lake.land("orders", ("c", 10, {"order_id": 1, "status": "placed", "channel": "web"}))
    lake.refine("orders")
    orders = tables.source("orders")
    declare(replace(orders, columns=(*orders.columns, Column(name="channel", type="STRING", doc="Where it was ordered."))))
    lake.land("orders", ("c", 20, {"order_id": 2, "status": "placed", "channel": "app"}))
    assert lake.refine("orders").changed, "a column that is only added must stop nothing"
    shown = lake.spark.table("silver.orders").orderBy("order_id")
    assert [row["channel"] for row in shown.collect()] == [None, "app"]
    rebuild.run(lake.spark, lake.settings, "orders")
    assert [row["channel"] for row in lake.spark.table("silver.orders").orderBy("order_id").collect()] == ["web", "app"]
    record(lake, source(orders={"channel": "text"}))
    assert states(lake, "orders") == [("channel", "added", "applied")]


def test_a_column_that_cannot_be_captured_is_drift_with_its_reason_until_it_is_another(lake: Lake) -> None:
    for _ in range(2):
        record(lake, source(orders={"embedding": "float4[]"}))
    assert states(lake, "orders")[-1] == ("embedding", "added", "drift")
    (left,) = log(lake).left_out()
    assert (left.column, left.type_after) == ("embedding", "float4[]") and "TOAST" in str(left.reason)
    assert mending.scope(log(lake)).left_out == {"orders": ["embedding"]}
    record(lake, source(orders={"embedding": "text"}))
    assert mending.scope(log(lake)).left_out == {}, "a type that is carried is captured"
    record(lake, source(orders={"embedding": "interval"}))
    assert mending.scope(log(lake)).left_out == {"orders": ["embedding"]}


def test_a_table_that_the_capture_had_to_stop_says_so_until_it_is_accepted(lake: Lake) -> None:
    table = tables.source("order_items")
    why = mending.Blame(table="order_items", column="quantity", reason="PSQLException: Bad value", is_stop=True)
    for _ in range(2):
        record(lake, source(), [why])
    assert states(lake, "order_items")[-1:] == [("quantity", "capture stopped", "waiting")]
    assert mending.scope(log(lake)).stopped == {"order_items"}
    told = log(lake).stop(table)
    assert (
        told
        and "column quantity, capture stopped (PSQLException: Bad value)" in told
        and "`python -m lakehouse accept order_items`" in told
    )
    lake.land("order_items", ("c", 90, {"order_id": 9, "line_no": 1, "quantity": 2}))
    with refused("silver.order_items", "no longer captured"):
        lake.refine("order_items")
    assert [change.what for change in log(lake).accept(table)] == ["capture stopped"]
    assert mending.scope(log(lake)).stopped == frozenset()
    assert lake.refine("order_items").changed


def nobody(table: Table) -> Table:
    """The table without the word that its rows are persons, who have a key of one column."""
    return replace(table, columns=tuple(replace(column, person=None, pii=False) for column in table.columns))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: replace(nobody(t), key=("user_id", "email")), ["key was user_id and is user_id, email"]),
        (lambda t: replace(t, history=History.LATEST), ["history was full and is latest"]),
        (lambda t: with_column(t, "region", tracked=False), ["tracked columns were ", "region", " and are "]),
        (lambda t: replace(t, columns=t.columns[:-1]), ["column updated_at is no longer declared"]),
        (lambda t: with_column(t, "birth_on", type="STRING"), ["column birth_on is stored as DATE and declared STRING"]),
    ],
)
def test_another_shape_is_refused_before_any_write(
    lake: Lake, declare: Callable[[Table], None], change: Callable[[Table], Table], said: list[str]
) -> None:
    before = lake.version("users")
    declare(change(tables.source("users")))
    lake.land("users", ("c", 50, user(50, "gold")))
    with refused("silver.users", *said, "`python -m lakehouse rebuild users`"):
        lake.refine("users")
    assert lake.version("users") >= before
    assert lake.spark.table("silver.users_changes").where("user_id = 50").isEmpty()


def test_a_rebuild_gives_a_table_its_new_shape(lake: Lake, declare: Callable[[Table], None]) -> None:
    lake.land("users", ("c", 60, {**user(60, "gold"), "birth_on": "2000-02-03Z"}))
    other = with_column(with_column(tables.source("users"), "birth_on", type="STRING"), "region", tracked=False)
    declare(other)
    with refused("silver.users", "`python -m lakehouse rebuild users`"):
        lake.refine("users")
    rebuild.run(lake.spark, lake.settings, "users")
    assert [row["birth_on"] for row in lake.spark.table("silver.users").where("user_id = 60").collect()] == ["2000-02-03Z"]
    comments = {field.name: field.metadata.get("comment") for field in lake.spark.table("silver.users_changes").schema.fields}
    assert comments["birth_on"] == other.column("birth_on").doc
    lake.land("users", ("u", 70, user(60, "silver")))
    assert lake.refine("users").changed
    assert lake.history("users", 60) == [("gold", 60, 70, False), ("silver", 70, None, False)]
