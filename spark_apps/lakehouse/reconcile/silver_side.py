"""Silver as of a snapshot of the source, at one version of its stored changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from lakehouse import platform_tables
from lakehouse.contract import Table
from lakehouse.lake import commits, epochs, quarantined_records, storage
from lakehouse.reconcile import canonical_text
from lakehouse.reconcile.checksum_diff import Key, Part, Row
from lakehouse.reconcile.source_side import Snapshot, by_key
from lakehouse.settings import Settings
from lakehouse.transforms.heavy import as_of, decoding
from lakehouse.transforms.records.changes import READ, UPSERT

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# Position of the change that wrote a row.
_POSITION = ("_epoch", "_lsn", "_offset", "_is_blocked")


class SilverTable:
    """Silver's rows of a table as of the snapshot; see `checksum_diff.Side`."""

    def __init__(self, spark: SparkSession, settings: Settings, table: Table, snapshot: Snapshot, source_types: Mapping[str, str]) -> None:
        self._spark, self._settings, self._table, self._types = spark, settings, table, source_types
        self._source = epochs.source_identity(spark)
        columns = canonical_text.compared(table, source_types)
        self._names = [column.name for column in columns]
        self._place = F.expr(canonical_text.silver_place(table, source_types))
        self._digest = F.expr(canonical_text.silver_digest(columns, source_types))
        self._keys = [self._text(name) for name in table.key]
        full_name = platform_tables.stored(table).full_name
        changes = storage.read_version(spark, full_name, commits.version(spark, full_name))
        is_unseen = snapshot.is_unseen(self._source.epoch if self._source else 1)
        # Computed once: each query would otherwise read the whole history of these keys again.
        moved_on = as_of.moved_on(changes, table, is_unseen).localCheckpoint()
        self._newest = as_of.settled(changes, is_unseen).unionByName(moved_on)
        self._rows = self._newest.where(F.col("_kind").isin(READ, UPSERT))

    def sums(self, shift: int, part: Part | None) -> dict[int, tuple[int, int]]:
        """Count and digest of each range."""
        placed = self._within(self._rows, part).select(F.shiftright(self._place, shift).alias("number"), self._digest.alias("digest"))
        summed = placed.groupBy("number").agg(F.count(F.lit(1)).alias("rows"), F.bit_xor("digest").alias("digest"))
        return {row["number"]: (row["rows"], row["digest"]) for row in summed.collect()}

    def rows(self, part: Part) -> dict[Key, Row]:
        """The rows of a part by key."""
        return self._keyed(self._rows, part)

    def newest(self, part: Part) -> dict[Key, Row]:
        """The newest changes of the keys of a part, deletes included."""
        return self._keyed(self._newest, part)

    def texts(self, part: Part) -> dict[Key, dict[str, str | None]]:
        """The rows of a part with the text of each compared column."""
        values = [self._text(name) for name in self._names]
        found = self._within(self._rows, part).select(*_numbered(self._keys + values)).collect()
        return by_key([tuple(row) for row in found], len(self._keys), self._names)

    def waiting(self) -> dict[Key, list[tuple[int | None, int | None, int]]]:
        """Epoch, lsn (either may be None) and offset of each waiting record in quarantine, by key."""
        earlier = storage.read_quarantine(self._spark, self._table).where("replayed_at IS NULL")
        as_landed = quarantined_records.with_epoch(self._spark, self._table, earlier)
        placeholders = self._source.placeholders if self._source else ()
        waiting = decoding.waiting(as_landed, self._table, placeholders, self._settings.source_schema)
        found: dict[Key, list[Any]] = {}
        for row in waiting.select("_epoch", "_lsn", "_offset", *_numbered(self._keys)).collect():
            epoch, lsn, offset, *key = row
            found.setdefault(tuple(key), []).append((epoch, lsn, offset))
        return found

    def _keyed(self, rows: DataFrame, part: Part) -> dict[Key, Row]:
        columns = (self._place.alias("place"), self._digest.alias("digest"), *_POSITION, *_numbered(self._keys))
        return {tuple(row[6:]): Row(*row[:6]) for row in self._within(rows, part).select(*columns).collect()}

    def _within(self, rows: DataFrame, part: Part | None) -> DataFrame:
        if part is None:
            return rows
        is_number = F.shiftright(self._place, part.shift).isin(list(part.numbers))
        return rows.where(self._place.between(*part.bounds) & is_number)

    def _text(self, name: str) -> Any:
        return F.expr(canonical_text.silver_text(self._table.column(name), self._types[name]))


def _numbered(texts: list[Any]) -> list[Any]:
    return [text.alias(f"text_{number}") for number, text in enumerate(texts)]
