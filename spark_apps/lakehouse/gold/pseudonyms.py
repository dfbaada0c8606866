"""Pseudonyms of personal values in gold: HMAC-SHA256 with the secret `pseudonyms`, joinable but not identifying.

Equal values have equal hashes in every table. Unlike with a plain hash, known values cannot be hashed and compared without the secret. If a
lake's secret is lost, the next full recomputation writes other hashes.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from lakehouse.errors import EbapError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame

    from lakehouse.contract import Table
    from lakehouse.settings import Settings

SECRET = "pseudonyms"
_BLOCK = 64  # bytes that SHA-256 takes at a time


def hidden(rows: DataFrame, table: Table, settings: Settings) -> DataFrame:
    """The rows with each column declared as hashed replaced by its hash; NULL stays NULL."""
    named = [column.name for column in table.columns if column.hashed]
    if not named:
        return rows
    from pyspark.sql import functions as F

    secret = settings.secret(SECRET).encode()
    return rows.withColumns({name: hmac_sha256(F.col(name), secret) for name in named})


def hidden_table(rows: pa.Table, table: Table, settings: Settings) -> pa.Table:
    """The same for an Arrow table."""
    import pyarrow as pa  # not needed by `hidden`

    secret = settings.secret(SECRET).encode()
    for name in (column.name for column in table.columns if column.hashed):
        values = rows[name].to_pylist()
        hashes = {value: None if value is None else hmac.new(secret, value.encode(), hashlib.sha256).hexdigest() for value in set(values)}
        hashed = pa.array([hashes[value] for value in values], pa.string())
        rows = rows.set_column(rows.column_names.index(name), name, hashed)
    return rows


def hmac_sha256(text: Column, secret: bytes) -> Column:
    """The HMAC of a text in UTF-8 (RFC 2104), in hex. Spark has no such function; a secret longer than a block is rejected."""
    from pyspark.sql import functions as F

    if len(secret) > _BLOCK:
        raise EbapError(f"the secret {SECRET} has {len(secret)} bytes", f"give at most {_BLOCK}, which are used as they are")
    padded = secret.ljust(_BLOCK, b"\0")
    outer, inner = (F.lit(bytes(byte ^ pad for byte in padded)) for pad in (0x5C, 0x36))
    digest = F.sha2(F.concat(inner, text.cast("binary")), 256)
    return F.sha2(F.concat(outer, F.unhex(digest)), 256)
