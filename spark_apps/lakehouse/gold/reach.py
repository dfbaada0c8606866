"""Reach of a source table's changes: keys that changed since a run, and the instant from which their values may differ.

The SQL is the same for both engines.
"""

from __future__ import annotations

from collections.abc import Callable

from lakehouse.contract import History, Table

# Columns of the stored changes that are needed besides the key.
COLUMNS = ("_run", "_commit_at", "_effective_at", "_is_visible", "_valid_from")


def changed_since(table: Table, rows: str, since_run: int, quoted: Callable[[str], str]) -> str:
    """SELECT of the keys that a run at or after `since_run` changed, with `since`, over `rows`, the table's stored changes.

    `quoted` makes a name an identifier of the engine.

    Before `since` the values of the key are unchanged; NULL if any instant may differ. The run that changed a row may also have moved its
    effective time, but never before its commit time (except for a read that found an unchanged row, from which no value differs), so the
    bound is the lesser of the two. Versions before that bound are not affected. If there are none, the key's first version may have
    changed, which older facts join: no bound. This holds for tracked columns; an untracked one takes its value from the end of a version.
    For a table without versions `since` is always NULL.
    """
    key = ", ".join(map(quoted, table.key))
    if table.history is not History.FULL:
        return f"SELECT DISTINCT {key}, CAST(NULL AS TIMESTAMP) AS since FROM {rows} WHERE _run >= {since_run}"
    return (
        f"SELECT {key}, CASE WHEN _first_from < _bound THEN _bound END AS since FROM (\n"
        f"  SELECT {key}, min(CASE WHEN _run >= {since_run} THEN least(_commit_at, _effective_at) END) AS _bound,\n"
        f"    min(CASE WHEN _is_visible THEN _valid_from END) AS _first_from, max(_run) AS _newest_run\n"
        f"  FROM {rows} GROUP BY {key}\n"
        f") WHERE _newest_run >= {since_run}"
    )
