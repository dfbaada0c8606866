"""The source in one repeatable-read transaction, and which captured changes are visible in that snapshot.

Visibility follows from a change's transaction, not from its log position: a transaction that commits later may have written earlier.
Captured changes carry the 32 bits of the transaction id that the replication protocol has.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from lakehouse.contract import Table
from lakehouse.reconcile import canonical_text
from lakehouse.reconcile.checksum_diff import Key, Part, Row
from lakehouse.settings import Settings
from lakehouse.source import connection

if TYPE_CHECKING:
    from pyspark.sql import Column

_IDS = 2**32
# The planner overestimates the number of ranges, and a sort on disk takes as long as the rest of the query.
_NO_SORTING = "SET enable_sort = off"
# A 32-bit id repeats after 4 billion transactions, more than a server runs within an hour. A transaction that is not visible commits
# after the snapshot, except for a step of the source's clock.
_CLOCK_STEP = "INTERVAL 1 HOUR"

_TYPES = """
SELECT a.attname, coalesce(b.typname, t.typname) FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_type b ON t.typtype = 'd' AND b.oid = t.typbasetype
WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped
"""
_PRIMARY_KEY = """
SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
WHERE i.indrelid = %s::regclass AND i.indisprimary ORDER BY array_position(i.indkey::int2[], a.attnum)
"""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A repeatable-read snapshot: transactions below `xmax` except those `in_progress` are visible; 64-bit ids.

    `lsn` is a WAL position before the snapshot; `taken_at` is by the source's clock.
    """

    xmax: int
    in_progress: tuple[int, ...]
    lsn: int
    taken_at: datetime

    def is_unseen(self, epoch: int) -> Column:
        """Whether a stored change is not visible in the snapshot; `epoch` is the source's current one, earlier ones are visible.

        A change without a transaction, such as a read, is visible if its position is at or before `lsn`.
        """
        ahead = F.pmod(F.col("_txid") - self.xmax, F.lit(_IDS))
        is_later = (ahead < _IDS // 2) | F.pmod("_txid", F.lit(_IDS)).isin([id_ % _IDS for id_ in self.in_progress])
        is_recent = F.col("_commit_at") >= F.lit(self.taken_at) - F.expr(_CLOCK_STEP)
        of_transaction = is_later & is_recent
        unseen = F.when(F.col("_txid").isNull(), F.col("_lsn") > self.lsn).otherwise(of_transaction)
        return (F.col("_epoch") >= epoch) & F.coalesce(unseen, F.lit(False))


@contextmanager
def taken(settings: Settings) -> Iterator[tuple[Snapshot, Any]]:
    """A snapshot of the source and a cursor in its transaction, which is open until the end of the block."""
    with connection.owner_session(settings) as opened, opened.cursor() as cursor:
        cursor.execute(_NO_SORTING)
        cursor.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
        (lsn,) = cursor.fetchall()[0]
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursor.execute(
            "SELECT pg_snapshot_xmax(s)::text, ARRAY(SELECT pg_snapshot_xip(s)::text), clock_timestamp() FROM pg_current_snapshot() s"
        )
        xmax, in_progress, taken_at = cursor.fetchall()[0]
        yield Snapshot(xmax=int(xmax), in_progress=tuple(map(int, in_progress)), lsn=int(lsn), taken_at=taken_at), cursor


class SourceTable:
    """A table of the source in the snapshot; see `checksum_diff.Side`."""

    def __init__(self, cursor: Any, schema: str, table: Table) -> None:
        self.table, self._cursor, self._name = table, cursor, f'"{schema}"."{table.name}"'
        self.types: dict[str, str] = dict(self._query(_TYPES, [self._name]))
        self.key: list[str] = [name for (name,) in self._query(_PRIMARY_KEY, [self._name])]
        self.columns = canonical_text.compared(table, self.types)
        self._place, self._digest = canonical_text.source_place(table), canonical_text.source_digest(self.columns)

    def bounds(self) -> tuple[int, int]:
        """Least and greatest place, from the index if the key is a whole number; the full range for digests."""
        if self.table.column(self.table.key[0]).type not in canonical_text.WHOLE_NUMBERS:
            return -(2**63), 2**63 - 1
        least, greatest = self._query(f"SELECT min({self._place}), max({self._place}) FROM {self._name}")[0]
        return (least, greatest) if least is not None else (0, 0)

    def sums(self, shift: int, part: Part | None) -> dict[int, tuple[int, int]]:
        """Count and digest of each range."""
        rows = f"SELECT {self._place} AS place, {self._digest} AS digest FROM {self._name}{self._within(part)}"
        found = self._query(f"SELECT place >> {shift}, count(*), bit_xor(digest) FROM ({rows}) r GROUP BY 1")
        return {number: (count, digest) for number, count, digest in found}

    def rows(self, part: Part) -> dict[Key, Row]:
        """The rows of a part by key."""
        keys = ", ".join(canonical_text.source_text(self.table.column(name)) for name in self.table.key)
        found = self._query(f"SELECT {self._place}, {self._digest}, {keys} FROM {self._name}{self._within(part)}")
        return {tuple(key): Row(place, digest) for place, digest, *key in found}

    def texts(self, part: Part) -> dict[Key, dict[str, str | None]]:
        """The same rows with the text of each compared column."""
        keys = [canonical_text.source_text(self.table.column(name)) for name in self.table.key]
        values = [canonical_text.source_text(column) for column in self.columns]
        found = self._query(f"SELECT {', '.join(keys + values)} FROM {self._name}{self._within(part)}")
        return by_key(found, len(keys), [column.name for column in self.columns])

    def _within(self, part: Part | None) -> str:
        if part is None:
            return ""
        least, greatest = part.bounds
        numbers = ", ".join(map(str, part.numbers))
        return f" WHERE {self._place} BETWEEN {least} AND {greatest} AND ({self._place}) >> {part.shift} IN ({numbers})"

    def _query(self, query: str, values: list[str] | None = None) -> list[Any]:
        self._cursor.execute(query, values)
        found: list[Any] = self._cursor.fetchall()
        return found


def by_key(rows: list[Any], key_length: int, names: list[str]) -> dict[Key, dict[str, str | None]]:
    """Rows that begin with their keys, as texts by key and column."""
    return {tuple(row[:key_length]): dict(zip(names, row[key_length:], strict=True)) for row in rows}
