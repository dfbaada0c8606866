"""What every declaration owes its readers, over all of them; and what is generated from them is as they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import sqlglot
from sqlglot import expressions

from lakehouse import platform_tables, settings, tables
from lakehouse.cli import check, docs
from lakehouse.contract import Expect, Table
from lakehouse.errors import ContractError

DECLARED = (*tables.SOURCES, *tables.GOLD)
PLATFORM = platform_tables.PLATFORM
EXPECTED = [(table, expect) for table in DECLARED for expect in table.expects]


def test_the_first_set_of_tables_is_declared() -> None:
    assert {table.name for table in tables.SOURCES} >= {"users", "products", "orders", "order_items"}
    assert {table.name for table in tables.GOLD} >= {"orders_live", "order_lines", "daily_sales", "product_daily"}


@pytest.mark.parametrize("table", DECLARED, ids=lambda table: table.full_name)
def test_a_table_tells_what_a_newcomer_asks(table: Table) -> None:
    assert table.grain.startswith("one row per ")
    assert table.max_age_s <= 86_400
    assert all(sentence.endswith((".", ".)")) for sentence in (table.doc, *table.rules, *(column.doc for column in table.columns)))


@pytest.mark.parametrize("table", DECLARED, ids=lambda table: table.full_name)
def test_money_is_exact_and_says_its_currency(table: Table) -> None:
    for column in table.columns:
        is_money = any(word in column.name for word in ("price", "cost", "total", "revenue"))
        assert not is_money or (column.name.endswith("_usd") and column.type.startswith("DECIMAL(")), column.name


@pytest.mark.parametrize("table", DECLARED, ids=lambda table: table.full_name)
def test_times_and_days_are_named_as_such(table: Table) -> None:
    for column in table.columns:
        assert column.name.endswith("_at") == (column.type == "TIMESTAMP"), column.name
        assert column.type != "DATE" or column.name.endswith("_on") or column.name == "day"
        assert column.type != "BOOLEAN" or column.name.startswith(("is_", "has_", "marketing_")), column.name


@pytest.mark.parametrize(("table", "expect"), EXPECTED, ids=[f"{table.name}.{expect.name}" for table, expect in EXPECTED])
def test_an_expectation_is_a_condition_over_declared_columns(table: Table, expect: Expect) -> None:
    condition = sqlglot.parse_one(expect.condition, dialect="spark")
    assert isinstance(condition, expressions.Condition)
    assert {column.name for column in condition.find_all(expressions.Column)} <= set(table.column_names)


@pytest.mark.parametrize(
    ("inputs", "fault"),
    [
        (("userss",), "'tier_changes' reads 'userss', which is not declared"),
        (("users", "customers"), "read each other in a circle: .*tier_changes"),
    ],
)
def test_gold_tables_that_cannot_be_put_in_order_are_refused(inputs: tuple[str, ...], fault: str) -> None:
    declared = {table.name: table for table in DECLARED}
    # The second case closes a circle.
    declared["customers"] = replace(declared["customers"], inputs=(*declared["customers"].inputs, "tier_changes"))
    declared["tier_changes"] = replace(declared["tier_changes"], inputs=inputs)
    with pytest.raises(ContractError, match=fault):
        tables._in_order_of_inputs(declared)


def test_generated_files_are_as_the_declarations_say() -> None:
    assert check.faults(settings.PROJECT) == []


def test_a_stale_or_missing_generated_file_is_found(tmp_path: Path) -> None:
    assert check.faults(tmp_path) == [f"{path} is missing: run `make generated`" for path in docs.generated()]
    for path in docs.generated():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    docs.write_all(tmp_path)
    assert check.faults(tmp_path) == []
    (tmp_path / docs.DICTIONARY).write_text(docs.dictionary() + " ")
    assert check.faults(tmp_path) == [f"{docs.DICTIONARY} does not match the declarations: run `make generated`"]


def test_the_dictionary_shows_every_table_column_and_expectation() -> None:
    text = docs.dictionary()
    for table in (*DECLARED, *tables.LIVE, *PLATFORM):
        assert f"## {table.full_name}\n" in text
        assert table.doc in text
    for section, table in ((text.split(f"## {table.full_name}\n")[1].split("\n## ")[0], table) for table in DECLARED):
        assert all(f"| `{column.name}` | `{column.type}` | {column.doc}" in section for column in table.columns)
        assert all(f"| `{expect.name}` |" in section for expect in table.expects)
    assert all(f"| `{name}` |" in text for name in platform_tables.HISTORY_COLUMNS)


def test_personal_data_is_marked() -> None:
    marked = {f"{table.name}.{column.name}" for table in (*DECLARED, *tables.LIVE, *PLATFORM) for column in table.columns if column.pii}
    assert {"users.email", "users.full_name", "users.birth_on", "orders.shipping_address", "changes.value", "quarantine.value"} <= marked
    assert docs.dictionary().count("**Personal data.**") == len(marked)
