"""Switch to another Postgres as the next epoch; its changes sort after all earlier ones, whatever their LSN."""

from __future__ import annotations

from lakehouse import tables
from lakehouse.errors import EbapError
from lakehouse.lake import epochs
from lakehouse.lake.lake import Lake
from lakehouse.settings import Settings
from lakehouse.source import apply, connect, connection, gate, setup
from lakehouse.source.schema_log import SchemaLog

# Connect commits offsets once a minute.
_OFFSET_LIMIT_S = 180


def accept(lake: Lake) -> str:
    """Stop capture, delete offset and slot, and start the next epoch with a snapshot of the new source; returns a summary.

    Safe to repeat after a crash: nothing is captured from the new source before it is stored; after that, `capture apply` completes
    the switch. Raises EbapError if there is no other source, or if it cannot be captured.
    """
    settings = lake.settings
    known, (identity, login_fault) = epochs.of_lake(lake), connection.source_identity(settings)
    if known is None:
        raise EbapError("this lake has not been filled from any Postgres yet", "`make up` captures the first")
    if identity is None:
        raise EbapError(f"role {setup.ROLE} cannot open a replication connection to the source ({login_fault})")
    if identity == known.identity:
        raise EbapError(f"the source is the Postgres that epoch {known.epoch} was filled from ({identity}): there is no other to accept")
    altered = SchemaLog(lake).altered_columns()
    apply.prepare(settings, altered, tables.SOURCES)
    # Before the offset is deleted: if the new source cannot be captured, the old one must remain usable.
    apply.check(settings, None, altered, tables.SOURCES, begins_anew=True)
    connect.forget_offset(settings, apply.rendered(settings, known.epoch, known.placeholders[-1]))
    _drop_slot(settings)
    made = epochs.remember_source(lake, identity)
    gate.record(lake)
    apply.run(lake, made)
    connect.wait_offset(settings, _OFFSET_LIMIT_S)
    return (
        f"epoch {made.epoch} is Postgres {identity}; its snapshot has begun. Rows of the epoch before that it does not have stay in "
        "silver: no change will ever delete them"
    )


def _drop_slot(settings: Settings) -> None:
    """Drop a slot that was copied with the database: its position is unrelated to this lake. The connector creates a new one."""
    with connection.capture_session(settings) as opened, opened.cursor() as cursor:
        cursor.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", [setup.SLOT])
