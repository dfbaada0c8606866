"""What a connector's stack trace is taken for: whose fault it is, or nobody's."""

from __future__ import annotations

import pytest

from lakehouse.source import failures
from lakehouse.source.failures import Failure, Kind

_STOPPED = "org.apache.kafka.connect.errors.ConnectException: An exception occurred in the change event producer.\n\tat io.debezium.X\n"
_AT = (
    "Caused by: org.apache.kafka.connect.errors.ConnectException: Error while processing event at offset {lsn_proc=62768832, "
    "lsn_events_processed=1, messageType=INSERT, lsn_commit=7, lsn=62768832, txId=3531, ts_usec=1}\n"
)
_UNREAD = "PSQLException: Conversion of interval failed"


@pytest.mark.parametrize(
    ("trace", "expected"),
    [
        (
            _STOPPED + "Caused by: io.debezium.DebeziumException: Failed to properly convert data value for 'shop.products.embedding' of "
            "type _float4 for row [1, secret]:\nCaused by: java.lang.IllegalArgumentException: Unexpected\n",
            Failure(
                kind=Kind.TABLE,
                schema="shop",
                table="products",
                column="embedding",
                cause="DebeziumException: Failed to properly convert data value for 'shop.products.embedding' of type _float4",
            ),
        ),
        (
            _STOPPED + _AT + f"Caused by: org.postgresql.util.{_UNREAD}\nCaused by: java.lang.NumberFormatException: For input string\n",
            Failure(kind=Kind.EVENT, lsn=62768832, cause=_UNREAD),
        ),
        (
            _STOPPED + _AT + "Caused by: org.postgresql.util.PSQLException: Database connection failed when reading from copy\n"
            "Caused by: java.io.EOFException: nothing\n",
            Failure(kind=Kind.OTHER, cause="java.io.EOFException: nothing".removeprefix("java.io.")),
        ),
        (
            "org.apache.kafka.connect.errors.ConnectException: Unrecoverable exception from producer send callback\n"
            "Caused by: org.apache.kafka.common.errors.RecordTooLargeException: The message is 9 bytes\n",
            Failure(kind=Kind.SIZE, cause="RecordTooLargeException: The message is 9 bytes"),
        ),
        (
            _STOPPED
            + "Caused by: io.debezium.DebeziumException: Table 's.ok' has columns that differ only by case. Column name: 'v'. So\n",
            Failure(
                kind=Kind.TABLE,
                schema="s",
                table="ok",
                column="v",
                cause="DebeziumException: Table 's.ok' has columns that differ only by case. Column name: 'v'. So",
            ),
        ),
        (
            _STOPPED + "Caused by: org.apache.kafka.connect.errors.ConnectException: Snapshotting of table x.t failed\n"
            'Caused by: org.postgresql.util.PSQLException: ERROR: cursor "x" does not exist\n',
            Failure(kind=Kind.TABLE, schema="x", table="t", cause='PSQLException: ERROR: cursor "x" does not exist'),
        ),
        (
            _STOPPED + "Caused by: io.debezium.DebeziumException: The connector's offset is no longer available on the server\n",
            Failure(kind=Kind.POSITION, cause="DebeziumException: The connector's offset is no longer available on the server"),
        ),
        ("", Failure(kind=Kind.OTHER, cause="")),
    ],
)
def test_a_trace_is_taken_for_what_it_says(trace: str, expected: Failure) -> None:
    assert failures.of(trace) == expected
