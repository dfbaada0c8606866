"""Tables and columns with the names of everything that the platform, its engines and SQL itself use: they work, or are refused by name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lakehouse import tables
from lakehouse.contract import Column, History, Layer, Table
from lakehouse.errors import ContractError
from lakehouse.gold import aggregate, queries, readable
from lakehouse.lake.lake import Lake as StoredLake
from lakehouse.settings import PROJECT, Settings
from lakehouse.tables import refuse_shared_names
from lakehouse.transforms.gold import sql_files
from tests.conftest import empty_lake
from tests.unit.lake import Lake
from tests.unit.light_lake import LightLake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Keywords; columns of a record, of what is stored, read and compared; names that statements and views give on their way.
_WORDS = """
select from where group by having limit user table values null true desc natural full left date timestamp interval case end cast topic
partition offset op key value headers epoch lsn txid sequence commit_at source_table before after source reason detail count row image
repeat r t s q b e own rows deleted listed kept hidden place digest file file_index file_row_number filename since bound first_from
newest_run is_current valid_from run last kind metadata number text made stored changes
"""
WORDS = _WORDS.split()
KEY = ("order", "offset")


def _column(name: str) -> Column:
    return Column(name=name, type="DATE" if name == "date" else "BIGINT" if name in KEY else "STRING", doc="A value.")


# Its name is a keyword, and ends as the history of another would.
ODD = Table(
    name="order",
    doc="A row with odd names.",
    grain="one row per order and offset",
    key=KEY,
    history=History.FULL,
    owner="tests",
    max_age_s=60,
    columns=tuple(_column(name) for name in dict.fromkeys((*KEY, *WORDS))),
)
PAST = Table(**{**vars(ODD), "name": "group_history", "columns": ODD.columns[:3]})
BY_DATE = Table(
    name="select",
    doc="What there is of a day.",
    grain="one row per day and value",
    key=("date", "key"),
    layer=Layer.GOLD,
    owner="tests",
    max_age_s=60,
    inputs=("group_history", "order"),
    slice="date",
    sliced_by={"order": "`date`"},
    columns=tuple(Column(name=n, type=t, doc="A value.") for n, t in (("date", "DATE"), ("key", "STRING"), ("count", "BIGINT"))),
)
SELECT = """
SELECT o.`date`, o.`key`, count(DISTINCT h.`order`) AS `count`
FROM silver.`order` AS o LEFT JOIN silver.group_history AS h ON h.`order` = o.`order` LEFT JOIN silver.order_history AS v
  ON v.`order` = o.`order` AND v.`offset` = o.`offset` AND v._is_current
GROUP BY o.`date`, o.`key`
""".strip()
TOUCHED = """
SELECT DISTINCT h.`date` FROM changed.`order` AS c JOIN silver.order_history AS h ON h.`order` = c.`order` AND h.`offset` = c.`offset`
""".strip()


def row(order: int, offset: int, on: str = "2026-01-01", **values: str) -> dict[str, Any]:
    return {**{name: name for name in WORDS}, "order": order, "offset": offset, "date": on, **values}


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The odd tables beside the shop's."""
    sources = (*tables.SOURCES, ODD, PAST)
    monkeypatch.setattr(tables, "SOURCES", sources)
    monkeypatch.setattr(tables, "GOLD", (*tables.GOLD, BY_DATE))
    monkeypatch.setattr(queries, "SOURCES", {table.name: table for table in sources})
    select, touched = sql_files.select, sql_files.touched
    monkeypatch.setattr(sql_files, "select", lambda table: SELECT if table is BY_DATE else select(table))
    monkeypatch.setattr(sql_files, "touched", lambda table: TOUCHED if table is BY_DATE else touched(table))
    caches = (readable.columns, queries.select, queries.touched, queries.query)
    for each in caches:
        each.cache_clear()
    refuse_shared_names(sources)
    yield
    for each in caches:
        each.cache_clear()


def _changes(lake: Any) -> None:
    """Two keys; the first changes, in runs of its own, so that a stored row is put out by its place in its file; the other is deleted."""
    lake.land("order", ("c", 10, row(1, 1, key="a")), ("c", 11, row(1, 2, key="b")), ("c", 12, row(2, 1, key="c")))
    lake.land("group_history", ("c", 13, {"order": 1, "offset": 1, "select": "x"}))
    lake.refine("order")
    lake.land("order", ("u", 20, row(1, 2, key="d", file_index="9", file_row_number="9")), ("d", 21, row(2, 1)))
    lake.refine("order")
    lake.refine("group_history")


SHOWN = [(1, 1, "a", "file_index"), (1, 2, "d", "9")]
# Of which a change gives another value.
_OTHERS = {"key", "date", "file_index", "file_row_number", *KEY}


def test_odd_names_go_through_this_process(declared: None, light_settings: Settings, tmp_path: Path) -> None:
    lake = LightLake.at(light_settings, tmp_path)
    _changes(lake)
    live = [r for r in lake.stored("order") if r["_last"] and r["_kind"] == "upsert"]
    assert sorted((r["order"], r["offset"], r["key"], r["file_index"]) for r in live) == SHOWN
    assert {name: live[0][name] for name in WORDS if name not in _OTHERS} == {name: name for name in WORDS if name not in _OTHERS}
    assert len(lake.stored("order")) == 5
    assert aggregate.run(lake.lake, "select").changed
    lake.land("order", ("u", 30, row(1, 1, "2026-01-02", key="a")))
    lake.refine("order")
    assert aggregate.run(lake.lake, "select").slices == (date(2026, 1, 1), date(2026, 1, 2))
    assert sorted(map(tuple, (r.values() for r in lake.lake.read(BY_DATE).to_pylist()))) == [
        (date(2026, 1, 1), "d", 1),
        (date(2026, 1, 2), "a", 1),
    ]


def test_odd_names_go_through_spark(declared: None, spark: SparkSession, lake_settings: Settings, tmp_path: Path) -> None:
    from lakehouse.gold.heavy import Heavy

    lake = Lake(spark, empty_lake(spark, lake_settings, tmp_path))
    _changes(lake)
    live = spark.sql("SELECT `order`, `offset`, `key`, `file_index` FROM silver.`order` ORDER BY 1, 2").collect()
    assert [tuple(found) for found in live] == SHOWN
    assert spark.sql("SELECT count(*) FROM silver.order_history WHERE `order` = 1 AND `offset` = 2").collect() == [(2,)]
    # What is the table's own keeps its name; what is the record's gives way.
    typed = spark.sql("SELECT _op, op, _lsn, lsn, _offset, `offset`, _topic, topic FROM bronze.`order` WHERE _lsn = 20").collect()
    assert typed == [("u", "op", 20, "lsn", 5, 2, "ebap.cdc.order", "topic")]
    heavy = partial(Heavy, spark, lake.settings)
    assert aggregate.run_by(StoredLake(lake.settings), heavy, "select", None).changed
    assert spark.sql("SELECT `date`, `key`, `count` FROM gold.`select` ORDER BY `key`").collect() == [
        (date(2026, 1, 1), "a", 1),
        (date(2026, 1, 1), "d", 1),
    ]


NAMES = {
    "OrderId": "mixed case",
    "order id": "a blank",
    'say "so"': "quotes",
    "shop.order": "a dot",
    "größe": "not ASCII",
    "1st": "a digit first",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_engines_read_differently_is_refused_with_the_way_out(name: str) -> None:
    with pytest.raises(ContractError, match=r"is not lower_snake_case .*: rename it at the source, or leave it undeclared"):
        Column(name=name, type="STRING", doc="A value.")
    with pytest.raises(ContractError, match=r"its name is not lower_snake_case .*: rename it at the source, or do not capture it"):
        Table(**{**vars(ODD), "name": name})


def test_a_name_of_63_letters_is_one() -> None:
    long = Table(**{**vars(ODD), "name": "t" * 63, "columns": (*ODD.columns, Column(name="c" * 63, type="STRING", doc="A value."))})
    refuse_shared_names((*tables.SOURCES, long))


_OWN = "changes quarantine progress controls schema_changes compactions erasures reconciliations table_state heartbeat signal"


@pytest.mark.parametrize("name", _OWN.split())
def test_a_source_table_cannot_be_called_as_one_of_the_platforms_own(name: str) -> None:
    made = Table(**{**vars(ODD), "name": name})
    with pytest.raises(ContractError, match=rf"table '{name}': .*\b{name} is the platform's own: rename the table at the source"):
        refuse_shared_names((*tables.SOURCES, made))


def test_a_gold_table_cannot_be_called_as_one_of_the_platforms_own() -> None:
    with pytest.raises(ContractError, match=r"table 'progress': gold\.progress is the platform's own: give the table another name"):
        refuse_shared_names((*tables.SOURCES, Table(**{**vars(BY_DATE), "name": "progress"})))


@pytest.mark.parametrize("name", ["orders_history", "orders_changes"])
def test_a_source_table_cannot_be_called_as_what_is_made_for_another(name: str) -> None:
    made = Table(**{**vars(ODD), "name": name})
    with pytest.raises(ContractError, match=rf"table '{name}': silver\.{name} is made for table 'orders' already"):
        refuse_shared_names((*tables.SOURCES, made))


def test_a_key_column_cannot_be_called_since() -> None:
    with pytest.raises(ContractError, match="key column 'since' has the name of gold's instant of a change: rename it at the source"):
        Table(**{**vars(ODD), "key": ("since",)})


def test_a_refused_declaration_is_one_line_of_check(tmp_path: Path) -> None:
    # A copy of the package, with one more declaration.
    for each in ("spark_apps/lakehouse", "pyproject.toml"):
        target = tmp_path / each
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-r", str(PROJECT / each), str(target)], check=True)
    users = (PROJECT / "spark_apps/lakehouse/tables/users.py").read_text()
    more = users.replace('name="users"', 'name="heartbeat"').replace('person="users"', 'person="heartbeat"')
    (tmp_path / "spark_apps/lakehouse/tables/heartbeat.py").write_text(more)
    environ = {"PYTHONPATH": str(tmp_path / "spark_apps"), "PATH": ""}
    command = [sys.executable, "-m", "lakehouse", "check"]
    done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("lakehouse: table 'heartbeat': topic ebap.cdc.heartbeat is the platform's own: rename the table at the source")
