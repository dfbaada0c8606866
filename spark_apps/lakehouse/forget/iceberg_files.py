"""Search for forgotten people in all files of the Iceberg tables, live or of older snapshots.

A file that no snapshot needs is deleted by the first compaction that is more than a day later. Files are listed in the object store, and
not taken from the tables' metadata.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow.compute as pc
from pyarrow.fs import FileSelector, S3FileSystem
from pyarrow.parquet import ParquetFile

from lakehouse import tables
from lakehouse.contract import LONGEST_READER_H
from lakehouse.forget.verify import Leftover, last_erased
from lakehouse.lake.lake import Lake
from lakehouse.live import erasure, trino

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from lakehouse.contract import Table
    from lakehouse.settings import Settings

# Expiry keeps a day of snapshots. It runs hourly; a day is allowed for it.
_KEPT = timedelta(hours=LONGEST_READER_H + 24)


def find(spark: SparkSession, settings: Settings) -> list[Leftover]:
    """One finding for each table with personal data; none if nobody is forgotten, or the tables do not exist."""
    users = erasure.people(Lake(settings))
    known = "SELECT 1 FROM iceberg.information_schema.tables WHERE table_schema = 'ebap' AND table_name = 'events'"
    if not users or not trino.query(settings, known).rows:
        return []
    source = tables.source(str(erasure.USER.person))
    listed_at = last_erased(spark, source)
    return [_leftover(settings, table, users, source.name, listed_at) for table in erasure.PERSONAL]


def _leftover(settings: Settings, table: Table, users: Collection[int], source: str, listed_at: datetime) -> Leftover:
    store = S3FileSystem(
        access_key=settings.secret("s3_access_key"),
        secret_key=settings.secret("s3_secret_key"),
        endpoint_override=settings.s3_address,
        region=settings.s3_region,
    )
    metadata = trino.query(settings, f'SELECT file FROM "{table.name}$metadata_log_entries" LIMIT 1').rows[0][0]
    folder = _path(metadata).rpartition("/metadata/")[0] + "/data"
    live = {_path(path) for (path,) in trino.query(settings, f'SELECT file_path FROM "{table.name}$files"').rows}
    read, keys, found = 0, set[int](), set[str]()
    for entry in store.get_file_info(FileSelector(folder, recursive=True, allow_not_found=True)):
        if entry.path.endswith(".parquet"):
            try:
                with store.open_input_file(entry.path) as file:
                    named = _named(ParquetFile(file), table, users)
            except FileNotFoundError:  # compaction has deleted it meanwhile
                continue
            read += 1
            keys |= named
            found |= {entry.path} if named else set()
    return Leftover(
        table=table.full_name,
        source=source,
        read=read,
        keys=len(keys),
        files=len(found),
        live=len(found & live),
        gone_by=(_erased_at(settings, table) or listed_at) + _KEPT,
        live_cure="the service activity erases them in its next round: start it, see `make status`",
        old_cure=f"`python -m lakehouse optimize {table.name}` deletes them",
    )


def _erased_at(settings: Settings, table: Table) -> datetime | None:
    """When rows were last rewritten, which the final lane does to erase; None if that snapshot has expired."""
    query = f"SELECT to_unixtime(max(committed_at)) FROM \"{table.name}$snapshots\" WHERE operation = 'overwrite'"
    at = trino.query(settings, query).rows[0][0]
    return None if at is None else datetime.fromtimestamp(at, UTC)


def _path(uri: str) -> str:
    """Bucket and path."""
    return uri.partition("://")[2]


def _named(file: ParquetFile, table: Table, users: Collection[int]) -> set[int]:
    """The users that a file names; a file of positions of deleted rows has none of the columns."""
    column = erasure.USER.name if table is erasure.EVENTS else "value"
    if column not in file.schema_arrow.names:
        return set()
    found = file.read([column])[column]
    if table is erasure.EVENTS:
        return set(pc.unique(found).to_pylist()) & set(users)
    said = re.compile(erasure.pattern(erasure.USER, sorted(users)).encode())
    return {int(match[1]) for value in found.to_pylist() if value for match in said.finditer(value)}
