"""Decoding of one Kafka record as a change of one table, and rows of the stored form: plain Python, no engine.

Values of a row: TIMESTAMP is an int of microseconds since 1970 UTC, DATE an int of days, DECIMAL a decimal.Decimal, BIGINT, INT and
SMALLINT an int, DOUBLE and FLOAT a float (NaN is always the object `values.NAN`, so that rows compare equal), BOOLEAN a bool, STRING a str,
BINARY bytes, ARRAY<STRING> a tuple of str or None. A key is a tuple of its columns' values in key order.
"""
