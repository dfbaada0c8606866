"""Records of `bronze.changes` as the changes of one table, what cannot be read told apart with its reason.

Nothing here raises because of a record: a value that does not fit, a text that is no JSON and a record of another table all get a
`_reason`, keep their bytes and leave their neighbours alone. What decides, in this order: empty, not_utf8, not_json, no_op,
wrong_table, null_key, no_position, bad_value, refused.

Choices that the wire leaves open: a logical message (`m`) is no change and no error, like a tombstone. A repeated key, at the top
or within the row, is not_json; within `source` it is not looked for. A JSON number where a text belongs, or a quoted number, is
read by its text.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from functools import reduce
from hashlib import md5
from uuid import UUID

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from lakehouse.contract import Severity, Table
from lakehouse.transforms import faults, keychanges, ordering, quality
from lakehouse.transforms.values import JSON_OPTIONS, typed

CHANGES = ("read", "upsert", "delete", "truncate")
_KINDS = {"r": "read", "c": "upsert", "u": "upsert", "d": "delete", "t": "truncate", "m": "message"}
_ROW_OPS = ("r", "c", "u")

# An array of two: the record, and an end mark that only a record which ends where its text ends lets through. `after` is a map
# because a map keeps a repeated key, where a struct keeps the last silently.
_RECORD = """ARRAY<STRUCT<op STRING, after MAP<STRING, STRING>, source STRUCT<`schema` STRING, `table` STRING, lsn STRING,
    txId STRING, sequence STRING, ts_us STRING>>>"""
_END = ',{"op":"end"}]'

_NEVER_IN_TEXT = "\0"  # Postgres stores no NUL, so it separates columns without ambiguity
_LAST_MICROSECOND = 253_402_300_799_999_999  # of the year 9999, the last that clients can hold


def decode(bronze: DataFrame, table: Table, placeholders: Sequence[str], source_schema: str | None = None) -> DataFrame:
    """One row a record of that table's topic: its declared columns, typed, and what history needs to place it.

    A read or upsert carries the values of `after`; a delete only its key, from the Kafka key, because `before` carries junk. A
    column that came as one of `placeholders` is NULL and named in `_unchanged`. `_kind` is read, upsert, delete, truncate,
    tombstone or message; `_reason` and `_detail` are NULL for a record that can be used. Without `source_schema` only the name of
    the table is compared with the payload's.
    """
    opened = _opened(_parsed(bronze), table)
    values = _values(opened, table, placeholders)
    return _judged(values, table, source_schema)


def good(decoded: DataFrame) -> DataFrame:
    """The changes: rows of `decode` without a fault, tombstones and messages left out."""
    return decoded.where(F.col("_reason").isNull() & F.col("_kind").isin(*CHANGES))


def bad(decoded: DataFrame) -> DataFrame:
    """The faulty rows of `decode` in the columns of `silver.quarantine`, but for its two times."""
    return decoded.where(F.col("_reason").isNotNull()).select(
        F.col("_source_table").alias("source_table"),
        F.col("_reason").alias("reason"),
        F.col("_detail").alias("detail"),
        F.col("_topic").alias("topic"),
        F.col("_partition").alias("partition"),
        F.col("_offset").alias("offset"),
        F.col("_key_bytes").alias("key"),
        F.col("_value_bytes").alias("value"),
        F.sha2(F.col("_value_bytes"), 256).alias("sha256"),
    )


def blocked(decoded: DataFrame, table: Table) -> DataFrame:
    """Key columns, `_epoch`, `_lsn` and `_offset` of each faulty row whose key can be read: these keys wait for a fix.

    `_epoch` and `_lsn` are NULL where the record does not tell them.
    """
    return _placed(decoded.where(F.col("_reason").isNotNull()), table)


def waiting(landed: DataFrame, table: Table, placeholders: Sequence[str], source_schema: str | None = None) -> DataFrame:
    """The same of records that wait in quarantine, in the columns of bronze, whether or not they could be read by now."""
    return _placed(decode(landed, table, placeholders, source_schema), table)


def _placed(rows: DataFrame, table: Table) -> DataFrame:
    has_key = [F.col(name).isNotNull() for name in table.key]
    return rows.where(reduce(Column.__and__, has_key)).select(*table.key, "_epoch", "_lsn", "_offset")


def _parsed(bronze: DataFrame) -> DataFrame:
    value = F.col("value").cast("string")
    key = F.col("key").cast("string")
    # A record has one of them: an upsert tells the old key of a primary-key change, a delete the new one.
    linked = F.filter("headers", lambda header: header["key"].isin("__debezium.oldkey", "__debezium.newkey"))
    return bronze.select(
        F.col("source_table").alias("_source_table"),
        F.col("topic").alias("_topic"),
        F.col("partition").alias("_partition"),
        F.col("offset").alias("_offset"),
        F.col("epoch").alias("_epoch"),
        F.col("key").alias("_key_bytes"),
        F.col("value").alias("_value_bytes"),
        F.get(linked, F.lit(0))["value"].cast("string").alias(faults.LINKED_TEXT),
        (F.is_valid_utf8(value) & F.coalesce(F.is_valid_utf8(key), F.lit(True))).alias("_is_utf8"),
        F.json_object_keys(value).alias("_names"),
        F.from_json(F.concat(F.lit("["), value, F.lit(_END)), _RECORD, JSON_OPTIONS).alias("_records"),
    )


def _opened(parsed: DataFrame, table: Table) -> DataFrame:
    """Adds the parts of the record, `_has_key` (its row carries the whole key) and each declared column's text as received."""
    record = F.get(F.col("_records"), F.lit(0))
    after = record["after"]
    is_object = record.isNotNull() & (F.size("_records") == 2)
    is_row = F.coalesce(record["op"].isin(*_ROW_OPS), F.lit(False))
    key = F.from_json(F.col("_key_bytes").cast("string"), "MAP<STRING, STRING>", JSON_OPTIONS)
    texts = []
    has_key = F.lit(True)
    for name in table.column_names:
        text = F.when(is_row, after[name])
        if name in table.key:
            has_key = has_key & (~is_row | after[name].isNotNull())
            text = F.coalesce(text, key[name])
        texts.append(text.alias(faults.text_of(name)))
    is_without_repeats = _is_without_repeats(F.col("_names")) & _is_without_repeats(F.map_keys(after))
    return parsed.select(
        "*",
        record["op"].alias("_op"),
        record["source"].alias("_source"),
        F.coalesce(is_object & is_without_repeats, F.lit(False)).alias("_is_json"),
        has_key.alias("_has_key"),
        *texts,
    )


def _is_without_repeats(names: Column) -> Column:
    return F.coalesce(F.size(F.array_distinct(names)) == F.size(names), F.lit(True))


def _values(opened: DataFrame, table: Table, placeholders: Sequence[str]) -> DataFrame:
    """Adds the declared columns, typed, and what tells the change's place, content and unchanged columns."""
    texts = {name: F.col(faults.text_of(name)) for name in table.column_names}
    is_unchanged = {c.name: _is_unchanged(texts[c.name], c.type, placeholders) for c in table.columns}
    columns = [F.when(~is_unchanged[c.name], typed(texts[c.name], c.type)).alias(c.name) for c in table.columns]
    image = [F.when(is_unchanged[name], f"{name}?").otherwise(F.concat(F.lit(f"{name}="), texts[name])) for name in texts]
    source = F.col("_source")
    kind_of = F.create_map(*[F.lit(word) for pair in _KINDS.items() for word in pair])
    kind = F.when(F.col("_value_bytes").isNull(), "tombstone").otherwise(kind_of[F.col("_op")])
    linked = F.from_json(F.when(kind.isin("upsert", "delete"), F.col(faults.LINKED_TEXT)), "MAP<STRING, STRING>", JSON_OPTIONS)
    sequence, micros = source["sequence"], source["ts_us"].try_cast("BIGINT")
    return opened.select(
        "*",
        *columns,
        kind.alias("_kind"),
        ordering.position(F.col("_op"), source["lsn"].try_cast("BIGINT"), sequence).alias("_lsn"),
        F.when(F.col("_op") != "r", source["txId"].try_cast("BIGINT")).alias("_txid"),
        ordering.last_commit(sequence).alias("_last_commit_lsn"),
        F.when(micros.between(0, _LAST_MICROSECOND), F.timestamp_micros(micros)).alias("_commit_at"),
        F.sha2(F.concat_ws(_NEVER_IN_TEXT, *image).cast("binary"), 256).alias("_content_hash"),
        F.array_compact(F.array(*[F.when(is_unchanged[name], name) for name in texts])).alias("_unchanged"),
        keychanges.as_json([typed(linked[name], table.column(name).type).alias(name) for name in table.key]).alias("_linked_key"),
    )


def _is_unchanged(text: Column, type_: str, placeholders: Sequence[str]) -> Column:
    """Whether a text is a placeholder in the form that its type gives it; never NULL. Other types are never stored out of line."""
    forms = {
        "STRING": list(placeholders),
        "BINARY": [b64encode(placeholder.encode()).decode() for placeholder in placeholders],
        "ARRAY<STRING>": [json.dumps([form]) for placeholder in placeholders for form in (placeholder, _as_uuid(placeholder))],
    }.get(type_)
    return F.coalesce(text.isin(forms), F.lit(False)) if forms else F.lit(False)


def _as_uuid(placeholder: str) -> str:
    """The element by which Debezium says that an array of uuid is unchanged: the placeholder's name-based UUID, of Java's kind."""
    return str(UUID(bytes=md5(placeholder.encode(), usedforsecurity=False).digest(), version=3))


def _judged(values: DataFrame, table: Table, source_schema: str | None) -> DataFrame:
    """Keeps what `decode` promises, and says what is wrong with each record."""
    is_row = F.col("_kind").isin("read", "upsert")
    no_names = F.array().cast("ARRAY<STRING>")
    flags = F.when(is_row, quality.broken(table, Severity.FLAG, F.col("_unchanged"))).otherwise(no_names)
    refused = F.when(is_row, quality.broken(table, Severity.REFUSE, F.col("_unchanged"))).otherwise(no_names)
    judged = F.struct(
        *table.column_names,
        *("_kind", "_epoch", "_lsn", "_txid", "_last_commit_lsn", "_offset", "_commit_at", "_content_hash", "_unchanged", "_linked_key"),
        flags.alias("_flags"),
        faults.first(table, refused, source_schema).alias("_fault"),
        *("_source_table", "_topic", "_partition", "_key_bytes", "_value_bytes"),
    )
    # A filter on the result would otherwise be pushed below the parse and repeat it for each column it reads: 500 µs a record
    # instead of 15. Nothing is pushed through a generator.
    rows = values.select(F.inline(F.array(judged)))
    return rows.select("*", F.col("_fault.reason").alias("_reason"), F.col("_fault.detail").alias("_detail")).drop("_fault")
