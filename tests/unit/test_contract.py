"""A declaration that contradicts itself cannot be built, and says what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from lakehouse.contract import Column, Expect, History, Layer, Table, is_type
from lakehouse.errors import ContractError

_ID = Column(name="id", type="BIGINT", doc="The thing's number.")
_NOTE = Column(name="note", type="STRING", doc="A note.", tracked=False)
_SOURCE: dict[str, Any] = {
    "name": "things",
    "doc": "Things.",
    "grain": "one row per thing",
    "key": ("id",),
    "history": History.FULL,
    "owner": "tests",
    "max_age_s": 60,
    "columns": (_ID, _NOTE),
}
_GOLD: dict[str, Any] = {**_SOURCE, "history": None, "layer": Layer.GOLD, "inputs": ("users",), "slice": "id"}


_WHO = Column(name="id", type="BIGINT", doc="The thing's number.", person="things")


def _personal(name: str, type_: str = "STRING", **how: Any) -> Column:
    return Column(name=name, type=type_, doc="Of a person.", pii=True, **how)


def _expect(name: str) -> Expect:
    return Expect(name=name, condition="id > 0", doc="Positive.")


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"name": "Things"}, "its name is not lower_snake_case"),
        ({"doc": " "}, "it has no doc"),
        ({"grain": ""}, "it has no grain"),
        ({"owner": ""}, "it has no owner"),
        ({"key": ()}, "it has no key"),
        ({"key": ("other",)}, "key column 'other' is not declared"),
        ({"key": ("id", "note")}, "key column 'note' cannot be untracked"),
        ({"columns": (_ID, _ID)}, "column 'id' is declared twice"),
        ({"expects": (_expect("same"), _expect("same"))}, "expectation 'same' is declared twice"),
        ({"columns": (_ID, Column(name="_mine", type="INT", doc="Mine."))}, "column '_mine' begins with _"),
        ({"max_age_s": 0}, "max_age_s must be a positive number of seconds"),
        ({"layer": Layer.GOLD, "inputs": ("users",)}, "only a silver table has a history"),
        ({"inputs": ("users",)}, "only a gold or a live table has inputs"),
        ({"slice": "id"}, "only a gold table has a slice"),
        ({"slice": "other"}, "slice 'other' is not a declared column"),
        ({"columns": (_ID, _personal("names", "ARRAY<STRING>"))}, "column 'names' is personal data in an array"),
        ({"columns": (_ID, _personal("email")), "key": ("email",)}, "key column 'email' is personal data: declare whose key"),
        ({"columns": (_ID, _personal("email", hashed=True))}, "column 'email' is hashed: only a gold table"),
        ({"columns": (_WHO, _NOTE), "key": ("id", "note"), "history": History.FULL}, "a table of persons must have a key of one column"),
    ],
)
def test_a_wrong_source_table_is_refused(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ContractError) as raised:
        Table(**{**_SOURCE, **changes})
    assert fault in str(raised.value)
    assert str(raised.value).startswith(f"table {changes.get('name', 'things')!r}: ")


def test_a_gold_table_without_inputs_is_refused() -> None:
    with pytest.raises(ContractError, match="a gold table names its inputs"):
        Table(**{**_GOLD, "inputs": (), "slice": None})


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"columns": (_ID, _personal("email"))}, "column 'email' is personal data: gold leaves it out, or declares it hashed=True"),
        ({"columns": (_ID, _personal("email", hashed=True)), "slice": None}, "column 'email' is hashed: only a gold table with a slice"),
        ({"columns": (_WHO,)}, "column 'id' names a person: only a source table or a live table can"),
    ],
)
def test_a_gold_table_that_would_show_persons_is_refused(changes: dict[str, Any], fault: str) -> None:
    assert Table(**{**_GOLD, "columns": (_ID, _personal("email", hashed=True))}).column("email").hashed
    with pytest.raises(ContractError) as raised:
        Table(**{**_GOLD, **changes})
    assert fault in str(raised.value)


def test_what_is_erased_of_a_row_is_what_is_personal_and_whom_it_names() -> None:
    who = Column(name="user_id", type="BIGINT", doc="Whose.", person="users")
    table = Table(**{**_SOURCE, "columns": (_ID, who, _NOTE, _personal("address"))})
    assert (table.erased, table.is_of_persons) == (("user_id", "address"), False)
    assert Table(**{**_SOURCE, "columns": (_WHO, _NOTE)}).is_of_persons


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(ContractError) as raised:
        Table(**{**_SOURCE, "owner": "", "grain": "", "key": ("other",)})
    assert [part.split(": ")[1] for part in str(raised.value).split("; ")] == [
        "it has no grain",
        "it has no owner",
        "key column 'other' is not declared",
    ]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"name": "camelCase"}, "is not lower_snake_case"),
        ({"type": "TIMESTAMP_NTZ"}, "which EBAP does not store"),
        ({"type": "VARIANT"}, "which EBAP does not store"),
        ({"type": "bigint"}, "which EBAP does not store"),
        ({"doc": ""}, "has no doc"),
        ({"hashed": True}, "is hashed: it must have pii=True and type STRING"),
    ],
)
def test_a_wrong_column_is_refused(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ContractError, match=fault):
        Column(**{"name": "price_usd", "type": "DECIMAL(10,2)", "doc": "Price.", **changes})


@pytest.mark.parametrize(
    ("changes", "fault"), [({"name": "Is Good"}, "is not lower_snake_case"), ({"condition": " "}, "no condition"), ({"doc": ""}, "no doc")]
)
def test_a_wrong_expectation_is_refused(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ContractError, match=fault):
        Expect(**{"name": "is_good", "condition": "id > 0", "doc": "Good.", **changes})


@pytest.mark.parametrize(
    ("text", "is_stored"),
    [("DECIMAL(38,38)", True), ("DECIMAL(1,0)", True), ("DECIMAL(39,2)", False), ("DECIMAL(2,3)", False), ("DECIMAL", False)],
)
def test_a_decimal_states_what_it_holds(text: str, is_stored: bool) -> None:
    assert is_type(text) is is_stored


def test_tracked_columns_are_those_that_open_versions() -> None:
    price = Column(name="price_usd", type="DECIMAL(10,2)", doc="Price.")
    table = Table(**{**_SOURCE, "columns": (_ID, _NOTE, price)})
    assert table.tracked == ("price_usd",)


def test_a_gold_table_without_a_slice_is_a_view() -> None:
    assert Table(**{**_GOLD, "slice": None}).is_view
    assert not Table(**_GOLD).is_view
    assert not Table(**_SOURCE).is_view


def test_an_unknown_column_is_named_with_its_table() -> None:
    with pytest.raises(KeyError, match="table 'things' has no column 'other'"):
        Table(**_SOURCE).column("other")


def test_a_declaration_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Table(**_SOURCE).owner = "someone else"  # type: ignore[misc]
