"""Recovery of a connector that one value stopped: exclude an undeclared column, or stop the table of a declared one.

A failed connector stops the capture of all tables. Its stack trace contains the column, the LSN of the change, or only that a record
was too large; the replication slot and the catalog give the table. Excluded columns and stopped tables are recorded in
`silver.schema_changes`, and the connector's include and exclude lists are derived from there. Other tables lose nothing: the connector
resumes from its offset. After a failure that no table caused, such as an unreachable source, it is only restarted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from lakehouse import tables, wait
from lakehouse.lake.lake import Lake
from lakehouse.settings import Settings
from lakehouse.source import connect, connector, failures, pending
from lakehouse.source.failures import Failure, Kind
from lakehouse.source.schema_diff import Shape
from lakehouse.source.schema_log import SchemaLog

# A worker that ran out of memory is restarted within 15 s.
_WORKER_LIMIT_S = 60.0
_POLL_S = 0.5
# JSON is at most six times as long as its text. The slot gives bytea as hex (factor 2), JSON as base64 (factor 4/3): ratio 1.5.
_JSON_GROWTH = 6
_LOG_GROWTH = 1.5


@dataclass(frozen=True, kw_only=True)
class Blame:
    """What made the connector fail: a column to exclude or, with `is_stop`, a table to stop."""

    table: str
    column: str | None
    reason: str
    is_stop: bool


def failure(settings: Settings) -> Failure | None:
    """Why the connector failed; None if it runs, was stopped on purpose or does not exist."""
    try:
        state = connect.state(settings)
    except connect.WorkerError as error:
        # A worker killed by an oversized change fails again at each start; any other recovers on restart.
        is_killed = bool(pending.largest(settings, _certainly_too_large(settings)))
        return Failure(kind=Kind.SIZE, cause=str(error)) if is_killed else None
    return failures.of(state.trace) if "FAILED" in (state.connector, state.task) else None


def blamed(settings: Settings, found: dict[str, Shape], failed: Failure | None) -> list[Blame]:
    """Tables and columns that caused a failure, and tables with columns that differ only by case; `found` has every declared table."""
    return [*_same_names(found), *(_by_failure(settings, found, failed) if failed else ())]


def scope(log: SchemaLog) -> connector.Scope:
    """Tables and columns to exclude, by the log."""
    left_out: dict[str, list[str]] = {}
    for change in log.left_out():
        left_out.setdefault(change.source_table, []).append(str(change.column))
    return connector.Scope(stopped=log.not_captured(), left_out=left_out)


def follow(lake: Lake, *, has_failed: bool = False) -> None:
    """Update the connector's include and exclude lists from the log; with `has_failed`, restart it.

    Raises WorkerError if the worker does not answer.
    """
    settings = lake.settings
    lists = connector.lists(tables.SOURCES, settings.source_schema, scope(SchemaLog(lake)))
    for elapsed_s in wait.looks(_WORKER_LIMIT_S, every_s=_POLL_S):
        try:
            config = connect.config(settings)
            if config and config != config | lists:
                connect.configure(settings, config | lists)
            if config and has_failed:
                connect.restart_failed(settings)
            return
        except connect.WorkerError:
            if not has_failed or elapsed_s >= _WORKER_LIMIT_S:
                raise


def _same_names(found: dict[str, Shape]) -> Iterator[Blame]:
    for table, shape in found.items():
        twice = [name for name, count in Counter(name.lower() for name in shape.columns).items() if count > 1]
        for name in twice:
            alike = sorted(other for other in shape.columns if other.lower() == name)
            reason = f"columns {' and '.join(alike)} differ only by case, and Debezium would mix their values: rename one"
            yield Blame(table=table, column=alike[0], reason=reason, is_stop=True)


def _by_failure(settings: Settings, found: dict[str, Shape], failed: Failure) -> Iterator[Blame]:
    if failed.kind is Kind.TABLE and failed.schema == settings.source_schema and failed.table in found:
        column = failed.column
        is_declared = column is None or column in tables.source(failed.table).column_names
        yield Blame(
            table=failed.table, column=column, reason=failed.cause, is_stop=is_declared or column not in found[failed.table].columns
        )
    if failed.kind is Kind.EVENT and failed.lsn is not None:
        for table in pending.tables_at(settings, failed.lsn):
            if table in found:
                # Debezium decodes excluded columns too, so stop the whole table.
                column = next((name for name, seen in found[table].columns.items() if seen.type in failed.cause.split()), None)
                yield Blame(table=table, column=column, reason=failed.cause, is_stop=True)
    if failed.kind is Kind.SIZE:
        for table, size in _too_large(settings, found):
            reason = f"a change of some {size // 2**20:,} MB is larger than EBAP_MAX_RECORD_MB={settings.max_record_mb} allows"
            yield Blame(table=table, column=None, reason=reason, is_stop=True)


def _too_large(settings: Settings, found: dict[str, Shape]) -> list[tuple[str, int]]:
    """Table and bytes of each change or row that is certainly too large; if there is none, the largest that may be too large."""
    perhaps = pending.largest(settings, settings.max_record_bytes // _JSON_GROWTH)
    if not perhaps:
        columns = {table: list(shape.columns) for table, shape in found.items() if shape.columns}
        perhaps = pending.largest_rows(settings, columns, settings.max_record_bytes // _JSON_GROWTH)
    known = [(table, size) for table, size in perhaps if table in found]
    return [entry for entry in known if entry[1] >= _certainly_too_large(settings)] or known[:1]


def _certainly_too_large(settings: Settings) -> int:
    return int(settings.max_record_bytes * _LOG_GROWTH)
