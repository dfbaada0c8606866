"""Expectations of a table, evaluated row by row: Spark SQL conditions, compiled once.

A condition that is NULL counts as met. So does one that refers to a column whose unchanged value is not known yet: the row is evaluated
again once the value is known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from lakehouse.contract import Expect, Severity, Table
from lakehouse.errors import ContractError
from lakehouse.transforms.records.keys import Values
from lakehouse.transforms.records.three_valued import Condition

Judge = Callable[[Values, Collection[str]], tuple[str, ...]]


def judge(table: Table, severity: Severity) -> Judge | None:
    """A function that returns the names of the broken expectations of a severity, in declared order; None if the table has none.

    Its arguments are the declared columns' values and the names of the unknown columns. Raises ContractError: see `conditions`.
    """
    expects = [expect for expect in table.expects if expect.severity is severity]
    checks = [(expect.name, _columns_of(table, expect), _compiled(table, expect)) for expect in expects]
    if not checks:
        return None

    def broken(values: Values, unknown: Collection[str]) -> tuple[str, ...]:
        if unknown:
            return tuple(name for name, columns, holds in checks if holds(values) is False and columns.isdisjoint(unknown))
        return tuple([name for name, _, holds in checks if holds(values) is False])

    return broken


def faults(table: Table) -> list[str]:
    """Conditions that cannot be compiled, each with its expectation and the unsupported construct."""
    found = []
    for expect in table.expects:
        try:
            _compiled(table, expect)
        except ContractError as error:
            found.append(str(error))
    return found


def _compiled(table: Table, expect: Expect) -> Condition:
    # The parser takes half a second to load, so it is not loaded by a run that finds no records.
    from lakehouse.transforms.records import conditions

    try:
        return conditions.compiled(table, expect.condition)
    except ContractError as error:
        raise ContractError(f"table {table.name!r}: expectation {expect.name!r}: {error}") from error


def _columns_of(table: Table, expect: Expect) -> frozenset[str]:
    # A column name within a string literal also counts: the evaluation is then delayed, never wrong.
    return frozenset(name for name in table.column_names if re.search(rf"\b{name}\b", expect.condition, re.IGNORECASE))
