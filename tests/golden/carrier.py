"""Many histories folded together: each has its own keys, and all of them take each step at once."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lakehouse.contract import Column, History, Table
from lakehouse.platform_tables import stored
from lakehouse.transforms.heavy import folding
from lakehouse.transforms.heavy.folding import Incoming
from tests.golden.oracle import COLUMNS, UNCHANGED, WHOLE_TABLE, Change, Key, Version

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RECEIVED = (
    "_kind STRING, _epoch INT, _lsn BIGINT, _txid BIGINT, _last_commit_lsn BIGINT, _offset BIGINT, _commit_at TIMESTAMP, "
    "_content_hash STRING, _unchanged ARRAY<STRING>, _linked_key STRING"
)
Row = tuple[Any, ...]


def declared(tracked: Sequence[str]) -> Table:
    """A table of histories with a composite key."""

    def text(name: str, is_tracked: bool = True) -> Column:
        return Column(name=name, type="STRING", doc="A value.", tracked=is_tracked)

    return Table(
        name="cases",
        doc="Cases.",
        grain="one row per key of a case",
        key=("case_id", "first", "second"),
        history=History.FULL,
        owner="tests",
        max_age_s=1,
        columns=(
            Column(name="case_id", type="BIGINT", doc="Which history."),
            text("first"),
            text("second"),
            *(text(name, name in tracked) for name in COLUMNS),
        ),
    )


@dataclass
class Silver:
    """Stored changes of many histories between two steps, as refine reads them; `writes` counts rows written per history.

    A truncate empties a whole table, which many histories share here, so histories with truncates are not supported.
    """

    spark: SparkSession
    tracked: Sequence[str] = COLUMNS
    rows: dict[Row, Any] = field(default_factory=dict)
    writes: dict[int, int] = field(default_factory=dict)
    runs: int = 0
    contested: set[tuple[int, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.table = declared(self.tracked)
        self.form = stored(self.table)

    def take(self, batches: Iterable[tuple[int, Change]]) -> None:
        """One run of refine's transform over one batch of every history."""
        self.runs += 1
        taken = list(batches)
        assert all(change.key != WHOLE_TABLE for _, change in taken)
        changes = self.spark.createDataFrame([_record(*one) for one in taken], f"{self.table.schema_ddl()}, {_RECEIVED}")
        incoming = Incoming(table=self.table, changes=changes, run=self.runs, has_links=any(change.linked for _, change in taken))
        before = self.spark.createDataFrame(list(self.rows.values()), self.form.schema_ddl())
        made = folding.difference(incoming, changes.select(*self.table.key).distinct(), before)
        self.writes = defaultdict(int)
        for row in made.rows.collect() if made.rows else []:
            self.writes[row["case_id"]] += 1
            self.rows[tuple(row[name] for name in self.form.key)] = row
        self.contested = {(row["case_id"], row["_lsn"]) for row in made.contested.collect()} if made.contested else set()

    def from_scratch(self, batches: Iterable[tuple[int, Change]]) -> set[Row]:
        """The stored form of these changes from scratch, without the run."""
        changes = self.spark.createDataFrame([_record(*one) for one in batches], f"{self.table.schema_ddl()}, {_RECEIVED}")
        rows, _ = folding.fold_all(Incoming(table=self.table, changes=changes, run=self.runs, has_links=True))
        return {_without_run(row) for row in rows.collect()}

    def stored(self) -> set[Row]:
        """All rows, without the run."""
        return {_without_run(row) for row in self.rows.values()}

    def versions(self) -> dict[int, list[Version]]:
        """The visible versions of each history, sorted as the oracle sorts them."""
        found: dict[int, list[Version]] = defaultdict(list)
        for row in self.rows.values():
            if row["_is_visible"]:
                found[row["case_id"]].append(version(row))
        return {case: sorted(versions, key=lambda v: (v.key, v.from_us)) for case, versions in found.items()}

    def live(self) -> dict[int, list[Row]]:
        """Key and values of the newest rows that are not deletes, per history: what `silver.<table>` shows."""
        found: dict[int, list[Row]] = defaultdict(list)
        for row in self.rows.values():
            if row["_last"] and row["_kind"] in ("read", "upsert"):
                found[row["case_id"]].append((row["first"], row["second"], *(row[name] for name in COLUMNS)))
        return {case: sorted(rows, key=str) for case, rows in found.items()}


def in_step(histories: Sequence[Sequence[Sequence[Change]]]) -> Iterable[list[tuple[int, Change]]]:
    """Batch 1 of every history, then batch 2 of those that have one, and so on; a history's number is its place."""
    for step in range(max(map(len, histories))):
        yield [(case, change) for case, batches in enumerate(histories) if step < len(batches) for change in batches[step]]


def _without_run(row: Any) -> Row:
    named = {**row.asDict(), "_run": None}
    return tuple(tuple(value) if isinstance(value, list) else value for value in named.values())


def _record(case: int, change: Change) -> Row:
    values = change.values or (None,) * len(COLUMNS)
    known = tuple(None if value == UNCHANGED else value for value in values)
    unchanged = [name for name, value in zip(COLUMNS, values, strict=True) if value == UNCHANGED]
    place = (change.kind, change.epoch, change.lsn, change.txid, change.last_commit_lsn, change.offset, _at(change.at_us))
    linked = change.linked and json.dumps({"case_id": case, "first": change.linked[0], "second": change.linked[1]}, separators=(",", ":"))
    return (case, *change.key, *known, *place, change.content_hash, unchanged, linked)


def version(row: Any) -> Version:
    """A row of history as a Version of the oracle."""
    return Version(
        key=(row["first"], row["second"]),
        values=tuple(row[name] for name in COLUMNS),
        from_us=_us(row["_valid_from"]),
        from_lsn=row["_from_lsn"],
        to_us=None if row["_valid_to"] is None else _us(row["_valid_to"]),
        to_lsn=row["_to_lsn"],
        unresolved=tuple(row["_unresolved"]),
        previous=_key(row["_previous_key"]),
    )


def _key(text: str | None) -> Key | None:
    parts = json.loads(text) if text else None
    return parts and (parts["first"], parts["second"])


def _at(us: int) -> datetime:
    return (_EPOCH + timedelta(microseconds=us)).replace(tzinfo=None)


def _us(at: datetime) -> int:
    return (at.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
