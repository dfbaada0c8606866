"""Records of the event topics as rows of their declared tables, or as dead letters with the reason.

A record is one JSON object with every declared field. Each decision depends on the record alone, so that a record that is read again, in
whatever batch, gives the same row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.tables import dead_letters
from lakehouse.transforms.live.windows import GRACE_S, WINDOW_S

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from lakehouse.contract import Column, Table

_RECORD = ("topic", "key", "value", "partition AS kafka_partition", "offset AS kafka_offset", "timestamp AS kafka_at")
# The text of a field, in columns apart from the parsed ones.
_TEXT = "text of "
_UUID = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
_WHOLE = "^-?[0-9]{1,19}$"
# Sums of counts must stay within a BIGINT.
_COUNT = "^[0-9]{1,9}$"
_OLDEST = "TIMESTAMP '2000-01-01 00:00:00Z'"
# ISO 8601 with a zone: a cast alone also takes a bare year, or a time of today.
_INSTANT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$"


def read(records: DataFrame, tables: Sequence[Table], max_bytes: int) -> DataFrame:
    """Records of Kafka with one struct column per table, named after it, and `reason` and `detail` of a dead letter.

    A struct is NULL in records of other topics and in dead letters. The record's own columns are kept, those of Kafka as `kafka_*`.
    """
    # One step each: an expression that is used twice in one step may be computed twice.
    kept = records.selectExpr(*_RECORD)
    text = kept.selectExpr("*", f"CASE WHEN length(value) BETWEEN 1 AND {max_bytes} THEN CAST(value AS STRING) END AS text")
    parsed = text.selectExpr(
        "*", "is_valid_utf8(text) AS is_text", "try_parse_json(CASE WHEN is_valid_utf8(text) THEN text END) AS document"
    )
    fields = {column.name: column for table in tables for column in table.fields}
    texts = parsed.selectExpr("*", *(f"try_variant_get(document, '$.{name}', 'string') AS `{_TEXT}{name}`" for name in fields))
    typed = texts.selectExpr("*", *(f"{_typed(column)} AS `{name}`" for name, column in fields.items()))
    judged = typed.selectExpr("*", *_judgement(tables, max_bytes))
    columns = [F.col(name) for name in kept.columns] + [F.col("reason"), F.col("detail")]
    return judged.select(*columns, *(F.expr(_row(table)).alias(table.name) for table in tables))


def rows(read_records: DataFrame, table: Table) -> DataFrame:
    """The rows of one table: its fields, then what the platform adds from the record."""
    chosen = read_records.where(F.col(table.name).isNotNull())
    return chosen.select(f"{table.name}.*", "kafka_at", "kafka_partition", "kafka_offset")


def dead(read_records: DataFrame) -> DataFrame:
    """The dead letters."""
    return read_records.where("reason IS NOT NULL").select(*dead_letters.TABLE.column_names)


def is_late(at: str, received_at: str) -> str:
    """SQL: whether a record's window was final before Kafka received the record; false where it came from a file."""
    end = f"(floor(unix_micros({at}) / {WINDOW_S * 1_000_000}) + 1) * {WINDOW_S * 1_000_000}"
    return f"coalesce(unix_micros({received_at}) >= {end} + {GRACE_S * 1_000_000}, false)"


def _typed(column: Column) -> str:
    text = f"`{_TEXT}{column.name}`"
    if column.choices:
        choices = ", ".join(f"'{choice}'" for choice in column.choices)
        return f"CASE WHEN {text} IN ({choices}) THEN {text} END"
    match column.type:
        case "STRING":
            return f"CASE WHEN {text} RLIKE '{_UUID}' THEN {text} END" if column.is_uuid else text
        case "BIGINT":
            return f"CASE WHEN {text} RLIKE '{_COUNT if column.is_count else _WHOLE}' THEN try_cast({text} AS BIGINT) END"
        case "TIMESTAMP":
            # Each day is a partition: an instant of another age is a fault of the clock.
            is_instant = f"{text} RLIKE '{_INSTANT}' AND try_cast({text} AS TIMESTAMP) >= {_OLDEST}"
            return f"CASE WHEN {is_instant} THEN try_cast({text} AS TIMESTAMP) END"
    raise ValueError(f"a field of a record cannot be {column.type}")


def _judgement(tables: Sequence[Table], max_bytes: int) -> list[str]:
    by_table = {table: _faults(table) for table in tables}

    def first(kind: str) -> str:
        cases = " ".join(f"WHEN topic = '{table.topic}' THEN {faults[kind]}" for table, faults in by_table.items())
        return f"CASE {cases} END"

    reason = (
        "CASE WHEN coalesce(length(value), 0) = 0 THEN 'empty' "
        f"WHEN length(value) > {max_bytes} THEN 'too_large' "
        "WHEN NOT is_text THEN 'not_utf8' WHEN document IS NULL THEN 'not_json' "
        f"WHEN {first('wrong_shape')} IS NOT NULL THEN 'wrong_shape' "
        f"WHEN {first('unknown_type')} IS NOT NULL THEN 'unknown_type' "
        f"WHEN {first('bad_value')} IS NOT NULL THEN 'bad_value' END AS reason"
    )
    whole = f"coalesce(length(value), 0) = 0 OR length(value) > {max_bytes} OR NOT is_text OR document IS NULL"
    detail = f"CASE WHEN NOT ({whole}) THEN coalesce({first('wrong_shape')}, {first('unknown_type')}, {first('bad_value')}) END AS detail"
    return [reason, detail]


def _faults(table: Table) -> dict[str, str]:
    """SQL of the first field at fault, as a detail, NULL where there is none."""

    def first(columns: Sequence[Column], condition: str, says: str) -> str:
        cases = [
            f"CASE WHEN {condition.format(text=f'`{_TEXT}{c.name}`', name=f'`{c.name}`')} THEN '{c.name} {says.format(type=_kind(c))}' END"
            for c in columns
        ]
        return f"coalesce({', '.join([*cases, 'CAST(NULL AS STRING)'])})"

    given = "{text} IS NOT NULL AND {name} IS NULL"
    return {
        "wrong_shape": first([c for c in table.fields if not c.is_optional], "{text} IS NULL", "is missing"),
        "unknown_type": first([c for c in table.fields if _is_type(c)], given, "is not declared"),
        "bad_value": first(
            [c for c in table.fields if not _is_type(c) and (c.type != "STRING" or c.is_uuid or c.choices)], given, "is not a {type}"
        ),
    }


def _is_type(column: Column) -> bool:
    return bool(column.choices) and column.name.endswith("_type")


def _kind(column: Column) -> str:
    if column.choices:
        return f"known {column.name}"
    return "UUID" if column.is_uuid else "count" if column.is_count else column.type


def _row(table: Table) -> str:
    at = table.time_column
    values = [f"'{c.name}', least(`{at}`, kafka_at)" if c.name == at else f"'{c.name}', `{c.name}`" for c in table.fields]
    added = [f"'is_late', {is_late(f'least(`{at}`, kafka_at)', 'kafka_at')}", f"'is_clamped', coalesce(`{at}` > kafka_at, false)"]
    return f"CASE WHEN reason IS NULL AND topic = '{table.topic}' THEN named_struct({', '.join([*values, *added])}) END"
