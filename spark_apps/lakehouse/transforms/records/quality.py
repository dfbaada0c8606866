"""Expectations of a table, evaluated row by row: Spark SQL conditions, compiled once.

A condition that is NULL counts as kept. So does one that names a column whose value is not known yet (it came unchanged, and what it
was has not come): such a row is judged again once the value is there.
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
    """What names the expectations of that severity that a row breaks, in declared order; None where the table has none.

    It is given the declared columns' values and the names of those that are not known. Raises ContractError: see `conditions`.
    """
    checks = [(expect.name, _named(table, expect), _compiled(table, expect)) for expect in table.expects if expect.severity is severity]
    if not checks:
        return None

    def broken(values: Values, unknown: Collection[str]) -> tuple[str, ...]:
        if unknown:
            return tuple(name for name, named, holds in checks if holds(values) is False and named.isdisjoint(unknown))
        return tuple([name for name, _, holds in checks if holds(values) is False])

    return broken


def faults(table: Table) -> list[str]:
    """Conditions that cannot be compiled, each with its expectation and what in it is not supported."""
    found = []
    for expect in table.expects:
        try:
            _compiled(table, expect)
        except ContractError as error:
            found.append(str(error))
    return found


def _compiled(table: Table, expect: Expect) -> Condition:
    # The parser takes half a second to load, which nobody needs who only looks whether something landed.
    from lakehouse.transforms.records import conditions

    try:
        return conditions.compiled(table, expect.condition)
    except ContractError as error:
        raise ContractError(f"table {table.name!r}: expectation {expect.name!r}: {error}") from error


def _named(table: Table, expect: Expect) -> frozenset[str]:
    # A word of a string literal that happens to be a column name only makes the judgement wait: never wrong, at worst late.
    return frozenset(name for name in table.column_names if re.search(rf"\b{name}\b", expect.condition, re.IGNORECASE))
