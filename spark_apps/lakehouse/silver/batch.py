"""A batch of one source table's records in process: decoded, quarantined or folded, and written."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from lakehouse import platform_tables
from lakehouse.errors import TooLargeError
from lakehouse.lake.forgotten import forgotten as read_forgotten
from lakehouse.silver import bronze, forgotten, quarantine
from lakehouse.silver.stored import StoredChanges
from lakehouse.transforms.history import fold
from lakehouse.transforms.history.form import Form
from lakehouse.transforms.records import envelope
from lakehouse.transforms.records.envelope import Decoded, Decoder

if TYPE_CHECKING:
    from lakehouse.contract import Table
    from lakehouse.delta.log import Snapshot
    from lakehouse.lake.lake import Lake
    from lakehouse.lake.state import TableState
    from lakehouse.transforms.history.fold import Difference
    from lakehouse.transforms.history.form import Row
    from lakehouse.transforms.records.received import Record
    from lakehouse.transforms.records.truncates import Truncate


class Batch:
    """One run over records of a table, from `known`, its state at the start of the run, with bronze as of `landed`."""

    def __init__(self, lake: Lake, table: Table, known: TableState, landed: Snapshot) -> None:
        source = bronze.source(landed)
        self.lake, self.table, self.known, self.landed = lake, table, known, landed
        self.form, self.decoder = _form(table), _decoder(table, source.placeholders if source else (), lake.settings.source_schema)
        self.forgotten = read_forgotten(lake, table)

    def decode(self, records: Iterable[Record]) -> Decoded:
        """The records, sorted into changes and faults; TooLargeError if some hold data of forgotten people."""
        taken = list(records)
        decoded = self.decoder.decode(taken)
        return forgotten.kept_out(self.table, decoded, self.decoder, taken, self.forgotten) if self.forgotten else decoded

    def apply(self, decoded: Decoded, reached: TableState) -> int | None:
        """Write quarantine, then the difference to silver with the checkpoint of `reached`; the commit's number, None without one."""
        quarantine.enter(self.lake, self.table, decoded.faults)
        stored = StoredChanges(self.lake, self.form)
        difference = self._difference(decoded, reached, stored)
        quarantine.enter(self.lake, self.table, quarantine.beaten(self.lake, self.table, self.decoder, difference.contested, self.landed))
        if not difference.rows:
            return None
        return stored.replace(difference.rows, platform_tables.writer_of(self.table), reached.checkpoint())

    def refuse_overtaken(self) -> None:
        """Raise TooLargeError if people were forgotten since the run began: what it wrote may hold their data."""
        if read_forgotten(self.lake, self.table) != self.forgotten:
            raise TooLargeError(f"{self.table.full_name}: people were forgotten while this run was under way")

    def _difference(self, decoded: Decoded, reached: TableState, stored: StoredChanges) -> Difference:
        places = {truncate.place for truncate in self.known.truncates}
        new_truncates = [truncate for truncate in reached.truncates if truncate.place not in places]
        incoming = fold.Incoming(
            changes=decoded.changes,
            run=self.landed.version,
            blocked=quarantine.waiting(self.lake, self.table, self.decoder, self.landed),
            truncates=reached.truncates,
            new_truncates=new_truncates,
        )
        return fold.difference(self.form, incoming, self._newest(decoded, stored, new_truncates), stored.whole)

    def _newest(self, decoded: Decoded, stored: StoredChanges, new_truncates: list[Truncate]) -> list[Row]:
        if new_truncates:
            # A truncate affects every key.
            return stored.every_newest()
        keys = {self.form.key_of(change.values) for change in decoded.changes}
        keys |= {place.key for place in envelope.places(decoded, self.table)}
        keys |= {self.form.key_of_json(change.linked_key) for change in decoded.changes if change.linked_key is not None}
        return stored.newest(keys)


@lru_cache(maxsize=64)
def _form(table: Table) -> Form:
    return Form(table)


@lru_cache(maxsize=64)
def _decoder(table: Table, placeholders: tuple[str, ...], source_schema: str) -> Decoder:
    return Decoder(table, placeholders, source_schema)
