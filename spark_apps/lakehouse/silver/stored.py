"""Stored changes of one source table: rows of some keys with their positions in files, and the commit that replaces some."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from lakehouse.delta import reading
from lakehouse.delta.commit import commit
from lakehouse.delta.errors import AlreadyAppliedError
from lakehouse.errors import ConflictError
from lakehouse.transforms.records import arrow

if TYPE_CHECKING:
    from lakehouse.delta.log import Snapshot
    from lakehouse.delta.pruning import Filter
    from lakehouse.lake.lake import Lake
    from lakehouse.transforms.history.fold import Written
    from lakehouse.transforms.history.form import Form, Key, Row


class StoredChanges:
    """The stored changes as of a snapshot; rows have their file and position after the columns of the form."""

    def __init__(self, lake: Lake, form: Form) -> None:
        self._lake, self._form = lake, form
        self.snapshot: Snapshot = lake.snapshot(form.stored)

    def newest(self, keys: Collection[Key]) -> list[Row]:
        """The newest change of each of these keys that has any."""
        return self._rows(keys, {"_last": [True]})

    def every_newest(self) -> list[Row]:
        """The newest change of every key."""
        return self._read({"_last": [True]})

    def whole(self, keys: Collection[Key]) -> list[Row]:
        """All stored changes of these keys."""
        return self._rows(keys, {})

    def _rows(self, keys: Collection[Key], where: dict[str, Any]) -> list[Row]:
        if not keys:
            return []
        found = self._read({**where, self._form.table.key[0]: sorted({key[0] for key in keys})})
        if len(self._form.table.key) == 1:
            return found
        wanted = keys if isinstance(keys, set | frozenset | dict) else set(keys)
        return [row for row in found if self._form.key_of(row) in wanted]

    def _read(self, where: Filter) -> list[Row]:
        rows = reading.located(self._lake.con, self.snapshot, self._lake.store, where=where)
        return arrow.rows(rows, self._form.stored, extra=(reading.FILE, reading.POSITION))

    def replace(self, written: Iterable[Written], writer: str, metadata: Mapping[str, Any]) -> int:
        """Write these rows in place of the ones they replace, with the metadata, in one commit; its number among the writer's.

        Raises ConflictError where another writer changed the table since the snapshot.
        """
        last, width = self._form.place["_last"], self._form.width
        rows: dict[bool, list[Row]] = defaultdict(list)
        replaced: dict[str, list[int]] = defaultdict(list)
        for row, old in written:
            rows[row[last]].append(row)
            if old is not None:
                replaced[old[width]].append(old[width + 1])
        # Numbered by the version it was computed from: of two runs from the same version one commits.
        number = self.snapshot.version + 1
        try:
            commit(
                self._lake.log(self._form.stored),
                self.snapshot,
                operation="MERGE",
                writes=[({"_last": is_last}, arrow.arrow(group, self._form.stored)) for is_last, group in rows.items()],
                deletes=dict(replaced),
                txn=(writer, number),
                metadata=metadata,
            )
        except AlreadyAppliedError as error:
            raise ConflictError(str(error)) from error
        return number
