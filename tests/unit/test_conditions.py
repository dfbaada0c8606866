"""Expectations compiled to Python mean what Spark SQL means, or are refused by name."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from lakehouse import tables
from lakehouse.contract import Expect, Severity
from lakehouse.errors import ContractError
from lakehouse.transforms.records import conditions, quality
from tests.unit.wire import THINGS

# A condition, the columns that it reads, and what it says.
CASES: list[tuple[str, dict[str, Any], bool | None]] = [
    ("price > 0", {"price": Decimal("0.01")}, True),
    ("price > 0", {"price": Decimal("0.00")}, False),
    ("price > 0", {}, None),
    ("price >= 1 AND note = 'a'", {"price": Decimal(0)}, False),  # one is known to be false, the other not known
    ("price >= 1 OR note = 'a'", {"price": Decimal(0)}, None),
    ("price >= 1 OR note = 'a'", {"price": Decimal(2)}, True),
    ("NOT (price >= 1)", {}, None),
    ("weight = 0.1", {"weight": 0.1}, True),  # a decimal literal beside a DOUBLE is a double
    ("weight > 1e300", {"weight": math.nan}, True),  # NaN is greater than any other number
    ("weight = weight", {"weight": math.nan}, True),
    ("ratio < 0", {"ratio": -0.0}, False),
    ("note IN ('a', 'b')", {"note": "b"}, True),
    ("note IN ('a', 'b')", {"note": "c"}, False),
    ("note IN ('a', NULL)", {"note": "c"}, None),
    ("note NOT IN ('a', NULL)", {"note": "a"}, False),
    ("id IN (1, 2.0)", {"id": 2}, True),
    ("weight IN (1, 2.5)", {"weight": 2.5}, True),
    ("units BETWEEN 1 AND 3", {"units": 3}, True),
    ("units NOT BETWEEN 1 AND 3", {"units": 3}, False),
    ("note LIKE '%_@_%'", {"note": "x\n@y"}, True),
    ("note LIKE '%_@_%'", {"note": "@y"}, False),
    ("note LIKE 'a.c'", {"note": "abc"}, False),
    ("note NOT LIKE 'zoe%'", {"note": "zoe k"}, False),
    ("note IS NULL", {}, True),
    ("note IS NOT NULL", {}, False),
    ("is_on IS TRUE", {}, False),
    ("is_on IS NOT FALSE", {}, True),
    ("is_on", {"is_on": False}, False),
    ("is_on = true", {"is_on": True}, True),
    ("note <=> NULL", {}, True),
    ("note <=> 'a'", {}, False),
    ("note < 'é'", {"note": "z"}, True),
    ("day >= '2026-01-01'", {"day": 20454}, True),
    ("day < DATE '2026-01-01'", {"day": 20454}, False),
    ("at > TIMESTAMP '1970-01-01 00:00:01'", {"at": 1_000_001}, True),
    ("at <= '1970-01-01'", {"at": 0}, True),
    ("length(note) <= 2", {"note": "é😀"}, True),
    ("coalesce(price, 0) >= 0", {}, True),
    ("-units < 0", {"units": 1}, True),
    ("id <> 13", {"id": 13}, False),
    ("PRICE > -0.5", {"price": Decimal(0)}, True),
]

REFUSED = {
    "upper(note) = 'A'": "UPPER",
    "id + 1 > 2": "ADD",
    "nope > 1": "nope is not a column of things",
    "note RLIKE 'a'": "REGEXP",
    "id = '5'": "compares whole with text",
    "id": "not a boolean",
    "note LIKE 'a\\_'": "LIKE a literal",
    "note LIKE note": "LIKE a literal",
    "note LIKE 'a' ESCAPE '!'": "ESCAPE",
    "note LIKE ANY ('a', 'b')": "ANY",
    "id BETWEEN SYMMETRIC 2 AND 1": "SYMMETRIC",
    "things.id > 1": "is not a column",
    "id IN (SELECT 1)": "list of values",
    "id >": "is not a condition",
    "CAST(id AS STRING) = '1'": "CAST(id AS STRING)",
    "exists(tags, x -> x = 'a')": "EXISTS",
    "day > 'yesterday'": "compares date with text",
}


@pytest.mark.parametrize(("condition", "values", "expected"), CASES, ids=[f"{c} {v}" for c, v, _ in CASES])
def test_a_condition_says_what_sql_says(condition: str, values: dict[str, Any], expected: bool | None) -> None:
    row = tuple(values.get(name) for name in THINGS.column_names)
    assert conditions.compiled(THINGS, condition)(row) is expected


@pytest.mark.parametrize(("condition", "what"), REFUSED.items())
def test_what_is_not_known_to_mean_the_same_is_refused_by_name(condition: str, what: str) -> None:
    with pytest.raises(ContractError, match=what.replace("(", r"\(").replace(")", r"\)")):
        conditions.compiled(THINGS, condition)


def test_a_fault_names_table_expectation_and_construct() -> None:
    wrong = replace(THINGS, expects=(*THINGS.expects, Expect(name="is_loud", condition="upper(note) = note", doc="Loud.")))
    assert quality.faults(wrong) == ["table 'things': expectation 'is_loud': UPPER(note): UPPER is not supported"]
    with pytest.raises(ContractError, match="is_loud"):
        quality.judge(wrong, Severity.FLAG)


def test_every_declared_expectation_compiles() -> None:
    assert [fault for table in tables.SOURCES for fault in quality.faults(table)] == []


def test_a_judgement_waits_for_a_value_that_is_not_known() -> None:
    judge = quality.judge(THINGS, Severity.FLAG)
    assert judge is not None
    row = tuple({"price": Decimal(-1)}.get(name) for name in THINGS.column_names)
    assert judge(row, ()) == ("price_is_positive", "note_is_there")
    assert judge(row, ("note",)) == ("price_is_positive",)
    assert judge(row, ("note", "price")) == ()


def test_a_table_without_expectations_of_a_severity_has_no_judge() -> None:
    assert quality.judge(replace(THINGS, expects=()), Severity.REFUSE) is None
