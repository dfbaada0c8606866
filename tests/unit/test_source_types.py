"""The table of Postgres types: each has one fate, and what is declared agrees with it."""

from __future__ import annotations

import pytest

from lakehouse import contract
from lakehouse.cli import check
from lakehouse.contract import Column, History, Table
from lakehouse.source import types


def test_every_type_stands_once_and_a_carried_one_names_types_that_a_declaration_may_have() -> None:
    names = [name for kind in types.KINDS for name in kind.types]
    assert sorted(names) == sorted(set(names))
    assert [name for name in types.DECLARABLE if not contract.is_type(f"{name}(10,2)" if name == "DECIMAL" else name)] == []


@pytest.mark.parametrize(
    ("type_", "is_enum", "is_left_out"),
    [
        ("text", False, False),
        ("numeric(10,2)", False, False),
        ("text[]", False, False),
        ("order_status", True, False),
        ("domain over text[]", False, True),
        ("float4[]", False, True),
        ("interval", False, True),
        ("numeric(10,2)[]", False, True),
        ("a_type_of_their_own", False, True),
    ],
)
def test_what_is_not_known_to_be_carried_is_left_out_with_a_reason(type_: str, is_enum: bool, is_left_out: bool) -> None:
    assert bool(types.why_left_out(type_, is_enum)) is is_left_out


def test_a_declared_type_that_no_type_of_the_source_fills_is_a_fault() -> None:
    columns = (Column(name="id", type="BIGINT", doc="Key."), Column(name="headers", type=contract.KAFKA_HEADERS, doc="None."))
    table = Table(name="coupons", doc="d", grain="g", key=("id",), history=History.FULL, owner="o", max_age_s=1, columns=columns)
    (fault,) = check._source_faults([table])
    assert "coupons.py declares column headers as ARRAY<STRUCT" in fault and "infra/docs/reference/types.md" in fault
