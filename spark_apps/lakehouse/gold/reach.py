"""Reach of a source table's changes: keys that changed since a run, and the instant from which their values may differ.

The SQL is the same for both engines.
"""

from __future__ import annotations

from lakehouse.contract import History, Table

# Columns of the stored changes that are needed beside the key.
COLUMNS = ("_run", "_commit_at", "_effective_at", "_is_visible", "_valid_from")


def changed_since(table: Table, rows: str, mark: int) -> str:
    """SELECT of the keys that a run at or after `mark` changed, with `since`, over `rows`, the table's stored changes.

    Before `since` the values of the key stayed as they were; NULL where any instant may differ. A row's effective time may have been
    moved by the very run that changed it, but it never lies before its commit time (but for a read that found what was known, from
    which no value differs): the lesser of the two bounds where the row stood before. What stood before that bound is untouched. Where
    no version does, the key's first version may be another one now, and facts older than it take the first version: no bound.
    Holds for tracked columns; an untracked one takes its value from the end of a version. Of a table without versions nothing is said.
    """
    key = ", ".join(f"{name}" for name in table.key)
    if table.history is not History.FULL:
        return f"SELECT DISTINCT {key}, CAST(NULL AS TIMESTAMP) AS since FROM {rows} WHERE _run >= {mark}"
    return (
        f"SELECT {key}, CASE WHEN first_from < bound THEN bound END AS since FROM (\n"
        f"  SELECT {key}, min(CASE WHEN _run >= {mark} THEN least(_commit_at, _effective_at) END) AS bound,\n"
        f"    min(CASE WHEN _is_visible THEN _valid_from END) AS first_from, max(_run) AS newest_run\n"
        f"  FROM {rows} GROUP BY {key}\n"
        f") WHERE newest_run >= {mark}"
    )
