"""Recovery of a connector that one value stopped: exclude an undeclared column, or stop the table of a declared one.

A connector that has failed stands still with all of its tables. Its stack trace names the column, or the position of the change, or only
that something was too large; the source's log and catalog say the rest. A column that is left out and a table that is stopped are
recorded in `silver.schema_changes`, and the connector's lists follow from what is recorded there. Nothing of another table is lost: the
connector goes on where it stood. What names nobody, as a source that was away, is only started again.
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

# A worker without memory is started again within a quarter of a minute.
_WORKER_LIMIT_S = 60.0
_POLL_S = 0.5
# JSON is at most six times as long as the text it is made of; bytes stand in the log as twice as many digits, in JSON as a third more.
_JSON_GROWTH = 6
_LOG_GROWTH = 1.5


@dataclass(frozen=True, kw_only=True)
class Blame:
    """What keeps the capture from going on: a column to be left out, or, with `is_stop`, the table to be stopped."""

    table: str
    column: str | None
    reason: str
    is_stop: bool


def failure(settings: Settings) -> Failure | None:
    """Why the connector stands still; None where it runs, was stopped on purpose or does not exist."""
    try:
        state = connect.state(settings)
    except connect.WorkerError as error:
        # A worker that a change has killed is killed again at each start; any other comes back by itself.
        is_killed = bool(pending.largest(settings, _certainly_too_large(settings)))
        return Failure(kind=Kind.SIZE, cause=str(error)) if is_killed else None
    return failures.of(state.trace) if "FAILED" in (state.connector, state.task) else None


def blamed(settings: Settings, found: dict[str, Shape], failed: Failure | None) -> list[Blame]:
    """Whose fault a failure is, and which tables have columns that Debezium cannot distinguish by name; `found` is every declared table."""
    return [*_same_names(found), *(_by_failure(settings, found, failed) if failed else ())]


def scope(log: SchemaLog) -> connector.Scope:
    """What is captured by all that is recorded."""
    left_out: dict[str, list[str]] = {}
    for change in log.left_out():
        left_out.setdefault(change.source_table, []).append(str(change.column))
    return connector.Scope(stopped=log.not_captured(), left_out=left_out)


def follow(lake: Lake, *, has_failed: bool = False) -> None:
    """Give the connector the lists that follow from what is recorded, and start it again where it has failed."""
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
                # Also a column that is left out is read before it is left out: only the table can be.
                column = next((name for name, seen in found[table].columns.items() if seen.type in failed.cause.split()), None)
                yield Blame(table=table, column=column, reason=failed.cause, is_stop=True)
    if failed.kind is Kind.SIZE:
        for table, size in _too_large(settings, found):
            reason = f"a change of some {size // 2**20:,} MB is larger than EBAP_MAX_RECORD_MB={settings.max_record_mb} allows"
            yield Blame(table=table, column=None, reason=reason, is_stop=True)


def _too_large(settings: Settings, found: dict[str, Shape]) -> list[tuple[str, int]]:
    """Tables with a change, or a row, that is too large for certain; where there is none, the one with the largest that may be."""
    perhaps = pending.largest(settings, settings.max_record_bytes // _JSON_GROWTH)
    if not perhaps:
        columns = {table: list(shape.columns) for table, shape in found.items() if shape.columns}
        perhaps = pending.largest_rows(settings, columns, settings.max_record_bytes // _JSON_GROWTH)
    known = [(table, size) for table, size in perhaps if table in found]
    return [entry for entry in known if entry[1] >= _certainly_too_large(settings)] or known[:1]


def _certainly_too_large(settings: Settings) -> int:
    return int(settings.max_record_bytes * _LOG_GROWTH)
