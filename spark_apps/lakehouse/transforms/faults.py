"""What is wrong with a record, in words: the first fault counts, and no fault is an error of the run.

Reads the columns that `envelope` adds on its way: the parts of the record, its place and its values as text and typed.
"""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

from lakehouse.contract import Table

_KEYED_KINDS = ("read", "upsert", "delete")
_KEYLESS_OPS = ("t", "m")
_SHOWN_CHARACTERS = 80

LINKED_TEXT = "_linked_text"  # the other key of a primary-key change, as received


def first(table: Table, refused: Column, source_schema: str | None) -> Column:
    """STRUCT<reason, detail> of the first fault, NULL where there is none.

    `refused` is an ARRAY<STRING> of broken expectations; without `source_schema` the payload's schema is not compared.
    """
    source, op = F.col("_source"), F.col("_op")
    is_elsewhere = ~source["table"].eqNullSafe(table.name)
    if source_schema is not None:
        is_elsewhere = is_elsewhere | ~source["schema"].eqNullSafe(source_schema)
    payload_table = F.concat_ws(".", source["schema"], source["table"])
    misfits = _misfits(table)
    missing = F.concat_ws(
        ", ",
        F.when(F.col("_epoch").isNull(), "no epoch header"),
        F.when(F.col("_lsn").isNull(), "no source.lsn"),
        F.when(F.col("_commit_at").isNull(), "no source.ts_us before the year 10000"),
    )
    is_lost_link = F.col("_kind").isin("upsert", "delete") & F.col(LINKED_TEXT).isNotNull() & F.col("_linked_key").isNull()
    no_fault = F.lit(None)
    return (
        F.when(F.col("_value_bytes").isNull(), no_fault)
        .when(F.length("_value_bytes") == 0, _is("empty", "the value has no bytes; a tombstone has no value"))
        .when(~F.col("_is_utf8"), _is("not_utf8", "the key or the value is not UTF-8"))
        .when(~F.col("_is_json"), _is("not_json", "the value is not one JSON object without repeated keys"))
        .when(F.col("_kind").isNull(), _is("no_op", F.concat(F.lit("op is "), F.coalesce(_shown(op), F.lit("missing")))))
        .when(F.col("_kind") == "message", no_fault)
        .when(source.isNotNull() & is_elsewhere, _is("wrong_table", F.concat(F.lit("the payload is of table "), _shown(payload_table))))
        .when(F.col("_key_bytes").isNull() & ~op.isin(*_KEYLESS_OPS), _is("null_key", F.concat(F.lit("op "), op, F.lit(" without a key"))))
        .when(missing != "", _is("no_position", missing))
        .when(~F.col("_has_key"), _is("bad_value", f"after: lacks a key column ({', '.join(table.key)})"))
        .when(is_lost_link, _is("bad_value", F.concat(F.lit("header: '"), _shown(F.col(LINKED_TEXT)), F.lit("' is no key of this table"))))
        .when(misfits != "", _is("bad_value", misfits))
        .when(F.size(refused) > 0, _is("refused", F.concat_ws(", ", refused)))
    )


def text_of(name: str) -> str:
    """The column that holds a declared column's text as received."""
    return f"_text_{name}"


def _misfits(table: Table) -> Column:
    """What is wrong with the values, empty where nothing is. Any text is a STRING: those need no look."""
    is_keyed = F.col("_kind").isin(*_KEYED_KINDS)
    lost = [_if_lost(column.name, column.type) for column in table.columns if column.type != "STRING"]
    keyless = [F.when(is_keyed & F.col(name).isNull(), f"{name}: a key column needs a value") for name in table.key]
    return F.concat_ws("; ", *lost, *keyless)


def _if_lost(name: str, type_: str) -> Column:
    text = F.col(text_of(name))
    is_lost = F.col(name).isNull() & text.isNotNull() & ~F.array_contains("_unchanged", name)
    return F.when(is_lost, F.concat(F.lit(f"{name}: '"), _shown(text), F.lit(f"' is not a {type_}")))


def _shown(text: Column) -> Column:
    return F.left(text, F.lit(_SHOWN_CHARACTERS))


def _is(reason: str, detail: str | Column) -> Column:
    return F.struct(F.lit(reason).alias("reason"), (F.lit(detail) if isinstance(detail, str) else detail).alias("detail"))
