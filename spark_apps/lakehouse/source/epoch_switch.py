"""Switch to another Postgres as the next epoch, whose changes are later than all before, however low its positions."""

from __future__ import annotations

from lakehouse import tables
from lakehouse.errors import EbapError
from lakehouse.lake import epochs
from lakehouse.lake.lake import Lake
from lakehouse.settings import Settings
from lakehouse.source import apply, connect, connection, gate, setup
from lakehouse.source.schema_log import SchemaLog

# Connect stores offsets once a minute.
_OFFSET_LIMIT_S = 180


def accept(lake: Lake) -> str:
    """Stop the capture, forget where it stood, and begin anew with a snapshot of the source, as the next epoch; says what was done.

    Safe to repeat after a crash: until the source is remembered nothing was captured of it, and from then on `apply` is enough.
    Raises EbapError, also where the new source cannot be captured.
    """
    settings = lake.settings
    known, (identity, login_fault) = epochs.of_lake(lake), apply.source_identity(settings)
    if known is None:
        raise EbapError("this lake was filled from no Postgres yet", "`make up` captures the first")
    if identity is None:
        raise EbapError(f"role {setup.ROLE} cannot open a replication connection to the source ({login_fault})")
    if identity == known.identity:
        raise EbapError(f"the source is the Postgres that epoch {known.epoch} was filled from ({identity}): there is no other to accept")
    altered = SchemaLog(lake).altered_columns()
    apply.prepare(settings, altered, tables.SOURCES)
    # Before anything is forgotten: a source that cannot be captured must leave the way back open.
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
    """A slot that came along with a copy stands where this lake never read: the new snapshot makes its own."""
    with connection.capture_session(settings) as opened, opened.cursor() as cursor:
        cursor.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", [setup.SLOT])
